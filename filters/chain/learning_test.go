package chain

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gabion-io/gabion/filters"
	"github.com/gabion-io/gabion/internal/exchange"
	wafrules "github.com/gabion-io/gabion/waf-rules"
)

// learningTable is a table that tells of operations.
func learningTable(t testing.TB, r *Runtime, mode filters.Mode, learn filters.Learn) *Table {
	t.Helper()
	learn.KeyFile = filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(learn.KeyFile, []byte("0123456789abcdef"), 0o600); err != nil {
		t.Fatal(err)
	}
	return table(t, r, testPolicy(t, mode, nil), func(c *filters.Table) { c.Learn = &learn })
}

// tell runs a whole exchange and answers what was told of it.
func tell(t testing.TB, tab *Table, request *filters.RequestHead, body string, response *filters.ResponseHead, answer []byte) (f exchange.Facts, told bool) {
	t.Helper()
	x := tab.Begin("k")
	defer x.Complete()
	x.RequestHeaders(request, body == "")
	if body != "" {
		x.RequestBody([]byte(body), true)
	}
	early := x.Observation(false)
	if early != nil && x.Active() {
		t.Errorf("told before the response: %s", early)
	}
	x.ResponseHeaders(response, len(answer) == 0)
	if len(answer) > 0 {
		half := len(answer) / 2
		x.ResponseBody(answer[:half], false)
		x.ResponseBody(answer[half:], true)
	}
	b := x.Observation(false)
	if early != nil { // nothing more would be shown: it was told with the request
		b = early
	}
	if b == nil {
		return f, false
	}
	if x.Observation(true) != nil {
		t.Error("told twice")
	}
	f, err := exchange.DecodeFacts(b)
	if err != nil {
		t.Fatal(err)
	}
	for _, value := range []string{"ada@example.org", "DE89370400440532013000", "s3cr3t", "4711", "192.0.2.7"} {
		if bytes.Contains(b, []byte(value)) {
			t.Errorf("%q is in what was told: %s", value, b)
		}
	}
	return f, true
}

func TestObservation(t *testing.T) {
	for _, mode := range []filters.Mode{filters.ModeOff, filters.ModeDetect, filters.ModeBlock} {
		tab := learningTable(t, NewRuntime(Options{}), mode, filters.Learn{First: 10, BodyLimit: 64 << 10})
		r := post("x")
		r.Path, r.Headers = "/people?limit=5", []filters.Header{{Name: "content-type", Value: "application/json"}, {Name: "authorization", Value: "Bearer s3cr3t"}, {Name: "x-tenant", Value: "4711"}}
		var zipped bytes.Buffer
		z := gzip.NewWriter(&zipped)
		fmt.Fprint(z, `{"id":17,"iban":"DE89370400440532013000"}`)
		z.Close()
		f, told := tell(t, tab, r, `{"email":"ada@example.org","tags":["a"]}`,
			&filters.ResponseHead{Status: 201, Headers: []filters.Header{{Name: "content-type", Value: "application/json"}, {Name: "content-encoding", Value: "gzip"}}}, zipped.Bytes())
		if !told {
			t.Fatalf("%s: nothing was told", mode)
		}
		if len(f.Auth) != 1 || f.Auth[0].Kind != "bearer" || f.Caller.Kind != "key" || len(f.Params) != 1 || f.Params[0].Name != "x-tenant" {
			t.Errorf("%s: %+v", mode, f)
		}
		if got := f.Request.Shape.Names(); !slices.Equal(got, []string{"email", "tags"}) {
			t.Errorf("%s: request %v", mode, got)
		}
		if got := f.Response.Shape.Names(); !slices.Equal(got, []string{"iban", "id"}) || len(f.Response.Shape.Members[0].Shape.Sensitive) == 0 {
			t.Errorf("%s: response %v", mode, got)
		}
	}
}

// What is denied is no operation's, and nothing is told of it.
func TestNothingIsToldOfTheDenied(t *testing.T) {
	tab := learningTable(t, NewRuntime(Options{}), filters.ModeBlock, filters.Learn{First: 10, BodyLimit: 1000})
	x := tab.Begin("k")
	defer x.Complete()
	x.RequestHeaders(get(sqli), true)
	if x.answered == nil {
		t.Fatal("the attack passed")
	}
	if b := x.Observation(true); b != nil {
		t.Errorf("%s", b)
	}
}

