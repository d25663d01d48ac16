package chain

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/gabion-io/gabion/filters"
	wafrules "github.com/gabion-io/gabion/waf-rules"
)

// TestMain keeps one engine of each profile: the last one to go takes the compiled
// patterns with it, and every test would compile thousands of them again.
func TestMain(m *testing.M) {
	r := NewJudging(Options{})
	for _, profile := range []string{wafrules.ProfileCRS, wafrules.ProfileBalanced} {
		s := wafrules.Defaults()
		s.Profile = profile
		raw, err := json.Marshal(s)
		if err == nil {
			_, err = r.Judge(filters.Policy{Mode: filters.ModeDetect, FailureMode: filters.FailOpen, Block: filters.BlockResponse{Status: 403}, WAF: raw})
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, "compile a profile:", err)
			os.Exit(1)
		}
	}
	os.Exit(m.Run())
}

// testPolicy is a policy as the control plane ships it, changed by edit.
func testPolicy(t testing.TB, mode filters.Mode, edit func(*filters.Policy, *wafrules.Settings)) filters.Policy {
	t.Helper()
	s := wafrules.Defaults()
	p := filters.Policy{
		Mode:         mode,
		FailureMode:  filters.FailOpen,
		RequestBody:  filters.BodyInspection{Inspect: true, Limit: 128 << 10, StructuredLimit: 1 << 20, Beyond: filters.BeyondPartial},
		ResponseBody: filters.BodyInspection{Limit: 128 << 10, Beyond: filters.BeyondPartial},
		Block:        filters.BlockResponse{Status: 403},
	}
	if edit != nil {
		edit(&p, &s)
	}
	raw, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	p.WAF = raw
	return p
}

func testJudge(t testing.TB, mode filters.Mode, edit func(*filters.Policy, *wafrules.Settings)) *Judge {
	t.Helper()
	j, err := NewJudge(testPolicy(t, mode, edit), Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(j.Close)
	return j
}

func get(target string, headers ...string) *filters.RequestHead {
	h := &filters.RequestHead{Method: "GET", Scheme: "http", Authority: "shop.example", Path: target, Proto: "HTTP/1.1",
		Client: netip.MustParseAddrPort("192.0.2.7:40000"), Server: netip.MustParseAddrPort("127.0.0.1:8080"),
		Headers: []filters.Header{{Name: "user-agent", Value: "test"}, {Name: "accept", Value: "*/*"}}}
	for i := 0; i+1 < len(headers); i += 2 {
		h.Headers = append(h.Headers, filters.Header{Name: headers[i], Value: headers[i+1]})
	}
	return h
}

const sqli = "/api?q=1%27%20UNION%20SELECT%20password%20FROM%20users--"

func TestDetectReportsAndBlockDenies(t *testing.T) {
	m := Message{Request: get(sqli), Response: &filters.ResponseHead{Status: 200}}
	d := testJudge(t, filters.ModeDetect, nil).Decide(m)
	b := testJudge(t, filters.ModeBlock, nil).Decide(m)
	if d.Decision != filters.Detect || d.Status != 200 || d.Event.WouldBe != 403 || d.Event.Status != 200 {
		t.Errorf("detect: %+v %+v", d, d.Event)
	}
	if b.Decision != filters.Denied || b.Status != 403 {
		t.Errorf("block: %+v", b)
	}
	e := d.Event
	if e.Path != "/api" || e.Client != "192.0.2.7" || e.Host != "shop.example" || e.Score < 5 || !strings.HasPrefix(e.Reason, "inbound score") {
		t.Errorf("event: %+v", e)
	}
	for _, m := range e.Matches {
		if m.Rule >= 949000 || m.Variable == "" || strings.Contains(m.Value, "password") || strings.Contains(m.Value, "users") {
			t.Errorf("match: %+v", m)
		}
	}
	text, _ := json.MarshalIndent(e, "", " ")
	t.Logf("%s", text)
}

func TestBenignHasNoEvent(t *testing.T) {
	v := testJudge(t, filters.ModeBlock, nil).Decide(Message{Request: get("/api?q=hello"), Response: &filters.ResponseHead{Status: 204}})
	if v.Decision != filters.Allow || v.Status != 204 || v.Event != nil {
		t.Errorf("%+v %+v", v, v.Event)
	}
}

// A chunked POST says how its body ends, though proxies take the header away.
func TestChunkedBodyIsFramed(t *testing.T) {
	j := testJudge(t, filters.ModeDetect, func(_ *filters.Policy, s *wafrules.Settings) { s.Profile = wafrules.ProfileCRS })
	post := get("/orders", "content-type", "application/x-www-form-urlencoded")
	post.Method = "POST"
	before := len(post.Headers)
	if v := j.Decide(Message{Request: post, RequestBody: []byte("item=7")}); slices.Contains(v.Rules, 920180) {
		t.Errorf("a chunked body matches %v", v.Rules)
	}
	if len(post.Headers) != before {
		t.Error("the head was changed")
	}
	post.Proto = "HTTP/1.0"
	if v := j.Decide(Message{Request: post, RequestBody: []byte("item=7")}); !slices.Contains(v.Rules, 920180) {
		t.Errorf("a body of unknown end in HTTP/1.0 matches %v only", v.Rules)
	}
}

// A body longer than is inspected leaves an event even when nothing in it
// matched: otherwise padding would be a way past that nobody sees.
func TestTooLongABodyIsAnEvent(t *testing.T) {
	for _, mode := range []filters.Mode{filters.ModeDetect, filters.ModeBlock} {
		j := testJudge(t, mode, func(p *filters.Policy, _ *wafrules.Settings) {
			p.RequestBody.Limit, p.RequestBody.StructuredLimit = 1000, 1000
		})
		head := &filters.RequestHead{Method: "POST", Scheme: "http", Authority: "shop.example.com", Path: "/", Proto: "HTTP/1.1",
			Headers: []filters.Header{{Name: "user-agent", Value: "Mozilla/5.0"}, {Name: "accept", Value: "*/*"},
				{Name: "content-type", Value: "application/x-www-form-urlencoded"}, {Name: "content-length", Value: "2002"}}}
		v := j.Decide(Message{Request: head, RequestBody: []byte("a=" + strings.Repeat("b", 2000))})
		if v.Event == nil || v.Decision != filters.Allow || v.Event.Partial == "" || v.Event.Engine != "chain" || v.Event.Reason == "" {
			t.Errorf("%s: decision %s, event %+v", mode, v.Decision, v.Event)
		}
	}
}
