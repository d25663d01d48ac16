package datapath_test

import (
	"encoding/binary"
	"errors"
	"net/netip"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/cilium/ebpf"

	"github.com/gabion-io/gabion/internal/netnstest"
	"github.com/gabion-io/gabion/segmentation"
	"github.com/gabion-io/gabion/segmentation/bpf"
	"github.com/gabion-io/gabion/segmentation/datapath"
	"github.com/gabion-io/gabion/segmentation/flowlog"
	"github.com/gabion-io/gabion/segmentation/verdicttest"
	"github.com/gabion-io/gabion/workload"
)

// forever is a moment of the programs' clock that no test reaches.
const forever = 1 << 60

// early says whether the prefilter drops a frame.
func (r *runner) early(frame []byte) bool {
	r.Helper()
	const drop, pass = 1, 2 // XDP_DROP, XDP_PASS
	answer, err := r.dp.Program("prefilter").Run(&ebpf.RunOptions{Data: frame})
	if err != nil || answer != drop && answer != pass {
		r.Fatalf("run the prefilter on %x: %d (%v)", frame, answer, err)
	}
	return answer == drop
}

// What the prefilter drops its receiver's hook would drop; and of plain packets it
// drops all that the hook would while nothing translates addresses, else what the hook
// has dropped before and is no answer. Some 30,000 pairs of policies and flows.
func TestPrefilterDropsWhatTheHookWould(t *testing.T) {
	r := newRunner(t)
	r.enter()
	worlds, each := 25, 4000
	if os.Getenv("GABION_FULL") != "" {
		worlds = 500
	}
	seen := map[[3]bool]int{} // dropped by the hook, early, early in the second place
	for seed := range worlds {
		straight := seed%2 == 0
		until := uint64(0)
		if straight {
			until = forever
		}
		if err := r.dp.Straight(until); err != nil {
			t.Fatal(err)
		}
		d := verdicttest.NewDice(uint64(1000 + seed))
		workloads, policies := d.Workloads(), d.Policies()
		r.apply(policies, segmentation.World{Workloads: workloads, Names: verdicttest.Names(), Proxied: func(*workload.Workload, segmentation.Direction) bool { return false }})
		if _, err := r.log().Drain(); err != nil { // what the last world's hooks have dropped
			t.Fatal(err)
		}
		all := verdicttest.Ends(workloads)
		refused := map[pair]bool{}
		for range each {
			f := d.Flow(all)
			if f.Src.Addr.Is4() != f.Dst.Addr.Is4() || f.Dst.Workload == nil || f.Src.Addr == f.Dst.Addr {
				continue
			}
			packet, key := firstPacket(f)
			first := r.early(packet)
			hook := r.run("to_workload", r.of[f.Dst.Workload.ID], packet) == drops
			again := r.early(packet)
			r.takeHalfOpen(key)
			if (first || again) && !hook {
				t.Fatalf("seed %d: the prefilter drops %+v, which the hook passes\n%+v", seed, f, policies)
			}
			p := f.Protocol.Normal()
			plain := p == segmentation.TCP || p == segmentation.UDP || p == segmentation.ICMP
			switch {
			case !hook:
			case straight && first != plain:
				t.Fatalf("seed %d: of what the hook drops the prefilter drops %+v: %v", seed, f, first)
			case !straight && (again != (plain && p != segmentation.UDP) || first && !refused[pair{f.Src.Addr, f.Dst.Workload.ID}]):
				t.Fatalf("seed %d: where addresses are translated the prefilter drops %+v: %v, then %v", seed, f, first, again)
			}
			if hook {
				refused[pair{f.Src.Addr, f.Dst.Workload.ID}] = true
			}
			seen[[3]bool{hook, first, again}]++
		}
	}
	t.Logf("%v", seen)
	if seen[[3]bool{true, true, true}] == 0 || seen[[3]bool{true, false, true}] == 0 || seen[[3]bool{true, false, false}] == 0 || seen[[3]bool{}] == 0 {
		t.Errorf("the worlds reach only %v", seen)
	}
}

// pair is who sent to whom.
type pair struct {
	from netip.Addr
	to   workload.ID
}

// log reads what was counted.
func (r *runner) log() *flowlog.Reader {
	r.Helper()
	l, err := flowlog.NewReader(r.dp.Logs())
	if err != nil {
		r.Fatal(err)
	}
	r.Cleanup(func() { l.Close() })
	return l
}

