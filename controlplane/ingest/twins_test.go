package ingest

import (
	"fmt"
	"net/netip"
	"sync"
	"testing"
	"time"

	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	data "github.com/envoyproxy/go-control-plane/envoy/data/accesslog/v3"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/gabion-io/gabion/controlplane/store"
	"github.com/gabion-io/gabion/internal/exchange"
	"github.com/gabion-io/gabion/internal/flowreport"
	"github.com/gabion-io/gabion/workload"
)

// counted counts observations by service.
type counted struct {
	mu sync.Mutex
	by map[string]int
}

func (c *counted) Add(o *exchange.Observation) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.by[o.Service]++
}

// twinBed is an ingest with proxies and a door with agents, before one inventory.
type twinBed struct {
	*world
	bed     *flowBed
	door    *ExchangeDoor
	learned *counted
	conn    *grpc.ClientConn
	key     exchange.Key
	seq     uint64

	mu  sync.Mutex
	now time.Time
}

func newTwinBed(t *testing.T) *twinBed {
	b := &twinBed{learned: &counted{by: map[string]int{}}, key: exchange.Key{7}, now: time.Now()}
	twins := NewTwins(func() time.Time {
		b.mu.Lock()
		defer b.mu.Unlock()
		return b.now
	})
	b.world = newWorld(t, func(o *Options) { o.Operations, o.OperationKey, o.Twins = b.learned, b.key, twins })
	b.bed = newFlowBedWith(t, func(*store.Store) *ExchangeDoor {
		b.door = NewExchangeDoor(ExchangeOptions{Sink: b.world.store, Operations: b.learned, ClientKey: make([]byte, 32), OperationKey: b.key,
			Resident: func(netip.Addr) (*workload.Workload, bool) { return nil, false }, Twins: twins})
		return b.door
	})
	b.conn = b.bed.as("h2")
	b.bed.send(b.conn, flowreport.Message{Alive: true, Of: flowreport.OfExchanges})
	return b
}

func (b *twinBed) later(d time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.now = b.now.Add(d)
}

var (
	gateway  = netip.MustParseAddr("10.9.0.1")
	customer = netip.MustParseAddr("10.9.1.2")
	cart     = netip.MustParseAddrPort("10.9.2.3:8080")
	listens  = netip.AddrPortFrom(gateway, 80)
)

func socketAddress(a netip.AddrPort) *core.Address {
	return socket(a.Addr().String(), uint32(a.Port()))
}

// proxied is what the gateway tells of the nth exchange: it came over one connection
// and went on over another, with others.
func (b *twinBed) proxied(n int, id string, client, upstream uint16) *data.HTTPAccessLogEntry {
	e := entry(n, nil)
	e.Request.RequestId = id
	c := e.CommonProperties
	c.StartTime = timestamppb.New(time.Now().Add(time.Duration(n)))
	c.DownstreamDirectRemoteAddress, c.DownstreamRemoteAddress = socketAddress(netip.AddrPortFrom(customer, client)), socketAddress(netip.AddrPortFrom(customer, client))
	c.DownstreamLocalAddress = socketAddress(listens)
	c.UpstreamLocalAddress, c.UpstreamRemoteAddress = socketAddress(netip.AddrPortFrom(gateway, upstream)), socketAddress(cart)
	c.UpstreamCluster = "default/cart:8080"
	return e
}

// sees is what the agent of a host says that it saw.
func (b *twinBed) sees(src, dst string, legs ...uint64) flowreport.Message {
	b.seq++
	m := b.bed.exchanges(b.seq, src, dst)
	m.Exchanges.List[0].Legs = legs
	if src == gateway.String() {
		m.Exchanges.List[0].Client = gateway
	}
	return m
}

// counts holds how often each service was asked, as learned and as stored.
func (b *twinBed) counts(proxied, direct int) []exchange.Exchange {
	b.t.Helper()
	b.flush()
	b.learned.mu.Lock()
	defer b.learned.mu.Unlock()
	if got := b.learned.by; got["default/cart"] != proxied || got["shop/car"] != direct || len(got) > 2 {
		b.t.Errorf("learned from %v, not from %d and %d", got, proxied, direct)
	}
	list, err := b.world.store.Exchanges(b.t.Context(), store.ExchangeQuery{Limit: 1000})
	if err != nil || len(list) != proxied+direct {
		b.t.Errorf("%d exchanges are stored, not %d (%v)", len(list), proxied+direct, err)
	}
	return list
}

