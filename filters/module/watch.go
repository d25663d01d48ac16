//go:build cgo

package main

import (
	"time"

	"github.com/gabion-io/gabion/filters"
)

// watchEvery is how often a held upload is looked at.
const watchEvery = time.Second

// watch asks the chain how a held request body fares, and again after a while:
// a client that sends next to nothing would hold its stream, and what it has sent,
// for as long as Envoy's own timeouts let it.
func (s *stream) watch() {
	if s.away || !s.inspecting() || !s.half[request].held || s.half[request].over {
		return
	}
	switch step := s.exchange.Waiting(); step.Do {
	case filters.Deny:
		s.apply(request, step, true)
	case filters.Hold:
		call, drop := s.envoy.caller()
		timer := time.AfterFunc(watchEvery, func() { guard(s.config.module.log, "watch", call) })
		s.unwatch = func() {
			if timer.Stop() {
				drop()
			}
		}
	}
}
