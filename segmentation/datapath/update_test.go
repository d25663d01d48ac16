package datapath_test

import (
	"fmt"
	"maps"
	"net"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gabion-io/gabion/internal/netnstest"
	"github.com/gabion-io/gabion/segmentation"
	"github.com/gabion-io/gabion/segmentation/bpf"
)

const webMayTCP80 = "policy shop/cart enforces for app=cart\n  ingress from app=web on TCP 80, UDP 80\n"

// Established flows outlive an update that still allows them, and are cut by one
// that does not, whether the update is made in place or as a new set.
func TestEstablishedFlowsAndUpdates(t *testing.T) {
	b := newBed(t, "web", "cart", "other")
	b.serve("cart", 80)
	b.apply(webMayTCP80)
	flows := b.openFlows(t, "web", "cart", 80)
	flows.alive(t, "at first")
	ends, err := b.dp.Ends()
	if want := map[netip.Addr]bool{b.addr("cart", false): true, b.addr("cart", true): true}; err != nil || !maps.Equal(ends, want) {
		t.Errorf("flows were opened to %v (%v)", ends, err)
	}
	swaps := b.writer.Swaps()
	b.apply(webMayTCP80 + "  ingress from app=other on TCP 81\n")
	if b.writer.Swaps() != swaps {
		t.Error("one more rule was not written in place")
	}
	flows.alive(t, "after a change in place")
	b.apply(webMayTCP80 + "policy shop/more enforces for app=cart\n  ingress from app=other on TCP 82\n")
	if b.writer.Swaps() == swaps {
		t.Error("another policy was written in place, the test wants a swap")
	}
	flows.alive(t, "after a swap")

	for _, policies := range []string{
		webMayTCP80 + "  ingress denies from app=web\npolicy shop/more enforces for app=cart\n  ingress from app=other on TCP 82\n",
		"policy shop/cart enforces for app=cart\n  ingress from app=other\n",
	} {
		b.apply(policies)
		for _, c := range flows {
			before := b.count(bpf.ReasonDenied)
			if err := netnstest.Echo(c, "cut", 50*time.Millisecond); err == nil {
				t.Errorf("%s %s is not cut by %s", c.RemoteAddr().Network(), c.RemoteAddr(), policies)
			}
			b.until("the cut flow's packet is counted", func() bool { return b.count(bpf.ReasonDenied) > before })
		}
	}
}

// load opens flows without end from web to cart: those to port 80 are always
// allowed, those to 81 never.
type load struct {
	good, bad, late atomic.Int64
	stop            chan struct{}
	done            sync.WaitGroup
	// How long an answer is waited for. If that is less than patience, one that does
	// not come is late, which says nothing.
	answers   time.Duration
	forgotten uint64 // of answers, how many may have been dropped
}

func (b *bed) load() *load { return b.loadWith(netnstest.Patience) }

func (b *bed) loadWith(answers time.Duration) *load {
	l := &load{stop: make(chan struct{}), answers: answers}
	for _, six := range []bool{false, true} {
		l.done.Add(1)
		go func() {
			defer l.done.Done()
			b.workloads["web"].Do(func() {
				for port := uint16(1024); port < 65000 && !b.Failed(); port++ {
					select {
					case <-l.stop:
						return
					default:
					}
					l.one(b, six, port)
				}
			})
		}()
	}
	return l
}

// one opens a flow that must pass and one that must not, both by UDP: nobody sends
// a datagram again, so each is judged once. Source ports never come back, so each
// is a flow of its own.
func (l *load) one(b *bed, six bool, port uint16) {
	from := net.UDPAddrFromAddrPort(b.at("web", six, port))
	good, err := net.DialUDP("udp", from, net.UDPAddrFromAddrPort(b.at("cart", six, 80)))
	if err != nil {
		b.Error(err)
		return
	}
	defer good.Close()
	from.Port = 0
	bad, err := net.DialUDP("udp", from, net.UDPAddrFromAddrPort(b.at("cart", six, 81)))
	if err != nil {
		b.Error(err)
		return
	}
	defer bad.Close()
	if _, err := bad.Write([]byte("never")); err == nil {
		l.bad.Add(1)
	}
	if err := netnstest.Echo(good, "always", l.answers); err != nil && l.answers < netnstest.Patience {
		l.late.Add(1)
		return
	} else if err != nil {
		b.Errorf("flow %d to port 80: %v", l.good.Load(), err)
		return
	}
	l.good.Add(1)
}

