package datapath_test

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"

	"github.com/gabion-io/gabion/internal/netnstest"
	"github.com/gabion-io/gabion/segmentation"
	"github.com/gabion-io/gabion/segmentation/bpf"
	"github.com/gabion-io/gabion/segmentation/datapath"
	"github.com/gabion-io/gabion/segmentation/policymap"
	"github.com/gabion-io/gabion/segmentation/verdicttest"
	"github.com/gabion-io/gabion/workload"
)

// runner runs the programs on packets without a network (BPF_PROG_TEST_RUN): each
// workload has an interface that exists, but no packet ever crosses.
type runner struct {
	testing.TB
	dp      *datapath.Datapath
	writer  *policymap.Writer
	numbers *policymap.Numbers
	host    netnstest.Space
	index   []int // of interfaces
	world   segmentation.World
	of      map[workload.ID]int // interface indexes
}

const interfaces = 12

func newRunner(t testing.TB) *runner {
	t.Helper()
	n := netnstest.New(t)
	r := &runner{TB: t, numbers: policymap.NewNumbers(), host: n.Host}
	for i := 0; i < interfaces; i += 2 {
		n.Host.IP(fmt.Sprintf("link add r%d type veth peer name r%d", i, i+1))
	}
	n.Host.Do(func() {
		for i := range interfaces {
			l, err := net.InterfaceByName(fmt.Sprintf("r%d", i))
			if err != nil {
				t.Error(err)
				return
			}
			r.index = append(r.index, l.Index)
		}
	})
	var err error
	// Room to remember every flow: what is remembered is looked at.
	limits := datapath.Limits{Flows: 1024, HalfOpen: bpf.HalfOpenWays, OpenRate: 1 << 30}
	if r.dp, err = datapath.Open(filepath.Join(netnstest.Pins(t), "gabion"), limits); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.dp.Close)
	if r.writer, err = policymap.NewWriter(r.dp.Tables()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.writer.Close() })
	return r
}

// enter puts the calling goroutine's thread into the host's namespace, for good:
// the programs are run where their interfaces are.
func (r *runner) enter() {
	r.Helper()
	runtime.LockOSThread()
	f, err := os.Open(r.host.Path())
	if err != nil {
		r.Fatal(err)
	}
	defer f.Close()
	if err := unix.Setns(int(f.Fd()), unix.CLONE_NEWNET); err != nil {
		r.Fatal(err)
	}
}

// apply puts policies in force for a world.
func (r *runner) apply(policies []segmentation.Policy, w segmentation.World) {
	r.Helper()
	if len(w.Workloads) > interfaces {
		r.Fatalf("%d workloads are more than there are interfaces", len(w.Workloads))
	}
	r.world, r.of = w, map[workload.ID]int{}
	var list []policymap.Interface
	for i, one := range w.Workloads {
		r.of[one.ID] = r.index[i]
		list = append(list, policymap.Interface{Index: r.index[i], Workload: one.ID},
			policymap.Interface{Index: datapath.ByNumber(r.numbers.Workload(one.ID)), Workload: one.ID})
	}
	if err := r.writer.Publish(policymap.Render(segmentation.Compile(policies, w), w, list, r.numbers)); err != nil {
		r.Fatal(err)
	}
}

// run runs a program on a frame as if it crossed an interface.
func (r *runner) run(program string, ifindex int, frame []byte) int32 {
	r.Helper()
	answer, err := r.dp.Program(program).Run(&ebpf.RunOptions{Data: frame, Context: &skb{Ifindex: uint32(ifindex)}})
	if err != nil {
		r.Fatalf("run %s on %d bytes: %v", program, len(frame), err)
	}
	return int32(answer)
}

// skb is the kernel's __sk_buff as far as a run may set it.
type skb struct {
	_       [10]uint32
	Ifindex uint32
	_       [36]uint32
}

const drops = 2 // TCX_DROP

