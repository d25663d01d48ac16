package crs

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/gabion-io/gabion/filters"
	"github.com/gabion-io/gabion/filters/chain"
	"github.com/gabion-io/gabion/internal/rawhttp"
	wafrules "github.com/gabion-io/gabion/waf-rules"
	"github.com/gabion-io/gabion/waf-rules/regression"
)

// request is one of the suite's as a filter is shown it.
type request struct {
	Head filters.RequestHead
	Body []byte
}

// parseRaw reads a request as Envoy would show it.
func parseRaw(raw []byte) (*request, error) {
	r, err := rawhttp.Parse(raw)
	if err != nil {
		return nil, err
	}
	h := filters.RequestHead{Method: r.Method, Scheme: "http", Authority: r.Authority, Path: r.Path, Proto: r.Proto}
	for _, f := range r.Headers {
		h.Headers = append(h.Headers, filters.Header(f))
	}
	return &request{h, r.Body}, nil
}

// requests are the suite's requests that a proxy would let through to a filter.
func requests(t *testing.T) map[string]*request {
	t.Helper()
	cases, err := regression.Load()
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]*request{}
	for i := range cases {
		for n, s := range cases[i].Stages {
			if r, err := parseRaw(s.Request.Bytes()); err == nil {
				out[fmt.Sprintf("%s/%d", cases[i].ID, n)] = r
			}
		}
	}
	return out
}

func judge(t *testing.T, mode filters.Mode, s wafrules.Settings) *chain.Judge {
	t.Helper()
	p, err := Policy(mode, s)
	if err != nil {
		t.Fatal(err)
	}
	j, err := chain.NewJudge(p, chain.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(j.Close)
	return j
}

// parallel runs f for every request on two goroutines, in a fixed share.
func parallel(all map[string]*request, keep func(i int) bool, f func(id string, r *request)) {
	ids := make([]string, 0, len(all))
	for id := range all {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	var wg sync.WaitGroup
	for worker := range 2 {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for i, id := range ids {
				if i%2 == worker && keep(i) {
					f(id, all[id])
				}
			}
		}()
	}
	wg.Wait()
}

// TestDetectForetellsBlock: on every request of the suite, what detect says
// block mode would do is what block mode does, with the same evidence.
func TestDetectForetellsBlock(t *testing.T) {
	if testing.Short() {
		t.Skip("runs the whole suite twice: run without -short")
	}
	s := Settings(1)
	detect, block := judge(t, filters.ModeDetect, s), judge(t, filters.ModeBlock, s)
	every := 1
	if os.Getenv("GABION_FULL") == "" {
		every = 2
	}
	var mu sync.Mutex
	denied := 0
	all := requests(t)
	parallel(all, func(i int) bool { return i/2%every == 0 }, func(id string, r *request) {
		m := chain.Message{Request: &r.Head, RequestBody: r.Body, Response: &filters.ResponseHead{Status: 200}}
		d, b := detect.Decide(m), block.Decide(m)
		if b.Decision == filters.Denied {
			mu.Lock()
			denied++
			mu.Unlock()
		}
		if (d.Decision == filters.Detect) != (b.Decision == filters.Denied) || d.Score != b.Score || !slices.Equal(d.Rules, b.Rules) ||
			b.Decision == filters.Denied && d.Event.WouldBe != b.Status {
			t.Errorf("%s: detect %+v, block %+v", id, d, b)
		}
	})
	t.Logf("%d requests, %d denied", len(all)/every, denied)
	if denied < len(all)/every/3 {
		t.Errorf("only %d of %d denied: this compares nothing", denied, len(all)/every)
	}
}

// TestExclusionsRoundTrip excludes exactly what an event lists, on its path, and
// looks that the same request then raises none of it.
func TestExclusionsRoundTrip(t *testing.T) {
	if testing.Short() {
		t.Skip("compiles a rule set for every case: run without -short")
	}
	s := Settings(1)
	before := judge(t, filters.ModeDetect, s)
	every := 60
	if os.Getenv("GABION_FULL") != "" {
		every = 15
	}
	parallel(requests(t), func(i int) bool { return i/2%every == 0 }, func(id string, r *request) {
		m := chain.Message{Request: &r.Head, RequestBody: r.Body}
		v := before.Decide(m)
		if v.Event == nil {
			return
		}
		excluded := s
		path, _, _ := strings.Cut(r.Head.Path, "?")
		for _, match := range v.Event.Matches {
			x := wafrules.Exclusion{Rule: match.Rule, Target: match.Variable, Method: r.Head.Method}
			if strings.HasPrefix(path, "/") && !strings.ContainsAny(path, "*%;") {
				x.Path = path
			}
			if match.Masked {
				x.Target, _, _ = strings.Cut(x.Target, ":")
			}
			if err := x.Validate(); err != nil {
				t.Errorf("%s: %v", id, err)
			}
			excluded.Exclusions = append(excluded.Exclusions, x)
		}
		j := judge(t, filters.ModeDetect, excluded)
		after := j.Decide(m)
		for _, rule := range after.Rules {
			if slices.Contains(v.Rules, rule) && v.Event.MoreMatches == 0 && !nextInLine(rule, v.Event, after.Event) {
				t.Errorf("%s: rule %d still matches %+v\nbefore %+v", id, rule, after.Event.Matches, v.Event.Matches)
			}
		}
	})
}

// nextInLine says that a rule matches the next of what it noted down itself, one
// for each part of a message: it stops at the first, so the event has no more.
func nextInLine(rule int, before, after *filters.Event) bool {
	for _, m := range after.Matches {
		if m.Rule != rule {
			continue
		}
		same := func(b filters.Match) bool { return b.Rule == rule && b.Variable == m.Variable }
		if !strings.HasPrefix(m.Variable, "TX:") || slices.ContainsFunc(before.Matches, same) {
			return false
		}
	}
	return true
}
