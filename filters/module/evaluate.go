//go:build cgo

package main

import (
	"time"

	"github.com/gabion-io/gabion/filters"
	"github.com/gabion-io/gabion/filters/chain"
)

// outcome is what evaluate brings back.
type outcome struct {
	ready     bool
	direction direction
	step      filters.Step
	failed    bool
}

// slow says that showing chunks will have the chain judge for so long that it
// would stall the other streams of the worker.
func (s *stream) slow(d direction, chunks [][]byte, end bool) bool {
	return !s.resuming && !s.config.module.onWorker && s.exchange.BodyCost(d == response, chunks, end) > chain.Inline
}

// evaluate shows chunks to the chain off the worker thread. The stream waits;
// the scheduled hook goes on with it.
func (s *stream) evaluate(d direction, chunks [][]byte, end bool) verdict {
	own := make([][]byte, len(chunks)) // Envoy's memory is gone when the hook returns
	for i, c := range chunks {
		own[i] = append([]byte(nil), c...)
	}
	cost := s.exchange.BodyCost(d == response, own, end)
	if v, ok := s.later(d, cost, int64(s.half[d].total+size(own)), end, func() filters.Step { return s.show(d, own, end) }); ok {
		return v
	}
	return s.apply(d, s.exchange.Refuse(), end)
}

// later has the pool judge while the stream waits; ok is false when the pool's
// queue is full.
func (s *stream) later(d direction, cost time.Duration, bytes int64, end bool, judge func() filters.Step) (v verdict, ok bool) {
	h, before := &s.half[d], s.half[d]
	h.over, h.held = h.over || end, true
	s.away, s.working = true, true // not queued yet: needs no lock
	call, drop := s.envoy.caller()
	var step filters.Step
	queued := s.exchange.Later(cost, bytes, func() {
		if s.gone() {
			return
		}
		fault("goroutine")
		step = judge()
	}, func(failed bool) {
		s.comeBack(outcome{ready: true, direction: d, step: step, failed: failed})
		call()
	})
	if !queued {
		drop()
		s.away, s.working = false, false
		*h = before
		return 0, false
	}
	return pause, true
}

// gone says that nobody waits for a verdict any more: the client left before it
// was this body's turn, and block mode had kept the body from the upstream.
func (s *stream) gone() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.complete && s.config.policy(s.key).Mode == filters.ModeBlock
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
	if complete || s.answered {
		return
	}
	if !o.ready {
		s.watch()
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
			if s.slow(o.direction, late, h.ended) {
				return s.evaluate(o.direction, late, h.ended)
			}
			o.step = s.show(o.direction, late, h.ended)
		}
	}
	return s.apply(o.direction, o.step, h.over || h.ended)
}
