package store

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/gabion-io/gabion/segmentation"
	"github.com/gabion-io/gabion/workload"
)

func shopEnd(name string) FlowEnd {
	app, _, _ := strings.Cut(name, "-")
	return FlowEnd{Workload: "shop/" + name, Labels: workload.Labels{"app": app, "tier": "x"}}
}

// sampleFlow is flows from web to cart, judged at the source.
func sampleFlow(at time.Time, change func(*Flow)) Flow {
	f := Flow{
		Src: shopEnd("web-1"), Dst: shopEnd("cart-1"), Protocol: segmentation.TCP, Port: 80, Direction: segmentation.Egress,
		Verdict: segmentation.Allowed, Flows: 3, Answered: 2, Packets: 20, Bytes: 900, First: at, Last: at.Add(time.Second),
	}
	if change != nil {
		change(&f)
	}
	return f
}

func edgesText(list []Edge) (out []string) {
	for _, e := range list {
		out = append(out, fmt.Sprintf("%s>%s:%d %s %d", e.Src, e.Dst, e.Port, e.Verdict, e.Flows))
	}
	return out
}

func TestFlowsAreStoredOnce(t *testing.T) {
	onBoth(t, func(t *testing.T, open func(Options) *Store) {
		clk := newClock()
		ctx, s := t.Context(), open(Options{Now: clk.now})
		r := FlowReport{Host: "h1", Queue: "q", Seq: 1, Flows: []Flow{sampleFlow(day, nil)}}
		for i, want := range []bool{true, false, false} {
			if fresh := must(s.AddFlows(ctx, r)); fresh != want {
				t.Fatalf("time %d: fresh is %v", i, fresh)
			}
		}
		r.Seq = 4 // gaps are no error: batches are lost when a queue is full
		must(s.AddFlows(ctx, r))
		r.Host = "h2" // another host's queue may have the same name
		r.Flows[0].Src = shopEnd("web-2")
		must(s.AddFlows(ctx, r))
		edges, total, err := s.Edges(ctx, FlowQuery{})
		if err != nil || total != 2 {
			t.Fatal(total, err)
		}
		if d := cmp.Diff([]string{"shop/web-1>shop/cart-1:80 allowed 6", "shop/web-2>shop/cart-1:80 allowed 3"}, edgesText(edges)); d != "" {
			t.Error(d)
		}
		want := sampleFlow(day, func(f *Flow) { f.Cursor, f.Host, f.Src = 3, "h2", shopEnd("web-2") })
		if d := cmp.Diff(want, must(s.Flows(ctx, FlowQuery{Limit: 1}))[0]); d != "" {
			t.Error(d)
		}
	})
}

// Both ends report the same flows: they count once, and a denial at one is told.
func TestEdgeSeenByBothEnds(t *testing.T) {
	onBoth(t, func(t *testing.T, open func(Options) *Store) {
		ctx, s := t.Context(), open(Options{})
		must(s.AddFlows(ctx, FlowReport{Host: "h1", Queue: "q", Seq: 1, Flows: []Flow{
			sampleFlow(day, nil), sampleFlow(day.Add(2*time.Hour), nil),
		}}))
		must(s.AddFlows(ctx, FlowReport{Host: "h2", Queue: "q", Seq: 1, Flows: []Flow{
			sampleFlow(day, func(f *Flow) { f.Direction, f.Flows, f.Answered = segmentation.Ingress, 4, 2 }),
			sampleFlow(day, func(f *Flow) {
				f.Direction, f.Verdict, f.Flows, f.Answered, f.Rule = segmentation.Ingress, segmentation.Denied, 2, 0, "SegmentationPolicy shop/cart default deny (ingress)"
			}),
		}}))
		edges, _, err := s.Edges(ctx, FlowQuery{})
		if err != nil || len(edges) != 1 {
			t.Fatal(edges, err)
		}
		e := edges[0]
		got := fmt.Sprintln(e.Flows, e.Answered, e.Denied, e.Verdict, e.Rule, e.SeenBy, e.First, e.Last)
		if want := fmt.Sprintln(6, 4, 2, "denied", "SegmentationPolicy shop/cart default deny (ingress)", "[ingress egress]", day, day.Add(2*time.Hour+time.Second)); got != want {
			t.Errorf("%s, want %s", got, want)
		}
		var hours []string
		if err := s.EachEdgeByHour(ctx, FlowQuery{}, func(e *Edge) error {
			hours = append(hours, fmt.Sprint(e.First.Hour(), " ", e.Flows))
			return nil
		}); err != nil || fmt.Sprint(hours) != "[0 6 2 3]" {
			t.Error(hours, err)
		}
	})
}

