package datapath_test

import (
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"

	"github.com/gabion-io/gabion/internal/netnstest"
	"github.com/gabion-io/gabion/segmentation"
	"github.com/gabion-io/gabion/segmentation/bpf"
	"github.com/gabion-io/gabion/segmentation/datapath"
	"github.com/gabion-io/gabion/segmentation/flowlog"
)

// short opens TCP connections one after the other and resets each at once, so that
// no port waits. It says how many.
func short(b *bed, from string, to netip.AddrPort, n int) (opened int, err error) {
	b.workloads[from].Do(func() {
		sa := &unix.SockaddrInet4{Port: int(to.Port()), Addr: to.Addr().As4()}
		for range n {
			var fd int
			if fd, err = unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0); err != nil {
				return
			}
			err = unix.Connect(fd, sa)
			if err == nil {
				err = unix.SetsockoptLinger(fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1})
			}
			unix.Close(fd)
			if err != nil {
				return
			}
			opened++
		}
	})
	return opened, err
}

// Short flows are counted exactly, while the rows are drained all the time: 4,000
// a second for a minute where everything is exhaustive.
func TestShortFlowsAreCountedExactly(t *testing.T) {
	b := newBedWith(t, datapath.Limits{}, "web", "cart")
	const each = 4000
	seconds := 2
	if os.Getenv("GABION_FULL") != "" {
		seconds = 60
	}
	b.workloads["cart"].ServeTCP(b.at("cart", false, 80))
	b.apply(webMayTCP80)

	total := map[segmentation.Direction]bpf.Tally{}
	drain := func() {
		if _, err := b.dp.Sweep(); err != nil {
			t.Fatal(err)
		}
		rows, err := b.log.Drain()
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range rows {
			if r.Protocol != uint8(segmentation.TCP) || r.Verdict() == segmentation.Denied {
				continue
			}
			sum := total[r.Direction()]
			sum.Flows += r.Flows
			sum.Answered += r.Answered
			sum.Packets += r.Packets
			total[r.Direction()] = sum
		}
	}
	began := time.Now()
	var opened atomic.Int64
	done := make(chan struct{})
	go func() {
		defer close(done)
		for range seconds {
			// Lost time is not made up: a workload may only open so many a second.
			next := time.Now().Add(time.Second)
			n, err := short(b, "web", b.at("cart", false, 80), each)
			opened.Add(int64(n))
			if err != nil {
				t.Error(err)
				return
			}
			time.Sleep(time.Until(next))
		}
	}()
	for ended := false; !ended; {
		select {
		case <-done:
			ended = true
		case <-time.After(100 * time.Millisecond):
		}
		drain()
	}
	took := time.Since(began)
	n := uint64(opened.Load())
	b.until("the last packets are counted", func() bool {
		drain()
		return total[segmentation.Egress].Packets >= 4*n && total[segmentation.Ingress].Packets >= 4*n
	})
	for d, sum := range total {
		// SYN, SYN+ACK, ACK, RST.
		if sum.Flows != n || sum.Answered != n || sum.Packets != 4*n {
			t.Errorf("%s: %d flows, %d answered, %d packets; %d flows were opened", d, sum.Flows, sum.Answered, sum.Packets, n)
		}
	}
	t.Logf("%d flows in %v (%.0f a second), counted exactly", n, took.Round(time.Millisecond), float64(n)/took.Seconds())
}

// flood sends frames that web may not send, to a few ports or to all of them.
func flood(t *testing.T, b *bed, n int, make func(i int) []byte) {
	t.Helper()
	web, i := b.workloads["web"], b.workloads["web"].Interfaces[0]
	frames := [][]byte{}
	for k := range n {
		frames = append(frames, frame(i.HostMAC, i.MAC, 0x0800, make(k)))
		if len(frames) == 1000 || k == n-1 {
			if err := web.Raw("eth0", frames...); err != nil {
				t.Fatal(err)
			}
			frames = frames[:0]
		}
	}
}

// fewEvents counts the events that are waiting: some, and few, whatever a flood sent.
func fewEvents(t *testing.T, events *flowlog.Events, packets int) (n int) {
	t.Helper()
	for ; ; n++ {
		if _, err := events.Next(time.Now()); errors.Is(err, os.ErrDeadlineExceeded) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
	}
	if n == 0 || n >= 200 {
		t.Errorf("%d packets cost %d events", packets, n)
	}
	return n
}

