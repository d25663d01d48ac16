//go:build cgo

package main

import (
	"github.com/gabion-io/gabion/filters"
)

// slowBody is the size from which judging a body takes so long (milliseconds)
// that it would stall the other streams of the worker.
const slowBody = 16 << 10

// outcome is what evaluate brings back.
type outcome struct {
	ready     bool
	direction direction
	step      filters.Step
	failed    bool
}

// slow says that showing chunks will have the chain judge a long body: at its
// end, or where it passes a limit.
func (s *stream) slow(d direction, chunks [][]byte, end bool) bool {
	h := &s.half[d]
	if h.total < slowBody || s.resuming {
		return false
	}
	w := s.exchange.Wants()
	wants, holds, inspection := w.Request, w.HoldRequest, s.policy.RequestBody
	if d == response {
		wants, holds, inspection = w.Response, w.HoldResponse, s.policy.ResponseBody
	}
	if !wants || !inspection.Inspect || s.policy.Mode == filters.ModeBlock && !holds {
		return false // at most recorded
	}
	before := int64(h.total - size(chunks))
	passes := func(limit int64) bool { return before <= limit && int64(h.total) > limit }
	return end || passes(inspection.Limit) || passes(inspection.StructuredLimit)
}

// evaluate shows chunks to the chain off the worker thread. The stream waits;
// the scheduled hook goes on with it.
func (s *stream) evaluate(d direction, chunks [][]byte, end bool) verdict {
	own := make([][]byte, len(chunks)) // Envoy's memory is gone when the hook returns
	for i, c := range chunks {
		own[i] = append([]byte(nil), c...)
	}
	s.half[d].over, s.half[d].held = end, true
	s.away, s.working = true, true // no goroutine yet: needs no lock
	call := s.envoy.caller()
	var step filters.Step
	slots := s.config.module.slots
	spawn(s.config.module.log, "evaluate", func() {
		slots <- struct{}{}
		defer func() { <-slots }()
		if s.gone() {
			return
		}
		fault("goroutine")
		step = s.show(d, own, end)
	}, func(failed bool) {
		s.comeBack(outcome{ready: true, direction: d, step: step, failed: failed})
		call()
	})
	return pause
}

// gone says that nobody waits for a verdict any more: the client left before it
// was this body's turn, and block mode had kept the body from the upstream.
func (s *stream) gone() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.complete && s.policy.Mode == filters.ModeBlock
}

// comeBack leaves the outcome for the worker, or, when the stream has ended in
// the meantime, ends the exchange in its place.
func (s *stream) comeBack(o outcome) {
	s.mu.Lock()
	s.working, s.pending = false, o
	complete := s.complete
	s.mu.Unlock()
	if complete {
		s.exchange.Complete()
	}
}

// scheduled carries out what evaluate brought back.
func (s *stream) scheduled() {
	s.mu.Lock()
	o, complete := s.pending, s.complete
	s.pending = outcome{}
	s.mu.Unlock()
	if !o.ready || complete || s.answered {
		return
	}
	s.away = false
	if s.finish(o) == goOn {
		s.half[o.direction].held = false
		s.resume(o.direction)
	}
	if s.early && !s.away {
		s.early = false
		if s.responseHeaders(s.earlyEnd) != stop {
			s.resume(response)
		}
	}
}

// resume has Envoy go on with what a pause held, which may run hooks of ours
// inside the call. They must not pause: Envoy marks the stream as going on when
// the call returns, and would ignore the resume that ends their pause.
func (s *stream) resume(d direction) {
	s.resuming = true
	s.envoy.resume(d)
	s.resuming = false
}

// finish applies the outcome, then shows what arrived while it was awaited.
func (s *stream) finish(o outcome) verdict {
	if o.failed {
		return s.lapse(o.direction)
	}
	h := &s.half[o.direction]
	switch {
	case o.step.Do == filters.Deny:
		return s.apply(o.direction, o.step, true)
	case !h.over:
		if late := s.fresh(o.direction); len(late) > 0 || h.ended {
			o.step = s.show(o.direction, late, h.ended)
		}
	}
	return s.apply(o.direction, o.step, h.over || h.ended)
}
