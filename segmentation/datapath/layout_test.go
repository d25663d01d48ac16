package datapath_test

import (
	"bytes"
	"compress/gzip"
	"crypto/rand"
	"encoding/binary"
	"io"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/cilium/ebpf"

	"github.com/gabion-io/gabion/internal/netnstest"
	"github.com/gabion-io/gabion/internal/tcx"
	"github.com/gabion-io/gabion/segmentation"
	"github.com/gabion-io/gabion/segmentation/bpf"
	"github.com/gabion-io/gabion/segmentation/policymap"
)

// Both directions are closed: an answer passes only where its flow is known.
const closedCart = "policy shop/cart enforces for app=cart\n  ingress from app=web on TCP 80, UDP 80, TCP 82, UDP 82\n  egress to nobody\n"

// An agent finds maps of an earlier layout and its programs on interfaces, under
// load, nobody having ended anything. What is denied never passes; what is established
// goes on; no packet of new flows is lost and each is counted once, if the earlier
// layout has half-open flows in the form of now. If not, an answer to a datagram can be
// lost that is under way when the programs change.
func TestUpgradeOfLayouts(t *testing.T) {
	for layout, forgets := range map[string]bool{"v2": true, "v3": false, "v4": false} {
		t.Run(layout, func(t *testing.T) {
			b := bareBed(t, unhurried, "web", "cart")
			elder := b.elder(layout, closedCart)
			for _, port := range []uint16{80, 81, 82} {
				b.serve("cart", port)
			}
			flows := b.openFlows(t, "web", "cart", 82)
			flows.alive(t, "under the earlier layout")
			b.inFragments(82, "under the earlier layout")
			answers := netnstest.Patience
			if forgets {
				answers = time.Second
			}
			l := b.loadWith(answers)
			b.more(l, "under the earlier layout")
			elder.Close()
			b.more(l, "without an agent")

			b.open()
			if b.dp.New() {
				t.Error("the table of flows is a new one")
			}
			b.more(l, "when the maps are taken over")
			b.publish(closedCart)
			b.more(l, "when policy is published")
			began := time.Now()
			b.attach()
			if forgets {
				// Each of two waits for one answer at a time.
				l.forgotten = 2 + 2*uint64(time.Since(began)/l.answers)
			}
			flows.alive(t, "under the layout of now")
			b.inFragments(82, "under the layout of now")
			b.more(l, "under the layout of now")
			l.end(b)

			b.denied("tcp", "web", "cart", 81)
			flows.alive(t, "at the end")
			b.apply("policy shop/cart enforces for app=cart\n  ingress from nobody\n  egress to nobody\n")
			for _, c := range flows {
				if err := netnstest.Echo(c, "cut", 50*time.Millisecond); err == nil {
					t.Errorf("%s %s is not cut", c.RemoteAddr().Network(), c.RemoteAddr())
				}
			}
			if left, err := filepath.Glob(filepath.Join(b.dir, "*")); err != nil || len(left) != 2 {
				t.Errorf("pinned are %v (%v): links and the maps of one layout are wanted", left, err)
			}
		})
	}
}

// more waits until flows have passed and others have been refused.
func (b *bed) more(l *load, when string) {
	b.Helper()
	good, bad := l.good.Load()+5, l.bad.Load()+5
	b.until("flows pass "+when, func() bool { return l.good.Load() > good && l.bad.Load() > bad || b.Failed() })
}

// elder is a datapath of an earlier layout, under a policy, as its agent left it.
func (b *bed) elder(layout, policies string) *ebpf.Collection {
	b.Helper()
	spec := earlier(b, layout)
	spec.Maps["established"].MaxEntries = uint32(b.limits.Flows)
	spec.Maps["half_open"].MaxEntries = uint32(b.limits.HalfOpen)
	// The load is as fast as the machine: nor is it to meet the budgets of then.
	for name, limit := range map[string]int{"limit_opened": b.limits.OpenRate, "limit_established": b.limits.PerWorkload} {
		if err := spec.Variables[name].Set(uint64(limit)); err != nil {
			b.Fatal(err)
		}
	}
	if layout != "v2" {
		sets := uint32(b.limits.HalfOpen) / bpf.HalfOpenWays
		spec.Maps["half_open"].MaxEntries = sets
		if err := spec.Variables["half_open_mask"].Set(sets - 1); err != nil {
			b.Fatal(err)
		}
	}
	for name, m := range spec.Maps {
		if !strings.HasPrefix(name, ".") {
			m.Pinning, m.Contents = ebpf.PinByName, nil
		}
	}
	dir := filepath.Join(b.dir, layout)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		b.Fatal(err)
	}
	all, err := ebpf.NewCollectionWithOptions(spec, ebpf.CollectionOptions{Maps: ebpf.MapOptions{PinPath: dir}})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(all.Close)
	b.fillElder(layout, spec, all, policies)
	pins := tcx.Pins{Dir: filepath.Join(b.dir, "links")}
	b.net.Host.Do(func() {
		for _, i := range b.interfaces() {
			for program, hook := range map[string]tcx.Hook{"to_workload": tcx.Egress, "from_workload": tcx.Ingress} {
				if err := pins.Attach(all.Programs[program], i.Index, hook, tcx.Last); err != nil {
					b.Error(err)
				}
			}
		}
	})
	return all
}

