package chain

import (
	"runtime/debug"

	"github.com/gabion-io/gabion/filters"
	"github.com/gabion-io/gabion/filters/apiguard"
)

// guardHead lets API protection judge the request's head.
func (x *Exchange) guardHead(end bool) filters.Step {
	if x.policy.guard == nil {
		return filters.Step{}
	}
	return x.guarded("request headers", func() { x.api = x.policy.guard.Begin(x.request, end) })
}

// guarded runs API protection by itself: what goes wrong in it is answered by its
// own failure mode, and is no affair of the WAF's.
func (x *Exchange) guarded(hook string, judge func()) (out filters.Step) {
	defer func() {
		p := recover()
		if p == nil {
			return
		}
		x.runtime.panics.Add(1)
		x.runtime.o.Log.Error("API protection panicked", "hook", hook, "panic", p, "stack", string(debug.Stack()))
		mode := x.policy.API.Mode
		if x.api != nil {
			mode = x.api.Mode()
		}
		x.api, x.apiLimit = nil, 0
		x.failure, x.stale = "inspection failed: panic in API protection", true
		out = filters.Step{}
		if x.policy.guard.FailsClosed() {
			out = x.deny(verdict{status: 503, reason: x.failure, engine: "chain", mode: mode})
		}
	}()
	judge()
	return x.apiDenies()
}

// apiDenies takes over a denial of API protection.
func (x *Exchange) apiDenies() filters.Step {
	x.stale = x.stale || x.api.Finding() != nil
	status, reason := x.api.Denial()
	if status == 0 {
		return filters.Step{}
	}
	return x.deny(verdict{status: status, reason: reason, engine: apiguard.Engine, mode: x.api.Mode()})
}

// awaitsAPI says that API protection wants to see the request's body.
func (x *Exchange) awaitsAPI() bool { return x.api != nil && x.api.AwaitsBody() }

// apiBlocks says that API protection may deny the request.
func (x *Exchange) apiBlocks() bool { return x.api != nil && x.api.Mode() == filters.ModeBlock }

// planAPI decides how much of the body API protection gets.
func (x *Exchange) planAPI() filters.Step {
	x.apiLimit = 0
	if !x.awaitsAPI() {
		return filters.Step{}
	}
	if contentLength(x.request.Headers) > x.policy.guard.BodyLimit() {
		return x.apiTooLong()
	}
	x.apiLimit = x.policy.guard.BodyLimit()
	return filters.Step{}
}

// apiTooLong: the body goes on beyond what API protection holds of it.
func (x *Exchange) apiTooLong() filters.Step {
	if !x.awaitsAPI() {
		return filters.Step{}
	}
	return x.guarded("request body", x.api.TooLong)
}

// guardBody shows API protection the decoded body. Of one that is not all there,
// nothing is said.
func (x *Exchange) guardBody(body []byte, cut bool) filters.Step {
	switch {
	case !x.awaitsAPI():
		return filters.Step{}
	case x.apiLimit > 0 && int64(len(body)) > x.apiLimit:
		return x.apiTooLong()
	case cut || x.stream != "":
		x.api.Unseen()
		return filters.Step{}
	}
	return x.guarded("request body", func() { x.api.Body(body) })
}

// apiFinding is what API protection says of the request; nil: nothing.
func (x *Exchange) apiFinding() *filters.APIFinding {
	if x.api == nil {
		return nil
	}
	f := x.api.Finding()
	if f != nil {
		f.Policy = x.binding.APISource
	}
	return f
}