// Of each kind of exchange the first are looked into, and of a body that is too
// long, or was cut, nothing is said.
func TestSampling(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	tab := learningTable(t, NewRuntime(Options{Now: func() time.Time { return now }, Random: func() float64 { return 0.5 }}), filters.ModeOff, filters.Learn{First: 3, BodyLimit: 100})
	looked := func(path, answer string) bool {
		f, told := tell(t, tab, get(path), "", &filters.ResponseHead{Status: 200, Headers: []filters.Header{{Name: "content-type", Value: "application/json"}}}, []byte(answer))
		if !told {
			t.Fatalf("%s: nothing was told", path)
		}
		return f.Response.Shape != nil
	}
	for i := range 6 {
		if got := looked(fmt.Sprintf("/orders/%d?x=%d", 1000+i, i), `{"id":1}`); got != (i < 3) {
			t.Errorf("order %d: looked into: %v", i, got)
		}
	}
	if !looked("/carts/7", `{"id":1}`) {
		t.Error("another kind was not looked into")
	}
	if looked("/long", `{"text":"`+strings.Repeat("x", 200)+`"}`) {
		t.Error("a body that was cut has a shape")
	}
	now = now.Add(time.Hour)
	if !looked("/orders/9", `{"id":1}`) {
		t.Error("an hour later nothing was looked into")
	}
}

// The response's body is shown when something comes of it, and else need not be: what
// is told is the same.
func TestHeedsResponse(t *testing.T) {
	r := NewRuntime(Options{})
	inspecting := testPolicy(t, filters.ModeDetect, func(p *filters.Policy, _ *wafrules.Settings) { p.ResponseBody.Inspect = true })
	answer := func() *filters.ResponseHead {
		return &filters.ResponseHead{Status: 200, Headers: []filters.Header{{Name: "content-type", Value: "text/html"}}}
	}
	for name, c := range map[string]struct {
		table *Table
		heeds bool
	}{
		"nothing":  {table(t, r, testPolicy(t, filters.ModeDetect, nil), nil), false},
		"inspects": {table(t, r, inspecting, nil), true},
		"told":     {learningTable(t, r, filters.ModeDetect, filters.Learn{BodyLimit: 1000}), false},
		"looks":    {learningTable(t, r, filters.ModeDetect, filters.Learn{First: 10, BodyLimit: 1000}), true},
	} {
		var told [2]string
		for i, show := range []bool{true, false} {
			x := c.table.Begin("k")
			x.RequestHeaders(get("/a?b=c", "x-tenant", "acme"), true)
			x.ResponseHeaders(answer(), false)
			if x.HeedsResponse() != c.heeds {
				t.Errorf("%s: heeds: %v", name, !c.heeds)
			}
			if show {
				x.ResponseBody([]byte("<p>"), false)
				x.ResponseBody([]byte("</p>"), true)
			}
			told[i] = string(x.Observation(true)) + fmt.Sprint(x.Complete(), x.Active(), x.Wants())
		}
		if !c.heeds && told[0] != told[1] {
			t.Errorf("%s: %s\nwithout the body %s", name, told[0], told[1])
		}
	}
}

// Without its key nothing is told, and all else works.
func TestLearningWithoutAKey(t *testing.T) {
	tab := table(t, NewRuntime(Options{}), testPolicy(t, filters.ModeDetect, nil), func(c *filters.Table) {
		c.Learn = &filters.Learn{KeyFile: filepath.Join(t.TempDir(), "nowhere"), First: 10, BodyLimit: 1000}
	})
	if _, told := tell(t, tab, get("/"), "", &filters.ResponseHead{Status: 200}, nil); told {
		t.Error("something was told")
	}
}

