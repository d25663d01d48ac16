package main

/*
#cgo LDFLAGS: -Wl,--unresolved-symbols=ignore-all
#cgo noescape envoy_dynamic_module_callback_http_get_headers
#cgo nocallback envoy_dynamic_module_callback_http_get_headers
#cgo nocallback envoy_dynamic_module_callback_http_get_headers_size
#cgo noescape envoy_dynamic_module_callback_http_get_body_chunks
#cgo nocallback envoy_dynamic_module_callback_http_get_body_chunks
#cgo nocallback envoy_dynamic_module_callback_http_get_body_chunks_size
#cgo noescape envoy_dynamic_module_callback_http_filter_get_attribute_string
#cgo nocallback envoy_dynamic_module_callback_http_filter_get_attribute_string
#cgo noescape envoy_dynamic_module_callback_http_set_dynamic_metadata_string
#cgo nocallback envoy_dynamic_module_callback_http_set_dynamic_metadata_string
#cgo nocallback envoy_dynamic_module_callback_get_most_specific_route_config
#include <stdlib.h>
#include "abi.h"
*/
import "C"

import (
	"net/netip"
	"runtime/cgo"
	"strings"
	"time"
	"unsafe"

	"github.com/gabion-io/gabion/filters"
)

// envoyStream is Envoy's side of one HTTP stream. Everything it hands out is
// copied, except attributes and body chunks, which are valid inside the hook only.
type envoyStream C.gabion_envoy

func (e envoyStream) routeKey() string {
	h := C.envoy_dynamic_module_callback_get_most_specific_route_config(C.gabion_envoy(e))
	if h == 0 {
		return ""
	}
	return cgo.Handle(h).Value().(*routeConfig).key
}

func (e envoyStream) requestHead(now time.Time) *filters.RequestHead {
	h := &filters.RequestHead{
		Proto:  parseProtocol(e.attribute(C.gabion_attr_protocol)),
		Client: parseAddress(e.attribute(C.gabion_attr_source)),
		Server: parseAddress(e.attribute(C.gabion_attr_destination)),
		Time:   now,
	}
	all := e.headers(C.gabion_request_headers)
	h.Headers = all[:0]
	for _, f := range all {
		switch f.Name {
		case ":method":
			h.Method = f.Value
		case ":scheme":
			h.Scheme = f.Value
		case ":authority":
			h.Authority = f.Value
		case ":path":
			h.Path = f.Value
		case "x-request-id":
			h.RequestID = f.Value
			h.Headers = append(h.Headers, f)
		default:
			if !strings.HasPrefix(f.Name, ":") {
				h.Headers = append(h.Headers, f)
			}
		}
	}
	return h
}

func (e envoyStream) responseHead() *filters.ResponseHead {
	h := &filters.ResponseHead{}
	all := e.headers(C.gabion_response_headers)
	h.Headers = all[:0]
	for _, f := range all {
		if f.Name == ":status" {
			h.Status = parseStatus(f.Value)
		} else if !strings.HasPrefix(f.Name, ":") {
			h.Headers = append(h.Headers, f)
		}
	}
	return h
}

// headers copies a header map: one call for all of it, one allocation for its
// text and one for its fields.
func (e envoyStream) headers(which C.int) []filters.Header {
	n := int(C.envoy_dynamic_module_callback_http_get_headers_size(C.gabion_envoy(e), which))
	if n == 0 {
		return nil
	}
	var few [32]C.gabion_header
	raw := few[:]
	if n > len(few) {
		raw = make([]C.gabion_header, n)
	}
	raw = raw[:n]
	if !C.envoy_dynamic_module_callback_http_get_headers(C.gabion_envoy(e), which, &raw[0]) {
		return nil
	}
	size := 0
	for i := range raw {
		size += int(raw[i].name_len + raw[i].value_len)
	}
	text := make([]byte, 0, size)
	out := make([]filters.Header, n)
	for i := range raw {
		out[i].Name, text = copyText(text, raw[i].name, raw[i].name_len)
		out[i].Value, text = copyText(text, raw[i].value, raw[i].value_len)
	}
	return out
}

// copyText appends Envoy's bytes to text, which has the room, and gives them as
// a string that shares text's memory. text is never written over.
func copyText(text []byte, ptr *C.char, n C.size_t) (string, []byte) {
	if n == 0 {
		return "", text
	}
	at := len(text)
	text = append(text, unsafe.Slice((*byte)(unsafe.Pointer(ptr)), int(n))...)
	return unsafe.String(&text[at], int(n)), text
}

// attribute is Envoy's memory: valid inside the hook only.
func (e envoyStream) attribute(id C.int) string {
	var b C.gabion_bytes
	if !C.envoy_dynamic_module_callback_http_filter_get_attribute_string(C.gabion_envoy(e), id, &b) || b.len == 0 {
		return ""
	}
	return unsafe.String((*byte)(unsafe.Pointer(b.ptr)), int(b.len))
}

// chunks gives the body bytes Envoy has for us, in order: what it buffered
// because we held it, then what arrived. With held false only what arrived.
// The slices are Envoy's memory: valid inside the hook only.
func (e envoyStream) chunks(d direction, held bool) [][]byte {
	received, buffered := C.int(C.gabion_received_request), C.int(C.gabion_buffered_request)
	if d == response {
		received, buffered = C.gabion_received_response, C.gabion_buffered_response
	}
	if !held || e.receivedIsBuffer(d) {
		return e.appendChunks(nil, received)
	}
	return e.appendChunks(e.appendChunks(nil, buffered), received)
}

