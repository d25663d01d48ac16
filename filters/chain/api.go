package chain

import (
	"runtime/debug"
	"time"

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

// awaitsAnswer says that API protection has something to say of the response.
func (x *Exchange) awaitsAnswer() bool {
	return x.answering || x.api != nil && x.response == nil && x.api.Answers()
}

// watchAnswer shows API protection the head of the response, and decides whether its
// body is kept for it as it passes: it is never held.
func (x *Exchange) watchAnswer(end bool) {
	if x.api == nil {
		return
	}
	x.tolerant("response headers", func() { x.api.Answer(x.response) })
	limit := x.policy.guard.BodyLimit()
	x.answering = x.api != nil && x.api.AwaitsAnswer() && !end && x.request.Method != "HEAD" && x.stream == "" && responseStream(x.response) == "" &&
		contentLength(x.response.Headers) <= limit
	if x.answering {
		x.resp.keep = max(x.resp.keep, limit)
	}
}

// guardAnswer shows API protection the body of the response. Of one that was not kept
// whole, is too long, or cannot be decoded, nothing is said.
func (x *Exchange) guardAnswer() {
	defer x.forgetAnswer()
	limit := x.policy.guard.BodyLimit()
	body := x.resp.data
	if x.resp.total > min(limit, int64(len(body))) || x.api == nil {
		return
	}
	x.tolerant("response body", func() {
		if c := codings(x.response.Headers); c != "" {
			d := decode(c, body, limit)
			if d.err != nil || d.more {
				return
			}
			body = d.body
		}
		x.api.AnswerBody(body)
	})
}

// forgetAnswer ends the wait for the response's body, and lets go of what nobody else
// wants of it.
func (x *Exchange) forgetAnswer() {
	x.answering = false
	if !x.keeps() && !x.resp.inspect {
		x.resp.data, x.resp.keep = nil, 0
		x.unreserve()
	}
}

// tolerant runs a judgement that only tells: what goes wrong in it is told, too.
func (x *Exchange) tolerant(hook string, judge func()) {
	defer func() {
		if p := recover(); p != nil {
			x.runtime.panics.Add(1)
			x.runtime.o.Log.Error("API protection panicked", "hook", hook, "panic", p, "stack", string(debug.Stack()))
			x.api, x.failure, x.stale = nil, "inspection failed: panic in API protection", true
		}
	}()
	judge()
	x.stale = x.stale || x.api.Finding() != nil
}

// answerCost estimates what the last chunks of the response make API protection do.
func (x *Exchange) answerCost(chunks [][]byte) time.Duration {
	if !x.answering {
		return 0
	}
	size := x.resp.total
	for _, c := range chunks {
		size += int64(len(c))
	}
	limit := x.policy.guard.BodyLimit()
	switch {
	case size > limit:
		return 0
	case codings(x.response.Headers) != "":
		size = min(limit, size*typicalRatio)
	}
	return apiguard.Cost(size)
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
