package verdicttest_test

import (
	"fmt"
	"net/netip"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/gabion-io/gabion/segmentation"
	"github.com/gabion-io/gabion/segmentation/verdicttest"
	"github.com/gabion-io/gabion/workload"
)

// The flat table and the reference never disagree, neither on verdicts nor on
// which rule it was. GABION_FULL=1 tries 100,000 pairs and more.
func TestTableMeansWhatEvaluateMeans(t *testing.T) {
	worlds := 300
	if os.Getenv("GABION_FULL") == "1" {
		worlds = 6000
	}
	checked, seen := 0, map[segmentation.Verdict]int{}
	for seed := range worlds {
		d := verdicttest.NewDice(uint64(seed))
		workloads, policies := d.Workloads(), d.Policies()
		proxied := d.IntN(2) == 0
		table := segmentation.Compile(policies, segmentation.World{
			Workloads: workloads, Names: verdicttest.Names(),
			Proxied: func(*workload.Workload, segmentation.Direction) bool { return proxied },
		})
		evaluator := segmentation.NewEvaluator(policies, workloads)
		all := verdicttest.Ends(workloads)
		for range 200 {
			f := d.Flow(all)
			f.Proxied = proxied
			if v, rule := segmentation.Evaluate(policies, f); true {
				if got, by := evaluator.Evaluate(f); got != v || by != rule {
					t.Fatalf("seed %d: %+v: the Evaluator says %s by %s, Evaluate %s by %s", seed, f, got, by, v, rule)
				}
			}
			for _, dir := range []segmentation.Direction{segmentation.Ingress, segmentation.Egress} {
				want, wantRule := segmentation.Judge(policies, f, dir)
				got, gotRule := table.Judge(f, dir)
				if got != want || gotRule != wantRule {
					t.Fatalf("seed %d, %s of %+v: the table says %s by %s, Evaluate %s by %s\n%+v", seed, dir, f, got, gotRule, want, wantRule, policies)
				}
				checked++
				seen[want]++
			}
		}
	}
	t.Logf("%d verdicts compared: %v", checked, seen)
	if len(seen) != 3 {
		t.Errorf("the worlds reach only %v", seen)
	}
}

// An address that gets names, or loses them, becomes what Compile would have made of
// it; or the table says that it must be compiled again.
func TestPeerNamedMeansWhatCompileMeans(t *testing.T) {
	names := map[netip.Addr][]string{}
	for name, list := range verdicttest.Names() {
		for _, a := range list {
			names[a] = append(names[a], name)
		}
	}
	checked, again := 0, 0
	for seed := range 300 {
		d := verdicttest.NewDice(uint64(seed))
		workloads, policies := d.Workloads(), d.Policies()
		without := segmentation.World{Workloads: workloads}
		with := segmentation.World{Workloads: workloads, Names: verdicttest.Names()}
		for _, from := range []segmentation.World{without, with} {
			table := segmentation.Compile(policies, from)
			ends := verdicttest.Ends(workloads)
			for i := range ends {
				if e := &ends[i]; from.Names != nil && e.Workload == nil {
					e.Names = nil
				}
			}
			for a, list := range names {
				if from.Names != nil {
					list = nil
				}
				table.Prefixes = slices.DeleteFunc(table.Prefixes, func(p segmentation.PrefixPeer) bool { return p.Prefix == netip.PrefixFrom(a, a.BitLen()) })
				switch peer, ok := table.PeerNamed(a, list); {
				case !ok:
					again++
					ends = slices.DeleteFunc(ends, func(e segmentation.Endpoint) bool { return e.Addr == a })
				case peer != segmentation.AnyPeer:
					table.Prefixes = append(table.Prefixes, segmentation.PrefixPeer{Prefix: netip.PrefixFrom(a, a.BitLen()), Peer: peer})
				}
			}
			for range 100 {
				f := d.Flow(ends)
				for _, dir := range []segmentation.Direction{segmentation.Ingress, segmentation.Egress} {
					want, wantRule := segmentation.Judge(policies, f, dir)
					if got, gotRule := table.Judge(f, dir); got != want || gotRule != wantRule {
						t.Fatalf("seed %d, %s of %+v: the table says %s by %s, Evaluate %s by %s\n%+v", seed, dir, f, got, gotRule, want, wantRule, policies)
					}
					checked++
				}
			}
		}
	}
	t.Logf("%d verdicts compared, %d times a table must be compiled again", checked, again)
}

