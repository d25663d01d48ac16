package chain

import (
	"bytes"
	"compress/flate"
	"compress/gzip"
	"compress/zlib"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/andybalholm/brotli"
	"github.com/klauspost/compress/zstd"

	"github.com/gabion-io/gabion/filters"
	wafrules "github.com/gabion-io/gabion/waf-rules"
)

// compressed gives body in every coding that is read.
func compressed(t testing.TB, body string) map[string][]byte {
	t.Helper()
	out := map[string][]byte{}
	write := func(name string, w interface {
		Write([]byte) (int, error)
		Close() error
	}, b *bytes.Buffer) {
		if _, err := w.Write([]byte(body)); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		out[name] = b.Bytes()
	}
	var g, z, f, br, zs bytes.Buffer
	write("gzip", gzip.NewWriter(&g), &g)
	write("deflate", zlib.NewWriter(&z), &z)
	raw, _ := flate.NewWriter(&f, 6)
	write("raw deflate", raw, &f)
	write("br", brotli.NewWriter(&br), &br)
	e, err := zstd.NewWriter(&zs)
	if err != nil {
		t.Fatal(err)
	}
	write("zstd", e, &zs)
	return out
}

// mayBeCompressed takes the rule away that allows no Content-Encoding.
func mayBeCompressed(edit func(*filters.Policy)) func(*filters.Policy, *wafrules.Settings) {
	return func(p *filters.Policy, s *wafrules.Settings) {
		s.Exclusions = []wafrules.Exclusion{{Rule: 920450}}
		if edit != nil {
			edit(p)
		}
	}
}

func encodedPost(coding string, body []byte) Message {
	h := post(string(body))
	h.Headers = append(h.Headers, filters.Header{Name: "content-encoding", Value: coding})
	return Message{Request: h, RequestBody: body, Response: &filters.ResponseHead{Status: 200}}
}

const attackForm = "a=1&q=1' UNION SELECT password FROM users-- "

// Compressed bodies are inspected as the upstream will read them.
func TestCompressedRequests(t *testing.T) {
	j := testJudge(t, filters.ModeBlock, mayBeCompressed(func(p *filters.Policy) { p.FailureMode = filters.FailClosed }))
	for name, body := range compressed(t, attackForm) {
		coding := strings.TrimPrefix(name, "raw ")
		if v := j.Decide(encodedPost(coding, body)); v.Status != 403 {
			t.Errorf("%s: %+v", name, v)
		}
		if v := j.Decide(encodedPost(coding, body[:len(body)-3])); v.Status != 503 || !strings.Contains(v.Reason, "decode") && !strings.Contains(v.Reason, "EOF") {
			t.Errorf("torn %s: %+v", name, v)
		}
	}
	for name, body := range compressed(t, "a=1&b=hello") {
		if v := j.Decide(encodedPost(strings.TrimPrefix(name, "raw "), body)); v.Decision != filters.Allow || v.Event != nil {
			t.Errorf("harmless %s: %+v", name, v)
		}
	}
	twice := compressed(t, string(compressed(t, attackForm)["gzip"]))["br"]
	if v := j.Decide(encodedPost("gzip, br", twice)); v.Status != 403 {
		t.Errorf("twice: %+v", v)
	}
	lines := encodedPost("identity", compressed(t, attackForm)["gzip"])
	lines.Request.Headers = append(lines.Request.Headers, filters.Header{Name: "content-encoding", Value: "gzip"})
	if v := j.Decide(lines); v.Status != 403 {
		t.Errorf("in a second line: %+v", v)
	}
	if v := j.Decide(encodedPost("sdch", []byte("a=1"))); v.Status != 503 || v.Event == nil || !strings.Contains(v.Reason, "sdch") {
		t.Errorf("unknown: %+v", v)
	}
	open := testJudge(t, filters.ModeBlock, mayBeCompressed(nil))
	if v := open.Decide(encodedPost("sdch", []byte("a=1"))); v.Decision != filters.Allow || v.Event == nil {
		t.Errorf("unknown, open: %+v", v)
	}
}