// receivedIsBuffer: a filter before us had buffered the body, so what Envoy
// shows as received and as buffered is one and the same.
func (e envoyStream) receivedIsBuffer(d direction) bool {
	if d == response {
		return bool(C.envoy_dynamic_module_callback_http_received_buffered_response_body(C.gabion_envoy(e)))
	}
	return bool(C.envoy_dynamic_module_callback_http_received_buffered_request_body(C.gabion_envoy(e)))
}

func (e envoyStream) appendChunks(out [][]byte, which C.int) [][]byte {
	n := int(C.envoy_dynamic_module_callback_http_get_body_chunks_size(C.gabion_envoy(e), which))
	if n == 0 {
		return out
	}
	var few [4]C.gabion_bytes
	raw := few[:]
	if n > len(few) {
		raw = make([]C.gabion_bytes, n)
	}
	raw = raw[:n]
	if !C.envoy_dynamic_module_callback_http_get_body_chunks(C.gabion_envoy(e), which, &raw[0]) {
		return out
	}
	for _, b := range raw {
		if b.len > 0 {
			out = append(out, unsafe.Slice((*byte)(unsafe.Pointer(b.ptr)), int(b.len)))
		}
	}
	return out
}

func (e envoyStream) setFinding(event []byte) { e.setMetadata(filters.MetadataKey, event) }

func (e envoyStream) setMetadata(key string, value []byte) {
	C.envoy_dynamic_module_callback_http_set_dynamic_metadata_string(C.gabion_envoy(e),
		goBytes(filters.MetadataNamespace), goBytes(key), goBytes(unsafe.String(unsafe.SliceData(value), len(value))))
}

// goBytes lends a Go string to Envoy for the time of one call.
func goBytes(s string) C.gabion_bytes {
	return C.gabion_bytes{ptr: (*C.char)(unsafe.Pointer(unsafe.StringData(s))), len: C.size_t(len(s))}
}

// raiseBufferLimit lets Envoy buffer at least n bytes of this stream before it
// answers 413.
func (e envoyStream) raiseBufferLimit(n uint64) {
	if uint64(C.envoy_dynamic_module_callback_http_get_buffer_limit(C.gabion_envoy(e))) < n {
		C.envoy_dynamic_module_callback_http_set_buffer_limit(C.gabion_envoy(e), C.uint64_t(n))
	}
}

// reply answers the request. Envoy runs the response hooks of this very stream
// inside the call.
func (e envoyStream) reply(r *filters.Reply) {
	headers, free := cHeaders(r.Headers)
	defer free()
	body := C.CBytes(r.Body)
	defer C.free(body)
	var first *C.gabion_header
	if len(headers) > 0 {
		first = &headers[0]
	}
	C.envoy_dynamic_module_callback_http_send_response(C.gabion_envoy(e), C.uint32_t(r.Status),
		first, C.size_t(len(headers)),
		C.gabion_bytes{ptr: (*C.char)(body), len: C.size_t(len(r.Body))}, goBytes("gabion_denied"))
}

// cHeaders copies header fields into C memory; free gives it back.
func cHeaders(in []filters.Header) (out []C.gabion_header, free func()) {
	if len(in) == 0 {
		return nil, func() {}
	}
	block := C.malloc(C.size_t(len(in)) * C.size_t(unsafe.Sizeof(C.gabion_header{})))
	out = unsafe.Slice((*C.gabion_header)(block), len(in))
	for i, h := range in {
		out[i] = C.gabion_header{
			name: C.CString(h.Name), name_len: C.size_t(len(h.Name)),
			value: C.CString(h.Value), value_len: C.size_t(len(h.Value)),
		}
	}
	return out, func() {
		for i := range out {
			C.free(unsafe.Pointer(out[i].name))
			C.free(unsafe.Pointer(out[i].value))
		}
		C.free(block)
	}
}

func (e envoyStream) resume(d direction) {
	if d == response {
		C.envoy_dynamic_module_callback_http_filter_continue_encoding(C.gabion_envoy(e))
		return
	}
	C.envoy_dynamic_module_callback_http_filter_continue_decoding(C.gabion_envoy(e))
}

// caller gives a function that, from any thread, has Envoy call the scheduled
// hook of this stream on its worker; nothing happens if the stream is gone by
// then. Exactly one of call and drop must be called, once.
func (e envoyStream) caller() (call, drop func()) {
	s := C.envoy_dynamic_module_callback_http_filter_scheduler_new(C.gabion_envoy(e))
	drop = func() { C.envoy_dynamic_module_callback_http_filter_scheduler_delete(s) }
	return func() {
		C.envoy_dynamic_module_callback_http_filter_scheduler_commit(s, 0)
		drop()
	}, drop
}

// parseProtocol gives what is not Envoy's memory.
func parseProtocol(s string) string {
	switch s {
	case "HTTP/1.1":
		return "HTTP/1.1"
	case "HTTP/2":
		return "HTTP/2"
	}
	return strings.Clone(s)
}

// parseAddress reads "192.0.2.1:80" or "[::1]:80"; anything else (a Unix
// socket) has no address. It keeps nothing of s: netip clones zones.
func parseAddress(s string) netip.AddrPort {
	a, err := netip.ParseAddrPort(s)
	if err != nil {
		return netip.AddrPort{}
	}
	return netip.AddrPortFrom(a.Addr().Unmap(), a.Port())
}

func parseStatus(s string) int {
	n := 0
	for _, c := range []byte(s) {
		if c < '0' || c > '9' || n > 999 {
			return 0
		}
		n = n*10 + int(c-'0')
	}
	return n
}
