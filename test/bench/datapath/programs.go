package main

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"

	"github.com/gabion-io/gabion/segmentation"
	"github.com/gabion-io/gabion/segmentation/bpf"
	"github.com/gabion-io/gabion/segmentation/datapath"
	"github.com/gabion-io/gabion/segmentation/policymap"
	"github.com/gabion-io/gabion/workload"
)

// identities is how many kinds of peers there are, whatever the number of rules.
const identities = 10000

// table is a loaded datapath whose one workload has a number of rules.
type table struct {
	rules int
	dir   string
	dp    *datapath.Datapath
	bench *ebpf.Collection
	own   netip.Addr
	peer  netip.Addr // allowed
	other netip.Addr // denied
}

func peerAddr(i int) netip.Addr { return netip.AddrFrom4([4]byte{10, 1, byte(i >> 8), byte(i)}) }

// newTable makes it. Runs without a context are on loopback, whose index is 1.
func newTable(rules int) (*table, error) {
	dir, err := os.MkdirTemp("", "bench-datapath")
	if err != nil {
		return nil, err
	}
	if err := unix.Mount("bpf", dir, "bpf", 0, "mode=0700"); err != nil {
		return nil, fmt.Errorf("mount a BPF file system: %w", err)
	}
	t := &table{rules: rules, dir: dir, own: netip.MustParseAddr("10.0.0.2"), peer: peerAddr(1), other: netip.MustParseAddr("192.0.2.1")}
	if t.dp, err = datapath.Open(filepath.Join(dir, "gabion"), datapath.Limits{OpenRate: 1 << 30}); err != nil {
		return nil, err
	}
	w, err := policymap.NewWriter(t.dp.Tables())
	if err != nil {
		return nil, err
	}
	if err := w.Publish(t.image()); err != nil {
		return nil, err
	}
	if err := t.dp.Straight(1 << 60); err != nil { // far away
		return nil, err
	}
	return t, t.load()
}

// image is what Render would make of one subject with so many rules: a deny for
// each of the peers, and for the others as many ports as it takes.
func (t *table) image() *policymap.Image {
	subject := workload.ID{Namespace: "bench", Name: "subject"}
	own := &workload.Workload{ID: subject, Addresses: []netip.Addr{t.own}}
	world := segmentation.World{Workloads: []*workload.Workload{own}}
	tab := &segmentation.Table{
		Subjects: []segmentation.Subject{{Key: "subject", Governed: [2]bool{true, true}}}, SubjectOf: map[workload.ID]int{subject: 0},
		Peers: []segmentation.PeerClass{{Key: "outside"}, {Key: "own"}}, Prefixes: []segmentation.PrefixPeer{{Prefix: netip.PrefixFrom(t.own, 32), Peer: 1}},
	}
	for i := range identities {
		tab.Peers = append(tab.Peers, segmentation.PeerClass{Key: fmt.Sprint(i)})
		tab.Prefixes = append(tab.Prefixes, segmentation.PrefixPeer{Prefix: netip.PrefixFrom(peerAddr(i), 32), Peer: 2 + i})
	}
	add := func(d segmentation.Direction, peer int, p segmentation.Protocol, from, to uint16, v segmentation.Verdict) {
		tab.Entries = append(tab.Entries, segmentation.Entry{Direction: d, Peer: peer, Protocol: p, From: from, To: to, Verdict: v})
	}
	for _, d := range []segmentation.Direction{segmentation.Ingress, segmentation.Egress} {
		add(d, segmentation.AnyPeer, segmentation.AnyProtocol, 0, 65535, segmentation.Denied)
	}
	for i := range t.rules {
		peer, port := 2+i%identities, uint16(80+i/identities)
		add(segmentation.Egress, peer, segmentation.TCP, port, port, segmentation.Allowed)
	}
	// The flows that are opened go to any port.
	add(segmentation.Egress, 2+2, segmentation.TCP, 0, 65535, segmentation.Allowed)
	numbers := policymap.NewNumbers()
	return policymap.Render(tab, world, []policymap.Interface{
		{Index: 1, Workload: subject}, {Index: datapath.ByNumber(numbers.Workload(subject)), Workload: subject},
	}, numbers)
}

func (t *table) load() error {
	spec, err := bpf.LoadBench()
	if err != nil {
		return err
	}
	shared := map[string]*ebpf.Map{}
	for name := range spec.Maps {
		if !strings.HasPrefix(name, ".") {
			shared[name] = t.dp.Map(name)
			spec.Maps[name].MaxEntries = t.dp.Map(name).MaxEntries()
		}
	}
	if err := spec.Variables["limit_opened"].Set(uint64(1 << 40)); err != nil {
		return err
	}
	if err := spec.Variables["half_open_mask"].Set(t.dp.Map("half_open").MaxEntries() - 1); err != nil {
		return err
	}
	t.bench, err = ebpf.NewCollectionWithOptions(spec, ebpf.CollectionOptions{MapReplacements: shared})
	return err
}