func TestCompileKeepsKeysAndOrder(t *testing.T) {
	d := verdicttest.NewDice(1)
	workloads, policies := d.Workloads(), d.Policies()
	one := segmentation.Compile(policies, segmentation.World{Workloads: workloads, Names: verdicttest.Names()})
	d.Shuffle(len(workloads), func(i, j int) { workloads[i], workloads[j] = workloads[j], workloads[i] })
	if diff := cmp.Diff(one, segmentation.Compile(policies, segmentation.World{Workloads: workloads, Names: verdicttest.Names()}), cmp.Comparer(func(a, b netip.Prefix) bool { return a == b }), cmpopts.IgnoreUnexported(segmentation.Table{})); diff != "" {
		t.Errorf("the order of workloads matters:\n%s", diff)
	}
}

func TestPortBlocks(t *testing.T) {
	for _, r := range [][2]uint16{{0, 65535}, {80, 80}, {0, 0}, {65535, 65535}, {1, 65534}, {8000, 8999}, {32768, 65535}} {
		covered := map[int]bool{}
		for _, b := range segmentation.PortBlocks(r[0], r[1]) {
			for p := int(b.Port); p < int(b.Port)+1<<(16-b.Bits); p++ {
				if covered[p] {
					t.Fatalf("%v: port %d is covered twice", r, p)
				}
				covered[p] = true
			}
		}
		if len(covered) != int(r[1])-int(r[0])+1 || !covered[int(r[0])] || !covered[int(r[1])] {
			t.Errorf("%v: %d ports are covered", r, len(covered))
		}
	}
}

// The size a host may reach: 10,000 identities, a policy each.
func TestCompileLarge(t *testing.T) {
	if testing.Short() {
		t.Skip("takes seconds")
	}
	pick := func(name string) *segmentation.Selection {
		return &segmentation.Selection{Namespace: "shop", Labels: workload.MatchLabels(workload.Labels{"app": name})}
	}
	var workloads []*workload.Workload
	var policies []segmentation.Policy
	for i := range 10_000 {
		name := fmt.Sprint("app-", i)
		workloads = append(workloads, &workload.Workload{
			ID: workload.ID{Namespace: "shop", Name: name}, Labels: workload.Labels{"app": name, "tier": fmt.Sprint(i % 10)},
			Addresses: []netip.Addr{netip.AddrFrom4([4]byte{10, byte(i / 250), byte(i % 250), 1})},
		})
		p := segmentation.Policy{Name: segmentation.PolicyName{Kind: "SegmentationPolicy", ID: workload.ID{Namespace: "shop", Name: name}}, Mode: segmentation.Enforce, Subject: *pick(name), Ingress: segmentation.Rules{Governed: true}, Egress: segmentation.Rules{Governed: true}}
		for n := range 5 {
			peer := []segmentation.Peer{{Workloads: pick(fmt.Sprint("app-", (i*7+n)%10_000))}}
			p.Ingress.List = append(p.Ingress.List, segmentation.Rule{Peers: peer, Ports: []segmentation.Ports{{Protocol: segmentation.TCP, From: 8080, To: 8080}}})
		}
		policies = append(policies, p)
	}
	began := time.Now()
	table := segmentation.Compile(policies, segmentation.World{Workloads: workloads})
	t.Logf("%d entries, %d peers in %v", len(table.Entries), len(table.Peers), time.Since(began))
	if len(table.Subjects) != 10_000 || len(table.Entries) != 10_000*(2+2*5) {
		t.Errorf("%d subjects, %d entries", len(table.Subjects), len(table.Entries))
	}
}
