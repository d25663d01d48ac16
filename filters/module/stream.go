package main

import (
	"bytes"
	"encoding/json"
	"sync"
	"time"

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
	goOn verdict = iota // forward this part and all that was held
	hold                // keep it
	stop                // answered: forward nothing
)

// stream is one exchange on its way through Envoy. Its methods run on the
// worker thread of the stream, except the inside of evaluate.
type stream struct {
	config *config
	envoy  envoyStream
	fail   filters.FailureMode

	exchange *chain.Exchange
	finding  []byte // last handed to Envoy
	half     [2]half
	answered bool // we replied: nothing more of this exchange is inspected
	broken   bool // a hook of ours failed: everything passes from here on

	mu      sync.Mutex
	away    bool // evaluate's goroutine has the exchange
	ended   bool // the stream completed while it was away
	pending outcome
}

// half is one direction of a stream.
type half struct {
	held  bool // Envoy buffers the body for us
	shown int  // bytes of what Envoy buffers that the chain has seen
	over  bool // nothing more to show
}

// outcome is what evaluate brings back.
type outcome struct {
	ready     bool
	direction direction
	step      filters.Step
	failed    bool
}

func (c *config) begin(e envoyStream) *stream { return &stream{config: c, envoy: e} }

func (s *stream) requestHeaders(end bool) verdict {
	fault("hook")
	key := s.envoy.routeKey()
	s.fail = s.config.failureMode(key)
	s.exchange = s.config.table.Begin(key)
	step := s.exchange.RequestHeaders(s.envoy.requestHead(time.Now()), end)
	if step.Do == filters.Hold {
		s.envoy.raiseBufferLimit(s.config.bufferLimit)
	}
	return s.apply(request, step, end)
}

func (s *stream) responseHeaders(end bool) verdict {
	if !s.inspecting() {
		return goOn
	}
	s.half[request].over = true
	step := s.exchange.ResponseHeaders(s.envoy.responseHead(), end)
	if step.Do == filters.Hold {
		s.envoy.raiseBufferLimit(s.config.bufferLimit)
	}
	return s.apply(response, step, end)
}

// body shows what of a body has not been shown yet, each byte once.
//
// While we hold, Envoy keeps the old bytes in its buffer and, with the last
// chunk, moves the new ones there too; so the chain has seen the first `shown`
// bytes of buffer and chunk taken together, and nothing of the rest.
func (s *stream) body(d direction, end bool) verdict {
	if !s.inspecting() {
		return goOn
	}
	h := &s.half[d]
	if h.over {
		return goOn
	}
	fresh := skip(s.envoy.chunks(d, h.held), h.shown)
	size := 0
	for _, c := range fresh {
		size += len(c)
	}
	h.shown += size
	if end && h.shown >= slowBody && s.wants(d) {
		return s.evaluate(d, fresh)
	}
	return s.apply(d, s.show(d, fresh, end), end)
}

// trailers end a body.
func (s *stream) trailers(d direction) verdict {
	if !s.inspecting() || s.half[d].over {
		return goOn
	}
	if s.half[d].shown >= slowBody && s.wants(d) {
		return s.evaluate(d, nil)
	}
	return s.apply(d, s.show(d, nil, true), true)
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
		h.held = true
		return hold
	}
	s.tell()
	h.held, h.shown = false, 0
	return goOn
}

func (s *stream) inspecting() bool {
	if s.exchange == nil || s.answered || s.broken {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return !s.away
}

func (s *stream) wants(d direction) bool {
	w := s.exchange.Wants()
	if d == response {
		return w.Response
	}
	return w.Request
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

// complete ends the exchange; Envoy writes the access log right after.
func (s *stream) complete() {
	if s.exchange == nil {
		return
	}
	s.mu.Lock()
	s.ended = true
	away := s.away
	s.mu.Unlock()
	if away {
		return // evaluate completes it
	}
	x := s.exchange
	s.exchange = nil
	if event := x.Complete(); event != nil {
		if b, err := json.Marshal(event); err == nil {
			s.leave(b)
		}
	}
}

// lapse answers for a hook that panicked: once by the failure mode, then the
// stream passes uninspected.
func (s *stream) lapse(d direction) verdict {
	if s.broken || s.answered {
		return goOn
	}
	s.broken = true
	if s.fail != filters.FailClosed || d == response {
		return goOn
	}
	s.answered = true
	s.envoy.reply(&filters.Reply{
		Status:  503,
		Headers: []filters.Header{{Name: "content-type", Value: "text/plain"}},
		Body:    []byte("the request could not be inspected\n"),
	})
	return stop
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

// abandon ends an exchange whose stream was destroyed without completing.
func (s *stream) abandon() { s.complete() }
