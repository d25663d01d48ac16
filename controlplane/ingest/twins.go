package ingest

import (
	"net/netip"
	"sync"
	"time"

	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	data "github.com/envoyproxy/go-control-plane/envoy/data/accesslog/v3"

	"github.com/gabion-io/gabion/internal/exchange"
)

// Twins knows an exchange again that both a proxy and an agent tell of: the proxy is
// an end of a connection that the agent sees pass. Such an exchange is the proxy's,
// whoever told first; what only the agent knows is added to it.
//
// They are told by exchange.Leg. An agent's waits for the proxy's, which may come
// later: a proxy tells when its client has everything. Only who knows a request's id
// and the ports of its connection can name its leg; an agent that names a wrong one
// hides what it told itself, and nothing a proxy told.
type Twins struct {
	now func() time.Time

	mu      sync.Mutex
	proxied map[uint64][]*proxied
	ring    []*proxied // the newest, to forget the oldest
	next    int
	waiting map[uint64][]*sighting
	count   int                      // of those that wait
	peers   map[netip.Addr]time.Time // addresses that proxies speak from and to
	told    time.Time                // when an agent last told
	amend   func(item)               // stores an exchange again
}

// Bounds of what is remembered, and how long is waited.
const (
	maxProxied = 65_536 // legs
	maxWaiting = 16_384
	maxPeers   = 16_384

	peerAge     = 10 * time.Minute
	patience    = 5 * time.Second // with what may be any client's own request id
	peerWait    = 2 * time.Minute // with what a proxy asked, or was asked
	agentsSleep = 10 * time.Minute
)

// proxied is one leg of an exchange that a proxy told of.
type proxied struct {
	leg     uint64
	side    side
	item    *item // shared by both legs
	sidecar bool
}

// side of a proxy.
type side uint8

const (
	fromClient side = iota
	toService
)

// sighting is an exchange that an agent told of.
type sighting struct {
	exchange    exchange.Exchange
	observation *exchange.Observation
	legs        []uint64
	peers       [2]netip.Addr
	until       time.Time
	done        bool // it is not waited for any more
}

// NewTwins wires nothing yet: Options.Twins and ExchangeOptions.Twins take it.
func NewTwins(now func() time.Time) *Twins {
	if now == nil {
		now = time.Now
	}
	return &Twins{now: now, proxied: map[uint64][]*proxied{}, ring: make([]*proxied, maxProxied), waiting: map[uint64][]*sighting{}, peers: map[netip.Addr]time.Time{}}
}

// proxy notes what a proxy told, and queues it: before anything is added to it later.
// Where an agent has told of it before, what that knew becomes part of it.
func (t *Twins) proxy(key exchange.Key, it *item, e *data.HTTPAccessLogEntry, queue func(item)) {
	if t == nil {
		queue(*it)
		return
	}
	c, id := e.GetCommonProperties(), e.GetRequest().GetRequestId()
	direct := c.GetDownstreamDirectRemoteAddress()
	if direct == nil {
		direct = c.GetDownstreamRemoteAddress()
	}
	client, listener := socketOf(direct), socketOf(c.GetDownstreamLocalAddress())
	local, remote := socketOf(c.GetUpstreamLocalAddress()), socketOf(c.GetUpstreamRemoteAddress())
	sidecar := client.Addr().IsLoopback()

	t.mu.Lock()
	defer t.mu.Unlock()
	defer func() { queue(*it) }()
	now := t.now()
	t.peer(listener.Addr(), now)
	t.peer(local.Addr(), now)
	if now.Sub(t.told) > agentsSleep {
		return // nobody is there to tell of it too
	}
	known := &item{source: it.source, exchange: it.exchange}
	for _, l := range []*proxied{
		{key.Leg(id, client, listener), fromClient, known, sidecar}, {key.Leg(id, local, remote), toService, known, sidecar},
	} {
		if l.leg == 0 {
			continue
		}
		if s := t.awaited(l.leg); s != nil {
			s.tell(l, &it.exchange)
			continue
		}
		t.note(l)
	}
	known.exchange = it.exchange
}

