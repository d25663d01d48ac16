package chain

import (
	"runtime/debug"
	"time"

	"github.com/gabion-io/gabion/filters"
	"github.com/gabion-io/gabion/filters/apiguard"
	"github.com/gabion-io/gabion/filters/waf"
)

// Exchange is one request with its response. Its methods are called in the
// order of the message, by one goroutine at a time (which may change between
// calls). Each recovers its own panics and answers by the failure mode.
type Exchange struct {
	table   *Table
	runtime *Runtime
	key     string
	binding filters.Binding
	policy  *policy // nil: nothing governs
	beyond  string  // what of the request body was too long to inspect; makes an event by itself
	unknown bool    // the key is in no binding
	id      string
	began   time.Time

	api       *apiguard.Judgement // nil: no API protection, or given up
	apiLimit  int64               // bytes of the request body it awaits; 0: none
	answering bool                // the response's body is shown for API protection
	wafLimit  int64               // bytes of the request body the WAF inspects; 0: none
	tx        *waf.Transaction    // nil: no engine, or given up
	request   *filters.RequestHead
	response  *filters.ResponseHead
	req, resp body
	judged    bool // the request has been inspected
	passed    bool // the response has been inspected
	stream    string

	denied   *verdict // what block mode does
	answered *filters.Reply
	failure  string // why inspection was given up
	partial  []string
	status   int // of the response seen
	spent    time.Duration
	waited   bool  // in the queue, for longer than makes sense
	reserved int64 // bytes of bodies held

	record  *filters.Record
	sampled bool

	learn    *learning // nil: nothing is told of operations
	watched  bool      // its bodies are looked into
	observed bool      // it was told
	told     *telling  // with what, for the next; nil: nothing to give back

	finding  []byte
	stale    bool
	complete bool
}

// verdict is a denial, carried out in block mode and reported in detect.
type verdict struct {
	status   int
	location string
	reason   string
	engine   string       // "waf", "api" or "chain"
	mode     filters.Mode // whose it is: block carries it out; empty: the WAF's
}

// Bodies says what of the bodies the chain wants shown; a transport that must
// ask for bodies (ext_proc) reads it after RequestHeaders or ResponseHeaders.
type Bodies struct {
	Request  bool // show request body chunks
	Response bool // show response body chunks
	// HoldRequest and HoldResponse: chunks must be shown before they are
	// forwarded; otherwise they may be shown as they pass.
	HoldRequest, HoldResponse bool
}

// Wants reports which bodies still have to be shown.
func (x *Exchange) Wants() Bodies {
	if x.answered != nil || x.complete {
		return Bodies{}
	}
	keeping := x.keeps()
	return Bodies{
		Request:      x.req.inspect || x.mayBeMasked() || keeping && x.stream == "" && !x.req.finished,
		Response:     x.resp.inspect || (keeping || x.awaitsAnswer()) && x.stream == "" && !x.resp.finished && (x.response == nil || responseStream(x.response) == ""),
		HoldRequest:  x.req.inspect && x.holdsRequest(),
		HoldResponse: x.resp.inspect && x.blocks(),
	}
}

// HeedsResponse says that something comes of showing the response's body.
func (x *Exchange) HeedsResponse() bool { return x.resp.inspect || x.answering || x.keeps() }

// Began is when the exchange did.
func (x *Exchange) Began() time.Time { return x.began }

// Active reports whether anything is left to inspect or record; when false a
// transport may skip to Complete.
func (x *Exchange) Active() bool {
	if x.complete || x.answered != nil {
		return false
	}
	return x.keeps() || x.judging() || x.awaitsAnswer() || x.request == nil && (x.policy != nil || x.unknown)
}

// keeps says that bodies are kept beyond their inspection.
func (x *Exchange) keeps() bool { return x.record != nil || x.watched }

// ID is the exchange's id, which its Event will bear; "" when nothing governs it.
func (x *Exchange) ID() string { return x.id }

// blocks says that the WAF may deny.
func (x *Exchange) blocks() bool { return x.policy != nil && x.policy.Mode == filters.ModeBlock }

// holdsRequest says that what awaits the request's body may deny.
func (x *Exchange) holdsRequest() bool {
	return x.blocks() && x.tx != nil || x.apiBlocks() && x.awaitsAPI()
}

// judging says that something of the exchange is still to be judged.
func (x *Exchange) judging() bool { return x.tx != nil || x.awaitsAPI() }

// guard runs one hook. A panic inside gives the inspection up and is answered
// by the failure mode; it never reaches the transport.
func (x *Exchange) guard(hook string, step func() filters.Step) (out filters.Step) {
	if x.complete || x.answered != nil {
		return filters.Step{}
	}
	start := time.Now()
	defer func() {
		x.spent += time.Since(start)
		if p := recover(); p != nil {
			x.runtime.panics.Add(1)
			x.runtime.o.Log.Error("filter panicked", "hook", hook, "panic", p, "stack", string(debug.Stack()))
			out = x.giveUp("panic in " + hook)
		}
	}()
	return step()
}

// giveUp ends inspection. The transaction is left to the garbage collector: it
// may be in any state, and must not go back into a pool.
func (x *Exchange) giveUp(why string) filters.Step {
	closed := x.policy != nil && x.policy.engine != nil && x.policy.failsClosed()
	v := verdict{status: 503, reason: "inspection failed: " + why, engine: "chain", mode: filters.ModeDetect}
	if closed {
		v.mode = x.policy.Mode
	}
	if x.awaitsAPI() {
		if x.policy.guard.FailsClosed() {
			closed = true
			if x.apiBlocks() {
				v.mode = filters.ModeBlock
			}
		}
		x.api.Unseen()
	}
	x.tx, x.judged, x.passed = nil, true, true
	x.req.inspect, x.resp.inspect = false, false
	x.failure, x.stale = v.reason, true
	if !closed {
		return filters.Step{}
	}
	return x.deny(v)
}

// deny carries a verdict out, or only remembers it.
func (x *Exchange) deny(v verdict) filters.Step {
	x.stale = true
	if v.mode == "" && x.policy != nil {
		v.mode = x.policy.Mode
	}
	enforced := v.mode == filters.ModeBlock || x.unknown
	if x.denied == nil || enforced && x.denied.mode != filters.ModeBlock {
		x.denied = &v
	}
	if !enforced || x.complete {
		return filters.Step{}
	}
	x.req.inspect, x.resp.inspect = false, false
	x.answered = x.reply(*x.denied)
	return filters.Step{Do: filters.Deny, Reply: x.answered}
}

// hold is the answer while a body is being collected that may be denied.
func hold(denies bool) filters.Step {
	if denies {
		return filters.Step{Do: filters.Hold}
	}
	return filters.Step{}
}
