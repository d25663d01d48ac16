package flowreport

import (
	"encoding/json"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func sample() Message {
	return Message{Batch: &Batch{
		Queue: "01-a", Seq: 3,
		Ends: []End{
			{Workload: "shop/web-1", Labels: map[string]string{"app": "web"}},
			{Workload: "shop/cart-1", Labels: map[string]string{"app": "cart"}},
			{Address: netip.MustParseAddr("192.0.2.7")},
		},
		Rules: []string{"SegmentationPolicy shop/cart ingress[0]"},
		Rows: []Row{
			{Src: 0, Dst: 1, Protocol: 6, Port: 80, Verdict: 2, Rule: 1, Flows: 3, Answered: 3, Packets: 20, Bytes: 900, First: 10, Last: 20},
			{Src: 0, Dst: 2, Protocol: 17, Port: 53, Egress: true, Verdict: 0, Reason: "denied", Flows: 1, First: 5, Last: 5,
				Process: &Process{PID: 7, Executable: "/usr/bin/curl"}},
		},
	}}
}

func exchanges() Message {
	return Message{Exchanges: &Exchanges{Queue: "01-b", Seq: 1, List: []Exchange{{
		Src: End{Address: netip.MustParseAddr("192.0.2.7")}, Dst: End{Workload: "shop/cart-1"}, Client: netip.MustParseAddr("192.0.2.7"), Port: 80,
		Path: "/carts/{number}", Method: "GET", Status: 200, Time: time.Unix(1, 0).UTC(), Observation: []byte(`{"Method":"GET"}`),
	}}}}
}

func TestRoundTrip(t *testing.T) {
	for _, want := range []Message{sample(), {Lost: &Lost{Queue: "q", Total: 9}}, {Batch: &Batch{Queue: "q", Seq: 1}}, {Alive: true}, {Alive: true, Of: OfExchanges}, exchanges()} {
		b, err := want.Encode()
		if err != nil {
			t.Fatal(err)
		}
		got, err := Decode(b)
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(want, got, cmp.Comparer(func(a, b netip.Addr) bool { return a == b })); d != "" {
			t.Error(d)
		}
	}
}

func TestRefuses(t *testing.T) {
	for _, c := range []struct {
		name  string
		spoil func(*Batch)
		want  string
	}{
		{"queue", func(b *Batch) { b.Queue = "A b" }, "queue"},
		{"number", func(b *Batch) { b.Seq = 0 }, "the first is 1"},
		{"rows", func(b *Batch) { b.Rows = make([]Row, MaxRows+1) }, "more than"},
		{"end", func(b *Batch) { b.Ends[2] = End{} }, "neither a workload nor an address"},
		{"name", func(b *Batch) { b.Ends[2].Name = "a\x1b[2J" }, "neither a workload nor an address"},
		{"workload", func(b *Batch) { b.Ends[0].Workload = "web" }, "namespace/name"},
		{"control character", func(b *Batch) { b.Ends[0].Labels = map[string]string{"app": "a\x1b[2J"} }, "a label is no text"},
		{"index", func(b *Batch) { b.Rows[0].Dst = 3 }, "ends are not listed"},
		{"outside judged", func(b *Batch) { b.Rows[0].Dst = 2 }, "nobody judged it"},
		{"rule", func(b *Batch) { b.Rows[0].Rule = 2 }, "rule is not listed"},
		{"verdict", func(b *Batch) { b.Rows[0].Verdict = 3 }, "is none"},
		{"time", func(b *Batch) { b.Rows[0].Last = 1 }, "ends before it begins"},
		{"count", func(b *Batch) { b.Rows[0].Bytes = 1 << 60 }, "nobody counts"},
	} {
		m := sample()
		c.spoil(m.Batch)
		b, err := json.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := m.Encode(); err == nil {
			t.Errorf("%s: it is written", c.name)
		}
		if _, err := Decode(b); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		}
	}
	for name, spoil := range map[string]func(*Exchange){
		"no workload": func(x *Exchange) { x.Dst = x.Src },
		"no client":   func(x *Exchange) { x.Client = netip.Addr{} },
		"status":      func(x *Exchange) { x.Status = 1000 },
		"text":        func(x *Exchange) { x.Host = "a\x1b[2J" },
		"nothing":     func(x *Exchange) { x.Observation = nil },
	} {
		m := exchanges()
		spoil(&m.Exchanges.List[0])
		if _, err := m.Encode(); err == nil {
			t.Errorf("exchanges, %s: it is written", name)
		}
	}
	for _, text := range []string{`{"alive":true,"of":"weather"}`, "", "{}", "null", "[]", `{"batch":null}`, `{"alive":true,"lost":{"queue":"q"}}`, strings.Repeat("[", 100000)} {
		if _, err := Decode([]byte(text)); err == nil {
			t.Errorf("%.20q is taken", text)
		}
	}
}

// What is decoded can be used without a look: every index is in range.
func FuzzDecode(f *testing.F) {
	b, err := sample().Encode()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	if b, err = exchanges().Encode(); err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Add([]byte(`{"lost":{"queue":"q","total":1}}`))
	f.Add([]byte(`{"batch":{"queue":"q","seq":1,"rows":[{"src":-1}]}}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := Decode(b)
		if err != nil {
			return
		}
		if m.Batch != nil {
			for i := range m.Batch.Rows {
				r := &m.Batch.Rows[i]
				_, _, _ = m.Batch.Ends[r.Src], m.Batch.By(r), m.Batch.RuleOf(r)
			}
		}
		if m.Exchanges != nil {
			for i := range m.Exchanges.List {
				m.Exchanges.List[i].Observed()
			}
		}
		again, err := m.Encode()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := Decode(again); err != nil && len(again) <= MaxBytes {
			t.Fatalf("what was read is not taken again: %v", err)
		}
	})
}