// outsideBed has, beside its workloads, a machine behind an uplink with the prefilter.
func outsideBed(t *testing.T, names ...string) (*bed, *netnstest.Workload) {
	t.Helper()
	b := newBed(t, names...)
	outside := b.net.Workload("outside")
	b.uplink = outside.Interfaces[0].HostIndex
	b.net.Host.Do(func() {
		if err := b.dp.AttachUplink(b.uplink); err != nil {
			t.Error(err)
		}
	})
	return b, outside
}

// straight says whether nothing translates addresses.
func (b *bed) straight(yes bool) {
	b.Helper()
	until := uint64(0)
	if yes {
		until = forever
	}
	if err := b.dp.Straight(until); err != nil {
		b.Fatal(err)
	}
}

func (b *bed) prefiltered() uint64 {
	b.Helper()
	n, err := datapath.Prefiltered(b.dir)
	if err != nil {
		b.Fatal(err)
	}
	return n
}

// attempt is one try from outside and what is to become of it.
func (b *bed) attempt(outside *netnstest.Workload, protocol, to string, six bool, port uint16, wait time.Duration) error {
	if protocol != "icmp" {
		return outside.Try(protocol, netip.Addr{}, b.at(to, six, port), wait)
	}
	from := outside.Interfaces[0].V4
	if six {
		from = outside.Interfaces[0].V6
	}
	return outside.Ping(from, b.addr(to, six), wait)
}

// refusedEarly says that a try is refused, and whether the host's own hooks have seen
// none of it.
func (b *bed) refusedEarly(outside *netnstest.Workload, protocol, to string, six bool, port uint16) bool {
	b.Helper()
	early, denied := b.prefiltered(), b.count(bpf.ReasonDenied)
	if err := b.attempt(outside, protocol, to, six, port, 50*time.Millisecond); err == nil {
		b.Errorf("%s to %s port %d (IPv6: %v) passes", protocol, to, port, six)
	}
	b.until("the drop is counted", func() bool { return b.count(bpf.ReasonDenied) > denied })
	early, denied = b.prefiltered()-early, b.count(bpf.ReasonDenied)-denied
	if early != 0 && early != denied {
		b.Errorf("%s to %s port %d (IPv6: %v): %d of %d were dropped early", protocol, to, port, six, early, denied)
	}
	return early > 0
}

const denyOutside = `
policy shop/cart enforces for app=cart
  ingress from anybody
  ingress denies from 10.9.3.0/24
  ingress denies from fd00:9:3::/64
`

// What is surely denied is dropped on the uplink, and counted as its receiver's hook
// would; what is allowed, forwarded for others or the host's own passes it.
func TestPrefilter(t *testing.T) {
	b, outside := outsideBed(t, "web", "cart")
	for _, name := range b.names {
		b.serve(name, 80)
	}
	stranger := b.net.Workload("stranger") // in no policy, and no workload
	si := stranger.Interfaces[0]
	stranger.ServeTCP(netip.AddrPortFrom(si.V4, 80))
	stranger.ServeUDP(netip.AddrPortFrom(si.V6, 80))
	b.net.Host.ServeTCP(netip.AddrPortFrom(outside.Interfaces[0].HostV4, 80))
	b.straight(true)
	for _, policy := range []string{denyOutside, "policy shop/cart enforces for app=cart\n  ingress from app=web\n"} {
		b.apply(policy)
		b.drain()
		for _, six := range []bool{false, true} {
			for _, protocol := range []string{"tcp", "udp", "icmp"} {
				if !b.refusedEarly(outside, protocol, "cart", six, 80) {
					t.Errorf("%s (IPv6: %v) is not dropped on the uplink", protocol, six)
				}
			}
		}
		b.sameEvidence(outside)
		early := b.prefiltered()
		b.passes("tcp", "web", "cart", 80)
		for _, six := range []bool{false, true} {
			for _, protocol := range []string{"tcp", "udp", "icmp"} {
				if err := b.attempt(outside, protocol, "web", six, 80, netnstest.Patience); err != nil {
					t.Errorf("%s to a workload that nothing governs (IPv6: %v): %v", protocol, six, err)
				}
			}
		}
		for protocol, at := range map[string]netip.AddrPort{"tcp": netip.AddrPortFrom(si.V4, 80), "udp": netip.AddrPortFrom(si.V6, 80)} {
			if err := outside.Try(protocol, netip.Addr{}, at, netnstest.Patience); err != nil {
				t.Errorf("%s that is forwarded to somebody else: %v", protocol, err)
			}
		}
		if err := outside.Try("tcp", netip.Addr{}, netip.AddrPortFrom(outside.Interfaces[0].HostV4, 80), netnstest.Patience); err != nil {
			t.Errorf("to the host: %v", err)
		}
		if n := b.prefiltered(); n != early {
			t.Errorf("%d packets of what is allowed were dropped early", n-early)
		}
	}
	for _, policy := range []string{"policy shop/cart audits for app=cart\n  ingress from app=web\n", "policy shop/cart enforces for app=cart\n  ingress from 10.9.3.0/24\n  ingress from fd00:9:3::/64\n"} {
		b.apply(policy) // what was denied passes at once
		for _, six := range []bool{false, true} {
			for _, protocol := range []string{"tcp", "udp", "icmp"} {
				if err := b.attempt(outside, protocol, "cart", six, 80, netnstest.Patience); err != nil {
					t.Errorf("%s (IPv6: %v) under %q: %v", protocol, six, policy, err)
				}
			}
		}
	}
}

