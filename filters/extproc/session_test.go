package extproc

import (
	"bytes"
	"io"
	"log/slog"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/structpb"

	procv3 "github.com/envoyproxy/go-control-plane/envoy/service/ext_proc/v3"

	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"

	"github.com/gabion-io/gabion/filters"
	"github.com/gabion-io/gabion/filters/chain"
)

// A panic of ours is caught and answered by the failure mode; detect never
// changes a response.
func TestPanicsAreAnswered(t *testing.T) {
	table := &filters.Table{
		Unknown: filters.FailClosed,
		Bindings: map[string]filters.Binding{
			"block": {Policy: "1"}, "detect": {Policy: "2"}, "open": {Policy: "3"},
		},
		Policies: map[string]filters.Policy{
			"1": {Mode: filters.ModeBlock, FailureMode: filters.FailClosed},
			"2": {Mode: filters.ModeDetect, FailureMode: filters.FailClosed},
			"3": {Mode: filters.ModeBlock, FailureMode: filters.FailOpen},
		},
	}
	s := &server{log: slog.New(slog.NewTextHandler(io.Discard, nil))}
	for key, denied := range map[string]bool{"block": true, "detect": false, "open": false, "nowhere": true, "": false} {
		x := &session{table: table, key: key} // no exchange: any answer panics
		req := &procv3.ProcessingRequest{Request: &procv3.ProcessingRequest_RequestHeaders{RequestHeaders: &procv3.HttpHeaders{}}}
		if !s.guard("process", func() { x.answer(req) }) {
			t.Fatal("nothing panicked")
		}
		if got := x.lapse(req).GetImmediateResponse().GetStatus().GetCode() == 503; got != denied {
			t.Errorf("%q: denied %v, want %v", key, got, denied)
		}
	}
}

// What finds no place in the queue is answered by the failure mode, with the
// event; detect never changes a response.
func TestRefusedIsAnswered(t *testing.T) {
	policy := func(mode string) string {
		return `{"mode":"` + mode + `","failureMode":"closed","requestBody":{"inspect":true,"limit":100000,"beyond":"partial"},"block":{"status":403},` +
			`"waf":{"profile":"crs","paranoiaLevel":1,"inbound":5,"outbound":4,"maxArguments":1000,"jsonDepth":64}}`
	}
	rt := chain.NewRuntime(chain.Options{Workers: 1})
	ts := newTables(rt)
	if err := ts.set(shipped{Name: "t", Table: `{"listener":"a","bindings":{"block":{"policy":"1"},"detect":{"policy":"2"}},"unknown":"closed",
		"policies":{"1":` + policy("block") + `,"2":` + policy("detect") + `}}`}); err != nil {
		t.Fatal(err)
	}
	begun, release := make(chan bool), make(chan bool)
	enqueue := func(run func()) bool {
		e, _, err := ts.begin("t", "block")
		if err != nil {
			t.Fatal(err)
		}
		return e.Later(time.Second, 1, run, func(bool) { e.Complete() })
	}
	if !enqueue(func() { close(begun); <-release }) {
		t.Fatal("the first found no place")
	}
	defer close(release)
	<-begun
	for enqueue(func() {}) {
	}
	for key, denied := range map[string]bool{"block": true, "detect": false} {
		e, table, err := ts.begin("t", key)
		if err != nil {
			t.Fatal(err)
		}
		x := &session{exchange: e, table: table, key: key, cut: func(int, int64) {}}
		head := &procv3.HttpHeaders{Headers: &core.HeaderMap{Headers: []*core.HeaderValue{
			{Key: ":method", RawValue: []byte("POST")}, {Key: ":path", RawValue: []byte("/")}, {Key: "content-type", RawValue: []byte("text/plain")}}}}
		if r := x.answer(&procv3.ProcessingRequest{Request: &procv3.ProcessingRequest_RequestHeaders{RequestHeaders: head}}); r.GetImmediateResponse() != nil {
			t.Errorf("%s: head %v", key, r)
		}
		r := x.answer(&procv3.ProcessingRequest{Request: &procv3.ProcessingRequest_RequestBody{RequestBody: &procv3.HttpBody{
			Body: bytes.Repeat([]byte("lorem "), 5000), EndOfStream: true}}})
		if got := r.GetImmediateResponse().GetStatus().GetCode() == 503; got != denied {
			t.Errorf("%s: %v", key, r)
		}
		if told := r.GetDynamicMetadata().String(); !strings.Contains(told, "too many bodies wait") {
			t.Errorf("%s: told %s", key, told)
		}
		e.Complete()
	}
	if rt.Stats().Refused != 3 { // the last of the loop, and two
		t.Errorf("%+v", rt.Stats())
	}
}