// judge sends a flow's first packet through the hooks of its ends, and says what
// they made of it.
func (r *runner) judge(f segmentation.Flow) segmentation.Verdict {
	r.Helper()
	packet, key := firstPacket(f)
	verdict := segmentation.Allowed
	for _, hook := range []struct {
		program string
		end     segmentation.Endpoint
	}{{"from_workload", f.Src}, {"to_workload", f.Dst}} {
		if hook.end.Workload == nil {
			continue
		}
		if r.run(hook.program, r.of[hook.end.Workload.ID], packet) == drops {
			verdict = segmentation.Denied
			break
		}
	}
	if state, ok := r.takeHalfOpen(key); ok {
		if verdict != segmentation.Denied {
			for end, w := range state.Workload {
				if w != 0 {
					verdict = min(verdict, segmentation.Verdict(state.Verdict[end]))
				}
			}
		}
	} else if verdict != segmentation.Denied && (f.Src.Workload != nil || f.Dst.Workload != nil) {
		r.Errorf("an allowed flow is not remembered: %+v", f)
	}
	return verdict
}

// takeHalfOpen takes a flow out of the only set that there is.
func (r *runner) takeHalfOpen(key bpf.FlowKey) (bpf.Flow, bool) {
	r.Helper()
	var set bpf.HalfOpenSet
	if err := r.dp.Map("half_open").Lookup(uint32(0), &set); err != nil {
		r.Fatal(err)
	}
	for i, tag := range set.Tags {
		if tag == 0 || set.Of[i].Key != key {
			continue
		}
		set.Tags[i] = 0
		if err := r.dp.Map("half_open").Put(uint32(0), &set); err != nil {
			r.Fatal(err)
		}
		return set.Of[i].Flow, true
	}
	return bpf.Flow{}, false
}

// firstPacket is how a flow begins on the wire, and the key that it has.
func firstPacket(f segmentation.Flow) ([]byte, bpf.FlowKey) {
	const port = 40000
	var l4 []byte
	protocol := f.Protocol.Normal()
	ports := [2]uint16{}
	wire := byte(protocol)
	if protocol.HasPorts() {
		ports = [2]uint16{port, f.Port}
		l4 = binary.BigEndian.AppendUint16(binary.BigEndian.AppendUint16(nil, port), f.Port)
	}
	switch protocol {
	case segmentation.TCP:
		l4 = append(l4, 0, 0, 0, 1, 0, 0, 0, 0, 0x50, 0x02, 0xff, 0xff, 0, 0, 0, 0)
	case segmentation.UDP:
		l4 = append(l4, 0, 8, 0, 0)
	case segmentation.SCTP:
		l4 = append(l4, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 4)
	case segmentation.ICMP:
		l4 = []byte{8, 0, 0, 0, 0x12, 0x34, 0, 1}
		ports = [2]uint16{0x1234, 0x1234}
		if f.Src.Addr.Is6() {
			wire, l4[0] = 58, 128
		}
	default:
		l4 = make([]byte, 8)
	}
	return frame(make([]byte, 6), make([]byte, 6), etherType(f.Src.Addr), append(ipHeader(f.Src.Addr, f.Dst.Addr, wire, len(l4)), l4...)),
		flowKey(f.Src.Addr, f.Dst.Addr, ports, uint8(protocol))
}

func etherType(a netip.Addr) uint16 {
	if a.Is6() {
		return 0x86dd
	}
	return 0x0800
}

func ipHeader(from, to netip.Addr, protocol byte, length int) []byte {
	if from.Is4() {
		return ip4(from, to, protocol, length)
	}
	b := []byte{0x60, 0, 0, 0, byte(length >> 8), byte(length), protocol, 64}
	return append(append(b, from.AsSlice()...), to.AsSlice()...)
}

// flowKey orders the ends as the programs do.
func flowKey(from, to netip.Addr, ports [2]uint16, protocol uint8) bpf.FlowKey {
	a, b := bpf.AddressOf(from), bpf.AddressOf(to)
	lower := ports[0] <= ports[1]
	for half := 8; half >= 0; half -= 8 {
		if x, y := binary.NativeEndian.Uint64(a[half:]), binary.NativeEndian.Uint64(b[half:]); x != y {
			lower = x < y
		}
	}
	if lower {
		return bpf.FlowKey{Ends: [2]bpf.Address{a, b}, Ports: ports, Protocol: protocol}
	}
	return bpf.FlowKey{Ends: [2]bpf.Address{b, a}, Ports: [2]uint16{ports[1], ports[0]}, Protocol: protocol}
}