func (b *bed) drain() []flowlog.Row {
	b.Helper()
	rows, err := b.log.Drain()
	if err := errors.Join(err, b.log.Done()); err != nil {
		b.Fatal(err)
	}
	return rows
}

// sameEvidence says that what was dropped early has rows as of the hook: by peer,
// workload, port and rule, each packet once.
func (b *bed) sameEvidence(outside *netnstest.Workload) {
	b.Helper()
	want := b.prefiltered()
	ports := map[uint8]uint16{6: 80, 17: 80, 1: 0}
	var sum uint64
	for _, r := range b.drain() {
		if r.Verdict() != segmentation.Denied {
			continue
		}
		sum += r.Packets
		port, ok := ports[r.Protocol]
		mine := slices.Contains(outside.Addresses(), r.Peer.Addr())
		if !ok || r.Port != port || !mine || r.Workload != b.numbers.Workload(id("cart")) || r.Direction() != segmentation.Ingress || r.Rule == 0 || r.Bytes == 0 {
			b.Errorf("a drop is counted as %+v", r)
		}
	}
	if b.seen += sum; b.seen != want || want != b.count(bpf.ReasonDenied) {
		b.Errorf("rows have %d packets, counters %d, and %d were dropped early", b.seen, b.count(bpf.ReasonDenied), want)
	}
}

// Answers to what a workload has opened pass, whatever its policy says of who answers.
func TestPrefilterPassesAnswers(t *testing.T) {
	b, outside := outsideBed(t, "web", "cart")
	i := outside.Interfaces[0]
	for _, a := range []netip.Addr{i.V4, i.V6} {
		outside.ServeTCP(netip.AddrPortFrom(a, 80))
		outside.ServeUDP(netip.AddrPortFrom(a, 80))
	}
	for _, straight := range []bool{true, false} {
		b.straight(straight)
		for _, policy := range []string{denyOutside, "policy shop/cart enforces for app=cart\n  ingress from nobody\n"} {
			b.apply(policy)
			for _, a := range []netip.Addr{i.V4, i.V6} {
				for _, protocol := range []string{"tcp", "udp"} {
					if err := b.workloads["cart"].Try(protocol, netip.Addr{}, netip.AddrPortFrom(a, 80), netnstest.Patience); err != nil {
						t.Errorf("%s to %s: %v", protocol, a, err)
					}
				}
				if err := b.workloads["cart"].Ping(b.addr("cart", a.Is6()), a, netnstest.Patience); err != nil {
					t.Errorf("ping of %s: %v", a, err)
				}
			}
		}
	}
	if n := b.prefiltered(); n != 0 {
		t.Errorf("%d answers were dropped early", n)
	}
}

