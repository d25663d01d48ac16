// Package lookup watches what workloads ask name services and decides which answers
// count: those of a permitted resolver to a question that the same workload has just
// asked it, and for how long. What counts is kept in a Book: names, their addresses,
// until when.
//
// It sees messages, not packets: it neither reads the kernel nor writes policy, and
// knows no rules. The agent imports it.
package lookup

import (
	"net/netip"
	"strings"
	"time"

	"golang.org/x/net/dns/dnsmessage"

	"github.com/gabion-io/gabion/workload"
)

// Message is one message of DNS as it crossed a workload's interface.
type Message struct {
	At       time.Duration // of a clock that never goes back
	Workload workload.ID
	Outbound bool // from the workload
	TCP      bool
	Client   netip.AddrPort // the workload's end
	Server   netip.Addr
	Payload  []byte
}

// Answer is the addresses that a name has, as a workload was told.
type Answer struct {
	Name      string // in lower case, without a dot at its end
	Addresses []netip.Addr
	TTL       time.Duration // the least of all records that lead to them
}

// question is what makes an answer one to a query.
type question struct {
	client netip.AddrPort
	server netip.Addr
	tcp    bool
	id     uint16
	name   string
	kind   dnsmessage.Type
}

// Bounds.
const (
	window      = 10 * time.Second // an answer that comes later is none
	maxAsked    = 1024             // open questions of one workload
	maxChain    = 16               // aliases that lead from a name to its addresses
	maxRecords  = 256              // of one answer that are read
	maxOfAnswer = 64               // addresses of one answer that are taken
)

// Counts are what became of the messages that were seen. The last two are for who
// has the Book and the packets to fill in.
type Counts struct {
	Asked       uint64 // questions about addresses, to permitted resolvers
	Counted     uint64 // answers that count
	Elsewhere   uint64 // messages to and from others than the permitted resolvers
	Unasked     uint64 // answers to no open question: forged, repeated, or too late
	Own         uint64 // answers by the workload that had asked
	Empty       uint64 // answers without an address: there is none, or they were cut short
	Unreadable  uint64
	Crowded     uint64 // questions that were not remembered: too many were open
	Unbelieved  uint64 // addresses that no name outside can have
	Overflowing uint64 // names and addresses that had no place, or took another's
	Lost        uint64 // messages that were not seen: too many, or not in one piece
}

// Trouble is how often something did not count that a workload may have relied on, or
// that somebody tried to forge.
func (c *Counts) Trouble() uint64 {
	return c.Unasked + c.Own + c.Unreadable + c.Crowded + c.Unbelieved + c.Overflowing + c.Lost
}

// Watcher matches answers to questions. It is for one goroutine.
type Watcher struct {
	permitted map[netip.Addr]bool
	open      map[workload.ID]map[question]time.Duration
	counts    Counts
}

// NewWatcher believes some resolvers and nobody else.
func NewWatcher(resolvers []netip.Addr) *Watcher {
	w := &Watcher{permitted: map[netip.Addr]bool{}, open: map[workload.ID]map[question]time.Duration{}}
	for _, r := range resolvers {
		w.permitted[r.Unmap()] = true
	}
	return w
}

// Permits says whether answers of a server can count.
func (w *Watcher) Permits(server netip.Addr) bool { return w.permitted[server.Unmap()] }

// Counts are the totals so far.
func (w *Watcher) Counts() Counts { return w.counts }

// See takes a message, and says whether it is an answer that counts. A server that
// is the workload itself is never believed; own lists its addresses.
func (w *Watcher) See(m Message, own []netip.Addr) (Answer, bool) {
	server := m.Server.Unmap()
	if !w.Permits(server) {
		w.counts.Elsewhere++
		return Answer{}, false
	}
	for _, a := range own {
		if a.Unmap() == server {
			w.counts.Own++
			return Answer{}, false
		}
	}
	r, err := read(m.Payload)
	if err != nil {
		w.counts.Unreadable++
		return Answer{}, false
	}
	q := question{client: m.Client, server: server, tcp: m.TCP, id: r.id, name: r.name, kind: r.kind}
	switch {
	case m.Outbound && !r.answer:
		w.ask(m, q)
	case !m.Outbound && r.answer:
		return w.answer(m, q, r)
	default:
		w.counts.Unreadable++ // a workload that answers, a resolver that asks
	}
	return Answer{}, false
}

func (w *Watcher) ask(m Message, q question) {
	if q.kind != dnsmessage.TypeA && q.kind != dnsmessage.TypeAAAA {
		return
	}
	w.counts.Asked++
	open := w.open[m.Workload]
	if open == nil {
		open = map[question]time.Duration{}
		w.open[m.Workload] = open
	}
	if _, again := open[q]; !again && len(open) >= maxAsked {
		for old, at := range open {
			if m.At-at > window {
				delete(open, old)
			}
		}
		if len(open) >= maxAsked {
			w.counts.Crowded++
			return
		}
	}
	open[q] = m.At
}

func (w *Watcher) answer(m Message, q question, r reading) (Answer, bool) {
	at, asked := w.open[m.Workload][q]
	if q.kind != dnsmessage.TypeA && q.kind != dnsmessage.TypeAAAA {
		return Answer{}, false
	}
	if !asked || m.At < at || m.At-at > window {
		w.counts.Unasked++
		return Answer{}, false
	}
	delete(w.open[m.Workload], q)
	a := Answer{Name: r.name, TTL: r.ttl}
	for _, addr := range r.addresses {
		if believable(addr) {
			a.Addresses = append(a.Addresses, addr)
		} else {
			w.counts.Unbelieved++
		}
	}
	if len(a.Addresses) == 0 {
		w.counts.Empty++
		return Answer{}, false
	}
	w.counts.Counted++
	return a, true
}

// Forget drops what is open of workloads that are not among those of now.
func (w *Watcher) Forget(known func(workload.ID) bool) {
	for id := range w.open {
		if !known(id) {
			delete(w.open, id)
		}
	}
}

// believable says whether an address can be a name's outside. Loopback, the link's
// own (where clouds keep their metadata) and groups cannot: who owns a name must not
// be able to open these with it.
func believable(a netip.Addr) bool {
	a = a.Unmap()
	return a.IsValid() && !a.IsLoopback() && !a.IsLinkLocalUnicast() && !a.IsMulticast() &&
		!a.IsUnspecified() && a != netip.AddrFrom4([4]byte{255, 255, 255, 255})
}

// reading is what is in a message.
type reading struct {
	id        uint16
	answer    bool
	name      string
	kind      dnsmessage.Type
	addresses []netip.Addr
	ttl       time.Duration
}

// plain is a name as rules write it; empty if no rule can mean it.
func plain(n dnsmessage.Name) string {
	s := strings.ToLower(strings.TrimSuffix(n.String(), "."))
	for i := range len(s) {
		c := s[i]
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' && c != '_' && c != '.' {
			return ""
		}
	}
	return s
}
