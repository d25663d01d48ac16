package chain

import (
	"fmt"
	"slices"
	"time"

	"github.com/gabion-io/gabion/filters"
)

// RequestHeaders shows the request head. end: there is no body and no trailers.
// With Hold the transport keeps the head and shows the body. The chain keeps h.
func (x *Exchange) RequestHeaders(h *filters.RequestHead, end bool) filters.Step {
	return x.guard("request headers", func() filters.Step {
		h = showFraming(h, end)
		x.request = h
		x.stream = requestStream(h)
		x.req.finished = end
		if x.unknown {
			return x.unknownKey()
		}
		if x.record != nil {
			x.req.keep, x.resp.keep = x.record.BodyLimit, x.record.BodyLimit
		}
		x.watch()
		if x.policy == nil {
			return filters.Step{}
		}
		if step := x.guardHead(end); step.Do == filters.Deny {
			return step
		}
		if x.policy.engine == nil {
			if x.awaitsAPI() {
				return x.planRequest(end)
			}
			return filters.Step{}
		}
		x.tx = x.policy.engine.Begin(x.id)
		x.arm()
		if err := x.tx.RequestHeaders(h); err != nil {
			return x.tooLong(err)
		}
		if d := x.tx.Denial(); d != nil {
			if step := x.engineDenies(); step.Do == filters.Deny {
				return step
			}
		}
		return x.planRequest(end)
	})
}

// showFraming puts back the Transfer-Encoding that proxies take away before
// filters run: a body without a length was chunked in HTTP/1.1, and rules tell a
// POST that says how its body ends from one that does not. In other versions
// there is nothing to put back. h is not changed.
func showFraming(h *filters.RequestHead, end bool) *filters.RequestHead {
	if end || h.Proto != "HTTP/1.1" {
		return h
	}
	if stream := requestStream(h); stream == "CONNECT" || stream == "upgrade" {
		return h
	}
	for _, f := range h.Headers {
		if f.Name == "content-length" || f.Name == "transfer-encoding" {
			return h
		}
	}
	framed := *h
	framed.Headers = append(slices.Clip(h.Headers), filters.Header{Name: "transfer-encoding", Value: "chunked"})
	return &framed
}

// unknownKey judges an exchange whose route's key no binding has.
func (x *Exchange) unknownKey() filters.Step {
	x.failure, x.stale = "policy key is not in the filter's table", true
	if x.table.config.Unknown == filters.FailClosed {
		return x.deny(verdict{status: 503, reason: x.failure, engine: "chain"})
	}
	return filters.Step{}
}

// planRequest decides what happens to the request's body.
func (x *Exchange) planRequest(end bool) filters.Step {
	b := x.policy.RequestBody
	inspect := x.tx != nil && b.Inspect
	switch {
	case end:
		return x.judgeRequest(nil, false)
	case x.stream != "":
		x.note("request body is a stream (" + x.stream + ")")
		return x.judgeRequest(nil, false)
	case !inspect && x.tx != nil:
		x.note("request bodies are not inspected")
	}
	if step := x.planAPI(); step.Do == filters.Deny {
		return step
	}
	if !inspect && x.apiLimit == 0 {
		return x.judgeRequest(nil, false)
	}
	x.req.beyond = filters.BeyondPartial
	if inspect {
		x.wafLimit, x.req.beyond = limitFor(b, mediaType(x.request.Headers))
	}
	x.req.limit = max(x.wafLimit, x.apiLimit)
	x.req.keep = max(x.req.keep, x.req.limit)
	x.req.inspect, x.req.since, x.req.codings = true, time.Now(), codings(x.request.Headers)
	if contentLength(x.request.Headers) > x.req.limit && x.req.beyond != filters.BeyondPartial && x.req.beyond != "" {
		return x.requestTooLong()
	}
	return hold(x.holdsRequest())
}

// RequestBody shows a chunk, which is copied if kept. end marks the last; it
// may be empty. Call it with end (and no bytes) when trailers end the body.
func (x *Exchange) RequestBody(chunk []byte, end bool) filters.Step {
	return x.guard("request body", func() filters.Step {
		if x.unmasks(end, chunk) {
			if step := x.unmask(chunk); step.Do == filters.Deny {
				return step
			}
			chunk = x.req.frames.stray(chunk)
		} else if x.stream == grpcStream {
			x.req.frames.pass(chunk)
		}
		fits := x.req.add(x, chunk)
		x.req.finished = x.req.finished || end
		switch {
		case !fits && x.req.inspect:
			return x.noRoom()
		case !x.req.inspect:
			return filters.Step{}
		case x.req.over():
			return x.requestTooLong()
		case end:
			return x.judgeRequest(x.req.inspected(), x.req.missing > 0)
		}
		return hold(x.holdsRequest())
	})
}

