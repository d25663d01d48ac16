package main

import "github.com/gabion-io/gabion/filters"

// slowBody is the size from which judging a body takes so long (milliseconds)
// that it would stall the other streams of the worker.
const slowBody = 16 << 10

// evaluate judges the end of a body off the worker thread. The stream waits;
// the scheduled hook goes on with it.
func (s *stream) evaluate(d direction, chunks [][]byte) verdict {
	own := make([][]byte, len(chunks)) // Envoy's memory is gone when the hook returns
	for i, c := range chunks {
		own[i] = append([]byte(nil), c...)
	}
	s.half[d].over, s.half[d].held = true, true
	s.away = true // no goroutine yet: needs no lock
	call := s.envoy.caller()
	var step filters.Step
	spawn(s.config.module.log, "evaluate", func() {
		fault("goroutine")
		step = s.show(d, own, true)
	}, func(failed bool) {
		s.comeBack(outcome{ready: true, direction: d, step: step, failed: failed})
		call()
	})
	return hold
}

// comeBack leaves the outcome for the worker, or, when the stream has ended in
// the meantime, ends the exchange in its place.
func (s *stream) comeBack(o outcome) {
	s.mu.Lock()
	s.away, s.pending = false, o
	ended := s.ended
	s.mu.Unlock()
	if ended {
		s.exchange.Complete()
	}
}

// scheduled carries out what evaluate brought back.
func (s *stream) scheduled() {
	s.mu.Lock()
	o := s.pending
	s.pending = outcome{}
	ended := s.ended
	s.mu.Unlock()
	if !o.ready || ended || s.answered {
		return
	}
	v := goOn
	if o.failed {
		v = s.lapse(o.direction)
	} else {
		v = s.apply(o.direction, o.step, true)
	}
	if v == goOn {
		s.half[o.direction].held = false
		s.envoy.resume(o.direction)
	}
}