// Apply and Evaluate make it a judge of .verdict scripts.
func (r *runner) Apply(policies []segmentation.Policy) error {
	r.apply(policies, r.world)
	return nil
}

func (r *runner) Evaluate(f segmentation.Flow) (segmentation.Verdict, segmentation.RuleRef, error) {
	return r.judge(f), segmentation.RuleRef{}, nil
}

// The programs pass every script that Evaluate passes. What is about single
// requests is for a proxy.
func TestScriptsAgainstThePrograms(t *testing.T) {
	r := newRunner(t)
	verdicttest.Run(t, "../verdicttest/testdata", func(t *testing.T, w segmentation.World) verdicttest.Judge {
		if filepath.Base(t.Name()) == "http" {
			t.Skip("the programs know connections, not requests")
		}
		r.enter()
		one := *r
		one.TB, one.world = t, w
		return &one
	})
}

// The programs and the reference never disagree, on 100,000 pairs of policies and
// flows and, where everything is exhaustive, on many more.
func TestProgramsMeanWhatEvaluateMeans(t *testing.T) {
	r := newRunner(t)
	r.enter()
	worlds, each := 25, 4000
	if os.Getenv("GABION_FULL") != "" {
		worlds = 2000
	}
	checked, seen := 0, map[segmentation.Verdict]int{}
	for seed := range worlds {
		d := verdicttest.NewDice(uint64(seed))
		workloads, policies := d.Workloads(), d.Policies()
		proxied := d.IntN(2) == 0
		r.apply(policies, segmentation.World{
			Workloads: workloads, Names: verdicttest.Names(),
			Proxied: func(*workload.Workload, segmentation.Direction) bool { return proxied },
		})
		all := verdicttest.Ends(workloads)
		for n := 0; n < each; {
			f := d.Flow(all)
			if f.Src.Addr.Is4() != f.Dst.Addr.Is4() || f.Src.Addr == f.Dst.Addr && !f.Protocol.HasPorts() {
				continue // no packet of the kind can be
			}
			n++
			f.Proxied = proxied
			want, rule := segmentation.Evaluate(policies, f)
			if got := r.judge(f); got != want {
				t.Fatalf("seed %d: the programs say %s of %+v, Evaluate %s by %s\n%+v", seed, got, f, want, rule, policies)
			}
			checked++
			seen[want]++
		}
	}
	t.Logf("%d pairs: %v", checked, seen)
	if len(seen) != 3 {
		t.Errorf("the worlds reach only %v", seen)
	}
}

// A workload may send from each of its addresses, however many, and from one that it
// has no longer it may not.
func TestAddressesComeAndGo(t *testing.T) {
	r := newRunner(t)
	r.enter()
	one := workload.ID{Namespace: "shop", Name: "cart"}
	four := []netip.Addr{netip.MustParseAddr("10.0.0.2"), netip.MustParseAddr("10.0.0.3"), netip.MustParseAddr("fd00::2"), netip.MustParseAddr("fd00::3")}
	to := map[bool]netip.Addr{true: netip.MustParseAddr("192.0.2.1"), false: netip.MustParseAddr("2001:db8::1")}
	swaps := 0
	for _, have := range []string{"1111", "0111", "1000", "0001", "1011", "0000", "0100"} {
		w := &workload.Workload{ID: one}
		for i, a := range four {
			if have[i] == '1' {
				w.Addresses = append(w.Addresses, a)
			}
		}
		r.apply(nil, segmentation.World{Workloads: []*workload.Workload{w}})
		for i, a := range four {
			f, key := firstPacket(segmentation.Flow{Src: segmentation.Outside(a), Dst: segmentation.Outside(to[a.Is4()]), Protocol: segmentation.UDP, Port: 80})
			if passes := r.run("from_workload", r.of[one], f) != drops; passes != (have[i] == '1') {
				t.Errorf("with %s of its addresses a packet from %s passes: %v", have, a, passes)
			}
			r.takeHalfOpen(key)
		}
		swaps++
	}
	if r.writer.Swaps() == swaps {
		t.Error("no change was made in place")
	}
}