// Each end may object to the same flows, by a rule of its own: neither hides the other.
func TestObjectionsOfBothEnds(t *testing.T) {
	onBoth(t, func(t *testing.T, open func(Options) *Store) {
		ctx, s := t.Context(), open(Options{})
		by := func(d segmentation.Direction, v segmentation.Verdict, rule string, flows uint64) Flow {
			return sampleFlow(day, func(f *Flow) { f.Direction, f.Verdict, f.Rule, f.Flows = d, v, rule, flows })
		}
		must(s.AddFlows(ctx, FlowReport{Host: "h1", Queue: "q", Seq: 1, Flows: []Flow{
			by(segmentation.Egress, segmentation.Audited, "a", 5), by(segmentation.Egress, segmentation.Denied, "c", 2), by(segmentation.Egress, segmentation.Allowed, "", 9),
		}}))
		must(s.AddFlows(ctx, FlowReport{Host: "h2", Queue: "q", Seq: 1, Flows: []Flow{by(segmentation.Ingress, segmentation.Audited, "b", 5)}}))
		for since, want := range map[time.Time]string{{}: "a audited 5, b audited 5, c denied 2", day.Add(time.Hour): ""} {
			var got []string
			if err := s.EachObjection(ctx, since, func(o Objection) {
				got = append(got, fmt.Sprintf("%s %s %d", o.Rule, o.Verdict, o.Flows))
			}); err != nil {
				t.Fatal(err)
			}
			slices.Sort(got)
			if text := strings.Join(got, ", "); text != want {
				t.Errorf("since %s: %s, want %s", since, text, want)
			}
		}
	})
}

func TestFlowQueries(t *testing.T) {
	onBoth(t, func(t *testing.T, open func(Options) *Store) {
		ctx, s := t.Context(), open(Options{})
		denied, audited := segmentation.Denied, segmentation.Audited
		flows := []Flow{
			sampleFlow(day, nil),
			sampleFlow(day.Add(time.Minute), func(f *Flow) { f.Src = shopEnd("web-2"); f.Verdict = audited; f.Port = 81 }),
			sampleFlow(day.Add(2*time.Minute), func(f *Flow) {
				f.Dst = FlowEnd{Address: "192.0.2.7", DNSName: "api.example.com"}
				f.Verdict = denied
				f.Port = 443
				f.Reason = "denied"
			}),
			sampleFlow(day.Add(3*time.Minute), func(f *Flow) {
				f.Src = FlowEnd{Workload: "ops/mon", Labels: workload.Labels{"app": "mon"}}
				f.Protocol = segmentation.UDP
			}),
		}
		must(s.AddFlows(ctx, FlowReport{Host: "h", Queue: "q", Seq: 1, Flows: flows}))
		web := must(workload.ParseSelector("app=web"))
		for _, c := range []struct {
			name, want string
			q          FlowQuery
		}{
			{"all", "[4 3 2 1]", FlowQuery{}},
			{"source labels", "[3 2 1]", FlowQuery{Src: EndFilter{Labels: web}}},
			{"either namespace", "[4]", FlowQuery{Either: EndFilter{Namespace: "ops"}}},
			{"destination", "[4 2 1]", FlowQuery{Dst: EndFilter{Workload: "shop/cart-1"}}},
			{"address", "[3]", FlowQuery{Dst: EndFilter{Address: netip.MustParsePrefix("192.0.2.0/24")}}},
			{"verdict", "[3]", FlowQuery{Verdict: &denied}},
			{"audited", "[2]", FlowQuery{Verdict: &audited}},
			{"port", "[2]", FlowQuery{Port: 81}},
			{"protocol", "[4]", FlowQuery{Protocol: segmentation.UDP}},
			{"since", "[4 3]", FlowQuery{Since: day.Add(2 * time.Minute)}},
			{"until", "[2 1]", FlowQuery{Until: day.Add(2 * time.Minute)}},
			{"nobody", "[]", FlowQuery{Src: EndFilter{Namespace: "none' OR 1=1 --"}}},
			{"after", "[2 3]", FlowQuery{After: 1, Limit: 2}},
			{"before", "[2 1]", FlowQuery{Before: 3}},
		} {
			var got, matched []int64
			for _, f := range must(s.Flows(ctx, c.q)) {
				got = append(got, f.Cursor)
				if c.q.Matches(&f) {
					matched = append(matched, f.Cursor)
				}
			}
			if fmt.Sprint(got) != c.want || fmt.Sprint(matched) != c.want {
				t.Errorf("%s: %v, and %v of them match, want %s", c.name, got, matched, c.want)
			}
			if c.q.After+c.q.Before > 0 {
				continue
			}
			if edges, total, err := s.Edges(ctx, c.q); err != nil || total != len(got) || len(edges) != len(got) {
				t.Errorf("%s: %v (%v)", c.name, edgesText(edges), err)
			}
		}
		outside := FlowQuery{Dst: EndFilter{Address: netip.MustParsePrefix("192.0.2.0/24")}}
		if edges, _, _ := s.Edges(ctx, outside); len(edges) != 1 || edges[0].Dst.DNSName != "api.example.com" || must(s.Flows(ctx, outside))[0].Dst.DNSName != "api.example.com" {
			t.Error("the name by which an address was told is lost", edgesText(edges))
		}
		if edges, total, _ := s.Edges(ctx, FlowQuery{Limit: 1}); len(edges) != 1 || total != 4 || edges[0].Src.Workload != "ops/mon" {
			t.Error(edgesText(edges), total)
		}
	})
}

