package chain

import (
	"encoding/json"
	"errors"
	"strings"
	"sync"
	"testing"

	"github.com/gabion-io/gabion/filters"
	wafrules "github.com/gabion-io/gabion/waf-rules"
)

// memory is a Spools that keeps what it is given.
type memory struct {
	mu      sync.Mutex
	events  []filters.Event
	records []*Recorded
	full    bool
	closed  int
}

func (m *memory) Events(filters.Spool) (EventSink, error)       { return memoryEvents{m}, nil }
func (m *memory) Recordings(filters.Record) (RecordSink, error) { return memoryRecords{m}, nil }

type memoryEvents struct{ *memory }

func (m memoryEvents) Append(b []byte) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	var e filters.Event
	if m.full || json.Unmarshal(b, &e) != nil {
		return false
	}
	m.events = append(m.events, e)
	return true
}

func (m memoryEvents) Close() error { m.mu.Lock(); defer m.mu.Unlock(); m.closed++; return nil }

type memoryRecords struct{ *memory }

func (m memoryRecords) Append(r *Recorded) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.full {
		return false
	}
	m.records = append(m.records, r)
	return true
}

func (m memoryRecords) Close() error { m.mu.Lock(); defer m.mu.Unlock(); m.closed++; return nil }

func http2(h *filters.RequestHead) *filters.RequestHead { h.Proto = "HTTP/2"; return h }

