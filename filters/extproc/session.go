package extproc

import (
	"bytes"
	"encoding/json"
	"maps"
	"time"

	"google.golang.org/protobuf/types/known/structpb"

	mode "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/ext_proc/v3"
	procv3 "github.com/envoyproxy/go-control-plane/envoy/service/ext_proc/v3"

	"github.com/gabion-io/gabion/filters"
	"github.com/gabion-io/gabion/filters/chain"
)

// session is one exchange: Envoy's messages in, the chain's answers out.
type session struct {
	exchange *chain.Exchange
	table    *filters.Table
	key      string
	finding  []byte // last told
	length   int64  // content-length of the request; 0: not told
	cut      func(shown int, length int64)
	gone     func() bool   // nobody waits for the answer any more
	streamed bool          // the request's body is shown in parts, as they come
	kept     []byte        // of them, those that wait for the verdict
	due      time.Duration // how long the request's body, held by Envoy, may take; 0: any time
}

// answer gives the answer to one message; nil for one we know nothing of.
func (x *session) answer(req *procv3.ProcessingRequest) *procv3.ProcessingResponse {
	switch m := req.GetRequest().(type) {
	case *procv3.ProcessingRequest_RequestHeaders:
		return x.requestHeaders(req, m.RequestHeaders)
	case *procv3.ProcessingRequest_RequestBody:
		b := m.RequestBody
		if x.streamed {
			return x.part(req, b)
		}
		step := x.body(false, b.GetBody(), b.GetEndOfStream())
		if step.Do == filters.Hold && !b.GetEndOfStream() {
			// Envoy holds no more than it has shown: it is at its buffer limit, or
			// trailers follow. Either way the verdict is due.
			if shown := len(b.GetBody()); int64(shown) < x.length {
				x.cut(shown, x.length)
				step = x.judged(x.exchange.BodyCost(false, nil, true), shown, x.exchange.RequestCut)
			} else {
				step = x.body(false, nil, true)
			}
		}
		return x.tell(step, passed(req))
	case *procv3.ProcessingRequest_RequestTrailers:
		step := x.body(false, nil, true)
		if len(x.kept) > 0 && step.Do != filters.Deny {
			step = x.exchange.RequestLost() // an answer to trailers has no place for a body
		}
		return x.tell(step, passed(req))
	case *procv3.ProcessingRequest_ResponseHeaders:
		return x.responseHeaders(m.ResponseHeaders)
	case *procv3.ProcessingRequest_ResponseBody:
		b := m.ResponseBody
		step := x.body(true, b.GetBody(), b.GetEndOfStream())
		if step.Do == filters.Hold && !b.GetEndOfStream() {
			step = x.body(true, nil, true)
		}
		return x.tell(step, passed(req))
	case *procv3.ProcessingRequest_ResponseTrailers:
		step := x.body(true, nil, true)
		return x.tell(step, passed(req))
	}
	return nil
}

// body shows a part of a body.
func (x *session) body(response bool, part []byte, end bool) filters.Step {
	show := x.exchange.RequestBody
	if response {
		show = x.exchange.ResponseBody
	}
	cost := x.exchange.BodyCost(response, [][]byte{part}, end)
	return x.judged(cost, len(part), func() filters.Step { return show(part, end) })
}

// part shows a part of a request's body while the upstream gets the others. What
// the chain holds of it (what called itself gRPC and is not) is taken out here
// and put back with the part that brings the verdict.
func (x *session) part(req *procv3.ProcessingRequest, b *procv3.HttpBody) *procv3.ProcessingResponse {
	step := x.body(false, b.GetBody(), b.GetEndOfStream())
	res := passed(req)
	change := &procv3.BodyMutation{}
	switch {
	case step.Do == filters.Deny, step.Do != filters.Hold && len(x.kept) == 0:
		return x.tell(step, res)
	case step.Do == filters.Hold:
		x.kept = append(x.kept, b.GetBody()...)
		change.Mutation = &procv3.BodyMutation_ClearBody{ClearBody: true}
	default:
		change.Mutation = &procv3.BodyMutation_Body{Body: append(x.kept, b.GetBody()...)}
		x.kept = nil
	}
	res.GetRequestBody().Response = &procv3.CommonResponse{BodyMutation: change}
	return x.tell(step, res)
}

