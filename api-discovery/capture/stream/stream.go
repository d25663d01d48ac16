// Package stream makes exchanges of the bytes that connections carried: segments
// of TCP come in as they were seen on the way, in any order, twice or not at all;
// out come requests with their responses. It reads HTTP/1 and HTTP/2 in cleartext,
// and counts whatever it could not read.
//
// It does not know where segments come from, and takes no part in the connections:
// what an endpoint would answer with an error is a count here. What it makes holds
// raw values and belongs before a door (internal/exchange). Only
// api-discovery/capture imports it.
package stream

import (
	"container/list"
	"net/netip"
	"time"

	"github.com/gabion-io/gabion/internal/exchange"
)

// Segment is some payload of one direction of a connection, or its end.
type Segment struct {
	ID       uint64 // of the connection: ports are used again
	Time     time.Time
	From, To netip.AddrPort
	Client   bool // From sent the first request
	Cookie   uint64
	Seq      uint32
	// Skipped counts what was left out of this direction before this segment. Where
	// it grew, a hole in the sequence will not be filled.
	Skipped  uint32
	FIN, RST bool
	Data     []byte // used until Add returns
}

// Exchange is a request with its response, as they were sent.
type Exchange struct {
	ID             uint64 // of the connection
	Client, Server netip.AddrPort
	Cookie         uint64 // of the client's socket where it is known, else 0
	Proto          string // "HTTP/1.0", "HTTP/1.1", "HTTP/2"
	Raw            exchange.Raw
}

// Options wire a Tracker.
type Options struct {
	Emit func(*Exchange)
	// Ignore is told of connections of which nothing more needs to be seen. May be nil.
	Ignore func(id uint64, client, server netip.AddrPort)
	Scheme string        // of HTTP/1, which does not say it; default http
	Conns  int           // followed at once; the longest silent makes room; default 8,192
	Bytes  int           // held of all of them; default 64 MiB
	Silent time.Duration // after which what there is of an exchange is told; default 5 s
	Idle   time.Duration // after which a connection is forgotten; default 10 min
}

// Counters say what was read and what was not.
type Counters struct {
	Exchanges     uint64 // told
	Retransmitted uint64 // segments that brought nothing new
	Reordered     uint64 // segments that came before their time
	Gaps          uint64 // holes in a direction
	GapBytes      uint64
	Lost          uint64 // times that a hole, or what was no HTTP, hid where messages begin
	Unparsable    uint64 // heads that are no HTTP
	Ambiguous     uint64 // messages whose length is said in two ways
	Unanswered    uint64 // requests without a response
	Unpaired      uint64 // responses without a request
	Cut           uint64 // exchanges told before their end was seen
	Tunnels       uint64 // connections that became something else: WebSocket, CONNECT
	GivenUp       uint64 // connections that could not be read on
	Evicted       uint64 // connections that made room for others
	Crowded       uint64 // streams of HTTP/2, or pipelined requests, beyond the bound
}

// Bounds of what is held of one connection.
const (
	maxHead    = 64 << 10 // bytes of a head, or of a header block
	maxBody    = 16 << 10 // bytes of a body; a longer one is only measured
	maxHeaders = 256
	maxWaiting = 128 << 10 // bytes of segments before their time
	maxPieces  = 128
	maxPending = 32  // pipelined requests
	maxStreams = 256 // of HTTP/2
	maxEarly   = 32 << 10
)

// Tracker is for one goroutine.
type Tracker struct {
	o     Options
	conns map[connKey]*list.Element
	order *list.List // of *conn, the longest silent last
	held  int
	n     Counters
}

type connKey struct {
	id             uint64
	client, server netip.AddrPort
}

// New makes a Tracker.
func New(o Options) *Tracker {
	if o.Conns <= 0 {
		o.Conns = 8192
	}
	if o.Bytes <= 0 {
		o.Bytes = 64 << 20
	}
	if o.Scheme == "" {
		o.Scheme = "http"
	}
	if o.Silent <= 0 {
		o.Silent = 5 * time.Second
	}
	if o.Idle <= 0 {
		o.Idle = 10 * time.Minute
	}
	return &Tracker{o: o, conns: map[connKey]*list.Element{}, order: list.New()}
}

// Counters are the totals so far.
func (t *Tracker) Counters() Counters { return t.n }

// Add takes one segment.
func (t *Tracker) Add(s *Segment) {
	k := connKey{id: s.ID, client: s.From, server: s.To}
	if !s.Client {
		k.client, k.server = s.To, s.From
	}
	e := t.conns[k]
	if e == nil {
		if len(s.Data) == 0 {
			return // the end of one that is not followed
		}
		for len(t.conns) >= t.o.Conns {
			t.evict()
		}
		e = t.order.PushFront(newConn(t, k))
		t.conns[k] = e
	}
	t.order.MoveToFront(e)
	c := e.Value.(*conn)
	c.add(s)
	if c.closed() {
		t.remove(e)
		return
	}
	t.weigh(c)
	for t.held > t.o.Bytes {
		t.evict()
	}
}

// weigh notes what a connection holds.
func (t *Tracker) weigh(c *conn) {
	n := c.weight()
	t.held += n - c.held
	c.held = n
}

func (t *Tracker) evict() {
	e := t.order.Back()
	t.n.Evicted++
	e.Value.(*conn).end()
	t.remove(e)
}

func (t *Tracker) remove(e *list.Element) {
	c := e.Value.(*conn)
	t.held -= c.held
	delete(t.conns, c.key)
	t.order.Remove(e)
}

// Tick tells exchanges whose connection fell silent, and forgets connections. Call
// it every second or so.
func (t *Tracker) Tick(now time.Time) {
	for e := t.order.Back(); e != nil; {
		c, before := e.Value.(*conn), e.Prev()
		silent := now.Sub(c.last)
		if silent < t.o.Silent {
			return
		}
		if silent >= t.o.Idle {
			c.end()
			t.remove(e)
		} else if !c.settled {
			c.settle()
			t.weigh(c)
		}
		e = before
	}
}

// Close ends every connection: what there is of their exchanges is told.
func (t *Tracker) Close() {
	for e := t.order.Back(); e != nil; e = t.order.Back() {
		e.Value.(*conn).end()
		t.remove(e)
	}
}
