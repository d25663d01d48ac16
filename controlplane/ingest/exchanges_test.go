package ingest

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"

	"github.com/gabion-io/gabion/controlplane/store"
	"github.com/gabion-io/gabion/internal/exchange"
	"github.com/gabion-io/gabion/internal/flowreport"
	"github.com/gabion-io/gabion/workload"
)

// learned collects observations.
type learned struct{ list []*exchange.Observation }

func (l *learned) Add(o *exchange.Observation) { l.list = append(l.list, o) }

func newExchangeBed(t *testing.T) (*flowBed, *learned) {
	l := &learned{}
	var sink *store.Store
	b := newFlowBedWith(t, func(st *store.Store) *ExchangeDoor {
		sink = st
		return NewExchangeDoor(ExchangeOptions{
			Sink: sink, Operations: l, ClientKey: make([]byte, 32), OperationKey: exchange.Key{7},
			Resident: func(a netip.Addr) (*workload.Workload, bool) {
				return &workload.Workload{ID: workload.ID{Namespace: "far", Name: "away"}}, a == netip.MustParseAddr("192.0.2.8")
			},
		})
	})
	return b, l
}

// exchanges is what an agent says that web asked of cart.
func (b *flowBed) exchanges(seq uint64, src, dst string) flowreport.Message {
	b.Helper()
	d := exchange.Door{Key: exchange.Key{7}}
	o := new(exchange.Observation)
	d.Observe(&exchange.Raw{Time: b.now, Client: "10.9.1.2", Method: "GET", Host: "cart.example", Path: "/carts/17?full=yes", Status: 200}, o)
	o.Service, o.Caller = "default/upstream", exchange.CallerSeen{Kind: "workload", Name: "a/lie"}
	observation, err := o.Encode()
	if err != nil {
		b.Fatal(err)
	}
	end := func(name string) flowreport.End {
		if strings.Contains(name, "/") {
			return flowreport.End{Workload: name}
		}
		return flowreport.End{Address: netip.MustParseAddr(name)}
	}
	return flowreport.Message{Exchanges: &flowreport.Exchanges{Queue: "q1", Seq: seq, List: []flowreport.Exchange{{
		Src: end(src), Dst: end(dst), Client: netip.MustParseAddr("10.9.1.2"), Port: 8080, Host: "cart.example", Path: "/carts/{number}",
		Params: []string{"full"}, Proto: "HTTP/1.1", Method: "GET", Status: 200, Time: b.now, Duration: time.Millisecond, Observation: observation,
		Process: &flowreport.Process{PID: 7, Executable: "/usr/bin/curl"},
	}}}}
}

// What an agent saw becomes operations of the workload that answered, with the
// workload that asked, whatever the report says; sent twice it counts once.
func TestExchanges(t *testing.T) {
	b, l := newExchangeBed(t)
	h2 := b.as("h2")
	r := b.send(h2, flowreport.Message{Alive: true, Of: flowreport.OfExchanges})
	if r.Key != "07000000000000000000000000000000" {
		t.Errorf("who captures is told the key %q", r.Key)
	}
	if r := b.send(h2, flowreport.Message{Alive: true}); r.Key != "" {
		t.Errorf("who does not is told the key %q", r.Key)
	}
	for range 2 {
		if r := b.send(h2, b.exchanges(1, "shop/web-1", "shop/cart-1")); r.Refused != 0 {
			t.Errorf("refused: %+v", r)
		}
	}
	if len(l.list) != 1 {
		t.Fatalf("%d observations", len(l.list))
	}
	o := l.list[0]
	if o.Service != "shop/car" || o.Caller.Name != "shop/web-1" || o.Caller.Kind != "workload" || o.Segments[0].Text != "carts" {
		t.Errorf("learned from %+v", o)
	}
	b.send(h2, b.exchanges(2, "192.0.2.7", "shop/cart-1"))
	if o := l.list[1]; o.Caller.Name != "" || o.Caller.Kind != "" {
		t.Errorf("somebody unknown is %+v", o.Caller)
	}
	b.send(h2, b.exchanges(3, "192.0.2.8", "shop/cart-1"))
	if o := l.list[2]; o.Caller.Name != "far/away" {
		t.Errorf("whom the host does not know is %+v", o.Caller)
	}
	b.now = b.now.Add(time.Second)
	b.send(h2, b.exchanges(4, "192.0.2.8", "shop/cart-1"))
	list, err := b.store.Exchanges(t.Context(), store.ExchangeQuery{})
	if err != nil || len(list) != 4 {
		t.Fatal(list, err)
	}
	if x := list[0]; x.Proxy != "agent h2" || x.Cluster != "shop/car:8080" || x.Client == "" || x.Path != "/carts/{number}" || x.Caller != "far/away" || x.Process != "/usr/bin/curl" {
		t.Errorf("stored is %+v", x)
	}
	if c := b.coverage(); !strings.Contains(c, "http h2: 4 stored, 1 repeated, 0 lost, 0 refused") {
		t.Errorf("coverage is %s", c)
	}
}

