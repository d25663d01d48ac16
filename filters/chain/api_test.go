package chain

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/gabion-io/gabion/filters"
	wafrules "github.com/gabion-io/gabion/waf-rules"
)

// shopAPI is an API that some of messages fit.
func shopAPI(mode filters.Mode) *filters.API {
	object := json.RawMessage(`{"type":"object","properties":{"a":{"type":"integer"}},"additionalProperties":false}`)
	form := json.RawMessage(`{"type":"object","properties":{"a":{"type":"integer"},"c":{"type":"string"}}}`)
	body := &filters.APIRequestBody{Required: true, Content: []filters.APIContent{{ContentType: "application/json", Schema: object},
		{ContentType: "application/x-www-form-urlencoded", Schema: form}, {ContentType: "text/*"}}}
	a := &filters.API{Mode: mode, FailureMode: filters.FailClosed, UnknownOperations: filters.UnknownDeny, UnknownParameters: filters.UnknownDeny, BodyLimit: 4000, BodyDepth: 10}
	for _, method := range []string{"GET", "POST", "PUT"} {
		for _, path := range []string{"/", "/api", "/a"} {
			o := filters.APIOperation{Method: method, Path: path, Parameters: []filters.APIParameter{{In: "query", Name: "q", Schema: json.RawMessage(`{"type":"string","maxLength":10}`)}}}
			if method != "GET" {
				o.Body = body
			}
			a.Operations = append(a.Operations, o)
		}
	}
	return a
}

func withAPI(t testing.TB, waf, api filters.Mode) filters.Policy {
	p := filters.Policy{Mode: filters.ModeOff}
	if waf != filters.ModeOff {
		p = testPolicy(t, waf, func(p *filters.Policy, _ *wafrules.Settings) {
			p.RequestBody.Limit, p.RequestBody.StructuredLimit = 2000, 2500
		})
	}
	if api != filters.ModeOff {
		p.API = shopAPI(api)
	}
	return p
}

// Each engine keeps its mode: what is in detect changes nothing, whatever the other
// does, and what blocks denies the same whatever the other sees.
func TestEnginesKeepTheirModes(t *testing.T) {
	r := NewRuntime(Options{})
	tab := func(waf, api filters.Mode) *Table { return table(t, r, withAPI(t, waf, api), nil) }
	off, detect, block := filters.ModeOff, filters.ModeDetect, filters.ModeBlock
	for _, pair := range [][2][2]filters.Mode{
		{{off, off}, {off, detect}},
		{{off, off}, {detect, detect}},
		{{block, off}, {block, detect}},
		{{off, block}, {detect, block}},
	} {
		a, b := tab(pair[0][0], pair[0][1]), tab(pair[1][0], pair[1][1])
		denied := 0
		for i, m := range messages(200) {
			chunk := []int{7, 1 << 20}[i%2]
			x, y := a.Begin("k"), b.Begin("k")
			want, got := outcome(steps(x, m, chunk)), outcome(steps(y, m, chunk))
			x.Complete()
			y.Complete()
			if want != got {
				t.Fatalf("message %d (%s %s): waf, api %v answer %s; %v answer %s", i, m.Request.Method, m.Request.Path, pair[0], want, pair[1], got)
			}
			if strings.HasPrefix(want, "deny") {
				denied++
			}
		}
		if blocks := pair[0][0] == block || pair[0][1] == block; blocks != (denied > 20) {
			t.Errorf("%v denies %d times", pair[0], denied)
		}
	}
}

// outcome is what became of a message: denied with a status, or passed.
func outcome(steps []string) string {
	if last := steps[len(steps)-1]; strings.HasPrefix(last, "deny") {
		return last
	}
	return "pass"
}