func TestFlowsFollow(t *testing.T) {
	onBoth(t, func(t *testing.T, open func(Options) *Store) {
		ctx, s := t.Context(), open(Options{})
		_, cursor, err := s.FlowsSince(ctx, -1, 0)
		if err != nil {
			t.Fatal(err)
		}
		wake := s.FlowsChanged()
		must(s.AddFlows(ctx, FlowReport{Host: "h", Queue: "q", Seq: 1, Flows: []Flow{sampleFlow(day, nil), sampleFlow(day, nil)}}))
		<-wake
		got, next, err := s.FlowsSince(ctx, cursor, 10)
		if err != nil || len(got) != 2 {
			t.Fatal(got, err)
		}
		if got, same, err := s.FlowsSince(ctx, next, 10); err != nil || len(got) != 0 || same != next {
			t.Fatal(got, same, err)
		}
	})
}

// Who reads while flows between new workloads arrive never sees one without its
// ends, by the flow or by the edge, and misses none.
func TestFlowsAreReadWithTheirEnds(t *testing.T) {
	onBoth(t, func(t *testing.T, open func(Options) *Store) {
		ctx, s := t.Context(), open(Options{})
		const all = 300
		done := make(chan error, 1)
		go func() {
			for i := range all {
				f := sampleFlow(day, func(f *Flow) { f.Dst = shopEnd(fmt.Sprintf("new-%d", i)) })
				if _, err := s.AddFlows(ctx, FlowReport{Host: "h1", Queue: "q", Seq: uint64(i + 1), Flows: []Flow{f}}); err != nil {
					done <- err
					return
				}
			}
			done <- nil
		}()
		cursor := int64(0)
		for seen := 0; seen < all; {
			flows, next, err := s.FlowsSince(ctx, cursor, 500)
			if err != nil {
				t.Fatal(err)
			}
			for _, f := range flows {
				if want := fmt.Sprintf("shop/new-%d", seen); f.Src.Workload != "shop/web-1" || f.Dst.Workload != want {
					t.Fatalf("flow %d is from %q to %q", seen, f.Src, f.Dst)
				}
				seen++
			}
			cursor = next
			edges, _, err := s.Edges(ctx, FlowQuery{Limit: all})
			if err != nil {
				t.Fatal(err)
			}
			for _, e := range edges {
				if e.Src.Workload == "" || e.Dst.Workload == "" {
					t.Fatalf("an edge is from %q to %q", e.Src, e.Dst)
				}
			}
		}
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

func TestFlowsArePruned(t *testing.T) {
	onBoth(t, func(t *testing.T, open func(Options) *Store) {
		clk := newClock()
		ctx, s := t.Context(), open(Options{Now: clk.now, Limits: Limits{Edges: Limit{Bytes: 80_000}}})
		report := func(seq int, name string) {
			var flows []Flow
			for i := range 600 {
				flows = append(flows, sampleFlow(clk.now(), func(f *Flow) { f.Src, f.Port = shopEnd(name), uint16(1+i) }))
			}
			must(s.AddFlows(ctx, FlowReport{Host: "h", Queue: "q", Seq: uint64(seq), Flows: flows}))
		}
		report(1, "old-1")
		clk.advance(49 * time.Hour)
		report(2, "web-1")
		if err := s.Prune(ctx); err != nil {
			t.Fatal(err)
		}
		rows := func() map[string]int64 {
			out := map[string]int64{}
			for _, c := range must(s.Status(ctx)).Classes {
				out[c.Name] = c.Rows
				if c.Name == "edges" && c.Bytes > c.MaxBytes {
					t.Errorf("edges have %d bytes of %d", c.Bytes, c.MaxBytes)
				}
			}
			return out
		}
		got := rows()
		if got["flows"] != 600 || got["edges"] >= 1200 || got["edges"] == 0 || got["flow ends"] != 2 {
			t.Errorf("%v", got)
		}
		if all := must(s.Flows(ctx, FlowQuery{Limit: 1000})); len(all) != 600 || all[0].Src.Workload != "shop/web-1" {
			t.Errorf("%d flows are left", len(all))
		}
		// What was pruned of a queue is not taken for new.
		clk.advance(40 * 24 * time.Hour)
		if err := s.Prune(ctx); err != nil {
			t.Fatal(err)
		}
		if got := rows(); got["flows"]+got["edges"]+got["flow ends"] != 0 {
			t.Errorf("%v", got)
		}
		if must(s.AddFlows(ctx, FlowReport{Host: "h", Queue: "q", Seq: 2, Flows: []Flow{sampleFlow(clk.now(), nil)}})) {
			t.Error("a repetition counts as new")
		}
	})
}

func TestFlowsGiveWayWhenTheDiskIsFull(t *testing.T) {
	onBoth(t, func(t *testing.T, open func(Options) *Store) {
		s := open(Options{Disk: func(string) (float64, error) { return 0.95, nil }})
		_, err := s.AddFlows(context.Background(), FlowReport{Host: "h", Queue: "q", Seq: 1, Flows: []Flow{sampleFlow(day, nil)}})
		contains(t, err, "disk full")
	})
}