// A flood of drops costs few events, is counted exactly, and hides nobody else's.
func TestDropFlood(t *testing.T) {
	b := newBed(t, "web", "cart", "other")
	b.apply("policy shop/cart enforces for app=cart\n  ingress from nobody\npolicy shop/web enforces for app=web\n  egress to nobody\n")
	from, to := b.addr("web", false), b.addr("cart", false)
	for name, packet := range map[string]func(i int) []byte{
		"one port":   func(i int) []byte { return udp4(from, to, uint16(i), 53, "flood") },
		"every port": func(i int) []byte { return udp4(from, to, uint16(i), uint16(i), "flood") },
		"any address": func(i int) []byte {
			return udp4(from, netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}), 1, 2, "flood")
		},
	} {
		t.Run(name, func(t *testing.T) {
			events, err := flowlog.NewEvents(b.dp.Logs())
			if err != nil {
				t.Fatal(err)
			}
			defer events.Close()
			const packets = 140000
			before := b.count(bpf.ReasonDenied)
			lost := b.count(bpf.LostFlows)
			flood(t, b, packets, packet)
			b.until("the flood is counted", func() bool { return b.count(bpf.ReasonDenied) >= before+packets })
			rows, err := b.log.Drain()
			if err != nil {
				t.Fatal(err)
			}
			var counted uint64
			for _, r := range rows {
				if r.Verdict() == segmentation.Denied {
					counted += r.Packets
				}
			}
			if lost = b.count(bpf.LostFlows) - lost; counted+lost != packets {
				t.Errorf("rows have %d packets and %d are counted as without a row, of %d", counted, lost, packets)
			}
			t.Logf("%d packets, %d events", packets, fewEvents(t, events, packets))
		})
	}
	// Another workload's drop is still told.
	events, err := flowlog.NewEvents(b.dp.Logs())
	if err != nil {
		t.Fatal(err)
	}
	defer events.Close()
	b.denied("udp", "other", "cart", 80)
	for {
		e, err := events.Next(time.Now().Add(netnstest.Patience))
		if err != nil {
			t.Fatalf("no event of the drop: %v", err)
		}
		if e.Reason == bpf.ReasonDenied && e.From.Addr() == b.addr("other", false) {
			break
		}
	}
}

// A flood of SYNs fills the table of half-open flows only: what is established
// stays, and its state with it.
func TestSYNFloodEvictsNoEstablishedFlow(t *testing.T) {
	b := newBed(t, "web", "cart", "other")
	b.serve("cart", 80)
	b.apply("policy shop/cart enforces for app=cart\n  ingress from app=web on TCP\n  ingress from app=other on TCP 80\n  egress to nobody\n")
	var flows []net.Conn
	for range 20 {
		c, err := b.workloads["other"].Dial("tcp", netip.Addr{}, b.at("cart", false, 80), netnstest.Patience)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		flows = append(flows, c)
		if err := netnstest.Echo(c, "hello", netnstest.Patience); err != nil {
			t.Fatal(err)
		}
	}
	from, to := b.addr("web", false), b.addr("cart", false)
	flood(t, b, 100000, func(i int) []byte {
		p := ip4(from, to, 6, 20)
		p = binary.BigEndian.AppendUint16(p, uint16(i))
		p = binary.BigEndian.AppendUint16(p, uint16(1000+i>>16))
		p = binary.BigEndian.AppendUint32(p, rand.Uint32())
		return append(p, 0, 0, 0, 0, 0x50, 0x02, 0xff, 0xff, 0, 0, 0, 0) // its checksum is wrong: nobody answers
	})
	judged := b.count(bpf.ReasonAllowed)
	for _, c := range flows {
		if err := netnstest.Echo(c, "still there", netnstest.Patience); err != nil {
			t.Error(err)
		}
	}
	if n := b.count(bpf.ReasonAllowed); n != judged {
		t.Errorf("%d packets of established flows were judged again", n-judged)
	}
	if n := b.count(bpf.LostBudget); n == 0 {
		t.Error("the flood stayed below its workload's budget: it proves nothing")
	}
}