// What it costs to tell of an exchange.
func BenchmarkObservation(b *testing.B) {
	body := []byte(`{"items":[`)
	for len(body) < 1000 {
		body = append(body, `{"id":"a-17","name":"Blue chair","qty":2,"price":"12.50"},`...)
	}
	body = append(body[:len(body)-1], "]}"...)
	answer := &filters.ResponseHead{Status: 200, Headers: []filters.Header{{Name: "content-type", Value: "application/json"}, {Name: "content-length", Value: fmt.Sprint(len(body))}}}
	request := get("/v1/orders/4711?expand=lines&limit=20", "authorization", "Bearer abcdefghijklmnop", "x-tenant", "acme")
	for _, c := range []struct {
		name  string
		learn *filters.Learn
	}{
		{"none", nil}, {"head", &filters.Learn{BodyLimit: 64 << 10}}, {"body", &filters.Learn{Percent: 100, BodyLimit: 64 << 10}},
		{"sampled", &filters.Learn{First: 20, Percent: 1, BodyLimit: 64 << 10}},
	} {
		b.Run(c.name, func(b *testing.B) {
			tab := table(b, NewRuntime(Options{}), testPolicy(b, filters.ModeOff, nil), nil)
			if c.learn != nil {
				tab = learningTable(b, NewRuntime(Options{}), filters.ModeOff, *c.learn)
			}
			b.ReportAllocs()
			for b.Loop() {
				x := tab.Begin("k")
				x.RequestHeaders(request, true)
				x.ResponseHeaders(answer, false)
				x.ResponseBody(body, true)
				x.Observation(true)
				x.Complete()
			}
		})
	}
}

// pages are page views as a proxy shows them, no two alike: what the benchmark of the
// WAF sends (test/bench/waf).
func pages(n int) []*filters.RequestHead {
	rnd := rand.New(rand.NewPCG(1, 1))
	words := []string{"tea-anchor", "copper-rope", "violet-atlas", "winter-saddle", "lamp-crate", "garden-linen"}
	word := func() string { return fmt.Sprint(words[rnd.IntN(len(words))], "-", rnd.IntN(400)) }
	list := make([]*filters.RequestHead, n)
	for i := range list {
		version := rnd.IntN(40)
		list[i] = get(fmt.Sprintf("/search?page=%d&q=%s&sort=%s", rnd.IntN(50), word(), word()))
		list[i].Headers = []filters.Header{
			{Name: "user-agent", Value: fmt.Sprintf("Mozilla/5.0 (X11; Linux x86_64; rv:1%02d.0) Gecko/20100101 Firefox/1%02d.0", version, version)},
			{Name: "accept", Value: "application/json, text/plain, */*"}, {Name: "accept-encoding", Value: "gzip, deflate"}, {Name: "accept-language", Value: "en-GB,en;q=0.7"},
			{Name: "cookie", Value: "id=" + word()}, {Name: "referer", Value: "https://shop.example.com/list/" + word()},
			{Name: "x-client-request-id", Value: fmt.Sprintf("%08x-%d", rnd.Uint32(), 1<<20+i)}, {Name: "x-request-start", Value: fmt.Sprintf("t=%d", 1700000000000+i)},
			{Name: "x-trace-id", Value: fmt.Sprintf("%016x%016x", rnd.Uint64(), rnd.Uint64())}, {Name: "x-forwarded-proto", Value: "http"},
			{Name: "x-request-id", Value: fmt.Sprintf("%08x-1c2d-4e3f-8a9b-%012x", rnd.Uint32(), rnd.Uint64()>>16)},
		}
	}
	return list
}

// What telling of page views costs beside the WAF.
func BenchmarkPages(b *testing.B) {
	list := pages(4096)
	answer := &filters.ResponseHead{Status: 200, Headers: []filters.Header{{Name: "content-type", Value: "application/json"}, {Name: "content-length", Value: "23"},
		{Name: "date", Value: "Sat, 28 Nov 2026 00:00:00 GMT"}, {Name: "x-envoy-upstream-service-time", Value: "0"}, {Name: "server", Value: "envoy"}}}
	body := []byte(`{"ok":true,"items":[]}`)
	tab := learningTable(b, NewRuntime(Options{}), filters.ModeOff, filters.Learn{First: 20, Percent: 1, BodyLimit: 64 << 10})
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		x := tab.Begin("k")
		x.RequestHeaders(list[i%len(list)], true)
		x.Finding()
		x.ResponseHeaders(answer, false)
		x.Finding()
		x.ResponseBody(body, true)
		x.Finding()
		x.Observation(true)
		x.Complete()
	}
}
