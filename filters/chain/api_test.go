package chain

import (
	"bytes"
	"compress/gzip"
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
			o.Responses = []filters.APIResponse{{Status: "200", Content: []filters.APIContent{{ContentType: "application/json", Schema: object}}}, {Status: "404"}}
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
	both := judgeOf(t, withAPI(t, filters.ModeDetect, filters.ModeDetect))
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
		v := both.Decide(Message{Request: h, RequestBody: []byte(c.body)})
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

// What a service answers is judged as it passes, with the WAF beside and without, and
// told: nothing is held for it, and nothing denied.
func TestAnswersAreTold(t *testing.T) {
	head := func(status int, pairs ...string) *filters.ResponseHead {
		h := &filters.ResponseHead{Status: status}
		for i := 0; i < len(pairs); i += 2 {
			h.Headers = append(h.Headers, filters.Header{Name: pairs[i], Value: pairs[i+1]})
		}
		return h
	}
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	fmt.Fprint(z, `{"a":"x"}`)
	z.Close()
	const json, wrong = "application/json", "response /a is a string, not an integer"
	r := NewRuntime(Options{})
	for _, c := range []struct {
		name string
		head *filters.ResponseHead
		body string
		want string
	}{
		{"good", head(200, "content-type", json), `{"a":1}`, ""},
		{"wrong", head(200, "content-type", json), `{"a":"x"}`, wrong},
		{"packed", head(200, "content-type", json, "content-encoding", "gzip"), packed.String(), wrong},
		{"torn", head(200, "content-type", json, "content-encoding", "gzip"), packed.String()[:12], ""},
		{"long", head(200, "content-type", json), `{"a":"` + strings.Repeat("x", 5000) + `"}`, ""},
		{"a status", head(202), "", "response has status 202, which is not declared"},
		{"anybody's", head(500), "", ""},
		{"the proxy's", head(503), "", ""},
		{"a stream", head(200, "content-type", "text/event-stream"), "data: x", "response has a content type that is not declared"},
	} {
		for _, waf := range []filters.Mode{filters.ModeOff, filters.ModeBlock} {
			for _, api := range []filters.Mode{filters.ModeDetect, filters.ModeBlock} {
				p := withAPI(t, waf, api)
				if waf != filters.ModeOff {
					p.ResponseBody = filters.BodyInspection{Inspect: true, Limit: 3, Beyond: filters.BeyondPartial}
				}
				x := table(t, r, p, nil).Begin("k")
				x.RequestHeaders(get("/api"), true)
				if w := x.Wants(); !x.Active() || !w.Response {
					t.Fatalf("%s, %s, %s: the response is not asked for: %+v", c.name, waf, api, w)
				}
				for _, step := range []filters.Step{x.ResponseHeaders(c.head, c.body == ""), x.ResponseBody([]byte(c.body), false), x.ResponseBody(nil, true)} {
					if step.Do == filters.Deny || step.Do == filters.Hold && waf == filters.ModeOff {
						t.Errorf("%s, %s, %s: %s", c.name, waf, api, step.Do)
					}
				}
				got := ""
				if e := x.Complete(); e != nil && e.API != nil {
					got = e.API.Violations[0].String()
				}
				if got != c.want {
					t.Errorf("%s, %s, %s: %q is told, not %q", c.name, waf, api, got, c.want)
				}
				if held := r.held.Load(); held != 0 {
					t.Errorf("%s, %s, %s: %d bytes are held at the end", c.name, waf, api, held)
				}
			}
		}
	}
}

// A response that is too long to be judged is let go of while it passes, and one that
// finds no place in the queue is nobody's fault: neither is denied, whatever fails
// closed.
func TestAnswersAreLetGo(t *testing.T) {
	for _, waf := range []filters.Mode{filters.ModeOff, filters.ModeBlock} {
		r := NewRuntime(Options{})
		p := withAPI(t, waf, filters.ModeBlock)
		p.FailureMode, p.ResponseBody.Inspect = filters.FailClosed, false
		begin := func() *Exchange {
			x := table(t, r, p, nil).Begin("k")
			x.RequestHeaders(get("/api"), true)
			x.ResponseHeaders(&filters.ResponseHead{Status: 200, Headers: []filters.Header{{Name: "content-type", Value: "application/json"}}}, false)
			x.ResponseBody([]byte(`{"a":"x`), false)
			if r.held.Load() == 0 || !x.Wants().Response {
				t.Fatalf("%s: nothing is kept of the response", waf)
			}
			return x
		}
		x := begin()
		if chunk := make([]byte, 4000); x.BodyCost(true, [][]byte{chunk}, true) != 0 || x.ResponseBody(chunk, false).Do != filters.Continue {
			t.Errorf("%s: a long one is judged", waf)
		}
		x.ResponseBody([]byte("more"), false)
		if held := r.held.Load(); held != 0 || x.Wants().Response {
			t.Errorf("%s: %d bytes of a long one are held", waf, held)
		}
		if e := x.Complete(); e != nil {
			t.Errorf("%s: event %+v of a long one", waf, e)
		}
		x = begin()
		if x.BodyCost(true, nil, true) == 0 {
			t.Errorf("%s: judging costs nothing", waf)
		}
		if s := x.Refuse(); s.Do != filters.Continue || r.held.Load() != 0 {
			t.Errorf("%s: refused is answered by %s, %d bytes held", waf, s.Do, r.held.Load())
		}
		if e := x.Complete(); e != nil {
			t.Errorf("%s: event %+v of one refused", waf, e)
		}
	}
}
