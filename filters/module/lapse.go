//go:build cgo

package main

import (
	"encoding/json"
	"time"

	"github.com/gabion-io/gabion/filters"
)

// lapse answers for a hook of ours that panicked: once by the policy's failure
// mode, from then on the stream passes uninspected. Failures inside the chain
// never come here: it answers for them itself.
func (s *stream) lapse(d direction) verdict {
	if s.broken || s.answered {
		return goOn
	}
	s.broken = true
	closed := d == request && s.failsClosed()
	s.tellLapse(closed)
	if !closed {
		return goOn
	}
	s.answered = true
	s.envoy.reply(&filters.Reply{
		Status:  503,
		Headers: []filters.Header{{Name: "content-type", Value: "text/plain"}, {Name: "cache-control", Value: "no-store"}},
		Body:    []byte("the request could not be inspected\n"),
	})
	return stop
}

// failsClosed: detect never changes a response, whatever its failure mode says.
func (s *stream) failsClosed() bool {
	t := s.config.table.Config()
	if _, ok := t.Bindings[s.key]; !ok {
		return s.key != "" && t.Unknown == filters.FailClosed
	}
	return s.config.policy(s.key).FailsClosed()
}

// tellLapse leaves the event that says so.
func (s *stream) tellLapse(closed bool) {
	if s.exchange == nil {
		return
	}
	t := s.config.table.Config()
	b := t.Bindings[s.key]
	e := filters.Event{
		ID: s.exchange.ID(), Time: time.Now().UTC(), Listener: t.Listener, Key: s.key,
		Route: b.Route, RouteRule: b.Rule, Policy: b.Source, PolicyID: b.Policy, Mode: s.config.policy(s.key).Mode,
		Decision: filters.Allow, Engine: "chain", Reason: "inspection failed: the transport panicked",
	}
	if closed {
		e.Decision, e.Status, e.WouldBe = filters.Denied, 503, 503
	}
	if text, err := json.Marshal(e); err == nil {
		s.leave(text)
	}
}
