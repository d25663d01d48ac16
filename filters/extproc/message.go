package extproc

import (
	"net/netip"
	"strconv"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/structpb"

	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	procv3 "github.com/envoyproxy/go-control-plane/envoy/service/ext_proc/v3"
	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"

	"github.com/gabion-io/gabion/filters"
)

// attributesOf is where Envoy puts the attributes it was asked for.
const attributesOf = "envoy.filters.http.ext_proc"

func requestHead(h *procv3.HttpHeaders, attributes map[string]*structpb.Struct, now time.Time) *filters.RequestHead {
	a := attributes[attributesOf].GetFields()
	out := &filters.RequestHead{
		Proto:  a["request.protocol"].GetStringValue(),
		Client: address(a["source.address"].GetStringValue()),
		Server: address(a["destination.address"].GetStringValue()),
		Time:   now,
	}
	for _, f := range h.GetHeaders().GetHeaders() {
		name, v := f.GetKey(), value(f)
		switch name {
		case ":method":
			out.Method = v
		case ":scheme":
			out.Scheme = v
		case ":authority":
			out.Authority = v
		case ":path":
			out.Path = v
		case "x-request-id":
			out.RequestID = v
		}
		if !strings.HasPrefix(name, ":") {
			out.Headers = append(out.Headers, filters.Header{Name: name, Value: v})
		}
	}
	return out
}

func contentLength(h *filters.RequestHead) int64 {
	for _, f := range h.Headers {
		if f.Name == "content-length" {
			n, _ := strconv.ParseInt(f.Value, 10, 64)
			return n
		}
	}
	return 0
}

func responseHead(h *procv3.HttpHeaders) *filters.ResponseHead {
	out := &filters.ResponseHead{}
	for _, f := range h.GetHeaders().GetHeaders() {
		name, v := f.GetKey(), value(f)
		if name == ":status" {
			out.Status, _ = strconv.Atoi(v)
		}
		if !strings.HasPrefix(name, ":") {
			out.Headers = append(out.Headers, filters.Header{Name: name, Value: v})
		}
	}
	return out
}

// value: Envoy sends raw_value, since header bytes need not be UTF-8.
func value(f *core.HeaderValue) string {
	if raw := f.GetRawValue(); len(raw) > 0 {
		return string(raw)
	}
	return f.GetValue()
}

func address(s string) netip.AddrPort {
	a, err := netip.ParseAddrPort(s)
	if err != nil {
		return netip.AddrPort{}
	}
	return netip.AddrPortFrom(a.Addr().Unmap(), a.Port())
}

// denial answers in place of the upstream.
func denial(r *filters.Reply) *procv3.ProcessingResponse {
	m := &procv3.HeaderMutation{}
	for _, h := range r.Headers {
		m.SetHeaders = append(m.SetHeaders, &core.HeaderValueOption{
			Header:       &core.HeaderValue{Key: h.Name, RawValue: []byte(h.Value)},
			AppendAction: core.HeaderValueOption_OVERWRITE_IF_EXISTS_OR_ADD,
		})
	}
	return &procv3.ProcessingResponse{Response: &procv3.ProcessingResponse_ImmediateResponse{
		ImmediateResponse: &procv3.ImmediateResponse{
			Status:  &typev3.HttpStatus{Code: typev3.StatusCode(r.Status)},
			Headers: m,
			Body:    r.Body,
			Details: "gabion_denied",
		},
	}}
}
