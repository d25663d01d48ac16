package apidiscovery

import (
	"encoding/json"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestPathTemplate(t *testing.T) {
	for in, want := range map[string]string{
		"/": "/", "/users/{id}": "/users/{}", "/a/{b}.json": "/a/{}.json", "/f/{path*}": "/f/{*}", "/x/{a}...{b}": "/x/{}...{}",
	} {
		p, err := ParsePathTemplate(in)
		if err != nil || p.Canonical() != want {
			t.Errorf("%q: %q, %v", in, p.Canonical(), err)
		}
	}
	for _, in := range []string{"", "users", "/{", "/}", "/{}", "/{a/b}", "/{a}/{a}", "/{a*}/b", "/{a{b}}", "/{*}"} {
		if p, err := ParsePathTemplate(in); err == nil {
			t.Errorf("%q is read as %q", in, p)
		}
	}
	if diff := cmp.Diff([]string{"owner", "path"}, MustPathTemplate("/r/{owner}/c/{path*}").Names()); diff != "" {
		t.Error(diff)
	}
}

func TestKeyIgnoresNamesOfHoles(t *testing.T) {
	a := OperationKey{Service: "s", Protocol: REST, Method: "GET", Template: MustPathTemplate("/users/{id}")}
	b := a
	b.Template = MustPathTemplate("/users/{userId}")
	c := a
	c.Template = MustPathTemplate("/users/id")
	if a.ID() != b.ID() || a.ID() == c.ID() {
		t.Fatal(a.ID(), b.ID(), c.ID())
	}
}

func TestLatency(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	var whole, left, right Latency
	var all []time.Duration
	for i := range 5000 {
		d := time.Duration(r.ExpFloat64() * float64(20*time.Millisecond))
		all = append(all, d)
		whole.Add(d)
		if i%3 == 0 {
			left.Add(d)
		} else {
			right.Add(d)
		}
	}
	right.Merge(left)
	if diff := cmp.Diff(whole, right); diff != "" {
		t.Fatal(diff)
	}
	slices.Sort(all)
	for _, q := range []float64{0.5, 0.9, 0.99} {
		want := all[int(q*float64(len(all)))-1]
		if got := whole.Quantile(q); float64(got) < 0.93*float64(want) || float64(got) > 1.07*float64(want) {
			t.Errorf("quantile %v: %v, want %v", q, got, want)
		}
	}
	if (Latency{}).Quantile(0.5) != 0 {
		t.Error("a quantile of nothing")
	}
}

func TestOperationIsJSON(t *testing.T) {
	op := Operation{OperationKey: OperationKey{Service: "s", Protocol: REST, Method: "GET", Template: MustPathTemplate("/a/{b}")},
		Params: []Param{{In: InPath, Name: "b", Required: true, Schema: &Schema{Types: []string{"integer"}}}}}
	b, err := json.Marshal(op)
	if err != nil {
		t.Fatal(err)
	}
	var back Operation
	if err := json.Unmarshal(b, &back); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(op, back, cmp.Comparer(func(a, b PathTemplate) bool { return a == b })); diff != "" {
		t.Fatal(diff)
	}
}

func FuzzPathTemplate(f *testing.F) {
	f.Add("/users/{id}.json")
	f.Fuzz(func(t *testing.T, s string) {
		p, err := ParsePathTemplate(s)
		if err != nil {
			return
		}
		if again, err := ParsePathTemplate(p.String()); err != nil || again != p {
			t.Fatal(s, err)
		}
		p.Canonical()
		p.Names()
	})
}
