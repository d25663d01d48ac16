package chain

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/gabion-io/gabion/filters"
	"github.com/gabion-io/gabion/filters/waf"
	wafrules "github.com/gabion-io/gabion/waf-rules"
)

// table loads a table of one policy under key "k".
func table(t testing.TB, r *Runtime, p filters.Policy, edit func(*filters.Table)) *Table {
	t.Helper()
	id := filters.PolicyID(p)
	c := filters.Table{Listener: "default/web/http", Unknown: filters.FailOpen,
		Bindings: map[string]filters.Binding{"k": {Policy: id, Route: "default/shop", Rule: "0", Source: "WAFPolicy default/shop"}},
		Policies: map[string]filters.Policy{id: p}}
	if edit != nil {
		edit(&c)
	}
	b, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	tab, err := r.Load(b)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(tab.Release)
	return tab
}

// post is a harmless form.
func post(body string) *filters.RequestHead {
	h := get("/", "content-type", "application/x-www-form-urlencoded", "content-length", fmt.Sprint(len(body)))
	h.Method = "POST"
	return h
}

// steps feeds an exchange in the given chunks and lists every answer.
func steps(x *Exchange, m Message, chunk int) []string {
	var out []string
	put := func(s filters.Step) bool {
		text := s.Do.String()
		if s.Reply != nil {
			text += fmt.Sprint(" ", s.Reply.Status)
		}
		out = append(out, text)
		return s.Do == filters.Deny
	}
	body := func(data []byte, show func([]byte, bool) filters.Step) bool {
		for len(data) > chunk {
			if put(show(data[:chunk], false)) {
				return true
			}
			data = data[chunk:]
		}
		return put(show(data, true))
	}
	if put(x.RequestHeaders(m.Request, m.RequestBody == nil)) || m.RequestBody != nil && body(m.RequestBody, x.RequestBody) {
		return out
	}
	if m.Response == nil || put(x.ResponseHeaders(m.Response, m.ResponseBody == nil)) || m.ResponseBody == nil {
		return out
	}
	body(m.ResponseBody, x.ResponseBody)
	return out
}

// refused feeds an exchange of which the head (none is given), or else the body,
// found no place in the queue, and lists the answers that are not to go on.
func refused(x *Exchange, m Message) (out []string) {
	put := func(s filters.Step) {
		if s.Do != filters.Continue {
			out = append(out, s.Do.String())
		}
	}
	if m.Request != nil {
		put(x.RequestHeaders(m.Request, false))
	}
	put(x.Refuse())
	put(x.RequestBody(m.RequestBody, true))
	if m.Response != nil {
		put(x.ResponseHeaders(m.Response, false))
		put(x.ResponseBody(m.ResponseBody, true))
	}
	return out
}

