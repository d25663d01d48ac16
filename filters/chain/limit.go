package chain

import (
	"fmt"
	"strings"
	"time"

	"github.com/gabion-io/gabion/filters"
)

// limitFor gives how much of a body is inspected, and what becomes of a longer
// one: the first entry for its media type says so, or the general limits do.
func limitFor(b filters.BodyInspection, media string) (int64, filters.Beyond) {
	for _, l := range b.Types {
		if matchesType(l.ContentType, media) {
			return l.Limit, l.Beyond
		}
	}
	if structured(media) && b.StructuredLimit > 0 {
		return b.StructuredLimit, b.Beyond
	}
	return b.Limit, b.Beyond
}

// matchesType: patterns are "application/json", "image/*", "*/*", or
// "application/*+json".
func matchesType(pattern, media string) bool {
	pattern = strings.ToLower(pattern)
	if pattern == media || pattern == "*/*" {
		return true
	}
	prefix, suffix, star := strings.Cut(pattern, "*")
	return star && len(media) > len(prefix)+len(suffix) && strings.HasPrefix(media, prefix) && strings.HasSuffix(media, suffix)
}

// uploadGrace is how long a held body may take before its rate counts.
const uploadGrace = 5 * time.Second

// Waiting says how a held request body fares: a transport asks from time to time
// while it holds one, and answers what a client that sends too slowly gets.
func (x *Exchange) Waiting() filters.Step {
	return x.guard("slow upload", func() filters.Step {
		rate := x.minRate()
		if !x.req.inspect || !x.holdsRequest() || rate <= 0 {
			return filters.Step{}
		}
		took := time.Since(x.req.since) - uploadGrace
		if took <= 0 || float64(x.req.total) >= took.Seconds()*float64(rate) {
			return filters.Step{Do: filters.Hold}
		}
		x.runtime.slow.Add(1)
		return x.deny(verdict{status: 408, engine: "chain", mode: filters.ModeBlock,
			reason: fmt.Sprintf("request body arrives at less than %d bytes a second", rate)})
	})
}

// BodyDue is how long a held request body of length bytes (0: nobody said) may take at
// the least rate, for a transport that sees it only when it is there; Waiting has the
// answer then. 0: as long as it likes.
func (x *Exchange) BodyDue(length int64) time.Duration {
	rate := x.minRate()
	if !x.req.inspect || !x.holdsRequest() || rate <= 0 {
		return 0
	}
	most := x.req.limit
	if length > 0 {
		most = min(most, length)
	}
	return uploadGrace + time.Duration(float64(most)/float64(rate)*float64(time.Second))
}

// apiRate is how many bytes a second a client must send of a body that only API
// protection holds.
const apiRate = 500

func (x *Exchange) minRate() int64 {
	if x.tx == nil {
		return apiRate
	}
	return x.policy.RequestBody.MinRate
}

// reserve counts bytes held of a body; false: there is no room for them in this
// process.
func (x *Exchange) reserve(n int64) bool {
	if x.runtime.held.Add(n) > x.runtime.maxHeld.Load() {
		x.runtime.held.Add(-n)
		return false
	}
	x.reserved += n
	return true
}

// unreserve gives back what was held.
func (x *Exchange) unreserve() {
	x.runtime.held.Add(-x.reserved)
	x.reserved = 0
}

// RequestLost says that what was held of the request's body cannot reach the
// upstream any more: whatever the failure mode, the request cannot go on.
func (x *Exchange) RequestLost() filters.Step {
	return x.guard("request body", func() filters.Step {
		x.failure = "inspection failed: trailers came after a body that was held"
		return x.deny(verdict{status: 503, reason: x.failure, engine: "chain"})
	})
}