// A small body that grows large is judged by the limit's rule, and costs no more
// memory than that.
func TestCompressedBombs(t *testing.T) {
	bombs := compressed(t, "a="+strings.Repeat("x", 2<<20))
	for beyond, status := range map[filters.Beyond]int{filters.BeyondReject: 413, filters.BeyondPartial: 200, filters.BeyondPass: 200} {
		j := testJudge(t, filters.ModeBlock, mayBeCompressed(func(p *filters.Policy) {
			p.RequestBody.StructuredLimit, p.RequestBody.Beyond = 32<<10, beyond
		}))
		for name, body := range bombs {
			v := j.Decide(encodedPost(strings.TrimPrefix(name, "raw "), body))
			if v.Status != status || v.Event == nil || !strings.Contains(v.Event.Partial, "decoded request body beyond") {
				t.Errorf("%s, %s: %+v", beyond, name, v)
			}
		}
	}
	if d := decode("gzip", bombs["gzip"], 1<<30); !d.more || len(d.body) > maxRatio*len(bombs["gzip"]) {
		t.Errorf("%d bytes of a body beyond the ratio", len(d.body))
	}
}

// What one response holds compressed is inspected likewise.
func TestCompressedResponses(t *testing.T) {
	j := testJudge(t, filters.ModeBlock, func(p *filters.Policy, _ *wafrules.Settings) {
		p.ResponseBody.Inspect, p.FailureMode = true, filters.FailClosed
	})
	leak := "You have an error in your SQL syntax; check the manual that corresponds to your MySQL server version near 'x'"
	for name, body := range compressed(t, leak) {
		coding := strings.TrimPrefix(name, "raw ")
		v := j.Decide(Message{Request: get("/"), Response: &filters.ResponseHead{Status: 200, Headers: []filters.Header{
			{Name: "content-type", Value: "text/html"}, {Name: "content-encoding", Value: coding}}}, ResponseBody: body})
		if v.Status != 403 {
			t.Errorf("%s: %+v", name, v)
		}
	}
}

func FuzzDecode(f *testing.F) {
	for name, b := range compressed(f, attackForm) {
		f.Add(name, b)
	}
	f.Add("gzip, zstd, br", []byte{0x1f, 0x8b})
	f.Fuzz(func(t *testing.T, codings string, body []byte) {
		if d := decode(codings, body, 100_000); len(d.body) > 100_000 {
			t.Errorf("%d bytes", len(d.body))
		}
	})
}

func TestBodyLimitsByType(t *testing.T) {
	b := filters.BodyInspection{Inspect: true, Limit: 10, StructuredLimit: 20, Beyond: filters.BeyondPartial, Types: []filters.BodyLimit{
		{ContentType: "application/json", Limit: 5, Beyond: filters.BeyondReject},
		{ContentType: "application/*+json", Limit: 6, Beyond: filters.BeyondPass},
		{ContentType: "image/*", Limit: 7, Beyond: filters.BeyondPass},
	}}
	for media, want := range map[string]int64{"application/json": 5, "application/x+json": 6, "image/png": 7, "text/plain": 10, "text/xml": 20, "": 10, "image": 10} {
		if got, _ := limitFor(b, media); got != want {
			t.Errorf("%q: %d, want %d", media, got, want)
		}
	}
	if b.MostHeld() != 20 {
		t.Error(b.MostHeld())
	}
	j := testJudge(t, filters.ModeBlock, func(p *filters.Policy, _ *wafrules.Settings) {
		p.RequestBody.Types = []filters.BodyLimit{{ContentType: "application/x-www-form-urlencoded", Limit: 10, Beyond: filters.BeyondReject}}
	})
	if v := j.Decide(Message{Request: post("a=12345678901"), RequestBody: []byte("a=12345678901")}); v.Status != 413 {
		t.Errorf("%+v", v)
	}
}

// largeForm has n fields, the last of which is an attack.
func largeForm(n int) []byte {
	var b bytes.Buffer
	for i := range n {
		fmt.Fprintf(&b, "field_%d=some+value+%d&", i, i)
	}
	return append(b.Bytes(), "last=1'+UNION+SELECT+password+FROM+users--"...)
}

// However many values there are, the last is inspected.
func TestLastOfManyValues(t *testing.T) {
	j := testJudge(t, filters.ModeBlock, nil)
	body := largeForm(12_000)
	v := j.Decide(Message{Request: post(string(body)), RequestBody: body})
	if v.Status != 403 || v.Score < 5 {
		t.Errorf("form: %+v", v)
	}
	json := []byte(`{"n":[` + strings.Repeat(`"v",`, 12_000) + `"1' UNION SELECT password FROM users-- "]}`)
	h := post(string(json))
	h.Headers[2].Value = "application/json"
	if v := j.Decide(Message{Request: h, RequestBody: json}); v.Status != 403 || v.Score < 5 {
		t.Errorf("JSON: %+v", v)
	}
}