// A host speaks for its own workloads only. What the server's host sees too is
// taken from that one.
func TestExchangesOfOtherHosts(t *testing.T) {
	b, l := newExchangeBed(t)
	h1 := b.as("h1")
	if r := b.send(b.as("h3"), b.exchanges(1, "shop/web-1", "shop/cart-1")); r.Refused != 1 || len(l.list) != 0 {
		t.Errorf("of a stranger: %+v", r)
	}
	if r := b.send(h1, b.exchanges(1, "shop/web-1", "shop/cart-1")); r.Refused != 0 || len(l.list) != 1 {
		t.Errorf("of the client's host, the server's captures nothing: %+v", r)
	}
	b.send(b.as("h2"), flowreport.Message{Alive: true, Of: flowreport.OfExchanges})
	if r := b.send(h1, b.exchanges(2, "shop/web-1", "shop/cart-1")); r.Refused != 0 || len(l.list) != 1 {
		t.Errorf("of the client's host, the server's captures: %+v, %d", r, len(l.list))
	}
	b.now = b.now.Add(time.Hour)
	if b.send(h1, b.exchanges(3, "shop/web-1", "shop/cart-1")); len(l.list) != 2 {
		t.Errorf("when the server's host is silent: %d", len(l.list))
	}
	m := b.exchanges(4, "shop/web-1", "shop/cart-1")
	m.Exchanges.List[0].Observation = []byte(`{"Method":"GET","Segments":[{"k":99}]}`)
	if r := b.send(h1, m); r.Refused != 1 {
		t.Errorf("what no door makes: %+v", r)
	}
}

// Inside TLS the client's host counts until the server's tells of that workload's
// TLS itself: that a host captures does not say so.
func TestExchangesInsideTLS(t *testing.T) {
	b, l := newExchangeBed(t)
	h1, h2 := b.as("h1"), b.as("h2")
	b.send(h2, flowreport.Message{Alive: true, Of: flowreport.OfExchanges})
	inside := func(seq uint64) flowreport.Message {
		m := b.exchanges(seq, "shop/web-1", "shop/cart-1")
		m.Exchanges.List[0].TLS = true
		return m
	}
	for _, step := range []struct {
		from *grpc.ClientConn
		seq  uint64
		want int
		why  string
	}{
		{h1, 1, 1, "the server's host tells of no TLS"},
		{h2, 1, 2, "the server's host"},
		{h1, 2, 2, "the server's host tells of it"},
	} {
		if r := b.send(step.from, inside(step.seq)); r.Refused != 0 || len(l.list) != step.want {
			t.Errorf("%s: %+v, %d learned", step.why, r, len(l.list))
		}
	}
	b.now = b.now.Add(time.Hour)
	if b.send(h1, inside(3)); len(l.list) != 3 {
		t.Errorf("the server's host was silent for an hour: %d learned", len(l.list))
	}
}

func TestServiceOfEnd(t *testing.T) {
	w := &workload.Workload{ID: workload.ID{Namespace: "shop", Name: "cart-7d9f"}}
	for _, c := range []struct {
		labels workload.Labels
		want   string
	}{
		{nil, "shop/cart-7d9f"},
		{workload.Labels{"app": "cart"}, "shop/cart"},
		{workload.Labels{"app": "old", "app.kubernetes.io/name": "cart"}, "shop/cart"},
	} {
		w.Labels = c.labels
		if got := serviceOfEnd(w, netip.Addr{}); got != c.want {
			t.Errorf("%v is of %s", c.labels, got)
		}
	}
	if got := serviceOfEnd(nil, netip.MustParseAddr("192.0.2.7")); got != "192.0.2.7" {
		t.Errorf("an address is of %s", got)
	}
}
