package server

import (
	"strings"
	"time"

	"github.com/oklog/ulid/v2"
)

// ulidSpan is the span of time in which ids with this prefix were made: the
// first ten characters of a ULID are milliseconds. Events are stored by the time
// of arrival at the filter, which may differ a little from the id's, so the span
// is widened.
func ulidSpan(prefix string) (since, until time.Time, ok bool) {
	prefix = strings.ToUpper(prefix)
	if len(prefix) > ulid.EncodedSize {
		return since, until, false
	}
	low, err := ulid.ParseStrict(prefix + strings.Repeat("0", ulid.EncodedSize-len(prefix)))
	if err != nil {
		return since, until, false
	}
	high, err := ulid.ParseStrict(prefix + strings.Repeat("Z", ulid.EncodedSize-len(prefix)))
	if err != nil {
		return since, until, false
	}
	const slack = 5 * time.Second
	return ulid.Time(low.Time()).Add(-slack), ulid.Time(high.Time()).Add(slack), true
}