// A judgement that takes longer than the policy gives it is broken off and
// answered by the failure mode; the next is judged as ever.
func TestMaxInspectionTime(t *testing.T) {
	body := largeForm(20_000)
	for _, c := range []struct {
		mode    filters.Mode
		failure filters.FailureMode
		want    filters.Do
	}{
		{filters.ModeBlock, filters.FailClosed, filters.Deny}, {filters.ModeBlock, filters.FailOpen, filters.Continue},
		{filters.ModeDetect, filters.FailClosed, filters.Continue},
	} {
		r := NewRuntime(Options{})
		tab := table(t, r, testPolicy(t, c.mode, func(p *filters.Policy, _ *wafrules.Settings) {
			p.FailureMode, p.MaxMillis = c.failure, 1
		}), nil)
		x := tab.Begin("k")
		s := x.RequestHeaders(post(string(body)), false)
		if s.Do != filters.Deny { // the head may have taken as long already
			s = x.RequestBody(body, true)
		}
		if x.failure == "" || s.Do != c.want || c.want == filters.Deny && s.Reply.Status != 503 {
			t.Errorf("%s %s: %v, failure %q", c.mode, c.failure, s, x.failure)
		}
		if e := x.Complete(); e == nil || !strings.Contains(e.Reason, "longer than 1 ms") {
			t.Errorf("%s %s: %+v", c.mode, c.failure, e)
		}
		if s := r.Stats(); s.Overdue == 0 || s.Held != 0 {
			t.Errorf("%+v", s)
		}
	}
}

// Time in the queue is not time for judging; but who has waited for half a minute
// is not judged any more, whatever the policy's limit.
func TestWaitingForATurn(t *testing.T) {
	for _, c := range []struct {
		wait   time.Duration
		millis int64
		mode   filters.Mode
		want   filters.Do
		reason string
	}{
		{maxWait - time.Second, 1000, filters.ModeBlock, filters.Continue, ""},
		{maxWait + time.Second, 1000, filters.ModeBlock, filters.Deny, "waited too long"},
		{maxWait + time.Second, 0, filters.ModeBlock, filters.Deny, "waited too long"},
		{maxWait + time.Second, 1000, filters.ModeDetect, filters.Continue, "waited too long"},
	} {
		r := NewRuntime(Options{Workers: 1})
		tab := table(t, r, testPolicy(t, c.mode, func(p *filters.Policy, _ *wafrules.Settings) {
			p.FailureMode, p.MaxMillis = filters.FailClosed, c.millis
		}), nil)
		synctest.Test(t, func(t *testing.T) {
			before, x := tab.Begin("k"), tab.Begin("k")
			done, step := make(chan bool, 1), filters.Step{}
			if !before.Later(time.Second, 1, func() { time.Sleep(c.wait) }, func(bool) {}) {
				t.Fatal("no place in the queue")
			}
			synctest.Wait()
			if !x.Later(time.Second, 1, func() {
				if step = x.RequestHeaders(post("a=b"), false); step.Do != filters.Deny {
					step = x.RequestBody([]byte("a=b"), true)
				}
			}, func(failed bool) { done <- failed }) {
				t.Fatal("no place in the queue")
			}
			if <-done || step.Do != c.want || step.Do == filters.Deny && step.Reply.Status != 503 {
				t.Errorf("%+v: %v", c, step)
			}
			before.Complete()
			if e := x.Complete(); (e != nil) != (c.reason != "") || e != nil && !strings.Contains(e.Reason, c.reason) {
				t.Errorf("%+v: event %+v", c, e)
			}
		})
	}
}

// What finds no place in the queue is answered by the failure mode, with an event.
func TestRefusedJudgements(t *testing.T) {
	for mode, want := range map[filters.Mode]filters.Do{filters.ModeBlock: filters.Deny, filters.ModeDetect: filters.Continue} {
		r := NewRuntime(Options{Workers: 1})
		tab := table(t, r, testPolicy(t, mode, func(p *filters.Policy, _ *wafrules.Settings) { p.FailureMode = filters.FailClosed }), nil)
		release, begun := make(chan bool), make(chan bool)
		r.pool.submit(&job{client: "z", run: func() { close(begun); <-release }, done: func(bool) {}})
		<-begun
		ended := make(chan bool, maxQueued)
		waiting := 0
		for {
			x := tab.Begin("k")
			x.SetClient(post("a=b"))
			if !x.Later(time.Second, 1, func() {}, func(failed bool) { ended <- failed }) {
				if s := x.Refuse(); s.Do != want {
					t.Errorf("%s: %v", mode, s)
				}
				if e := x.Complete(); e == nil || !strings.Contains(e.Reason, "too many bodies wait") || e.WouldBe != 503 {
					t.Errorf("%s: event %+v", mode, e)
				}
				break
			}
			waiting++
		}
		close(release)
		for range waiting {
			<-ended
		}
		if s := r.Stats(); waiting != maxQueued/shareOfQueue || s.Refused != 1 {
			t.Errorf("%s: %d waited, %+v", mode, waiting, s)
		}
	}
}

