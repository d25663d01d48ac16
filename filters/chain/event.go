package chain

import (
	"encoding/json"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/gabion-io/gabion/filters"
	"github.com/gabion-io/gabion/filters/apiguard"
	"github.com/gabion-io/gabion/internal/exchange"
)

// Finding is the JSON of the Event as known so far, nil when there is none.
// Cheap when nothing changed since the last call.
func (x *Exchange) Finding() (out []byte) {
	defer func() {
		if recover() != nil {
			x.runtime.panics.Add(1)
			out = nil
		}
	}()
	if x.complete || !x.stale {
		return x.finding
	}
	x.stale = false
	e := x.event()
	if e == nil {
		return nil
	}
	b, err := json.Marshal(e)
	if err != nil {
		return nil
	}
	x.finding = b
	return b
}

// Complete ends the exchange, exactly once, however the stream ended: it spools
// the event, records, and frees everything. Nil when there was no finding.
func (x *Exchange) Complete() (e *filters.Event) {
	if x.complete {
		return nil
	}
	defer x.table.done()
	defer x.unreserve()
	defer func() {
		x.complete = true
		if p := recover(); p != nil {
			x.runtime.panics.Add(1)
			x.runtime.o.Log.Error("filter panicked", "hook", "complete", "panic", p)
		}
	}()
	if x.tx != nil {
		x.tx.Logging()
		if trace := x.runtime.o.Trace; trace != nil {
			trace(Trace{ID: x.id, Rules: x.tx.Logged(), Lines: x.tx.LogLines()})
		}
	}
	if e = x.event(); e != nil {
		x.spool(e)
	}
	x.keep(e)
	if x.tx != nil {
		x.tx.Close()
		x.tx = nil
	}
	if x.told != nil {
		x.learn.pool.Put(x.told)
		x.told = nil
	}
	return e
}

// spool hands the event to the local queue.
func (x *Exchange) spool(e *filters.Event) {
	if x.table.events == nil {
		return
	}
	b, err := json.Marshal(e)
	if err != nil || !x.table.events.events.Append(b) {
		x.runtime.eventsDropped.Add(1)
	}
}

// keep records the exchange whole: always with a finding, else by the dice.
func (x *Exchange) keep(e *filters.Event) {
	if x.record == nil || x.request == nil || e == nil && !x.sampled {
		return
	}
	r := &Recorded{
		ID: x.id, Time: x.began, Recording: x.record.Name, Listener: x.table.config.Listener, Key: x.key,
		Route: x.binding.Route, RouteRule: x.binding.Rule, PolicyID: x.binding.Policy,
		Request: *x.request, Decision: filters.Allow, Event: e,
	}
	if e != nil {
		r.Decision = e.Decision
	}
	if x.response != nil {
		r.Response = *x.response
	}
	r.RequestBody, r.RequestBytes, r.RequestTruncated = x.req.kept(x.record.BodyLimit)
	r.ResponseBody, r.ResponseBytes, r.ResponseTruncated = x.resp.kept(x.record.BodyLimit)
	if !x.table.records.records.Append(r) {
		x.runtime.recordsDropped.Add(1)
	}
}

// kept is what is recorded of a body: at most limit bytes.
func (b *body) kept(limit int64) (data []byte, total int64, truncated bool) {
	data = b.data[:min(limit, int64(len(b.data)))]
	return data, b.total, b.total > int64(len(data)) || !b.finished
}

// event assembles what is known now.
func (x *Exchange) event() *filters.Event {
	found := x.tx != nil && x.tx.Matched()
	debug := x.tx != nil && x.table.config.Debug
	api := x.apiFinding()
	if !found && api == nil && x.denied == nil && x.failure == "" && x.beyond == "" && !debug {
		return nil
	}
	e := &filters.Event{
		ID: x.id, Time: x.began.UTC(), Listener: x.table.config.Listener, Key: x.key,
		Route: x.binding.Route, RouteRule: x.binding.Rule, Policy: x.binding.Source, PolicyID: x.binding.Policy,
		Decision: filters.Allow, Engine: "waf", Status: x.status,
		Partial: strings.Join(x.partial, "; "), Micros: x.spent.Microseconds(),
	}
	if x.policy != nil {
		e.Mode = x.policy.Mode
	} else if x.unknown && x.table.config.Unknown == filters.FailClosed {
		e.Mode = filters.ModeBlock
	} else {
		e.Mode = filters.ModeDetect
	}
	x.describeRequest(e)
	if found {
		e.Score, e.OutScore = x.tx.Score(), x.tx.OutScore()
		e.Matches, e.MoreMatches = x.tx.Matches(filters.MaxMatches)
	}
	e.API = api
	x.decide(e)
	if debug {
		e.Logged = distinct(x.tx.Logged(), filters.MaxLogged)
		e.Log = []byte(strings.Join(x.tx.LogLines(), "\n"))
	}
	return e
}

// distinct keeps the first of each id, at most limit.
func distinct(ids []int, limit int) []int {
	var out []int
	for _, id := range ids {
		if len(out) < limit && !slices.Contains(out, id) {
			out = append(out, id)
		}
	}
	return out
}

// decide fills in the decision and its reason.
func (x *Exchange) decide(e *filters.Event) {
	if e.API != nil && len(e.Matches) == 0 { // also of what is only told
		e.Engine, e.Reason, e.Policy, e.Mode = apiguard.Engine, e.API.Violations[0].String(), e.API.Policy, e.API.Mode
	}
	if x.beyond != "" && len(e.Matches) == 0 { // padding must not be a way past unseen
		e.Engine, e.Reason = "chain", x.beyond
	}
	if x.failure != "" {
		e.Engine, e.Reason = "chain", x.failure
	}
	if v := x.denied; v != nil {
		e.Engine, e.Reason, e.WouldBe = v.engine, v.reason, x.replyStatus(*v)
		if v.engine == apiguard.Engine {
			e.Policy, e.Mode = x.binding.APISource, v.mode
		}
		e.Decision = filters.Detect
	}
	if x.answered != nil {
		e.Decision, e.Status = filters.Denied, x.answered.Status
	}
}

func (x *Exchange) describeRequest(e *filters.Event) {
	h := x.request
	if h == nil {
		return
	}
	if !h.Time.IsZero() {
		e.Time = h.Time.UTC()
	}
	if a := h.Client.Addr(); a.IsValid() {
		e.Client = a.Unmap().String()
	}
	e.Method, e.RequestID = text(h.Method, 32), text(h.RequestID, 128)
	e.Host = text(h.Authority, 255)
	path, _, _ := strings.Cut(h.Path, "?")
	path, _, _ = strings.Cut(path, "#")
	e.Path = exchange.MaskPath(text(path, 1024)) // here already: events lie in a spool
}

// text makes what a client sent fit for a JSON document: valid UTF-8, bounded.
func text(s string, limit int) string {
	if len(s) > limit {
		s = s[:limit]
		for len(s) > 0 && !utf8.RuneStart(s[len(s)-1]) {
			s = s[:len(s)-1]
		}
	}
	return strings.ToValidUTF8(s, "\uFFFD")
}