// One workload can use up its own part of the tables, and no more.
func TestOneWorkloadCannotExhaustTheTables(t *testing.T) {
	const part = 64
	b := newBedWith(t, datapath.Limits{Flows: 256, HalfOpen: 4096, PerWorkload: part}, "web", "cart", "other")
	b.serve("cart", 80)
	b.apply("policy shop/cart enforces for app=cart\n  ingress from anybody on TCP 80\n  egress to nobody\n")
	open := func(from string, n int) (out []net.Conn) {
		var lock sync.Mutex
		for range n {
			c, err := b.workloads[from].Dial("tcp", netip.Addr{}, b.at("cart", false, 80), netnstest.Patience)
			if err != nil {
				t.Fatal(err)
			}
			lock.Lock()
			out = append(out, c)
			lock.Unlock()
			t.Cleanup(func() { c.Close() })
		}
		return out
	}
	greedy := open("web", 300)
	modest := open("other", 10)
	for _, c := range append(greedy, modest...) {
		if err := netnstest.Echo(c, "hello", netnstest.Patience); err != nil {
			t.Error(err)
		}
	}
	established := map[string]int{}
	var k bpf.FlowKey
	var f bpf.Flow
	for it := b.dp.Map("established").Iterate(); it.Next(&k, &f); {
		for _, name := range b.names {
			if f.Workload[f.Initiator] == b.numbers.Workload(id(name)) {
				established[name]++
			}
		}
	}
	if established["web"] != part || established["other"] != len(modest) {
		t.Errorf("established: %v, want %d of web and %d of other", established, part, len(modest))
	}
	// What it gives back it can use again.
	for _, c := range greedy {
		c.(*net.TCPConn).SetLinger(0)
		c.Close()
	}
	var u bpf.Usage
	b.until("the budget is given back", func() bool {
		if err := b.dp.Map("usages").Lookup(b.numbers.Workload(id("web")), &u); err != nil {
			t.Fatal(err)
		}
		return u.Established == 0
	})
}

// What a flood makes its receiver remember is in the sender's budget, and what it answers
// to nothing in nobody's flows.
func TestFloodIsNotItsReceivers(t *testing.T) {
	const rate = 64
	b := newBedWith(t, datapath.Limits{Flows: 1024, HalfOpen: 4096, OpenRate: rate}, "web", "cart", "other")
	b.serve("cart", 80)
	b.apply("policy shop/cart enforces for app=cart\n  ingress from app=web on UDP 80\n  egress to app=web on TCP\n")
	from, to := b.addr("web", false), b.addr("cart", false)
	flood(t, b, 40*rate, func(i int) []byte { return udp4(from, to, uint16(1000+i), 80, "flood") })
	b.until("the flood is over the budget", func() bool { return b.count(bpf.LostBudget) > 0 })
	// Nor is what it says from the port of name services copied as an answer.
	flood(t, b, 10, func(int) []byte { return udp4(from, to, 53, 80, "flood") })
	// And answers that nobody has asked for are no flows of cart.
	const answers = 20
	flood(t, b, answers, func(i int) []byte {
		p := ip4(from, to, 6, 20)
		p = binary.BigEndian.AppendUint16(p, uint16(2000+i))
		return append(p, 0, 9, 0, 0, 0, 1, 0, 0, 0, 1, 0x50, 0x12, 0xff, 0xff, 0, 0, 0, 0)
	})
	cart := b.numbers.Workload(id("cart"))
	seen := 0
	b.until("the answers are counted", func() bool {
		rows, err := b.log.Drain()
		if err := errors.Join(err, b.log.Done()); err != nil {
			t.Fatal(err)
		}
		for _, r := range rows {
			if r.Workload != cart || r.Direction() != segmentation.Egress || r.Protocol != uint8(segmentation.TCP) {
				continue
			}
			if seen++; r.Flows > 0 {
				t.Errorf("cart seems to have opened %d flows: %+v", r.Flows, r.TallyKey)
			}
		}
		return seen >= answers
	})
	var u bpf.Usage
	if err := b.dp.Map("usages").Lookup(cart, &u); err == nil && u.Opened > 0 {
		t.Errorf("cart is charged with %d of web's flows", u.Opened)
	}
	var a bpf.Asking
	if err := b.dp.Map("askings").Lookup(cart, &a); !errors.Is(err, ebpf.ErrKeyNotExist) {
		t.Errorf("cart is charged with what was copied: %+v (%v)", a, err)
	}
	scanHidesNothingElse(t, b)
}