// A gateway and the agent beside the service see the same traffic, in either order:
// each exchange counts once, as the gateway's, and says which workload answered.
func TestSeenByBoth(t *testing.T) {
	b := newTwinBed(t)
	const n = 40
	for i := range n {
		id := fmt.Sprintf("id-%d", i/2) // a client may use its own twice, on one connection
		tells := func() { b.send(b.proxied(i, id, uint16(4000+i), 5000)) }
		sees := func() {
			b.bed.send(b.conn, b.sees(gateway.String(), "shop/cart-1", b.key.Leg(id, netip.AddrPortFrom(gateway, 5000), cart)))
		}
		if i%4 < 2 {
			tells()
			sees()
		} else {
			sees()
			tells()
		}
	}
	b.door.release(t.Context(), false)
	for _, x := range b.counts(n, 0) {
		if x.Proxy != "edge-1" || x.Server != "shop/cart-1" || x.Process != "" || x.Caller != "" {
			t.Errorf("stored is %+v", x)
		}
	}
	// What the agent sends again, after the answer was lost.
	again := b.sees(gateway.String(), "shop/cart-1", b.key.Leg("id-0", netip.AddrPortFrom(gateway, 5000), cart))
	again.Exchanges.Seq = 1
	b.bed.send(b.conn, again)
	b.later(time.Hour)
	b.door.release(t.Context(), false)
	b.counts(n, 0)
}

// Beside the client an agent sees it ask the gateway: the exchange says who asked, and
// with which process.
func TestSeenBeforeTheProxy(t *testing.T) {
	b := newTwinBed(t)
	h1 := b.bed.as("h1")
	for i := range 2 {
		asked := b.sees("shop/web-1", gateway.String(), b.key.Leg(fmt.Sprint("new-", i), netip.AddrPortFrom(customer, 4000), listens))
		asked.Exchanges.List[0].Port = 80
		if i == 0 {
			b.bed.send(h1, asked)
		}
		b.send(b.proxied(i, fmt.Sprint("new-", i), 4000, 5000))
		if i == 1 {
			b.bed.send(h1, asked)
		}
	}
	for _, x := range b.counts(2, 0) {
		if x.Caller != "shop/web-1" || x.Process != "/usr/bin/curl" || x.Server != "" {
			t.Errorf("stored is %+v", x)
		}
	}
}

// What no proxy tells of counts, whatever id it carries: it waits a while, with what
// may be a proxy's for long.
func TestSeenByAgentOnly(t *testing.T) {
	b := newTwinBed(t)
	b.send(b.proxied(0, "known", 4000, 5000)) // the gateway's address is known from now on
	leg := func(id string, client netip.Addr, port uint16) uint64 {
		return b.key.Leg(id, netip.AddrPortFrom(client, port), cart)
	}
	b.bed.send(b.conn, b.sees("10.9.1.2", "shop/cart-1")) // no id
	b.counts(1, 1)
	b.bed.send(b.conn, b.sees("10.9.1.2", "shop/cart-1", leg("known", customer, 5000)))       // the same id, past the gateway
	b.bed.send(b.conn, b.sees("10.9.1.2", "shop/cart-1", leg("known", gateway, 5001)))        // on another connection
	b.bed.send(b.conn, b.sees(gateway.String(), "shop/cart-1", leg("slow", gateway, 5000)))   // the gateway tells at its end
	b.bed.send(b.conn, b.sees(gateway.String(), "shop/cart-1", leg("nobody", gateway, 5000))) // a probe of the gateway's
	b.counts(1, 1)
	b.later(patience + time.Second)
	b.door.release(t.Context(), false)
	b.counts(1, 3)
	b.send(b.proxied(1, "slow", 4001, 5000))
	b.counts(2, 3)
	b.later(peerWait)
	b.door.release(t.Context(), false)
	b.counts(2, 4)
	b.send(b.proxied(2, "nobody", 4002, 5000)) // too late: what a proxy tells counts, always
	b.counts(3, 4)
	b.bed.send(b.conn, b.sees("10.9.1.2", "shop/cart-1", leg("last", customer, 5002)))
	b.door.release(t.Context(), true) // the end
	b.counts(3, 5)
}

// What waits, and what is remembered, is bounded: what is too much counts at once.
func TestTwinsAreBounded(t *testing.T) {
	twins := NewTwins(nil)
	twins.alive()
	for i := range maxWaiting + 10 {
		s := &sighting{legs: []uint64{uint64(i + 1), uint64(i + 2)}}
		if waits := twins.meet(s); waits != (i < maxWaiting) {
			t.Fatalf("%d waits: %v", i, waits)
		}
	}
	if n := len(twins.alone(true)); n != maxWaiting || len(twins.waiting) != 0 || twins.count != 0 {
		t.Errorf("%d waited, %d are left", n, len(twins.waiting))
	}
	b := &twinBed{}
	for i := range maxProxied {
		it := item{}
		twins.proxy(exchange.Key{}, &it, b.proxied(i, fmt.Sprint(i), 4000, 5000), func(item) {})
	}
	if len(twins.proxied) != maxProxied {
		t.Errorf("%d legs are remembered", len(twins.proxied))
	}
	if twins.meet(&sighting{legs: []uint64{exchange.Key{}.Leg("0", netip.AddrPortFrom(gateway, 5000), cart)}}); len(twins.waiting) != 1 {
		t.Error("the oldest is remembered")
	}
	if twins.meet(&sighting{legs: []uint64{exchange.Key{}.Leg(fmt.Sprint(maxProxied-1), netip.AddrPortFrom(gateway, 5000), cart)}}); len(twins.waiting) != 1 {
		t.Error("the newest is not")
	}
}