// Bodies for which there is no room are given up by the failure mode.
func TestHeldBytesAreBounded(t *testing.T) {
	r := NewRuntime(Options{})
	tab := table(t, r, testPolicy(t, filters.ModeBlock, func(p *filters.Policy, _ *wafrules.Settings) { p.FailureMode = filters.FailClosed }), nil)
	r.maxHeld.Store(1000)
	body := bytes.Repeat([]byte("a"), 800)
	a, b := tab.Begin("k"), tab.Begin("k")
	for _, x := range []*Exchange{a, b} {
		x.RequestHeaders(post(string(body)), false)
	}
	if s := a.RequestBody(body, false); s.Do != filters.Hold {
		t.Errorf("first: %v", s)
	}
	if s := b.RequestBody(body, false); s.Do != filters.Deny || s.Reply.Status != 503 {
		t.Errorf("second: %v", s)
	}
	a.Complete()
	if e := b.Complete(); e == nil || r.Stats().Held != 0 || r.Stats().Unheld != 1 {
		t.Errorf("event %+v, %+v", e, r.Stats())
	}
}

// A held upload that barely moves is cut; one that detect only watches is not.
func TestSlowUploads(t *testing.T) {
	for mode, want := range map[filters.Mode]filters.Do{filters.ModeBlock: filters.Deny, filters.ModeDetect: filters.Continue} {
		r := NewRuntime(Options{})
		tab := table(t, r, testPolicy(t, mode, func(p *filters.Policy, _ *wafrules.Settings) { p.RequestBody.MinRate = 1000 }), nil)
		x := tab.Begin("k")
		x.RequestHeaders(post("aaaaaaaaaaaa"), false)
		x.RequestBody([]byte("a"), false)
		if s := x.Waiting(); mode == filters.ModeBlock && s.Do != filters.Hold {
			t.Errorf("%s: cut at once: %v", mode, s)
		}
		x.req.since = x.req.since.Add(-uploadGrace - time.Second)
		if s := x.Waiting(); s.Do != want || want == filters.Deny && s.Reply.Status != 408 {
			t.Errorf("%s: %v", mode, s)
		}
		x.Complete()
	}
}

// Short judgements go before long ones, clients take turns, and a full queue
// refuses.
func TestPool(t *testing.T) {
	p := newPool(1, func(any, []byte) {})
	started, release := make(chan bool), make(chan bool)
	var mu sync.Mutex
	var order []string
	var all sync.WaitGroup
	put := func(client, name string, class int) bool {
		all.Add(1)
		ok := p.submit(&job{client: client, class: class, bytes: 1,
			run:  func() { mu.Lock(); order = append(order, name); mu.Unlock() },
			done: func(bool) { all.Done() }})
		if !ok {
			all.Done()
		}
		return ok
	}
	p.submit(&job{client: "z", run: func() { close(started); <-release }, done: func(bool) {}})
	<-started
	for i := range 4 {
		put("heavy", fmt.Sprint("heavy ", i), 2)
	}
	put("other", "other 0", 2)
	put("small", "small 0", 0)
	close(release)
	all.Wait()
	at := func(name string) int {
		for i, n := range order {
			if n == name {
				return i
			}
		}
		return -1
	}
	if at("small 0") > 1 || at("other 0") > at("heavy 2") {
		t.Errorf("order %v", order)
	}

	block := make(chan bool)
	began := make(chan bool)
	p.submit(&job{client: "z", run: func() { close(began); <-block }, done: func(bool) {}})
	<-began
	n := 0
	for put("greedy", "g", 0) {
		n++
	}
	if n != maxQueued/shareOfQueue || !put("modest", "m", 0) || p.refused.Load() != 1 {
		t.Errorf("%d queued, refused %d", n, p.refused.Load())
	}
	close(block)
	all.Wait()
}

// A panic in the pool is told, and the pool goes on.
func TestPoolSurvivesPanics(t *testing.T) {
	told := make(chan bool, 2)
	p := newPool(1, func(any, []byte) {})
	for _, bad := range []bool{true, false} {
		p.submit(&job{client: "a", run: func() {
			if bad {
				panic("x")
			}
		}, done: func(failed bool) { told <- failed }})
		if got := <-told; got != bad {
			t.Errorf("panicked %v, told %v", bad, got)
		}
	}
}