// Who scans a workload uses up its own rows and events, and hides from nobody what others
// do to the same one.
func scanHidesNothingElse(t *testing.T, b *bed) {
	t.Helper()
	events, err := flowlog.NewEvents(b.dp.Logs())
	if err != nil {
		t.Fatal(err)
	}
	defer events.Close()
	const ports = 4096 + 1000 // limit_drops, and more
	from, to := b.addr("web", false), b.addr("cart", false)
	denied := b.count(bpf.ReasonDenied)
	flood(t, b, ports, func(i int) []byte { return udp4(from, to, 1000, uint16(100+i), "scan") })
	b.until("the scan is counted", func() bool { return b.count(bpf.ReasonDenied) >= denied+ports })
	if b.count(bpf.LostFlows) == 0 || b.count(bpf.LostEvents) == 0 {
		t.Error("the scan stayed below its budgets: it proves nothing")
	}
	b.denied("udp", "other", "cart", 81)
	for {
		e, err := events.Next(time.Now().Add(netnstest.Patience))
		if err != nil {
			t.Fatalf("no event of another's drop: %v", err)
		}
		if e.From.Addr() == b.addr("other", false) {
			break
		}
	}
	rows, err := b.log.Drain()
	if err != nil {
		t.Fatal(err)
	}
	if !slices.ContainsFunc(rows, func(r flowlog.Row) bool {
		return r.Workload == b.numbers.Workload(id("cart")) && r.Peer.Addr() == b.addr("other", false) && r.Verdict() == segmentation.Denied
	}) {
		t.Error("another's drop has no row")
	}
}

// Flows on which nobody speaks are removed, with what they counted.
func TestSilentFlowsAreSwept(t *testing.T) {
	b := newBedWith(t, datapath.Limits{Flows: 1024, HalfOpen: 1024, UDP: time.Second}, "web", "cart")
	b.serve("cart", 80)
	if err := b.try("udp", "web", "cart", false, 80, netnstest.Patience); err != nil {
		t.Fatal(err)
	}
	swept := 0
	b.until("the flow is swept", func() bool {
		n, err := b.dp.Sweep()
		if err != nil {
			t.Fatal(err)
		}
		swept += n
		return swept == 1
	})
	rows, err := b.log.Drain()
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range rows {
		if r.Protocol == uint8(segmentation.UDP) && (r.Flows != 1 || r.Answered != 1 || r.Packets != 2) {
			t.Errorf("row of %s: %+v", r.Direction(), r.Tally)
		}
	}
}

// However many workloads a host has had, the next one finds room: what is kept of those
// that are gone goes, and of no other.
func TestWorkloadsThatAreGoneMakeRoom(t *testing.T) {
	b := newBed(t, "web", "cart")
	b.serve("cart", 80)
	const gone = 1 << 20
	for _, name := range []string{"usages", "shares", "askings", "fragments"} {
		m := b.dp.Map(name)
		for n := uint32(gone); ; n++ {
			err := m.Put(n, make([]byte, m.ValueSize()))
			if errors.Is(err, unix.E2BIG) {
				break
			} else if err != nil {
				t.Fatal(err)
			}
		}
	}
	// Of one that is gone something still goes on.
	const lives = uint32(gone + 7)
	if err := b.dp.Map("usages").Put(lives, &bpf.Usage{Established: 1}); err != nil {
		t.Fatal(err)
	}
	b.apply("policy shop/cart enforces for app=cart\n  ingress from app=web on UDP 80\n  egress to nobody\n")
	if err := b.try("udp", "web", "cart", false, 80, 100*time.Millisecond); err == nil || b.count(bpf.LostBudget) == 0 {
		t.Fatalf("the table is not full: %v", err)
	}
	here := map[uint32]bool{}
	for _, name := range b.names {
		here[b.numbers.Workload(id(name))] = true
	}
	if err := b.dp.Retire(func(n uint32) bool { return here[n] }); err != nil {
		t.Fatal(err)
	}
	b.passes("udp", "web", "cart", 80)
	b.inFragments(80, "when there is room again")
	var u bpf.Usage
	if err := b.dp.Map("usages").Lookup(lives, &u); err != nil {
		t.Errorf("what still goes on is forgotten: %v", err)
	}
	if err := b.dp.Map("usages").Lookup(lives+1, &u); !errors.Is(err, ebpf.ErrKeyNotExist) {
		t.Errorf("what is gone is kept: %+v (%v)", u, err)
	}
}