// RequestCut says that the body goes on but nothing more of it will be shown:
// the proxy could hold no more. It is judged as a body beyond its limit.
func (x *Exchange) RequestCut() filters.Step {
	return x.guard("request body", func() filters.Step {
		if !x.req.inspect {
			return filters.Step{}
		}
		x.req.limit = int64(len(x.req.inspected()))
		return x.requestTooLong()
	})
}

func (x *Exchange) requestTooLong() filters.Step {
	if step := x.apiTooLong(); step.Do == filters.Deny {
		return step
	}
	if x.wafLimit > 0 {
		x.req.limit = min(x.req.limit, x.wafLimit)
	}
	text := beyondText("request", x.req.limit)
	x.note(text)
	x.beyond, x.stale = text, true
	switch x.req.beyond {
	case filters.BeyondReject:
		step := x.deny(verdict{status: 413, reason: text, engine: "chain"})
		if step.Do == filters.Deny {
			return step
		}
		return x.judgeRequest(x.req.inspected(), true)
	case filters.BeyondPass:
		return x.judgeRequest(nil, false)
	}
	return x.judgeRequest(x.req.inspected(), true)
}

// noRoom gives up a body that the process has no room to hold.
func (x *Exchange) noRoom() filters.Step {
	x.runtime.unheld.Add(1)
	return x.giveUp(fmt.Sprintf("there is no room: of all bodies at most %d bytes are held", x.runtime.maxHeld.Load()))
}

// judgeRequest ends the inspection of the request.
func (x *Exchange) judgeRequest(body []byte, cut bool) filters.Step {
	x.req.inspect = false
	if x.judged || !x.judging() {
		return filters.Step{}
	}
	x.judged = true
	if x.req.codings != "" && len(body) > 0 {
		d := decode(x.req.codings, body, x.req.limit)
		switch {
		case d.more:
			text := beyondText("decoded request", int64(len(d.body)))
			x.note(text)
			x.beyond, x.stale = text, true
			if step := x.apiTooLong(); step.Do == filters.Deny {
				return step
			}
			if x.req.beyond == filters.BeyondReject {
				if step := x.deny(verdict{status: 413, reason: text, engine: "chain"}); step.Do == filters.Deny {
					return step
				}
			}
			if x.req.beyond == filters.BeyondPass {
				d.body = nil
			}
			cut = true
		case d.err != nil && !(d.torn && cut):
			return x.giveUp("request body: " + d.err.Error())
		}
		body = d.body
	}
	if step := x.guardBody(body, cut); step.Do == filters.Deny {
		return step
	}
	return x.judgeByRules(body, cut)
}

// judgeByRules shows the WAF its part of the body.
func (x *Exchange) judgeByRules(body []byte, cut bool) filters.Step {
	defer func() {
		if !x.keeps() {
			x.req.data = nil
			x.unreserve()
		}
	}()
	if x.tx == nil {
		return filters.Step{}
	}
	if int64(len(body)) > x.wafLimit { // the rest was for API protection
		step, rest := x.shorten(body)
		if step.Do == filters.Deny {
			return step
		}
		body, cut = rest, rest != nil
	}
	x.arm()
	if err := x.tx.RequestBody(body, cut); err != nil {
		return x.tooLong(err)
	}
	return x.engineDenies()
}

// shorten is a body that is longer than the WAF inspects, as it wants it.
func (x *Exchange) shorten(body []byte) (filters.Step, []byte) {
	if x.wafLimit == 0 {
		return filters.Step{}, nil
	}
	text := beyondText("request", x.wafLimit)
	x.note(text)
	x.beyond, x.stale = text, true
	switch x.req.beyond {
	case filters.BeyondReject:
		if step := x.deny(verdict{status: 413, reason: text, engine: "chain"}); step.Do == filters.Deny {
			return step, nil
		}
	case filters.BeyondPass:
		return filters.Step{}, nil
	}
	return filters.Step{}, body[:x.wafLimit]
}

// engineDenies takes over a denial of the engine.
func (x *Exchange) engineDenies() filters.Step {
	x.stale = x.stale || x.tx.Changed()
	d := x.tx.Denial()
	if d == nil {
		return filters.Step{}
	}
	return x.deny(verdict{status: d.Status, location: d.Location, reason: d.Reason, engine: "waf"})
}

// note remembers what was not inspected.
func (x *Exchange) note(partial string) {
	for _, p := range x.partial {
		if p == partial {
			return
		}
	}
	x.partial = append(x.partial, partial)
}
