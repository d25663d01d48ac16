package chain

import (
	"cmp"
	"strings"

	"github.com/gabion-io/gabion/filters"
)

// ResponseHeaders shows the response head, also of a reply Envoy made itself
// (not of a Deny of this chain). The chain keeps h.
func (x *Exchange) ResponseHeaders(h *filters.ResponseHead, end bool) filters.Step {
	return x.guard("response headers", func() filters.Step {
		x.response, x.status, x.stale = h, h.Status, true
		x.resp.finished = end
		if x.tx == nil {
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
	x.resp.limit = limitFor(b, mediaType(x.response.Headers))
	x.resp.keep = max(x.resp.keep, x.resp.limit)
	x.resp.beyond, x.resp.inspect = b.Beyond, true
	if contentLength(x.response.Headers) > x.resp.limit && b.Beyond != filters.BeyondPartial && b.Beyond != "" {
		return x.responseTooLong()
	}
	return x.hold()
}

// none is the reason not worth telling: there is no body to inspect, or the
// policy does not ask for it.
const none = "-"

func (x *Exchange) skipResponse(b filters.BodyInspection, end bool) string {
	status := x.response.Status
	switch stream := responseStream(x.response); {
	case !b.Inspect, end, x.request.Method == "HEAD", status == 204, status == 304:
		return none
	case stream != "" || x.stream != "":
		return "response body is a stream (" + cmp.Or(stream, x.stream) + ")"
	case !listed(b.ContentTypes, mediaType(x.response.Headers)):
		return none
	case encoded(header(x.response.Headers, "content-encoding")):
		return "response body is compressed"
	}
	return ""
}

func encoded(coding string) bool {
	coding = strings.ToLower(strings.TrimSpace(coding))
	return coding != "" && coding != "identity"
}

// ResponseBody shows a chunk, which is copied if kept.
func (x *Exchange) ResponseBody(chunk []byte, end bool) filters.Step {
	return x.guard("response body", func() filters.Step {
		x.resp.add(chunk)
		x.resp.finished = x.resp.finished || end
		switch {
		case !x.resp.inspect:
			return filters.Step{}
		case x.resp.over():
			return x.responseTooLong()
		case end:
			return x.judgeResponse(x.resp.inspected())
		}
		return x.hold()
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
	if err := x.tx.ResponseBody(body); err != nil {
		return x.giveUp(err.Error())
	}
	return x.engineDenies()
}