// What detect says that block mode would do is what block does, and both say why.
func TestAPIDetectForetellsBlock(t *testing.T) {
	r := NewJudging(Options{})
	judge := func(mode filters.Mode) *Judge {
		j, err := r.Judge(withAPI(t, filters.ModeOff, mode))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(j.Close)
		return j
	}
	detect, block := judge(filters.ModeDetect), judge(filters.ModeBlock)
	seen := map[int]int{}
	for i, m := range messages(400) {
		d, b := detect.Decide(m), block.Decide(m)
		if (d.Decision == filters.Detect) != (b.Decision == filters.Denied) {
			t.Fatalf("message %d: detect says %s (%s), block %s (%s)", i, d.Decision, d.Reason, b.Decision, b.Reason)
		}
		if b.Decision != filters.Denied {
			continue
		}
		seen[b.Status]++
		if d.Event.WouldBe != b.Status {
			t.Errorf("message %d: detect foretells %d, block answers %d", i, d.Event.WouldBe, b.Status)
		}
		// Block mode denies by the head, and does not wait for what is wrong with the body.
		if b.Event.Engine == "api" && !begins(d.Event.API, b.Event.API) {
			t.Errorf("message %d: %+v, in detect %+v", i, b.Event.API, d.Event.API)
		}
	}
	for _, status := range []int{400, 404, 405, 415} {
		if seen[status] == 0 {
			t.Errorf("nothing was denied with %d: %v", status, seen)
		}
	}
}

func begins(all, first *filters.APIFinding) bool {
	return all != nil && first != nil && len(first.Violations) > 0 && len(first.Violations) <= len(all.Violations) &&
		cmp.Equal(first.Violations, all.Violations[:len(first.Violations)])
}

// A body that only API protection holds is held to its own limit, the WAF judges
// its part of it, and both say what they found.
func TestBothEnginesSeeTheirPartOfABody(t *testing.T) {
	h := get("/api")
	h.Method = "POST"
	h.Headers = append(h.Headers, filters.Header{Name: "content-type", Value: "application/json"})
	pad := strings.Repeat("x", 3000)
	for _, c := range []struct {
		body      string
		decision  filters.Decision
		violation string
		rule      bool
	}{
		{`{"a":1}`, filters.Allow, "", false},
		{`{"b":"1' or 1=1--"}`, filters.Detect, "body /b is not declared", true},
		{`{"b":"` + pad + `"}`, filters.Detect, "body /b is not declared", false},
		{`{"b":"` + pad + pad + `"}`, filters.Detect, "body is longer than 4000 bytes", false},
	} {
		v := judgeOf(t, withAPI(t, filters.ModeDetect, filters.ModeDetect)).Decide(Message{Request: h, RequestBody: []byte(c.body)})
		if v.Decision != c.decision {
			t.Errorf("%.20s: %+v", c.body, v)
		}
		if c.violation == "" {
			continue
		}
		if v.Event == nil || v.Event.API == nil || v.Event.API.Violations[0].String() != c.violation || (len(v.Event.Matches) > 0) != c.rule {
			text, _ := json.Marshal(v.Event)
			t.Errorf("%.20s: %s", c.body, text)
		}
	}
}

func judgeOf(t *testing.T, p filters.Policy) *Judge {
	t.Helper()
	j, err := NewJudge(p, Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(j.Close)
	return j
}

// What cannot be judged is for API protection's own failure mode.
func TestAPIFailure(t *testing.T) {
	for _, mode := range []filters.Mode{filters.ModeDetect, filters.ModeBlock} {
		tab := table(t, NewRuntime(Options{}), withAPI(t, filters.ModeOff, mode), nil)
		x := tab.Begin("k")
		h := get("/api", "content-type", "application/json", "content-encoding", "gzip")
		h.Method = "POST"
		got := outcome(steps(x, Message{Request: h, RequestBody: []byte("no gzip at all")}, 100))
		e := x.Complete()
		want := "pass"
		if mode == filters.ModeBlock {
			want = "deny 503"
		}
		if got != want || e == nil || e.Engine != "chain" || !strings.HasPrefix(e.Reason, "inspection failed") {
			t.Errorf("%s: %s, %+v", mode, got, e)
		}
	}
}

func TestLoadRefusesABadAPI(t *testing.T) {
	p := withAPI(t, filters.ModeOff, filters.ModeBlock)
	p.API.Operations[0].Parameters[0].Schema = json.RawMessage(`{"type":"strin"}`)
	if _, err := NewJudge(p, Options{}); err == nil || !strings.Contains(err.Error(), "api.operations[0].parameters[0].schema") {
		t.Errorf("got %v", err)
	}
	found := Check(p)
	if len(found) != 1 || !found[0].Fatal {
		t.Errorf("Check says %+v", found)
	}
	if fmt.Sprint(Check(withAPI(t, filters.ModeOff, filters.ModeBlock))) != "[]" {
		t.Errorf("Check says %+v of a good one", Check(withAPI(t, filters.ModeOff, filters.ModeBlock)))
	}
}