// messages is a spread of good, bad and broken exchanges.
func messages(n int) []Message {
	rng := rand.New(rand.NewPCG(1, 2))
	targets := []string{"/", "/api?q=hello", sqli, "/%zz", "/a?" + strings.Repeat("x=1&", 40), "*", "/?q=<script>alert(1)</script>", "/\xff?\x00"}
	types := []string{"", "application/json", "application/x-www-form-urlencoded", "multipart/form-data; boundary=b", "multipart/form-data", "text/xml", "application/grpc", "text/plain", "application/vnd.x+json"}
	bodies := []string{"", `{"a":1}`, `{"a":"1' or 1=1--"}`, `{"a":`, "a=b&c=d", "--b\r\nContent-Disposition: form-data; name=\"f\"\r\n\r\nx\r\n--b--\r\n", "--b\r\nbroken", "<a>b</a>", "<a>", strings.Repeat("[", 3000), strings.Repeat("A", 5000), "\x00\xff"}
	var out []Message
	for range n {
		h := get(targets[rng.IntN(len(targets))])
		if rng.IntN(2) == 0 {
			h.Method = []string{"POST", "PUT", "HEAD", "CONNECT", "OPTIONS"}[rng.IntN(5)]
		}
		if c := types[rng.IntN(len(types))]; c != "" {
			h.Headers = append(h.Headers, filters.Header{Name: "content-type", Value: c})
		}
		if rng.IntN(8) == 0 {
			h.Headers = append(h.Headers, filters.Header{Name: "connection", Value: "Upgrade"}, filters.Header{Name: "upgrade", Value: "websocket"})
		}
		if rng.IntN(6) == 0 {
			h.Headers = append(h.Headers, filters.Header{Name: "content-encoding", Value: []string{"gzip", "br", "zstd", "deflate", "sdch", "gzip, gzip"}[rng.IntN(6)]})
		}
		m := Message{Request: h}
		if rng.IntN(3) > 0 {
			m.RequestBody = []byte(bodies[rng.IntN(len(bodies))])
			if rng.IntN(2) == 0 {
				h.Headers = append(h.Headers, filters.Header{Name: "content-length", Value: fmt.Sprint(len(m.RequestBody))})
			}
		}
		if rng.IntN(5) > 0 {
			m.Response = &filters.ResponseHead{Status: []int{101, 200, 204, 304, 404, 500}[rng.IntN(6)]}
			m.Response.Headers = append(m.Response.Headers, filters.Header{Name: "content-type", Value: []string{"text/html", "application/json", "text/event-stream"}[rng.IntN(3)]})
			if rng.IntN(2) == 0 {
				m.ResponseBody = []byte("java.lang.NullPointerException " + bodies[rng.IntN(len(bodies))])
			}
		}
		out = append(out, m)
	}
	return out
}

// TestDetectChangesNothing is the property "in detect nothing the filter does
// changes a response": every answer is the one mode off gives.
func TestDetectChangesNothing(t *testing.T) {
	for name, edit := range map[string]func(*filters.Policy, *wafrules.Settings){
		"plain":  nil,
		"closed": func(p *filters.Policy, _ *wafrules.Settings) { p.FailureMode = filters.FailClosed },
		"limits": func(p *filters.Policy, s *wafrules.Settings) {
			p.RequestBody.Limit, p.RequestBody.StructuredLimit, p.RequestBody.Beyond = 100, 200, filters.BeyondReject
			p.ResponseBody = filters.BodyInspection{Inspect: true, Limit: 50, Beyond: filters.BeyondReject}
			s.MaxArguments, s.JSONDepth, s.ParanoiaLevel = 3, 4, 4
		},
		"rules": func(p *filters.Policy, s *wafrules.Settings) {
			p.ResponseBody = filters.BodyInspection{Inspect: true, Limit: 5000, Beyond: filters.BeyondPartial}
			s.Rules = []string{`SecAction "id:1,phase:1,deny,status:500"`, `SecAction "id:2,phase:3,drop"`, `SecAction "id:3,phase:4,redirect:/x"`}
		},
		"long": func(p *filters.Policy, _ *wafrules.Settings) {
			p.MaxMillis, p.FailureMode = 1, filters.FailClosed
			p.RequestBody.MinRate = 1 << 30
			p.RequestBody.Types = []filters.BodyLimit{{ContentType: "*/*", Limit: 60, Beyond: filters.BeyondReject}}
			p.ResponseBody = filters.BodyInspection{Inspect: true, Limit: 5000, Beyond: filters.BeyondReject}
		},
		"no room":    func(p *filters.Policy, _ *wafrules.Settings) { p.FailureMode = filters.FailClosed },
		"full queue": func(p *filters.Policy, _ *wafrules.Settings) { p.FailureMode = filters.FailClosed },
	} {
		t.Run(name, func(t *testing.T) {
			r := NewRuntime(Options{})
			if name == "no room" {
				r.maxHeld.Store(10)
			}
			detect := table(t, r, testPolicy(t, filters.ModeDetect, edit), nil)
			off := table(t, r, testPolicy(t, filters.ModeOff, edit), nil)
			for i, m := range messages(60) {
				a, b := detect.Begin("k"), off.Begin("k")
				if name == "full queue" { // instead of judging the head, or the body
					a.SetClient(m.Request)
					if i%2 == 0 || m.RequestBody == nil {
						m.Request, m.RequestBody = nil, nil
					}
					if got := refused(a, m); len(got) > 0 {
						t.Fatalf("message %d: %v", i, got)
					}
					a.Complete()
					b.Complete()
					continue
				}
				if diff := cmp.Diff(steps(b, m, 64), steps(a, m, 64)); diff != "" {
					t.Fatalf("message %d %+v: %s", i, m.Request, diff)
				}
				if e := b.Complete(); e != nil {
					t.Fatalf("off made an event: %+v", e)
				}
				if e := a.Complete(); e != nil && e.Decision == filters.Denied {
					t.Fatalf("detect says deny: %+v", e)
				}
			}
		})
	}
}