func TestHoldsOnlyWhatMayBeHeld(t *testing.T) {
	inspectAll := func(p *filters.Policy, s *wafrules.Settings) {
		s.Inbound = 100
		p.ResponseBody = filters.BodyInspection{Inspect: true, Limit: 1000, ContentTypes: []string{"text/html"}}
	}
	tab := table(t, NewRuntime(Options{}), testPolicy(t, filters.ModeBlock, inspectAll), nil)
	response := func(status int, headers ...string) *filters.ResponseHead {
		r := &filters.ResponseHead{Status: status}
		for i := 0; i < len(headers); i += 2 {
			r.Headers = append(r.Headers, filters.Header{Name: headers[i], Value: headers[i+1]})
		}
		return r
	}
	head := get("/")
	head.Method = "HEAD"
	for _, c := range []struct {
		name     string
		request  *filters.RequestHead
		response *filters.ResponseHead
		want     [2]filters.Do
	}{
		{"form and page", post("a=b"), response(200, "content-type", "text/html; charset=utf-8"), [2]filters.Do{filters.Hold, filters.Hold}},
		{"other response", post("a=b"), response(200, "content-type", "image/png"), [2]filters.Do{filters.Hold, filters.Continue}},
		{"gRPC", http2(get("/", "content-type", "application/grpc+proto", "te", "trailers")), response(200, "content-type", "application/grpc"), [2]filters.Do{}},
		{"gRPC by name only", get("/", "content-type", "application/grpc"), response(200, "content-type", "image/png"), [2]filters.Do{filters.Hold, filters.Continue}},
		{"gRPC-Web", http2(get("/", "content-type", "application/grpc-web+proto")), response(200, "content-type", "application/grpc"), [2]filters.Do{filters.Hold, filters.Continue}},
		{"WebSocket", get("/", "connection", "keep-alive, Upgrade", "upgrade", "websocket"), response(101), [2]filters.Do{}},
		{"events", post("a=b"), response(200, "content-type", "text/event-stream"), [2]filters.Do{filters.Hold, filters.Continue}},
		{"compressed", post("a=b"), response(200, "content-type", "text/html", "content-encoding", "gzip"), [2]filters.Do{filters.Hold, filters.Hold}},
		{"not modified", post("a=b"), response(304, "content-type", "text/html"), [2]filters.Do{filters.Hold, filters.Continue}},
	} {
		x := tab.Begin("k")
		got := [2]filters.Do{x.RequestHeaders(c.request, false).Do}
		x.RequestBody([]byte("a=b"), true)
		got[1] = x.ResponseHeaders(c.response, false).Do
		if x.Complete(); got != c.want {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
}

func TestBodyLimits(t *testing.T) {
	r := NewRuntime(Options{})
	attack := "q=1'+UNION+SELECT+password+FROM+users--"
	pad := strings.Repeat("a", 300)
	for _, c := range []struct {
		name    string
		beyond  filters.Beyond
		body    string
		status  int // 0: passes
		partial bool
	}{
		{"short attack", filters.BeyondPartial, attack, 403, false},
		{"attack in the part inspected", filters.BeyondPartial, attack + "&p=" + pad, 403, true},
		{"attack beyond", filters.BeyondPartial, "p=" + pad + "&" + attack, 0, true},
		{"reject", filters.BeyondReject, "p=" + pad, 413, true},
		{"pass", filters.BeyondPass, attack + "&p=" + pad, 0, true},
	} {
		for _, declared := range []bool{true, false} {
			tab := table(t, r, testPolicy(t, filters.ModeBlock, func(p *filters.Policy, s *wafrules.Settings) {
				p.RequestBody = filters.BodyInspection{Inspect: true, Limit: 50, StructuredLimit: 200, Beyond: c.beyond}
				s.Inbound = 10 // a form without length is 3 points
			}), nil)
			x := tab.Begin("k")
			h := post(c.body)
			if !declared {
				h.Headers = h.Headers[:len(h.Headers)-1]
			}
			last := steps(x, Message{Request: h, RequestBody: []byte(c.body)}, 16)
			e := x.Complete()
			status := 0
			if e != nil && e.Decision == filters.Denied {
				status = e.Status
			}
			if status != c.status || e != nil && (e.Partial != "") != c.partial {
				t.Errorf("%s declared %v: %v %+v", c.name, declared, last, e)
			}
		}
	}
}

// TestCutBodyIsNotMalformed cuts well-formed bodies of every kind: none may look
// broken, and what is before the cut is inspected.
func TestCutBodyIsNotMalformed(t *testing.T) {
	r := NewRuntime(Options{})
	pad := strings.Repeat("x", 400)
	for media, body := range map[string]string{
		"application/json":                  `{"q":"1' UNION SELECT password FROM users--","p":"` + pad + `"}`,
		"text/xml":                          `<a><q>1' UNION SELECT password FROM users--</q><p>` + pad + `</p></a>`,
		"application/x-www-form-urlencoded": "q=1'+UNION+SELECT+password+FROM+users--&p=" + pad,
		"multipart/form-data; boundary=b":   "--b\r\nContent-Disposition: form-data; name=\"q\"\r\n\r\n1' UNION SELECT password FROM users--\r\n--b\r\nContent-Disposition: form-data; name=\"p\"; filename=\"p.txt\"\r\n\r\n" + pad + "\r\n--b--\r\n",
	} {
		tab := table(t, r, testPolicy(t, filters.ModeDetect, func(p *filters.Policy, _ *wafrules.Settings) {
			p.RequestBody = filters.BodyInspection{Inspect: true, Limit: 250, Beyond: filters.BeyondPartial}
		}), nil)
		h := post(body)
		h.Headers[2].Value = media
		x := tab.Begin("k")
		steps(x, Message{Request: h, RequestBody: []byte(body)}, 64)
		e := x.Complete()
		if e == nil || e.Partial == "" || e.WouldBe != 403 {
			t.Errorf("%s: %+v", media, e)
			continue
		}
		for _, m := range e.Matches {
			if wafrules.BaseDenies(m.Rule) {
				t.Errorf("%s: rule %d", media, m.Rule)
			}
		}
	}
}

func TestBaseRules(t *testing.T) {
	broken := Message{Request: post(`{"a":`), RequestBody: []byte(`{"a":`)}
	broken.Request.Headers[2].Value = "application/json"
	many := Message{Request: get("/?" + strings.Repeat("a=1&", 20))}
	few := func(_ *filters.Policy, s *wafrules.Settings) { s.MaxArguments = 10 }
	blocks, detects := testJudge(t, filters.ModeBlock, few), testJudge(t, filters.ModeDetect, few)
	for name, c := range map[string]struct {
		m    Message
		rule int
	}{"body": {broken, 200002}, "arguments": {many, 200004}, "target": {Message{Request: get("/%zz")}, 200009}} {
		block, detect := blocks.Decide(c.m), detects.Decide(c.m)
		if block.Decision != filters.Denied || block.Status != 400 || len(block.Rules) == 0 || block.Rules[0] != c.rule {
			t.Errorf("%s: block %+v", name, block)
		}
		if detect.Decision != filters.Detect || detect.Event.WouldBe != 400 {
			t.Errorf("%s: detect %+v", name, detect)
		}
		excluded := testJudge(t, filters.ModeBlock, func(p *filters.Policy, s *wafrules.Settings) {
			few(p, s)
			s.Inbound = 100
			s.Exclusions = []wafrules.Exclusion{{Rule: c.rule}, {Rule: 200005}}
		}).Decide(c.m)
		if excluded.Decision != filters.Allow {
			t.Errorf("%s: excluded %+v", name, excluded)
		}
	}
}

func TestReply(t *testing.T) {
	ask := func(edit func(*filters.Policy, *wafrules.Settings), accept string) *filters.Reply {
		x := table(t, NewRuntime(Options{NewID: func() string { return "<ID>" }}), testPolicy(t, filters.ModeBlock, edit), nil).Begin("k")
		defer x.Complete()
		h := get(sqli)
		h.Headers[1].Value = accept
		return x.RequestHeaders(h, true).Reply
	}
	r := ask(nil, "*/*")
	var problem struct {
		Status int
		Event  string
	}
	if err := json.Unmarshal(r.Body, &problem); err != nil || problem.Status != 403 || header(r.Headers, "content-type") != "application/problem+json" ||
		header(r.Headers, "cache-control") != "no-store" || header(r.Headers, "x-gabion-event") != "<ID>" {
		t.Errorf("JSON: %s %v %v", r.Body, r.Headers, err)
	}
	r = ask(nil, "text/html,application/xhtml+xml,*/*;q=0.8")
	if !strings.Contains(string(r.Body), "<code>&lt;ID&gt;</code>") || header(r.Headers, "content-type") != "text/html; charset=utf-8" {
		t.Errorf("HTML: %s", r.Body)
	}
	r = ask(func(p *filters.Policy, _ *wafrules.Settings) {
		p.Block = filters.BlockResponse{Status: 429, HTML: "<p>{{event}}", JSON: `{"e":"{{event}}"}`}
	}, "application/json")
	if r.Status != 429 || string(r.Body) != `{"e":"&lt;ID&gt;"}` {
		t.Errorf("own: %d %s", r.Status, r.Body)
	}
}

// A gRPC client must not read a denial as success.
func TestReplyToGRPC(t *testing.T) {
	x := table(t, NewRuntime(Options{NewID: func() string { return "ID" }}), testPolicy(t, filters.ModeBlock, nil), nil).Begin("k")
	defer x.Complete()
	r := x.RequestHeaders(get(sqli, "content-type", "application/grpc+proto"), true).Reply
	if header(r.Headers, "grpc-status") != "7" || string(r.Body) != "The request was not forwarded. Event ID." {
		t.Errorf("%v %s", r.Headers, r.Body)
	}
	for status, want := range map[int]string{400: "3", 403: "7", 413: "8", 200: "7", 503: "14"} {
		if got := grpcStatus(status); got != want {
			t.Errorf("status %d: %s, want %s", status, got, want)
		}
	}
}

func TestUnknownKey(t *testing.T) {
	for _, mode := range []filters.FailureMode{filters.FailOpen, filters.FailClosed} {
		r := NewRuntime(Options{})
		tab := table(t, r, testPolicy(t, filters.ModeBlock, nil), func(c *filters.Table) { c.Unknown = mode })
		x := tab.Begin("other")
		step := x.RequestHeaders(get("/"), true)
		e := x.Complete()
		if (step.Do == filters.Deny) != (mode == filters.FailClosed) || e == nil || e.Engine != "chain" || e.Key != "other" || r.Stats().UnknownKeys != 1 {
			t.Errorf("%s: %v %+v", mode, step, e)
		}
		x = tab.Begin("")
		if step := x.RequestHeaders(get(sqli), true); step.Do != filters.Continue || x.Complete() != nil {
			t.Errorf("%s: a route without key is judged", mode)
		}
	}
}

func TestSpoolAndRecord(t *testing.T) {
	sinks := &memory{}
	dice := 0.0
	r := NewRuntime(Options{Spools: sinks, Random: func() float64 { return dice }})
	tab := table(t, r, testPolicy(t, filters.ModeDetect, nil), func(c *filters.Table) {
		c.Spool = &filters.Spool{Dir: "e", MaxBytes: 1}
		c.Record = &filters.Record{Name: "default/all", Dir: "r", Percent: 50, BodyLimit: 4}
	})
	run := func(m Message) {
		x := tab.Begin("k")
		steps(x, m, 3)
		x.Complete()
		x.Complete() // once only
	}
	page := &filters.ResponseHead{Status: 200}
	run(Message{Request: get(sqli), Response: page, ResponseBody: []byte("hello")})
	dice = 0.9
	run(Message{Request: get("/"), Response: page})
	dice = 0.1
	run(Message{Request: post("a=bcdef"), RequestBody: []byte("a=bcdef"), Response: page})
	if len(sinks.events) != 1 || sinks.events[0].Status != 200 || sinks.events[0].WouldBe != 403 {
		t.Errorf("events: %+v", sinks.events)
	}
	if len(sinks.records) != 2 {
		t.Fatalf("%d recorded", len(sinks.records))
	}
	a, b := sinks.records[0], sinks.records[1]
	if a.Event == nil || a.ID != a.Event.ID || string(a.ResponseBody) != "hell" || !a.ResponseTruncated || a.ResponseBytes != 5 || a.Decision != filters.Detect || a.Route != "default/shop" {
		t.Errorf("%+v", a)
	}
	if b.Event != nil || string(b.RequestBody) != "a=bc" || b.RequestBytes != 7 || b.Decision != filters.Allow {
		t.Errorf("%+v", b)
	}
	sinks.full = true
	run(Message{Request: get(sqli), Response: page})
	if s := r.Stats(); s.EventsDropped != 1 || s.RecordsDropped != 1 {
		t.Errorf("%+v", s)
	}
}

func TestTablesSharePolicies(t *testing.T) {
	sinks := &memory{}
	r := NewRuntime(Options{Spools: sinks})
	p := testPolicy(t, filters.ModeDetect, nil)
	spooled := func(c *filters.Table) { c.Spool = &filters.Spool{Dir: "e", MaxBytes: 1} }
	a := table(t, r, p, spooled)
	b := table(t, r, p, spooled)
	if s := r.Stats(); s.Compiled != 1 || s.Policies != 1 {
		t.Errorf("%+v", s)
	}
	x := a.Begin("k")
	x.RequestHeaders(get("/"), true)
	a.Release()
	a.Release()
	b.Release()
	if r.Stats().Policies != 1 {
		t.Error("policy freed under an exchange")
	}
	x.Complete()
	if r.Stats().Policies != 0 {
		t.Error("policy not freed")
	}
}

func TestLoadRefuses(t *testing.T) {
	r := NewRuntime(Options{})
	good := testPolicy(t, filters.ModeBlock, nil)
	for name, edit := range map[string]func(*filters.Table, *filters.Policy){
		"dangling policy":  func(c *filters.Table, _ *filters.Policy) { c.Bindings["k"] = filters.Binding{Policy: "none"} },
		"unknown mode":     func(_ *filters.Table, p *filters.Policy) { p.Mode = "loud" },
		"unknown failure":  func(c *filters.Table, _ *filters.Policy) { c.Unknown = "ajar" },
		"unknown beyond":   func(_ *filters.Table, p *filters.Policy) { p.RequestBody.Beyond = "yonder" },
		"limit":            func(_ *filters.Table, p *filters.Policy) { p.RequestBody.Limit = 0 },
		"settings field":   func(_ *filters.Table, p *filters.Policy) { p.WAF = json.RawMessage(`{"profile":"crs","nonsense":1}`) },
		"settings profile": func(_ *filters.Table, p *filters.Policy) { p.WAF = json.RawMessage(`{"profile":"x"}`) },
		"custom rule": func(_ *filters.Table, p *filters.Policy) {
			p.WAF = json.RawMessage(`{"profile":"crs","paranoiaLevel":1,"inbound":5,"outbound":4,"maxArguments":1,"jsonDepth":1,"rules":["SecAction \"id:1,exec:x\""]}`)
		},
		"custom rule for the engine": func(_ *filters.Table, p *filters.Policy) {
			p.WAF = json.RawMessage(`{"profile":"crs","paranoiaLevel":1,"inbound":5,"outbound":4,"maxArguments":1,"jsonDepth":1,"rules":["SecAction \"id:1,pass\"","SecRule ARGS \"@eq 1\" \"id:1,pass\""]}`)
		},
	} {
		p := good
		c := filters.Table{Listener: "l", Bindings: map[string]filters.Binding{"k": {Policy: "p", Source: "WAFPolicy default/x"}}}
		edit(&c, &p)
		c.Policies = map[string]filters.Policy{"p": p}
		b, _ := json.Marshal(c)
		if _, err := r.Load(b); err == nil {
			t.Errorf("%s: loaded", name)
		} else {
			t.Logf("%s: %v", name, err)
		}
	}
	for _, text := range []string{"", "{", `{"nonsense":1}`, `{} {}`, "null1"} {
		if _, err := r.Load([]byte(text)); err == nil {
			t.Errorf("%q: loaded", text)
		}
	}
}

func TestCheck(t *testing.T) {
	p := testPolicy(t, filters.ModeBlock, func(_ *filters.Policy, s *wafrules.Settings) {
		s.Rules = []string{"SecAction \"id:1,phase:1,pass\"", "\nSecRule ARGS \"@validateByteRange x\" \"id:2,pass\""}
		s.Exclusions = []wafrules.Exclusion{{Rule: 942999}}
	})
	problems := Check(p)
	if len(problems) != 2 || problems[0].Path != "exclusions[0].rule" || problems[0].Fatal || problems[1].Path != "rules[1]" || !problems[1].Fatal {
		t.Errorf("%v", problems)
	}
	if problems := Check(testPolicy(t, filters.ModeOff, nil)); len(problems) != 0 {
		t.Errorf("%v", problems)
	}
}

func TestDecideRaw(t *testing.T) {
	j := testJudge(t, filters.ModeBlock, nil)
	for raw, want := range map[string]struct {
		decision filters.Decision
		status   int
	}{
		"GET / HTTP/1.1\r\nHost: shop.example\r\nUser-Agent: x\r\nAccept: */*\r\n\r\n":            {filters.Allow, 200},
		"GET " + sqli + " HTTP/1.1\r\nHost: shop.example\r\nUser-Agent: x\r\nAccept: */*\r\n\r\n": {filters.Denied, 403},
		"GET / HTTP/1.1\r\n\r\n": {filters.Denied, 400},
		"junk":                   {filters.Denied, 400},
		"GET /" + strings.Repeat("a", 61<<10) + " HTTP/1.1\r\nHost: shop.example\r\n\r\n": {filters.Denied, 431},
	} {
		if v := j.DecideRaw([]byte(raw)); v.Decision != want.decision || v.Status != want.status {
			t.Errorf("%.99q: %+v", raw, v)
		}
	}
}

func FuzzLoad(f *testing.F) {
	f.Add([]byte(`{"listener":"l","bindings":{"k":{"policy":"p"}},"policies":{"p":{"mode":"block","waf":{"profile":"crs"}}}}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		tab, err := NewRuntime(Options{Spools: refusing{}}).Load(b)
		if err == nil {
			tab.Begin("k").Complete()
			tab.Release()
		}
	})
}

type refusing struct{}

func (refusing) Events(filters.Spool) (EventSink, error)       { return nil, errors.New("no") }
func (refusing) Recordings(filters.Record) (RecordSink, error) { return nil, errors.New("no") }
