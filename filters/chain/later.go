package chain

import (
	"bytes"
	"fmt"
	"strings"
	"time"

	"github.com/gabion-io/gabion/filters"
	"github.com/gabion-io/gabion/filters/apiguard"
	"github.com/gabion-io/gabion/filters/waf"
)

// HeadCost estimates how long RequestHeaders will take with h.
func (x *Exchange) HeadCost(h *filters.RequestHead) time.Duration {
	if x.policy == nil || x.policy.engine == nil {
		return 0
	}
	size, values := int64(len(h.Path)), int64(len(h.Headers)+strings.Count(h.Path, "&")+items(h.Path))
	for _, f := range h.Headers {
		size += int64(len(f.Value))
		values += int64(strings.Count(f.Value, ";") + items(f.Value))
	}
	return waf.Cost(size, values)
}

// BodyCost estimates how long showing chunks of the request's body (of the
// response's, if response) will take: nothing, unless it has the body judged.
func (x *Exchange) BodyCost(response bool, chunks [][]byte, end bool) time.Duration {
	cost := x.inspectionCost(response, chunks, end)
	if response && end {
		cost += x.answerCost(chunks)
	}
	return cost
}

func (x *Exchange) inspectionCost(response bool, chunks [][]byte, end bool) (cost time.Duration) {
	b, media := &x.req, ""
	switch {
	case !x.judging() || response && (x.tx == nil || !x.resp.inspect):
		return 0
	case response:
		b, media = &x.resp, mediaType(x.response.Headers)
	default:
		media = mediaType(x.request.Headers)
	}
	inspect, limit := b.inspect, b.limit
	if !response && x.unmasks(end, chunks...) {
		inspect = true
		limit, _ = limitFor(x.policy.RequestBody, media)
	}
	size := b.total
	for _, c := range chunks {
		size += int64(len(c))
	}
	if !inspect || !end && size <= limit {
		return 0
	}
	size = min(size, limit)
	if !response && x.awaitsAPI() {
		cost = apiguard.Cost(size)
		if b.codings != "" {
			cost = apiguard.Cost(min(limit, size*typicalRatio))
		}
	}
	if x.tx == nil {
		return cost
	}
	if !response && x.wafLimit > 0 {
		size = min(size, x.wafLimit)
	}
	if b.codings != "" {
		// What it holds is not known before it is decoded.
		size = min(limit, size*typicalRatio)
		return cost + waf.Cost(size, size/bytesPerValue)
	}
	values := countValues(media, b.data)
	for _, c := range chunks {
		values += countValues(media, c)
	}
	return cost + waf.Cost(size, values)
}

const (
	typicalRatio  = 20 // of a compressed text
	bytesPerValue = 32
)

// countValues is about how many values a part of a body has. What it is read as
// does not follow from its media type alone: JSON is JSON under any.
func countValues(media string, b []byte) int64 {
	count := func(s string) int64 { return int64(bytes.Count(b, []byte(s))) }
	if media == "application/x-www-form-urlencoded" {
		return 2*count("&") + count(",") + count("%2C") + count("%2c") // names are values too
	}
	return count(",") + count(":")
}

// items is about how many values JSON has that is part of a text, encoded or not.
func items(text string) int {
	n := strings.Count(text, ",")
	if strings.IndexByte(text, '%') >= 0 {
		n += strings.Count(text, "%2C") + strings.Count(text, "%2c")
	}
	return n
}

// Later has run called by the pool, then done, each once and neither on this
// goroutine; done is told whether run panicked. The exchange belongs to the pool
// until done is called. False: the queue is full, nothing will be called, and
// the answer is Refuse's.
func (x *Exchange) Later(cost time.Duration, bytes int64, run func(), done func(failed bool)) bool {
	queued := time.Now()
	return x.runtime.pool.submit(&job{client: x.client(), bytes: bytes, class: classOf(cost), done: done, run: func() {
		x.waited = time.Since(queued) > maxWait
		run()
	}})
}

// maxWait is how long a judgement may wait for its turn: beyond it the client has
// waited in vain whatever the verdict.
const maxWait = 30 * time.Second

// client is in whose turn the exchange is judged.
func (x *Exchange) client() string {
	if x.request != nil && x.request.Client.Addr().IsValid() {
		return x.request.Client.Addr().String()
	}
	return x.id
}

// SetClient says who sends the request, before RequestHeaders has told.
func (x *Exchange) SetClient(h *filters.RequestHead) {
	if x.request == nil {
		x.request = h
	}
}

// deadline is when a judgement that begins now is broken off; zero: never.
func (x *Exchange) deadline() time.Time {
	if x.policy == nil || x.policy.MaxMillis == 0 || x.runtime.timeless {
		return time.Time{}
	}
	return time.Now().Add(time.Duration(x.policy.MaxMillis) * time.Millisecond)
}

// arm sets the clock for the phase that begins.
func (x *Exchange) arm() {
	switch end := x.deadline(); {
	case x.waited:
		x.tx.StopAt(x.began.Add(-time.Hour))
	case !end.IsZero():
		x.tx.StopAt(end)
	}
}

// Refuse gives the inspection up because it found no place in the queue. What is only
// told goes untold: nobody is denied for it.
func (x *Exchange) Refuse() filters.Step {
	if x.answering && !x.resp.inspect {
		x.note("response was not held to its operation: too many bodies wait for inspection")
		x.forgetAnswer()
		return filters.Step{}
	}
	return x.guard("queue", func() filters.Step { return x.giveUp("too many bodies wait for inspection") })
}

// tooLong gives up what the engine broke off.
func (x *Exchange) tooLong(err error) filters.Step {
	if err == waf.ErrTooSlow {
		x.runtime.overdue.Add(1)
		if x.waited {
			return x.giveUp("it waited too long for its turn")
		}
		return x.giveUp(fmt.Sprintf("it took longer than %d ms", x.policy.MaxMillis))
	}
	return x.giveUp(err.Error())
}