// Where addresses may be translated the hook sees first of every source, and of
// datagrams everything.
func TestPrefilterWhereAddressesAreTranslated(t *testing.T) {
	b, outside := outsideBed(t, "web", "cart")
	b.serve("cart", 80)
	b.apply(denyOutside)
	b.straight(false)
	for _, six := range []bool{false, true} {
		for _, protocol := range []string{"tcp", "icmp"} {
			for _, early := range []bool{false, true} {
				if got := b.refusedEarly(outside, protocol, "cart", six, 80); got != early {
					t.Errorf("%s (IPv6: %v) is dropped early: %v, want %v", protocol, six, got, early)
				}
			}
			b.drain()
			if b.refusedEarly(outside, protocol, "cart", six, 80) {
				t.Errorf("%s (IPv6: %v): the hook does not see again who it is", protocol, six)
			}
		}
		for range 2 {
			if b.refusedEarly(outside, "udp", "cart", six, 80) {
				t.Errorf("a datagram (IPv6: %v), which may be an answer, is dropped early", six)
			}
		}
	}
	// The host sends as itself what comes from outside: that is allowed.
	if out, err := b.net.Host.Command("nft", "table ip t { chain p { type nat hook postrouting priority 100; masquerade\n }\n}").CombinedOutput(); err != nil {
		t.Fatalf("nft: %v: %s", err, out)
	}
	b.drain()
	for range 3 {
		for _, protocol := range []string{"tcp", "udp"} {
			if err := b.attempt(outside, protocol, "cart", false, 80, netnstest.Patience); err != nil {
				t.Errorf("%s that its receiver allows: %v", protocol, err)
			}
		}
	}
}

// A flood that is denied costs few events, and each packet is counted once.
func TestPrefilterFlood(t *testing.T) {
	b, outside := outsideBed(t, "web", "cart")
	b.apply(denyOutside)
	b.straight(true)
	i := outside.Interfaces[0]
	events, err := flowlog.NewEvents(b.dp.Logs())
	if err != nil {
		t.Fatal(err)
	}
	defer events.Close()
	const packets = 50000
	var frames [][]byte
	for k := range packets {
		p := ip4(netip.AddrFrom4([4]byte{10, 9, 3, byte(k)}), b.addr("cart", false), 6, 20)
		p = binary.BigEndian.AppendUint16(p, uint16(k))
		p = append(p, 0, 80, 0, 0, 0, 1, 0, 0, 0, 0, 0x50, 0x02, 0xff, 0xff, 0, 0, 0, 0)
		frames = append(frames, frame(i.HostMAC, i.MAC, 0x0800, p))
	}
	if err := outside.Raw("eth0", frames...); err != nil {
		t.Fatal(err)
	}
	b.until("the flood is over", func() bool {
		n := b.prefiltered()
		time.Sleep(50 * time.Millisecond)
		return n > 0 && b.prefiltered() == n
	})
	early, denied, lost := b.prefiltered(), b.count(bpf.ReasonDenied), b.count(bpf.LostFlows)
	var rows uint64
	for _, r := range b.drain() {
		rows += r.Packets
	}
	if early != denied || rows+lost != denied || early < packets*9/10 {
		t.Errorf("of %d packets %d were dropped early, %d are counted, %d have rows and %d have none", packets, early, denied, rows, lost)
	}
	n := fewEvents(t, events, packets)
	t.Logf("%d of %d packets dropped early, %d events", early, packets, n)
}

// The prefilter stays while no agent runs, and goes with the rest.
func TestPrefilterIsPinned(t *testing.T) {
	b, outside := outsideBed(t, "web", "cart")
	b.apply(denyOutside)
	b.straight(true)
	b.close()
	b.dp = nil
	b.open()
	if !b.refusedEarly(outside, "udp", "cart", false, 80) {
		t.Error("the prefilter is gone with the agent")
	}
	b.net.Host.Do(func() {
		if err := b.dp.AttachUplink(b.uplink); err != nil { // as the next agent does
			t.Error(err)
		}
	})
	if on, err := b.dp.Uplinks(); !slices.Equal(on, []int{b.uplink}) || err != nil {
		t.Errorf("it is on %v (%v)", on, err)
	}
	if !b.refusedEarly(outside, "udp", "cart", false, 80) {
		t.Error("the prefilter does nothing after the next agent came")
	}
	if err := b.dp.DetachUplink(b.uplink); err != nil {
		t.Error(err)
	}
	if b.refusedEarly(outside, "udp", "cart", false, 80) {
		t.Error("the prefilter is still there")
	}
}