// TestDetectForetellsBlock compares what detect says block would do with what
// block does, with rules that end inspection in every way.
func TestDetectForetellsBlock(t *testing.T) {
	if testing.Short() {
		t.Skip("one exchange after the other, in which nothing meets: the race detector only makes it long")
	}
	for name, edit := range map[string]func(*filters.Policy, *wafrules.Settings){
		"plain": nil,
		"limits": func(p *filters.Policy, s *wafrules.Settings) {
			p.RequestBody.Limit, p.RequestBody.StructuredLimit = 100, 200
			s.MaxArguments = 3
		},
		"reject": func(p *filters.Policy, s *wafrules.Settings) {
			p.RequestBody.Limit, p.RequestBody.StructuredLimit, p.RequestBody.Beyond = 100, 200, filters.BeyondReject
		},
		"pass": func(p *filters.Policy, s *wafrules.Settings) {
			p.RequestBody.Limit, p.RequestBody.StructuredLimit, p.RequestBody.Beyond = 100, 200, filters.BeyondPass
		},
		"responses": func(p *filters.Policy, s *wafrules.Settings) {
			p.ResponseBody = filters.BodyInspection{Inspect: true, Limit: 5000, Beyond: filters.BeyondPartial}
		},
		"allow all": func(_ *filters.Policy, s *wafrules.Settings) {
			s.Rules = []string{`SecRule REQUEST_METHOD "@streq POST" "id:1,phase:1,allow,nolog"`}
		},
		"allow request": func(_ *filters.Policy, s *wafrules.Settings) {
			s.Rules = []string{`SecRule REQUEST_METHOD "@streq POST" "id:1,phase:1,allow:request,nolog"`}
		},
		"allow phase": func(_ *filters.Policy, s *wafrules.Settings) {
			s.Rules = []string{`SecRule REQUEST_METHOD "@streq POST" "id:1,phase:2,allow:phase,nolog"`}
		},
		"deny then allow": func(_ *filters.Policy, s *wafrules.Settings) {
			s.Rules = []string{"SecRule ARGS:q \"@rx .\" \"id:1,phase:1,deny,status:418\"\nSecAction \"id:2,phase:1,allow,nolog\""}
		},
		"deny response": func(_ *filters.Policy, s *wafrules.Settings) {
			s.Rules = []string{`SecRule RESPONSE_STATUS "@eq 500" "id:1,phase:3,deny,status:502"`}
		},
		"redirect": func(_ *filters.Policy, s *wafrules.Settings) {
			s.Rules = []string{`SecRule REQUEST_METHOD "@streq PUT" "id:1,phase:1,redirect:https://x.example/"`}
		},
		"update": func(_ *filters.Policy, s *wafrules.Settings) {
			s.Rules = []string{`SecRuleUpdateActionById 942100 "deny,status:406"`}
		},
		"long": func(p *filters.Policy, _ *wafrules.Settings) {
			p.FailureMode = filters.FailClosed // without a time limit: the clock is not the same for both
			p.RequestBody.Types = []filters.BodyLimit{{ContentType: "*/*", Limit: 60, Beyond: filters.BeyondReject}}
			p.ResponseBody = filters.BodyInspection{Inspect: true, Limit: 5000, Beyond: filters.BeyondReject}
		},
		"no room": func(p *filters.Policy, _ *wafrules.Settings) { p.FailureMode = filters.FailClosed },
	} {
		t.Run(name, func(t *testing.T) {
			r := NewRuntime(Options{})
			if name == "no room" {
				r.maxHeld.Store(10)
			}
			detect := table(t, r, testPolicy(t, filters.ModeDetect, edit), nil)
			block := table(t, r, testPolicy(t, filters.ModeBlock, edit), nil)
			denied := 0
			for i, m := range messages(60) {
				d, b := detect.Begin("k"), block.Begin("k")
				steps(d, m, 64)
				de := d.Complete() // first: what it holds is not the other's to miss
				steps(b, m, 64)
				be := b.Complete()
				want := foretold(be)
				if got := foretold(de); got != want {
					t.Fatalf("message %d %+v: detect foretells %q, block does %q", i, m.Request, got, want)
				}
				if be != nil && be.Decision == filters.Denied {
					denied++
					if be.Status != be.WouldBe {
						t.Fatalf("status %d, foretold %d", be.Status, be.WouldBe)
					}
				}
			}
			t.Logf("%d of 60 denied", denied)
		})
	}
}

