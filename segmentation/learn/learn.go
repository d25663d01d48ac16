// Package learn turns edges into proposals: for every group of workloads that
// talk alike, a policy that allows what was seen and nothing else, with the
// evidence behind each rule and how complete the learning is.
//
// It is a fold: the order in which edges are added changes nothing, and what its
// bound makes it drop is counted. It is pure, explains itself, and enforces
// nothing: a proposal becomes a policy only when a person accepts it. What looks
// like an attack by its shape is shown apart and never learned silently.
//
// The control plane's composition and the command line import it.
package learn

import (
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/gabion-io/gabion/segmentation"
	"github.com/gabion-io/gabion/workload"
)

// Options bound the learner.
type Options struct {
	// MaxEdges is how many different edges are kept; 0: 4 million. More are
	// counted and dropped.
	MaxEdges int
	Mode     segmentation.Mode // of the policies proposed
}

// Learner collects edges. It is for one goroutine.
type Learner struct {
	options   Options
	workloads []*workload.Workload
	byID      map[workload.ID]int32
	byAddr    map[netip.Addr]int32
	externals []external
	byExt     map[string]int32 // name, or address
	edges     []edge
	index     map[edgeKey]int32
	more      map[int32][]span // spans of an edge beyond its first record
	dropped   uint64
	timeline       // of what was added when Propose began
	counted   bool // some edge has bytes: then no bytes means no answer
}

// external is who is no workload: a name with the addresses it had, or an address.
type external struct {
	name  string
	addrs []netip.Addr // sorted
}

// edgeKey is an edge between interned ends: a workload's index, or ^index of an
// external.
type edgeKey struct {
	src, dst int32
	protocol segmentation.Protocol
	port     uint16
}

type edge struct {
	edgeKey
	flows, bytes uint64
	answered     uint64 // flows that records say were answered, or that moved something
	unsaid       uint64 // flows of records that say neither
	known        Known  // by all records
	span
	processes []string
}

// span is when a record's flows began, in Unix nanoseconds.
type span struct {
	first, last int64
	count       uint64
}

// New begins with the workloads there are. Edges of others are external by their
// address.
func New(workloads []*workload.Workload, o Options) *Learner {
	if o.MaxEdges == 0 {
		o.MaxEdges = 4_000_000
	}
	l := &Learner{
		options: o, workloads: slices.Clone(workloads), byID: map[workload.ID]int32{}, byAddr: map[netip.Addr]int32{},
		byExt: map[string]int32{}, index: map[edgeKey]int32{}, more: map[int32][]span{},
	}
	slices.SortFunc(l.workloads, func(a, b *workload.Workload) int { return a.ID.Compare(b.ID) })
	for i, w := range l.workloads {
		l.byID[w.ID] = int32(i)
		for _, a := range w.Addresses {
			l.byAddr[a.Unmap()] = int32(i)
		}
	}
	return l
}

// Add folds one record of an edge in.
func (l *Learner) Add(e *segmentation.Edge) { l.AddKnown(e, Known{}) }

// AddKnown is Add for an edge that policies allow already, in some directions: it
// tells who does what, and no rule is proposed where it is known.
func (l *Learner) AddKnown(e *segmentation.Edge, known Known) {
	key := edgeKey{l.intern(&e.Src), l.intern(&e.Dst), e.Protocol.Normal(), e.Port}
	s := span{e.First.UnixNano(), e.Last.UnixNano(), e.Flows}
	n, seen := l.index[key]
	if !seen {
		if len(l.edges) >= l.options.MaxEdges {
			l.dropped++
			return
		}
		n = int32(len(l.edges))
		l.index[key] = n
		l.edges = append(l.edges, edge{edgeKey: key, span: s, known: known})
	} else {
		l.more[n] = append(l.more[n], s)
	}
	to := &l.edges[n]
	to.known = to.known.and(known)
	to.flows += e.Flows
	to.bytes += e.Bytes
	switch {
	case e.Answered != nil:
		to.answered += *e.Answered
	case e.Bytes > 0:
		to.answered += e.Flows
	default:
		to.unsaid += e.Flows
	}
	l.counted = l.counted || e.Bytes > 0
	for _, p := range e.Processes {
		if at, found := slices.BinarySearch(to.processes, p); !found && len(to.processes) < 16 {
			to.processes = slices.Insert(to.processes, at, p)
		}
	}
}

// Dropped says how many records of edges beyond the bound were left out.
func (l *Learner) Dropped() uint64 { return l.dropped }

// intern finds the number of an edge's end.
func (l *Learner) intern(e *segmentation.Endpoint) int32 {
	if e.Workload != nil {
		if n, known := l.byID[e.Workload.ID]; known {
			return n
		}
	}
	addr := e.Addr.Unmap()
	if n, known := l.byAddr[addr]; known {
		return n
	}
	key := ""
	if len(e.Names) > 0 {
		key = strings.ToLower(strings.TrimSuffix(e.Names[0], "."))
	}
	if !segmentation.IsDNSName(key) {
		key = "" // no rule can be about it, or it would be about more than it
	}
	name := key
	if key == "" {
		key = addr.String()
	}
	n, known := l.byExt[key]
	if !known {
		n = int32(len(l.externals))
		l.byExt[key] = n
		l.externals = append(l.externals, external{name: name})
	}
	if x := &l.externals[n]; addr.IsValid() {
		if at, found := slices.BinarySearchFunc(x.addrs, addr, netip.Addr.Compare); !found {
			x.addrs = slices.Insert(x.addrs, at, addr)
		}
	}
	return ^n
}

// evidence says whether an edge shows that somebody is served: attempts that
// nobody answered show nothing, and nobody serves port 0, which in a rule would
// mean all of them.
func (l *Learner) evidence(e *edge) bool {
	return l.answers(e) > 0 && !(e.protocol.HasPorts() && e.port == 0)
}

// answers is how many flows were answered, as far as anybody knows.
func (l *Learner) answers(e *edge) uint64 {
	if l.counted && e.protocol != segmentation.ICMP {
		return e.answered
	}
	return e.answered + e.unsaid
}

// spans yields the records of an edge.
func (l *Learner) spans(n int32) []span {
	return append([]span{l.edges[n].span}, l.more[n]...)
}

func instant(nanos int64) time.Time { return time.Unix(0, nanos).UTC() }
