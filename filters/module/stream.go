//go:build cgo

package main

import (
	"bytes"
	"encoding/json"
	"sync"

	"github.com/gabion-io/gabion/filters"
	"github.com/gabion-io/gabion/filters/chain"
)

type direction uint8

const (
	request direction = iota
	response
)

// verdict is what a hook answers Envoy.
type verdict uint8

const (
	goOn  verdict = iota // forward this part and all that was held
	hold                 // keep it, and show the next
	pause                // keep it until resume, letting the sender wait
	stop                 // answered: forward nothing
)

// stream is one exchange on its way through Envoy. Its methods run on the
// worker thread of the stream, except the inside of evaluate.
type stream struct {
	config *config
	envoy  envoyStream
	key    string

	exchange *chain.Exchange
	finding  []byte // last handed to Envoy
	half     [2]half
	answered bool // we replied: nothing more of this exchange is inspected
	broken   bool // a hook of ours failed: everything passes from here on

	early    bool // the response began while away, and waits
	earlyEnd bool // it has no body
	resuming bool // hooks run inside a resume
	away     bool // the exchange went to evaluate and its outcome is not carried out yet
	mu       sync.Mutex
	working  bool // evaluate's goroutine has the exchange
	complete bool // the stream is over
	pending  outcome
	unwatch  func() // ends the wait of watch; nil: none
}

// half is one direction of a stream.
type half struct {
	held  bool // Envoy buffers the body for us
	shown int  // bytes of what Envoy buffers that the chain has seen
	total int  // bytes of the body that the chain has seen
	over  bool // nothing more to show
	ended bool // the end came while the exchange was away
}

func (c *config) begin(e envoyStream) *stream { return &stream{config: c, envoy: e} }

func (s *stream) requestHeaders(end bool) verdict {
	s.key = s.envoy.routeKey()
	s.exchange = s.config.table.Begin(s.key)
	fault("hook")
	head := s.envoy.requestHead(s.exchange.Began())
	if cost := s.exchange.HeadCost(head); cost > chain.Inline && !s.config.module.onWorker {
		s.exchange.SetClient(head)
		s.envoy.raiseBufferLimit(s.config.bufferLimit)
		v, ok := s.later(request, cost, int64(len(head.Path)), end, func() filters.Step { return s.exchange.RequestHeaders(head, end) })
		if ok {
			return v
		}
		return s.apply(request, s.exchange.Refuse(), end)
	}
	return s.apply(request, s.exchange.RequestHeaders(head, end), end)
}

// responseHeaders waits for a request that is still judged: in detect the
// upstream has had the body and may answer before the verdict is known, and a
// stream that ended then would leave no event.
func (s *stream) responseHeaders(end bool) verdict {
	if s.away && !s.answered {
		s.early, s.earlyEnd = true, end
		return pause
	}
	if !s.inspecting() {
		return goOn
	}
	s.half[request].over = true
	return s.apply(response, s.exchange.ResponseHeaders(s.envoy.responseHead(), end), end)
}

// body shows what of a body has not been shown yet, each byte once.
//
// While we hold, Envoy keeps the old bytes in its buffer and, with the last
// chunk, moves the new ones there too; so the chain has seen the first `shown`
// bytes of buffer and chunk taken together, and nothing of the rest.
func (s *stream) body(d direction, end bool) verdict {
	h := &s.half[d]
	if h.held && s.away {
		h.ended = h.ended || end
		return pause
	}
	if !s.inspecting() || h.over || d == response && !h.held && !s.exchange.HeedsResponse() {
		return goOn
	}
	fresh := s.fresh(d)
	if s.slow(d, fresh, end) {
		return s.evaluate(d, fresh, end)
	}
	return s.apply(d, s.show(d, fresh, end), end)
}

// trailers end a body.
func (s *stream) trailers(d direction) verdict {
	h := &s.half[d]
	if h.held && s.away {
		h.ended = true
		return pause
	}
	if !s.inspecting() || h.over {
		return goOn
	}
	if s.slow(d, nil, true) {
		return s.evaluate(d, nil, true)
	}
	return s.apply(d, s.show(d, nil, true), true)
}

// fresh gives the chunks not shown yet and counts them as shown.
func (s *stream) fresh(d direction) [][]byte {
	h := &s.half[d]
	chunks := skip(s.envoy.chunks(d, h.held), h.shown)
	n := size(chunks)
	h.shown += n
	h.total += n
	return chunks
}

func (s *stream) show(d direction, chunks [][]byte, end bool) filters.Step {
	show := s.exchange.RequestBody
	if d == response {
		show = s.exchange.ResponseBody
	}
	if len(chunks) == 0 {
		return show(nil, end)
	}
	var step filters.Step
	for i, c := range chunks {
		step = show(c, end && i == len(chunks)-1)
		if step.Do == filters.Deny {
			break
		}
	}
	return step
}

// apply carries out the chain's answer.
func (s *stream) apply(d direction, step filters.Step, end bool) verdict {
	h := &s.half[d]
	h.over = h.over || end
	switch {
	case step.Do == filters.Deny:
		s.tell()
		s.answered = true // first: reply runs our response hooks
		s.envoy.reply(step.Reply)
		return stop
	case step.Do == filters.Hold && !end:
		first := !h.held
		h.held = true
		if first {
			s.envoy.raiseBufferLimit(s.config.bufferLimit)
		}
		if first && d == request {
			s.watch()
		}
		return hold
	}
	s.tell()
	h.held, h.shown = false, 0
	return goOn
}

func (s *stream) inspecting() bool {
	return s.exchange != nil && !s.answered && !s.broken && !s.away
}

// tell leaves the finding where the access log finds it, when it changed.
func (s *stream) tell() { s.leave(s.exchange.Finding()) }

func (s *stream) leave(finding []byte) {
	if len(finding) == 0 || bytes.Equal(finding, s.finding) {
		return
	}
	s.finding = finding
	s.envoy.setFinding(finding)
}

// end ends the exchange, once; Envoy writes the access log right after.
func (s *stream) end() {
	if s.exchange == nil {
		return
	}
	if s.unwatch != nil {
		s.unwatch()
		s.unwatch = nil
	}
	s.mu.Lock()
	done := s.complete || s.working // at work, evaluate ends it
	s.complete = true
	s.mu.Unlock()
	if done {
		return
	}
	if effort := s.exchange.Effort(); effort != nil {
		s.envoy.setMetadata(filters.EffortKey, effort)
	}
	if facts := s.exchange.Observation(true); facts != nil && !s.broken {
		s.envoy.setMetadata(filters.ObservationKey, facts)
	}
	if event := s.exchange.Complete(); event != nil && !s.broken {
		if b, err := json.Marshal(event); err == nil {
			s.leave(b)
		}
	}
}

// skip drops the first n bytes.
func skip(chunks [][]byte, n int) [][]byte {
	for len(chunks) > 0 && n >= len(chunks[0]) {
		n -= len(chunks[0])
		chunks = chunks[1:]
	}
	if n > 0 && len(chunks) > 0 {
		chunks[0] = chunks[0][n:]
	}
	return chunks
}

func size(chunks [][]byte) (n int) {
	for _, c := range chunks {
		n += len(c)
	}
	return n
}