func foretold(e *filters.Event) string {
	if e == nil || e.WouldBe == 0 {
		return "pass"
	}
	return fmt.Sprintf("%d: %s", e.WouldBe, e.Reason)
}

// TestPanic breaks the engine under every hook.
func TestPanic(t *testing.T) {
	r := NewRuntime(Options{})
	for _, mode := range []filters.Mode{filters.ModeDetect, filters.ModeBlock} {
		for _, failure := range []filters.FailureMode{filters.FailOpen, filters.FailClosed} {
			for hook := range 4 {
				before := r.Stats().Panics
				p := testPolicy(t, mode, func(p *filters.Policy, _ *wafrules.Settings) {
					p.FailureMode = failure
					p.ResponseBody = filters.BodyInspection{Inspect: true, Limit: 1000}
				})
				x := table(t, r, p, nil).Begin("k")
				body := []byte("a=b")
				calls := []func() filters.Step{
					func() filters.Step { return x.RequestHeaders(post("a=b"), false) },
					func() filters.Step { return x.RequestBody(body, true) },
					func() filters.Step { return x.ResponseHeaders(&filters.ResponseHead{Status: 200}, false) },
					func() filters.Step { return x.ResponseBody(body, true) },
				}
				denied := false
				for i, call := range calls {
					if i == hook {
						if i == 0 {
							broken := *x.policy
							broken.engine = new(waf.Engine) // every use panics
							x.policy = &broken
						} else {
							x.tx = new(waf.Transaction)
						}
					}
					step := call()
					denied = denied || step.Do == filters.Deny && step.Reply.Status == 503
				}
				e := x.Complete()
				wantDenied := mode == filters.ModeBlock && failure == filters.FailClosed
				if denied != wantDenied || e == nil || e.Engine != "chain" || !strings.HasPrefix(e.Reason, "inspection failed") || r.Stats().Panics != before+1 {
					t.Errorf("%s %s hook %d: denied %v, event %+v, %d panics", mode, failure, hook, denied, e, r.Stats().Panics-before)
				}
				if e != nil && failure == filters.FailClosed && e.WouldBe != 503 {
					t.Errorf("%s %s hook %d: would be %d", mode, failure, hook, e.WouldBe)
				}
			}
		}
	}
}
