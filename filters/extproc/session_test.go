package extproc

import (
	"io"
	"log/slog"
	"testing"
	"time"

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
