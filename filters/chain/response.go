package chain

import (
	"cmp"

	"github.com/gabion-io/gabion/filters"
)

// ResponseHeaders shows the response head, also of a reply Envoy made itself
// (not of a Deny of this chain). The chain keeps h.
func (x *Exchange) ResponseHeaders(h *filters.ResponseHead, end bool) filters.Step {
	return x.guard("response headers", func() filters.Step {
		x.response, x.status, x.stale = h, h.Status, true
		x.resp.finished = end
		x.watchAnswer(end)
		if !x.judging() {
			return filters.Step{}
		}
		if !x.judged {
			// The upstream answered before the request was all there.
			x.note("request body was not complete when the response began")
			if step := x.judgeRequest(x.req.inspected(), true); step.Do == filters.Deny || x.tx == nil {
				return step
			}
		}
		x.tx.ResponseHeaders(h)
		if step := x.engineDenies(); step.Do == filters.Deny {
			return step
		}
		return x.planResponse(end)
	})
}

func (x *Exchange) planResponse(end bool) filters.Step {
	b := x.policy.ResponseBody
	why := x.skipResponse(b, end)
	if why != "" {
		if why != none {
			x.note(why)
		}
		return x.judgeResponse(nil)
	}
	x.resp.limit, x.resp.beyond = limitFor(b, mediaType(x.response.Headers))
	x.resp.keep = max(x.resp.keep, x.resp.limit)
	x.resp.inspect, x.resp.codings = true, codings(x.response.Headers)
	if contentLength(x.response.Headers) > x.resp.limit && x.resp.beyond != filters.BeyondPartial && x.resp.beyond != "" {
		return x.responseTooLong()
	}
	return hold(x.blocks())
}

// none is the reason not worth telling: there is no body to inspect, or the
// policy does not ask for it.
const none = "-"

func (x *Exchange) skipResponse(b filters.BodyInspection, end bool) string {
	status := x.response.Status
	if !b.Inspect || end || x.request.Method == "HEAD" || status == 204 || status == 304 {
		return none
	}
	switch stream := responseStream(x.response); {
	case stream != "" || x.stream != "":
		return "response body is a stream (" + cmp.Or(stream, x.stream) + ")"
	case !listed(b.ContentTypes, mediaType(x.response.Headers)):
		return none
	}
	return ""
}

// ResponseBody shows a chunk, which is copied if kept.
func (x *Exchange) ResponseBody(chunk []byte, end bool) filters.Step {
	return x.guard("response body", func() filters.Step {
		fits := x.resp.add(x, chunk)
		x.resp.finished = x.resp.finished || end
		if x.answering && (end || x.resp.total > x.policy.guard.BodyLimit()) {
			x.guardAnswer()
		}
		switch {
		case !fits && x.resp.inspect:
			return x.noRoom()
		case !x.resp.inspect:
			return filters.Step{}
		case x.resp.over():
			return x.responseTooLong()
		case end:
			return x.judgeResponse(x.resp.inspected())
		}
		return hold(x.blocks())
	})
}

func (x *Exchange) responseTooLong() filters.Step {
	text := beyondText("response", x.resp.limit)
	x.note(text)
	switch x.resp.beyond {
	case filters.BeyondReject:
		step := x.deny(verdict{status: 502, reason: text, engine: "chain"})
		if step.Do == filters.Deny {
			return step
		}
	case filters.BeyondPass:
		return x.judgeResponse(nil)
	}
	return x.judgeResponse(x.resp.inspected())
}

// judgeResponse ends the inspection of the response.
func (x *Exchange) judgeResponse(body []byte) filters.Step {
	x.resp.inspect = false
	if x.passed || x.tx == nil {
		return filters.Step{}
	}
	x.passed = true
	if x.resp.codings != "" && len(body) > 0 {
		x.tx.DecodedResponse()
		d := decode(x.resp.codings, body, x.resp.limit)
		switch {
		case d.more:
			text := beyondText("decoded response", int64(len(d.body)))
			x.note(text)
			if x.resp.beyond == filters.BeyondReject {
				if step := x.deny(verdict{status: 502, reason: text, engine: "chain"}); step.Do == filters.Deny {
					return step
				}
			}
			if x.resp.beyond == filters.BeyondPass {
				d.body = nil
			}
		case d.err != nil && !(d.torn && x.resp.over()):
			return x.giveUp("response body: " + d.err.Error())
		}
		body = d.body
	}
	x.arm()
	err := x.tx.ResponseBody(body)
	if !x.keeps() && !x.answering {
		x.resp.data = nil
		x.unreserve()
	}
	if err != nil {
		return x.tooLong(err)
	}
	return x.engineDenies()
}