// earlier reads the programs of an earlier layout.
func earlier(b *bed, layout string) *ebpf.CollectionSpec {
	b.Helper()
	f, err := os.Open(filepath.Join("testdata", "layout-"+layout+".o.gz"))
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		b.Fatal(err)
	}
	object, err := io.ReadAll(z)
	if err != nil {
		b.Fatal(err)
	}
	spec, err := ebpf.LoadCollectionSpecFromReader(bytes.NewReader(object))
	if err != nil {
		b.Fatal(err)
	}
	return spec
}

// Until layout 4 a lane's last rule was one of the table, and an endpoint did not know
// its addresses.
type elderLane struct {
	Closed, Strict, Count, Named uint8
	Shapes                       [bpf.Shapes]uint8
}

type elderEndpoint struct {
	Workload, Subject uint32
	Adopt             uint64
	Lanes             [2]elderLane
}

// elderTables are those of an image as layouts before 4 have them.
func elderTables(img *policymap.Image) (map[uint32]elderEndpoint, map[bpf.RuleKey]bpf.Rule) {
	endpoints, rules := map[uint32]elderEndpoint{}, maps.Clone(img.Rules)
	for i, e := range img.Endpoints {
		one := elderEndpoint{Workload: e.Workload, Subject: e.Subject, Adopt: e.Adopt}
		for d, l := range e.Lanes {
			lane := elderLane{Closed: l.Closed, Strict: l.Strict, Count: l.Count, Named: l.Named, Shapes: l.Shapes}
			if l.Closed != 0 {
				lane.Shapes[lane.Count] = bpf.ShapeAnyPeer | bpf.ShapeAnyProtocol
				lane.Count++
				rules[bpf.RuleKey{Subject: e.Subject, Way: uint8(d) | bpf.ShapeAnyProtocol<<1}] = bpf.Rule{Rule: l.Rule}
			}
			one.Lanes[d] = lane
		}
		endpoints[i] = one
	}
	return endpoints, rules
}

// fillElder writes policy, and where to count.
func (b *bed) fillElder(layout string, spec *ebpf.CollectionSpec, all *ebpf.Collection, policies string) {
	b.Helper()
	list, world := b.world(policies)
	img := policymap.Render(segmentation.Compile(list, world), world, b.interfaces(), b.numbers)
	if layout == "v2" || layout == "v3" {
		endpoints, rules := elderTables(img)
		fill(b, spec, all, "endpoints", 0, endpoints)
		fill(b, spec, all, "rules", 0, rules)
	} else {
		fill(b, spec, all, "endpoints", 0, img.Endpoints)
		fill(b, spec, all, "rules", 0, img.Rules)
	}
	fill(b, spec, all, "addresses", 0, img.Addresses)
	fill(b, spec, all, "prefixes", 0, img.Prefixes)
	for place := range uint32(2) {
		fill(b, spec, all, "flows", place, map[bpf.TallyKey]bpf.Tally{})
		fill(b, spec, all, "drops", place, map[bpf.TallyKey]bpf.Tally{})
	}
	control := make([]byte, all.Maps["control"].ValueSize())
	rand.Read(control) // of what comes after these words: the secret
	clear(control[:20])
	binary.NativeEndian.PutUint32(control, 7) // the generation
	if err := all.Maps["control"].Put(uint32(0), control); err != nil {
		b.Fatal(err)
	}
}

// fill makes an inner map.
func fill[K comparable, V any](b *bed, spec *ebpf.CollectionSpec, all *ebpf.Collection, name string, place uint32, content map[K]V) {
	b.Helper()
	inner, err := ebpf.NewMap(spec.Maps[name].InnerMap.Copy())
	if err != nil {
		b.Fatal(err)
	}
	defer inner.Close()
	for k, v := range content {
		if err := inner.Put(&k, &v); err != nil {
			b.Fatal(err)
		}
	}
	if err := all.Maps[name].Put(place, inner); err != nil {
		b.Fatal(err)
	}
}