// What called itself gRPC and is not is held in the filter, and put back whole.
func TestMaskedBodyIsPutBack(t *testing.T) {
	rt := chain.NewRuntime(chain.Options{})
	ts := newTables(rt)
	if err := ts.set(shipped{Name: "t", Table: `{"listener":"a","bindings":{"k":{"policy":"1"}},"unknown":"closed","policies":{"1":{"mode":"block","failureMode":"closed",
		"requestBody":{"inspect":true,"limit":100000,"beyond":"partial"},"block":{"status":403},
		"waf":{"profile":"crs","paranoiaLevel":1,"inbound":100,"outbound":4,"maxArguments":1000,"jsonDepth":64}}}}`}); err != nil {
		t.Fatal(err)
	}
	for _, trailers := range []bool{false, true} {
		e, table, err := ts.begin("t", "k")
		if err != nil {
			t.Fatal(err)
		}
		x := &session{exchange: e, table: table, key: "k", cut: func(int, int64) {}}
		head := &procv3.HttpHeaders{Headers: &core.HeaderMap{}}
		for _, f := range [][2]string{{":method", "POST"}, {":path", "/"}, {"content-type", "application/grpc"}, {"te", "trailers"}} {
			head.Headers.Headers = append(head.Headers.Headers, &core.HeaderValue{Key: f[0], RawValue: []byte(f[1])})
		}
		attributes := map[string]*structpb.Struct{attributesOf: {Fields: map[string]*structpb.Value{"request.protocol": structpb.NewStringValue("HTTP/2")}}}
		if r := x.answer(&procv3.ProcessingRequest{Attributes: attributes, Request: &procv3.ProcessingRequest_RequestHeaders{RequestHeaders: head}}); !x.streamed {
			t.Fatalf("head: %v", r)
		}
		part := func(text string, end bool) *procv3.BodyMutation {
			r := x.answer(&procv3.ProcessingRequest{Request: &procv3.ProcessingRequest_RequestBody{RequestBody: &procv3.HttpBody{Body: []byte(text), EndOfStream: end}}})
			return r.GetRequestBody().GetResponse().GetBodyMutation()
		}
		if m := part("\x00\x00\x00\x00\x01x", false); m != nil {
			t.Errorf("a message is changed: %v", m)
		}
		if m := part(`{"a":`, false); !m.GetClearBody() {
			t.Errorf("the first part is not held: %v", m)
		}
		if trailers {
			r := x.answer(&procv3.ProcessingRequest{Request: &procv3.ProcessingRequest_RequestTrailers{RequestTrailers: &procv3.HttpTrailers{}}})
			if r.GetImmediateResponse().GetStatus().GetCode() != 503 {
				t.Errorf("trailers: %v", r)
			}
		} else if m := part(`1}`, true); string(m.GetBody()) != `{"a":1}` {
			t.Errorf("put back %v", m)
		}
		e.Complete()
	}
}

func TestRequestHead(t *testing.T) {
	raw := func(k, v string) *core.HeaderValue { return &core.HeaderValue{Key: k, RawValue: []byte(v)} }
	h := requestHead(&procv3.HttpHeaders{Headers: &core.HeaderMap{Headers: []*core.HeaderValue{
		raw(":method", "GET"), raw(":path", "/a?b"), raw(":authority", "x"), raw(":scheme", "http"),
		raw("x-request-id", "7"), raw("cookie", "\xff"),
	}}}, nil, time.Unix(0, 0))
	if h.Method != "GET" || h.Path != "/a?b" || h.Authority != "x" || h.Scheme != "http" || h.RequestID != "7" || h.Client.IsValid() {
		t.Errorf("%+v", h)
	}
	if len(h.Headers) != 2 || h.Headers[1].Value != "\xff" {
		t.Errorf("headers %+v", h.Headers)
	}
}

// Messages in an order Envoy would not use are answered and end no process.
func FuzzMessages(f *testing.F) {
	f.Add([]byte{0, 1, 2, 3, 4, 5}, []byte("a=1"))
	f.Add([]byte{5, 4, 3, 3, 0, 0}, []byte{})
	rt := chain.NewRuntime(chain.Options{})
	ts := newTables(rt)
	if err := ts.set(shipped{Name: "t", Table: `{"listener":"a","bindings":{"k":{"policy":"1","route":"r"}},"unknown":"closed",
		"policies":{"1":{"mode":"block","failureMode":"closed","requestBody":{"inspect":true,"limit":8,"beyond":"reject"},"responseBody":{"inspect":true,"limit":8,"beyond":"partial"},"block":{"status":403}}}}`}); err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, order, body []byte) {
		e, table, err := ts.begin("t", "k")
		if err != nil {
			t.Fatal(err)
		}
		x := &session{exchange: e, table: table, key: "k", cut: func(int, int64) {}}
		for _, kind := range order {
			if r := x.answer(message(kind, body)); r == nil && kind%7 != 6 {
				t.Errorf("no answer to message %d", kind)
			}
		}
		e.Complete()
	})
}

func message(kind byte, body []byte) *procv3.ProcessingRequest {
	h := &procv3.HttpHeaders{EndOfStream: kind > 127, Headers: &core.HeaderMap{Headers: []*core.HeaderValue{{Key: ":status", RawValue: body}}}}
	b := &procv3.HttpBody{Body: body, EndOfStream: kind > 127}
	switch kind % 7 {
	case 0:
		return &procv3.ProcessingRequest{Request: &procv3.ProcessingRequest_RequestHeaders{RequestHeaders: h}}
	case 1:
		return &procv3.ProcessingRequest{Request: &procv3.ProcessingRequest_RequestBody{RequestBody: b}}
	case 2:
		return &procv3.ProcessingRequest{Request: &procv3.ProcessingRequest_RequestTrailers{RequestTrailers: &procv3.HttpTrailers{}}}
	case 3:
		return &procv3.ProcessingRequest{Request: &procv3.ProcessingRequest_ResponseHeaders{ResponseHeaders: h}}
	case 4:
		return &procv3.ProcessingRequest{Request: &procv3.ProcessingRequest_ResponseBody{ResponseBody: b}}
	case 5:
		return &procv3.ProcessingRequest{Request: &procv3.ProcessingRequest_ResponseTrailers{ResponseTrailers: &procv3.HttpTrailers{}}}
	}
	return &procv3.ProcessingRequest{}
}
