package rehearse

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/gabion-io/gabion/segmentation"
	"github.com/gabion-io/gabion/segmentation/verdicttest"
	"github.com/gabion-io/gabion/workload"
)

// What a rehearsal counts is what asking the reference one by one gives.
func TestRehearsalIsTheReference(t *testing.T) {
	denied, allowed, smaller := 0, 0, 0
	for seed := range uint64(150) {
		d := verdicttest.NewDice(seed)
		workloads := d.Workloads()
		ends := verdicttest.Ends(workloads)
		before, after := d.Policies(), segmentation.Enforced(d.Policies())
		r := New(workloads, before, after)
		served := map[*workload.Workload]map[service]bool{}
		newlyDenied, newlyAllowed := 0, 0
		for n := range 60 {
			f := d.Flow(ends)
			answered := uint64(n % 3)
			e := segmentation.Edge{Src: f.Src, Dst: f.Dst, Protocol: f.Protocol, Port: f.Port, Flows: 3, Answered: &answered, Bytes: 9, First: time.Unix(1, 0), Last: time.Unix(2, 0)}
			r.Add(&e)
			was, _ := segmentation.Evaluate(before, f)
			is, _ := segmentation.Evaluate(after, f)
			if was != segmentation.Denied && is == segmentation.Denied {
				newlyDenied++
			}
			if was == segmentation.Denied && is != segmentation.Denied {
				newlyAllowed++
			}
			if w := f.Dst.Workload; w != nil && answered > 0 {
				if served[w] == nil {
					served[w] = map[service]bool{}
				}
				served[w][service{f.Protocol, f.Port}] = true
			}
		}
		got := r.Result(nil)
		if got.Edges != 60 || got.Denied.Count != newlyDenied || got.Allowed.Count != newlyAllowed {
			t.Fatalf("seed %d: %d denied and %d allowed of %d, want %d and %d", seed, got.Denied.Count, got.Allowed.Count, got.Edges, newlyDenied, newlyAllowed)
		}
		for _, x := range got.Reach {
			from := workloads[slices.IndexFunc(workloads, func(w *workload.Workload) bool { return w.ID.String() == x.From })]
			for _, c := range []struct {
				policies []segmentation.Policy
				got      Radius
			}{{before, x.Before}, {after, x.After}} {
				want := Radius{}
				for to, ports := range served {
					open := 0
					for s := range ports {
						f := segmentation.Flow{Protocol: s.protocol, Port: s.port}
						f.Src, f.Dst = segmentation.Between(from, to)
						if v, _ := segmentation.Evaluate(c.policies, f); v != segmentation.Denied && to != from {
							open++
						}
					}
					want.Ports += open
					if open > 0 {
						want.Workloads++
					}
				}
				if c.got != want {
					t.Fatalf("seed %d: %s reaches %+v, want %+v", seed, x.From, c.got, want)
				}
			}
			if x.After.Ports < x.Before.Ports {
				smaller++
			}
		}
		denied, allowed = denied+newlyDenied, allowed+newlyAllowed
	}
	if denied < 100 || allowed < 100 || smaller < 100 {
		t.Errorf("%d denied, %d allowed, %d radii smaller: too little was compared", denied, allowed, smaller)
	}
}

// Of many workloads those are looked at that somebody asks for.
func TestReachOfWhoIsAskedFor(t *testing.T) {
	var workloads []*workload.Workload
	for n := range 3 * maxSources {
		workloads = append(workloads, &workload.Workload{
			ID: workload.ID{Namespace: "shop", Name: fmt.Sprint("w-", n)}, Addresses: []netip.Addr{netip.AddrFrom4([4]byte{10, 0, byte(n / 250), byte(n % 250)})},
		})
	}
	r := New(workloads, nil, nil)
	answered := uint64(1)
	r.Add(&segmentation.Edge{Src: segmentation.At(workloads[0]), Dst: segmentation.At(workloads[1]), Protocol: segmentation.TCP, Port: 80, Flows: 1, Answered: &answered})
	for range 20 {
		want := workloads[rand.IntN(len(workloads))].ID.Name
		got := r.Result(func(i workload.Identity) bool { return i.Name == want }).Reach
		if len(got) != maxSources || !slices.ContainsFunc(got, func(x Reach) bool { return x.From == "shop/"+want }) {
			t.Errorf("%s is not among the %d looked at", want, len(got))
		}
	}
}

// Attempts that nobody answered serve nothing, however an edge says so.
func TestWhatIsServed(t *testing.T) {
	w := []*workload.Workload{{ID: workload.ID{Namespace: "shop", Name: "a"}}, {ID: workload.ID{Namespace: "shop", Name: "b"}}}
	edge := func(port uint16, bytes uint64, answered ...uint64) *segmentation.Edge {
		e := &segmentation.Edge{Src: segmentation.At(w[0]), Dst: segmentation.At(w[1]), Protocol: segmentation.TCP, Port: port, Flows: 2, Bytes: bytes}
		if len(answered) > 0 {
			e.Answered = &answered[0]
		}
		return e
	}
	r := New(w, nil, nil)
	r.Add(edge(80, 0))
	if got := r.Result(nil).Services; got != 1 {
		t.Errorf("nobody counts, and %d are served", got)
	}
	for _, e := range []*segmentation.Edge{edge(81, 900), edge(82, 0), edge(83, 60, 0), edge(84, 0, 1)} {
		r.Add(e)
	}
	if got := r.Result(nil).Services; got != 2 {
		t.Errorf("%d are served, want 81 and 84", got)
	}
}