// judged runs a step of the chain: here, or, when it takes long, when its turn
// comes, so that long ones never take all processors from the others.
func (x *session) judged(cost time.Duration, bytes int, step func() filters.Step) (out filters.Step) {
	if cost <= chain.Inline {
		return step()
	}
	done := make(chan bool, 1)
	if !x.exchange.Later(cost, int64(bytes), func() {
		if x.gone != nil && x.gone() && x.table.Policies[x.table.Bindings[x.key].Policy].Mode == filters.ModeBlock {
			return // block mode had kept the body from the upstream
		}
		fault("goroutine")
		out = step()
	}, func(failed bool) { done <- failed }) {
		return x.exchange.Refuse()
	}
	if <-done {
		panic("judging a message failed")
	}
	return out
}

func (x *session) requestHeaders(req *procv3.ProcessingRequest, h *procv3.HttpHeaders) *procv3.ProcessingResponse {
	head := requestHead(h, req.GetAttributes(), time.Now())
	x.length = contentLength(head)
	fault("hook")
	cost := x.exchange.HeadCost(head)
	if cost > chain.Inline {
		x.exchange.SetClient(head)
	}
	step := x.judged(cost, len(head.Path), func() filters.Step { return x.exchange.RequestHeaders(head, h.GetEndOfStream()) })
	wants := x.exchange.Wants()
	m := &mode.ProcessingMode{
		RequestHeaderMode:   mode.ProcessingMode_SEND,
		ResponseHeaderMode:  mode.ProcessingMode_SEND,
		RequestTrailerMode:  mode.ProcessingMode_SKIP,
		ResponseTrailerMode: mode.ProcessingMode_SKIP,
	}
	if !x.exchange.Active() {
		m.ResponseHeaderMode = mode.ProcessingMode_SKIP
	}
	if !h.GetEndOfStream() {
		m.RequestBodyMode, m.RequestTrailerMode = bodyMode(wants.Request, wants.HoldRequest)
		x.streamed = m.RequestBodyMode == mode.ProcessingMode_STREAMED
		if wants.HoldRequest && step.Do != filters.Deny {
			x.due = x.exchange.BodyDue(x.length)
		}
	}
	return x.tell(step, &procv3.ProcessingResponse{
		Response:     &procv3.ProcessingResponse_RequestHeaders{RequestHeaders: &procv3.HeadersResponse{}},
		ModeOverride: m,
	})
}

func (x *session) responseHeaders(h *procv3.HttpHeaders) *procv3.ProcessingResponse {
	step := x.exchange.ResponseHeaders(responseHead(h), h.GetEndOfStream())
	wants := x.exchange.Wants()
	m := &mode.ProcessingMode{
		ResponseHeaderMode:  mode.ProcessingMode_SEND,
		ResponseTrailerMode: mode.ProcessingMode_SKIP,
	}
	if !h.GetEndOfStream() {
		m.ResponseBodyMode, m.ResponseTrailerMode = bodyMode(wants.Response, wants.HoldResponse)
	}
	if x.streamed { // the request may still be under way, and this speaks for both
		m.RequestBodyMode, m.RequestTrailerMode = mode.ProcessingMode_STREAMED, mode.ProcessingMode_SEND
	}
	return x.tell(step, &procv3.ProcessingResponse{
		Response:     &procv3.ProcessingResponse_ResponseHeaders{ResponseHeaders: &procv3.HeadersResponse{}},
		ModeOverride: m,
	})
}

// bodyMode is how a body has to be shown. Streamed, its end is known only by
// its trailers, when it has any; a held one is judged by what was shown.
func bodyMode(wanted, held bool) (mode.ProcessingMode_BodySendMode, mode.ProcessingMode_HeaderSendMode) {
	switch {
	case held:
		return mode.ProcessingMode_BUFFERED_PARTIAL, mode.ProcessingMode_SKIP
	case wanted:
		return mode.ProcessingMode_STREAMED, mode.ProcessingMode_SEND
	}
	return mode.ProcessingMode_NONE, mode.ProcessingMode_SKIP
}