func socketOf(a *core.Address) netip.AddrPort {
	s := a.GetSocketAddress()
	addr, err := netip.ParseAddr(s.GetAddress())
	if err != nil {
		return netip.AddrPort{}
	}
	return netip.AddrPortFrom(addr.Unmap().WithZone(""), uint16(s.GetPortValue()))
}

func (t *Twins) peer(a netip.Addr, now time.Time) {
	if !a.IsValid() {
		return
	}
	if len(t.peers) >= maxPeers {
		clear(t.peers)
	}
	t.peers[a] = now
}

// awaited takes the oldest that waits for a leg.
func (t *Twins) awaited(leg uint64) *sighting {
	list := t.waiting[leg]
	if len(list) == 0 {
		return nil
	}
	t.dismiss(list[0])
	return list[0]
}

// dismiss takes one off the list of those that wait.
func (t *Twins) dismiss(s *sighting) {
	s.done = true
	t.count--
	for _, leg := range s.legs {
		var rest []*sighting
		for _, other := range t.waiting[leg] {
			if other != s {
				rest = append(rest, other)
			}
		}
		if rest == nil {
			delete(t.waiting, leg)
		} else {
			t.waiting[leg] = rest
		}
	}
}

func (t *Twins) note(l *proxied) {
	if old := t.ring[t.next]; old != nil {
		t.forget(old)
	}
	t.ring[t.next] = l
	t.next = (t.next + 1) % len(t.ring)
	t.proxied[l.leg] = append(t.proxied[l.leg], l)
}

// forget drops one that is known; one that was met already is not there.
func (t *Twins) forget(l *proxied) {
	list := t.proxied[l.leg]
	for i, other := range list {
		if other == l {
			list = append(list[:i:i], list[i+1:]...)
			break
		}
	}
	if len(list) == 0 {
		delete(t.proxied, l.leg)
	} else {
		t.proxied[l.leg] = list
	}
}

// tell adds what an agent knew to the proxy's exchange: who asked, where the agent
// saw the client itself, and who answered.
func (s *sighting) tell(l *proxied, x *exchange.Exchange) {
	if l.side == fromClient || l.sidecar && x.Caller == "" {
		x.Caller = s.exchange.Caller
	}
	if l.side == fromClient {
		x.Process = s.exchange.Process
	} else {
		x.Server = s.exchange.Server
	}
}

// meet is true when an exchange of an agent is the proxy's, or waits to be known for
// it.
func (t *Twins) meet(s *sighting) bool {
	if t == nil || len(s.legs) == 0 {
		return false
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	now := t.now()
	t.told = now
	for _, leg := range s.legs {
		if list := t.proxied[leg]; len(list) > 0 {
			l := list[0]
			t.forget(l)
			s.tell(l, &l.item.exchange)
			if t.amend != nil {
				t.amend(*l.item)
			}
			return true
		}
	}
	if t.count >= maxWaiting {
		return false
	}
	s.until = now.Add(patience)
	for _, a := range s.peers {
		if at, ok := t.peers[a]; ok && now.Sub(at) < peerAge {
			s.until = now.Add(peerWait)
		}
	}
	t.count++
	for _, leg := range s.legs {
		t.waiting[leg] = append(t.waiting[leg], s)
	}
	return true
}

// amends is told how an exchange is stored again, with more in it.
func (t *Twins) amends(amend func(item)) {
	if t != nil {
		t.mu.Lock()
		defer t.mu.Unlock()
		t.amend = amend
	}
}

// alive says that an agent captures: from then on proxies' exchanges are remembered.
func (t *Twins) alive() {
	if t == nil {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.told = t.now()
}

// alone takes those that have waited long enough: no proxy tells of them. all takes
// the others too.
func (t *Twins) alone(all bool) (list []*sighting) {
	if t == nil {
		return nil
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	now := t.now()
	for _, waiting := range t.waiting {
		for _, s := range waiting {
			if !s.done && (all || now.After(s.until)) {
				s.done = true
				list = append(list, s)
			}
		}
	}
	for _, s := range list {
		t.dismiss(s)
	}
	return list
}
