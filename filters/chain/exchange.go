package chain

import "github.com/gabion-io/gabion/filters"

// Exchange is one request with its response. Its methods are called in the
// order of the message, by one goroutine at a time (which may change between
// calls). Each recovers its own panics and answers by the failure mode.
type Exchange struct{}

// Bodies says what of the bodies the chain wants shown; a transport that must
// ask for bodies (ext_proc) reads it after RequestHeaders or ResponseHeaders.
type Bodies struct {
	Request  bool // show request body chunks
	Response bool // show response headers' body chunks
	// HoldRequest and HoldResponse: chunks must be shown before they are
	// forwarded; otherwise they may be shown as they pass.
	HoldRequest, HoldResponse bool
}

// Wants reports which bodies still have to be shown.
func (x *Exchange) Wants() Bodies { panic("todo") }

// Active reports whether anything is left to inspect; when false a transport
// may skip to Complete.
func (x *Exchange) Active() bool { panic("todo") }

// RequestHeaders shows the request head. end: there is no body and no trailers.
// With Hold the transport keeps the head and shows the body.
func (x *Exchange) RequestHeaders(h *filters.RequestHead, end bool) filters.Step { panic("todo") }

// RequestBody shows a chunk, which is copied if kept. end marks the last; it
// may be empty. Call it with end (and no bytes) when trailers end the body.
func (x *Exchange) RequestBody(chunk []byte, end bool) filters.Step { panic("todo") }

// ResponseHeaders shows the response head, also of a reply Envoy made itself
// (not of a Deny of this chain).
func (x *Exchange) ResponseHeaders(h *filters.ResponseHead, end bool) filters.Step { panic("todo") }

// ResponseBody shows a chunk, which is copied if kept.
func (x *Exchange) ResponseBody(chunk []byte, end bool) filters.Step { panic("todo") }

// Finding is the JSON of the Event as known so far, nil when there is none.
// Cheap when nothing changed since the last call.
func (x *Exchange) Finding() []byte { panic("todo") }

// ID is the exchange's id, which its Event will bear.
func (x *Exchange) ID() string { panic("todo") }

// Complete ends the exchange, exactly once, however the stream ended: it spools
// the event, records, and frees everything. Nil when there was no finding.
func (x *Exchange) Complete() *filters.Event { panic("todo") }