// tell makes the answer a denial if it is one, and adds the finding when it
// changed.
func (x *session) tell(step filters.Step, res *procv3.ProcessingResponse) *procv3.ProcessingResponse {
	if step.Do == filters.Deny {
		res = denial(step.Reply)
	}
	if f := x.exchange.Finding(); len(f) > 0 && !bytes.Equal(f, x.finding) {
		x.finding = f
		res.DynamicMetadata = leave(filters.MetadataKey, f)
	}
	for key, value := range map[string][]byte{filters.EffortKey: x.exchange.Effort(), filters.ObservationKey: x.exchange.Observation(false)} {
		if value == nil {
			continue
		}
		fields := leave(key, value)
		if res.DynamicMetadata == nil {
			res.DynamicMetadata = fields
		} else {
			maps.Copy(inner(res.DynamicMetadata), inner(fields))
		}
	}
	return res
}

func inner(s *structpb.Struct) map[string]*structpb.Value {
	return s.GetFields()[filters.MetadataNamespace].GetStructValue().GetFields()
}

// leave is what the filter leaves with the exchange under a key.
func leave(key string, value []byte) *structpb.Struct {
	return &structpb.Struct{Fields: map[string]*structpb.Value{
		filters.MetadataNamespace: structpb.NewStructValue(&structpb.Struct{Fields: map[string]*structpb.Value{
			key: structpb.NewStringValue(string(value)),
		}}),
	}}
}

// lapse answers for a panic of ours by the policy's failure mode: with a denial,
// or by letting this part and all that follows pass. Either way with an event.
// Detect never changes a response.
func (x *session) lapse(req *procv3.ProcessingRequest) *procv3.ProcessingResponse {
	b, ok := x.table.Bindings[x.key]
	p := x.table.Policies[b.Policy]
	closed := x.table.Unknown == filters.FailClosed && x.key != ""
	if ok {
		closed = p.FailsClosed()
	}
	res := passed(req)
	if closed {
		res = denial(&filters.Reply{
			Status:  503,
			Headers: []filters.Header{{Name: "content-type", Value: "text/plain"}, {Name: "cache-control", Value: "no-store"}},
			Body:    []byte("the request could not be inspected\n"),
		})
	}
	if x.exchange == nil {
		return res
	}
	e := filters.Event{
		ID: x.exchange.ID(), Time: time.Now().UTC(), Listener: x.table.Listener, Key: x.key,
		Route: b.Route, RouteRule: b.Rule, Policy: b.Source, PolicyID: b.Policy, Mode: p.Mode,
		Decision: filters.Allow, Engine: "chain", Reason: "inspection failed: the transport panicked",
	}
	if closed {
		e.Decision, e.Status, e.WouldBe = filters.Denied, 503, 503
	}
	if text, err := json.Marshal(e); err == nil && res != nil {
		res.DynamicMetadata = leave(filters.MetadataKey, text)
	}
	return res
}

// passed lets the part shown go on unchanged; nil for a part we know nothing of.
func passed(req *procv3.ProcessingRequest) *procv3.ProcessingResponse {
	switch req.GetRequest().(type) {
	case *procv3.ProcessingRequest_RequestHeaders:
		return &procv3.ProcessingResponse{Response: &procv3.ProcessingResponse_RequestHeaders{RequestHeaders: &procv3.HeadersResponse{}}}
	case *procv3.ProcessingRequest_RequestBody:
		return &procv3.ProcessingResponse{Response: &procv3.ProcessingResponse_RequestBody{RequestBody: &procv3.BodyResponse{}}}
	case *procv3.ProcessingRequest_RequestTrailers:
		return &procv3.ProcessingResponse{Response: &procv3.ProcessingResponse_RequestTrailers{RequestTrailers: &procv3.TrailersResponse{}}}
	case *procv3.ProcessingRequest_ResponseHeaders:
		return &procv3.ProcessingResponse{Response: &procv3.ProcessingResponse_ResponseHeaders{ResponseHeaders: &procv3.HeadersResponse{}}}
	case *procv3.ProcessingRequest_ResponseBody:
		return &procv3.ProcessingResponse{Response: &procv3.ProcessingResponse_ResponseBody{ResponseBody: &procv3.BodyResponse{}}}
	case *procv3.ProcessingRequest_ResponseTrailers:
		return &procv3.ProcessingResponse{Response: &procv3.ProcessingResponse_ResponseTrailers{ResponseTrailers: &procv3.TrailersResponse{}}}
	}
	return nil
}