// end stops the load and checks that every flow was judged as it had to be.
func (l *load) end(b *bed) {
	b.Helper()
	close(l.stop)
	l.done.Wait()
	defer func() {
		if b.Failed() {
			all, err := b.log.Counters()
			b.Logf("counters %v (%v)", all, err)
		}
	}()
	rows, err := b.log.Drain()
	if err != nil {
		b.Fatal(err)
	}
	var passed, dropped, forgotten uint64
	for _, r := range rows {
		if segmentation.Protocol(r.Protocol) != segmentation.UDP {
			continue
		}
		denied := r.Verdict() == segmentation.Denied
		switch {
		case r.Port > 1023 && denied && r.Direction() == segmentation.Egress && l.forgotten > 0:
			forgotten += r.Flows
		case r.Port != 81 && denied:
			b.Errorf("a reply is dropped (%s): %+v", r.Reason(), r)
		case r.Port == 80 && denied, r.Port == 81 && !denied && r.Direction() == segmentation.Ingress:
			b.Errorf("%d flows to port %d are %s (%s): %+v", r.Flows, r.Port, r.Verdict(), r.Reason(), r)
		case r.Port == 80 && r.Direction() == segmentation.Ingress:
			passed += r.Flows
		case r.Port == 81 && denied:
			dropped += r.Flows
		}
	}
	if forgotten > l.forgotten {
		b.Errorf("%d answers are dropped, at most %d flows can have been forgotten", forgotten, l.forgotten)
	}
	if passed != uint64(l.good.Load()+l.late.Load()) || dropped != uint64(l.bad.Load()) {
		b.Errorf("counted %d flows passed and %d dropped, sent %d and %d", passed, dropped, l.good.Load(), l.bad.Load())
	}
	if l.good.Load() < 20 {
		b.Errorf("only %d flows were opened", l.good.Load())
	}
	b.Logf("%d flows allowed, %d denied, each as it had to be; %d answers dropped", passed, dropped, forgotten)
}

// Policies change all the time, in place and by swaps of large sets, and always
// mean the same for the flows of the load.
func TestAtomicUpdatesUnderLoad(t *testing.T) {
	b := newBedWith(t, unhurried, "web", "cart", "other")
	b.serve("cart", 80)
	b.serve("cart", 81)
	var many strings.Builder
	for i := range 500 {
		fmt.Fprintf(&many, "  ingress from 172.16.%d.%d on TCP %d\n", i/250, i%250, 1000+i)
	}
	variants := []string{
		webMayTCP80,
		webMayTCP80 + "  ingress from app=other on TCP 81\n",
		webMayTCP80 + many.String(),
		"policy shop/cart enforces for app=cart\n  ingress from anybody\n  ingress denies from anybody on TCP 81, UDP 81\n",
		"policy shop/cart enforces for app=cart\n  ingress from 10.9.0.0/16 or fd00:9::/32 on UDP 1-80\n",
		"policy shop/other enforces for app=cart\n  ingress from app=web on UDP 80\n",
		"policy shop/cart enforces for app=cart\n  ingress from app=web on UDP 80\n  ingress denies from app=web on UDP 81\n  ingress from app=other\n",
	}
	b.apply(variants[0])
	l := b.load()
	for round := range rounds(t) {
		for i, v := range variants {
			b.publish(v)
			if round == 0 {
				want := l.good.Load() + 3
				b.until(fmt.Sprintf("flows pass under variant %d", i), func() bool { return l.good.Load() > want || t.Failed() })
			}
		}
	}
	l.end(b)
	t.Logf("%d swaps", b.writer.Swaps())
}

// The agent ends and comes back, again and again: the programs judge on without
// it, and are replaced in one step.
func TestRestartsUnderLoad(t *testing.T) {
	b := newBedWith(t, unhurried, "web", "cart")
	b.serve("cart", 80)
	b.serve("cart", 81)
	b.apply(webMayTCP80)
	c, err := b.workloads["web"].Dial("tcp", netip.Addr{}, b.at("cart", false, 80), netnstest.Patience)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	l := b.load()
	for range 5 {
		b.close()
		want := l.good.Load() + 5
		b.until("flows pass without an agent", func() bool { return l.good.Load() > want || t.Failed() })
		b.open()
		b.apply(webMayTCP80)
		if err := netnstest.Echo(c, "established", netnstest.Patience); err != nil {
			t.Fatal(err)
		}
	}
	l.end(b)
}

// Loading again must leave what is pinned alone.
func TestLoadingAgainKeepsPolicy(t *testing.T) {
	b := newBed(t, "web", "cart")
	b.serve("cart", 80)
	b.apply(webMayTCP80)
	b.close()
	b.open()
	b.attach() // the new programs, before any Publish
	b.passes("tcp", "web", "cart", 80)
	b.denied("tcp", "web", "cart", 81)
}

func TestRecreatedInterface(t *testing.T) {
	b := newBed(t, "web", "cart")
	b.apply(webMayTCP80)
	before, err := b.dp.Attached()
	if err != nil || len(before) != 2 {
		t.Fatalf("attached to %v (%v)", before, err)
	}
	b.net.Recreate(b.workloads["cart"], 0)
	b.serve("cart", 80)
	b.apply(webMayTCP80)
	after, err := b.dp.Attached()
	if err != nil || len(after) != 2 || after[1] != b.workloads["cart"].Interfaces[0].HostIndex {
		t.Fatalf("attached to %v (%v)", after, err)
	}
	b.passes("tcp", "web", "cart", 80)
	b.denied("tcp", "web", "cart", 81)
}

func TestDetachRemovesEverything(t *testing.T) {
	b := newBed(t, "web", "cart")
	b.serve("cart", 81)
	b.apply(webMayTCP80)
	b.denied("tcp", "web", "cart", 81)
	for _, i := range b.interfaces() {
		if err := b.dp.Detach(i.Index); err != nil {
			t.Error(err)
		}
	}
	b.passes("tcp", "web", "cart", 81)
	if list, err := b.dp.Attached(); err != nil || len(list) != 0 {
		t.Errorf("still attached to %v (%v)", list, err)
	}
}