// Rows are counted for everybody until they are read, whatever one workload does to
// have many: it can use up its own part.
func TestOneWorkloadCannotUseUpTheRows(t *testing.T) {
	b := newBed(t, "web", "cart", "other")
	b.serve("cart", 80)
	b.apply("policy shop/web enforces for app=web\n  egress to 10.0.0.0/8 on UDP 1\npolicy shop/cart enforces for app=cart\n  ingress from app=other on UDP 80\n")
	from := b.addr("web", false)
	const flows, drops = 32768, 4096 // limit_flows, limit_drops
	for port, n := range map[uint16]int{1: flows + 5000, 2: drops + 5000} {
		flood(t, b, n, func(i int) []byte {
			return udp4(from, netip.AddrFrom4([4]byte{10, byte(1 + i>>16), byte(i >> 8), byte(i)}), 1000, port, "scan")
		})
	}
	b.until("the scan is counted", func() bool { return b.count(bpf.LostFlows) >= 10000 })
	if err := b.try("udp", "other", "cart", false, 80, netnstest.Patience); err != nil {
		t.Error(err)
	}
	b.denied("udp", "other", "cart", 81)
	rows, err := b.log.Drain()
	if err != nil {
		t.Fatal(err)
	}
	got := map[segmentation.Verdict]int{}
	seen := map[segmentation.Verdict]bool{}
	for _, r := range rows {
		switch {
		case r.Workload == b.numbers.Workload(id("web")) && r.Peer.Addr().Is4():
			got[r.Verdict()]++
		case r.Workload == b.numbers.Workload(id("cart")) && r.Peer.Addr() == b.addr("other", false):
			seen[r.Verdict()] = true
		}
	}
	if got[segmentation.Allowed] != flows || got[segmentation.Denied] != drops {
		t.Errorf("the scan has %v rows, it may have %d and %d", got, flows, drops)
	}
	if !seen[segmentation.Allowed] || !seen[segmentation.Denied] {
		t.Errorf("of another workload's flows are counted: %v", seen)
	}
	// With the next rows it begins anew.
	flood(t, b, 10, func(i int) []byte { return udp4(from, netip.AddrFrom4([4]byte{10, 250, 0, byte(i)}), 1000, 1, "scan") })
	b.until("the next rows are counted", func() bool {
		if err := b.log.Done(); err != nil {
			t.Fatal(err)
		}
		rows, err = b.log.Drain()
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range rows {
			if r.Workload == b.numbers.Workload(id("web")) && r.Verdict() == segmentation.Allowed {
				return true
			}
		}
		return false
	})
}

// A flow that its opener's hook sees only later, because that interface is attached
// later, is given back to the budget that it is in then: else the workload's would go
// below nothing, and no flow of it be remembered as answered any more.
func TestFlowsAcrossAnAttachment(t *testing.T) {
	b := bareBed(t, small, "web", "cart")
	b.open()
	b.publish("")
	all := b.names
	b.names = []string{"cart"}
	b.attach()
	b.serve("cart", 80)
	c, err := b.workloads["web"].Dial("tcp", netip.Addr{}, b.at("cart", false, 80), netnstest.Patience)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := netnstest.Echo(c, "before", netnstest.Patience); err != nil {
		t.Fatal(err)
	}
	b.names = all
	b.attach()
	if err := netnstest.Echo(c, "after", netnstest.Patience); err != nil {
		t.Fatal(err)
	}
	used := func(name string) uint64 {
		var u bpf.Usage
		if err := b.dp.Map("usages").Lookup(b.numbers.Workload(id(name)), &u); err != nil && !errors.Is(err, ebpf.ErrKeyNotExist) {
			t.Fatal(err)
		}
		return u.Established
	}
	if web, cart := used("web"), used("cart"); web != 1 || cart != 0 {
		t.Errorf("web has %d flows, and cart %d: web opened one", int64(web), int64(cart))
	}
	c.(*net.TCPConn).SetLinger(0)
	c.Close()
	b.until("the budget is given back", func() bool { return used("web") == 0 && used("cart") == 0 })
	if err := b.try("tcp", "web", "cart", false, 80, netnstest.Patience); err != nil {
		t.Fatal(err)
	}
	rows, err := b.log.Drain()
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range rows {
		if r.Workload == b.numbers.Workload(id("web")) && r.Direction() == segmentation.Egress && (r.Flows != 2 || r.Answered != 2) {
			t.Errorf("web has opened two, and both were answered: %+v", r.Tally)
		}
	}
}
