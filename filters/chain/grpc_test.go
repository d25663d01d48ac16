package chain

import (
	"encoding/binary"
	"strings"
	"testing"

	"github.com/gabion-io/gabion/filters"
	wafrules "github.com/gabion-io/gabion/waf-rules"
)

// frame is one gRPC message as it is sent.
func frame(flag byte, message string) string {
	head := binary.BigEndian.AppendUint32([]byte{flag}, uint32(len(message)))
	return string(head) + message
}

func grpcPost(headers ...string) *filters.RequestHead {
	h := http2(get("/shop.Orders/Place", append([]string{"content-type", "application/grpc", "te", "trailers"}, headers...)...))
	h.Method = "POST"
	return h
}

func TestFrames(t *testing.T) {
	good := frame(0, "") + frame(1, strings.Repeat("x", 300)) + frame(0, "{}") + "\x00\x00"
	for name, c := range map[string]struct {
		body string
		want bool
	}{
		"frames": {good, true}, "nothing": {"", true}, "JSON": {`{"a":1}`, false}, "form": {"a=1", false}, "space": {"  [1]", false},
		"a frame, then text": {frame(0, "x") + "{", false}, "flag": {frame(2, "x"), false}, "length": {"\x00\xff\xff\xff\xff", false},
		"longest": {"\x00\x10\x00\x00\x00", true},
	} {
		for _, size := range []int{1, 3, 5, 1000} {
			var f frames
			got := true
			for rest := c.body; rest != "" && got; {
				n := min(size, len(rest))
				got = f.pass([]byte(rest[:n]))
				rest = rest[n:]
			}
			if got != c.want {
				t.Errorf("%s in parts of %d: %v", name, size, got)
			}
		}
	}
}

// However a body is cut into chunks, it is gRPC or not.
func FuzzFrames(f *testing.F) {
	f.Add([]byte(frame(0, "abc")+frame(1, "")), uint8(2))
	f.Add([]byte(`{"a":1}`), uint8(1))
	f.Fuzz(func(t *testing.T, body []byte, cut uint8) {
		var whole, parts frames
		at := min(int(cut), len(body))
		want := whole.pass(body)
		got := parts.pass(body[:at]) && parts.pass(body[at:])
		if got != want || want && whole != parts {
			t.Errorf("%q cut at %d: %v, whole %v", body, at, got, want)
		}
	})
}

// A request is a gRPC stream only while its bytes are gRPC.
func TestWhatCallsItselfGRPC(t *testing.T) {
	attack, fine := `{"q":"1' UNION SELECT password FROM users-- "}`, `{"q":"tea"}`
	takeJSON := func(_ *filters.Policy, s *wafrules.Settings) {
		s.Exclusions = []wafrules.Exclusion{{Rule: 920420}}
	}
	r := NewRuntime(Options{})
	tables := map[filters.Mode]*Table{}
	for _, mode := range []filters.Mode{filters.ModeBlock, filters.ModeDetect} {
		tables[mode] = table(t, r, testPolicy(t, mode, takeJSON), nil)
	}
	for _, c := range []struct {
		name   string
		head   *filters.RequestHead
		body   string
		denied bool
	}{
		{"calls", grpcPost(), frame(0, "x") + frame(1, strings.Repeat("y", 1000)) + frame(0, "1' UNION SELECT password FROM users-- "), false},
		{"JSON", grpcPost(), fine, false},
		{"JSON attack", grpcPost(), attack, true},
		{"JSON attack after a frame", grpcPost(), frame(0, "x") + attack, true},
		{"form attack", grpcPost(), attackForm, true},
		{"attack with length", grpcPost("content-length", "47"), attack, true},
		{"attack without te", http2(get("/", "content-type", "application/grpc")), attack, true},
		{"attack in the query of a call", func() *filters.RequestHead { h := grpcPost(); h.Path = sqli; return h }(), frame(0, "x"), true},
	} {
		for mode, tab := range tables {
			for _, chunk := range []int{7, 10_000} {
				x := tab.Begin("k")
				got := steps(x, Message{Request: c.head, RequestBody: []byte(c.body), Response: &filters.ResponseHead{Status: 200}}, chunk)
				e := x.Complete()
				if denied := e != nil && e.WouldBe == 403; denied != c.denied || e != nil && strings.Contains(e.Partial, grpcStream) != (c.name == "attack in the query of a call" || c.name == "calls") {
					t.Errorf("%s, %s, chunks of %d: %v, event %+v", mode, c.name, chunk, got, e)
				}
				if last := got[len(got)-1]; mode == filters.ModeDetect && strings.Contains(strings.Join(got, " "), "hold") || mode == filters.ModeBlock && c.denied != (last == filters.Deny.String()+" 403") {
					t.Errorf("%s, %s, chunks of %d: %v", mode, c.name, chunk, got)
				}
				if r.Stats().Held != 0 {
					t.Errorf("%s: %d bytes held", c.name, r.Stats().Held)
				}
			}
		}
	}
}

// A request that ends within a gRPC message is none, and no other message either:
// it is for the failure mode.
func TestTornCalls(t *testing.T) {
	r := NewRuntime(Options{})
	tab := table(t, r, testPolicy(t, filters.ModeBlock, func(p *filters.Policy, _ *wafrules.Settings) { p.FailureMode = filters.FailClosed }), nil)
	for _, chunk := range []int{10_000, 20} {
		x := tab.Begin("k")
		got := steps(x, Message{Request: grpcPost(), RequestBody: []byte("\x00\x09\x09\x09\x09" + `{"q":"tea","and":"more"}`)}, chunk)
		if e := x.Complete(); e == nil || e.Status != 503 || !strings.Contains(e.Reason, "ends within") {
			t.Errorf("chunks of %d: %v, event %+v", chunk, got, e)
		}
	}
}

// A call is never held: not its head, nor any of its messages.
func TestCallsAreNotHeld(t *testing.T) {
	x := table(t, NewRuntime(Options{}), testPolicy(t, filters.ModeBlock, func(_ *filters.Policy, s *wafrules.Settings) {
		s.Exclusions = []wafrules.Exclusion{{Rule: 920420}}
	}), nil).Begin("k")
	if s := x.RequestHeaders(grpcPost(), false); s.Do != filters.Continue {
		t.Fatalf("head: %v", s)
	}
	if w := x.Wants(); !w.Request || w.HoldRequest {
		t.Errorf("wants %+v", w)
	}
	for i, part := range []string{"\x00", "\x00\x00\x00\x05ab", "cde", frame(1, "xyz")} {
		if s := x.RequestBody([]byte(part), i == 3); s.Do != filters.Continue {
			t.Errorf("part %d: %v", i, s)
		}
	}
	if e := x.Complete(); e != nil {
		t.Errorf("event %+v", e)
	}
}