func (t *table) close() {
	t.bench.Close()
	t.dp.Close()
	unix.Unmount(t.dir, unix.MNT_DETACH)
	os.Remove(t.dir)
}

// tcp is a frame with a TCP segment.
func tcp(from, to netip.Addr, fromPort, toPort uint16, flags byte) []byte {
	b := append(make([]byte, 12), 8, 0, 0x45, 0, 0, 40, 0, 1, 0, 0, 64, 6, 0, 0)
	b = append(append(b, from.AsSlice()...), to.AsSlice()...)
	b = binary.BigEndian.AppendUint16(b, fromPort)
	b = binary.BigEndian.AppendUint16(b, toPort)
	return append(b, 0, 0, 0, 1, 0, 0, 0, 1, 0x50, flags, 0xff, 0xff, 0, 0, 0, 0)
}

// programs measures single programs.
func programs(rounds, repeat int) error {
	runtime.LockOSThread()
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		return fmt.Errorf("make a namespace: %w", err)
	}
	var tables []*table
	for _, rules := range []int{10, 1000, 100000} {
		t, err := newTable(rules)
		if err != nil {
			return err
		}
		defer t.close()
		tables = append(tables, t)
	}
	t := tables[1]
	out, in := t.dp.Program("from_workload"), t.dp.Program("to_workload")
	for _, p := range []struct {
		prog  *ebpf.Program
		frame []byte
	}{{out, tcp(t.own, t.peer, 40000, 80, 0x02)}, {in, tcp(t.peer, t.own, 80, 40000, 0x12)}, {out, tcp(t.own, t.peer, 40000, 80, 0x10)}} {
		if answer, err := p.prog.Run(&ebpf.RunOptions{Data: p.frame}); err != nil || int32(answer) != -1 {
			return fmt.Errorf("open a flow: it answers %d (%v)", int32(answer), err)
		}
	}
	type measured struct {
		what   string
		rules  int
		prog   *ebpf.Program
		frame  []byte
		answer int32
	}
	list := []measured{
		{"empty program", 0, t.bench.Programs["empty"], tcp(t.own, t.peer, 40000, 80, 0x10), -1},
		{"empty program on an uplink", 0, t.bench.Programs["empty_uplink"], tcp(t.other, t.own, 40000, 80, 0x02), 2},
	}
	const lookups = 2 // where they begin
	for _, t := range tables {
		list = append(list, measured{"lookup alone", t.rules, t.bench.Programs["lookup"], tcp(t.own, t.peer, 40000, 80, 0x02), -1})
	}
	list = append(list,
		measured{"established flow", t.rules, out, tcp(t.own, t.peer, 40000, 80, 0x10), -1},
		measured{"new flow, inserted", t.rules, t.bench.Programs["fresh_flow"], tcp(t.own, peerAddr(2), 1, 1, 0x02), -1},
		measured{"denied", t.rules, out, tcp(t.own, t.other, 40000, 80, 0x02), 2},
		measured{"denied, on its way in", t.rules, in, tcp(t.other, t.own, 40000, 80, 0x02), 2},
		measured{"denied on an uplink", t.rules, t.dp.Program("prefilter"), tcp(t.other, t.own, 40000, 80, 0x02), 1},
		measured{"established flow on an uplink", t.rules, t.dp.Program("prefilter"), tcp(t.peer, t.own, 80, 40000, 0x10), 2},
	)
	times := make([][]time.Duration, len(list))
	for range rounds {
		for i, m := range list {
			answer, each, err := m.prog.Benchmark(m.frame, repeat, func() {})
			if err != nil || int32(answer) != m.answer {
				return fmt.Errorf("measure %s: it answers %d (%v)", m.what, int32(answer), err)
			}
			times[i] = append(times[i], each)
		}
	}
	p10 := func(i int) float64 { return quantile(times[i], 0.1) }
	for i, m := range list {
		r := result{What: m.what, Rules: m.rules, P10: p10(i), P50: quantile(times[i], 0.5), Unit: "ns/packet"}
		if i >= lookups {
			r.Above = r.P10 - p10(0)
			if m.prog.Type() == ebpf.XDP {
				r.Above = r.P10 - p10(1)
			}
		}
		if m.what == "lookup alone" {
			r.Ratio, r.To = (r.P10-p10(0))/(p10(lookups)-p10(0)), "10 rules"
		}
		r.print()
	}
	return nil
}
