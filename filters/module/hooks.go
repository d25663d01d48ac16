package main

/*
#include "abi.h"
static const char gabion_abi_version[] = "v0.2.0";
static const char *gabion_version(void) { return gabion_abi_version; }
*/
import "C"

import (
	"runtime/cgo"
	"unsafe"
)

// process is the only state of the package: Envoy calls exported functions,
// which have no receiver. Set once, before any other hook.
var process *module

//export envoy_dynamic_module_on_program_init
func envoy_dynamic_module_on_program_init() *C.char {
	log := newEnvoyLog()
	if guard(log, "program_init", func() {
		process = newModule(log, bool(C.envoy_dynamic_module_callback_is_validation_mode()))
		makeRoom()
	}) {
		return nil
	}
	return C.gabion_version()
}

//export envoy_dynamic_module_on_http_filter_config_new
func envoy_dynamic_module_on_http_filter_config_new(_ C.gabion_envoy, name, content C.gabion_bytes) C.gabion_module {
	var h cgo.Handle
	guard(process.log, "config_new", func() {
		c, err := process.load(copyBytes(content))
		if err != nil {
			process.log.Error("refused a filter table", "error", err)
			return
		}
		h = cgo.NewHandle(c)
	})
	return C.gabion_module(h)
}

//export envoy_dynamic_module_on_http_filter_config_destroy
func envoy_dynamic_module_on_http_filter_config_destroy(h C.gabion_module) {
	guard(process.log, "config_destroy", func() {
		cgo.Handle(h).Value().(*config).release()
		cgo.Handle(h).Delete()
	})
}

//export envoy_dynamic_module_on_http_filter_per_route_config_new
func envoy_dynamic_module_on_http_filter_per_route_config_new(name, content C.gabion_bytes) C.gabion_module {
	var h cgo.Handle
	guard(process.log, "per_route_config_new", func() {
		h = cgo.NewHandle(&routeConfig{key: string(copyBytes(content))})
	})
	return C.gabion_module(h)
}

//export envoy_dynamic_module_on_http_filter_per_route_config_destroy
func envoy_dynamic_module_on_http_filter_per_route_config_destroy(h C.gabion_module) {
	guard(process.log, "per_route_config_destroy", func() { cgo.Handle(h).Delete() })
}

//export envoy_dynamic_module_on_http_filter_new
func envoy_dynamic_module_on_http_filter_new(c C.gabion_module, e C.gabion_envoy) C.gabion_module {
	var number uint64
	guard(process.log, "new", func() {
		number = process.streams.add(cgo.Handle(c).Value().(*config).begin(envoyStream(e)))
	})
	return C.gabion_module(number)
}

//export envoy_dynamic_module_on_http_filter_destroy
func envoy_dynamic_module_on_http_filter_destroy(h C.gabion_module) {
	guard(process.log, "destroy", func() {
		process.streams.remove(uint64(h)).end() // when Envoy destroyed the stream without completing it
	})
}

// on runs one message hook of a stream under the guard.
func on(h C.gabion_module, where string, d direction, f func(*stream) verdict) (v verdict) {
	var s *stream
	if guard(process.log, where, func() {
		s = process.streams.get(uint64(h))
		v = f(s)
	}) {
		guard(process.log, where, func() { v = s.lapse(d) })
	}
	return v
}

//export envoy_dynamic_module_on_http_filter_request_headers
func envoy_dynamic_module_on_http_filter_request_headers(_ C.gabion_envoy, h C.gabion_module, end C.bool) C.int {
	return headersAnswer(request, on(h, "request_headers", request, func(s *stream) verdict { return s.requestHeaders(bool(end)) }))
}

//export envoy_dynamic_module_on_http_filter_request_body
func envoy_dynamic_module_on_http_filter_request_body(_ C.gabion_envoy, h C.gabion_module, end C.bool) C.int {
	return bodyAnswer(on(h, "request_body", request, func(s *stream) verdict { return s.body(request, bool(end)) }))
}

//export envoy_dynamic_module_on_http_filter_request_trailers
func envoy_dynamic_module_on_http_filter_request_trailers(_ C.gabion_envoy, h C.gabion_module) C.int {
	return trailersAnswer(on(h, "request_trailers", request, func(s *stream) verdict { return s.trailers(request) }))
}

//export envoy_dynamic_module_on_http_filter_response_headers
func envoy_dynamic_module_on_http_filter_response_headers(_ C.gabion_envoy, h C.gabion_module, end C.bool) C.int {
	return headersAnswer(response, on(h, "response_headers", response, func(s *stream) verdict { return s.responseHeaders(bool(end)) }))
}

//export envoy_dynamic_module_on_http_filter_response_body
func envoy_dynamic_module_on_http_filter_response_body(_ C.gabion_envoy, h C.gabion_module, end C.bool) C.int {
	return bodyAnswer(on(h, "response_body", response, func(s *stream) verdict { return s.body(response, bool(end)) }))
}

//export envoy_dynamic_module_on_http_filter_response_trailers
func envoy_dynamic_module_on_http_filter_response_trailers(_ C.gabion_envoy, h C.gabion_module) C.int {
	return trailersAnswer(on(h, "response_trailers", response, func(s *stream) verdict { return s.trailers(response) }))
}

//export envoy_dynamic_module_on_http_filter_stream_complete
func envoy_dynamic_module_on_http_filter_stream_complete(_ C.gabion_envoy, h C.gabion_module) {
	guard(process.log, "stream_complete", func() { process.streams.get(uint64(h)).end() })
	goRound()
}

//export envoy_dynamic_module_on_http_filter_scheduled
func envoy_dynamic_module_on_http_filter_scheduled(_ C.gabion_envoy, h C.gabion_module, event C.uint64_t) {
	guard(process.log, "scheduled", func() { process.streams.get(uint64(h)).scheduled() })
}

func headersAnswer(d direction, v verdict) C.int {
	switch v {
	case goOn:
		return C.gabion_headers_continue
	case pause:
		if d == response {
			return C.gabion_headers_stop_all
		}
		// The body is shown to us while the head is judged, and kept by the answers
		// to that: going on from stop_all would show it inside the resume.
	}
	return C.gabion_headers_stop
}

func bodyAnswer(v verdict) C.int {
	switch v {
	case goOn:
		return C.gabion_body_continue
	case hold:
		return C.gabion_body_stop_and_buffer
	case pause:
		return C.gabion_body_stop_and_watermark
	}
	return C.gabion_body_stop_no_buffer
}

func trailersAnswer(v verdict) C.int {
	if v == goOn {
		return C.gabion_trailers_continue
	}
	return C.gabion_trailers_stop
}

func copyBytes(b C.gabion_bytes) []byte { return C.GoBytes(unsafe.Pointer(b.ptr), C.int(b.len)) }
