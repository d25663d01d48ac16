package chain

import (
	"encoding/json"
	"sync/atomic"
	"time"

	"github.com/gabion-io/gabion/filters"
)

// effortEvery is how often a filter says what its engine saved.
const effortEvery = 2 * time.Second

// effort is when it said so last, and as whom.
type effort struct {
	instance string
	told     atomic.Int64 // nanoseconds
}

// Effort is the JSON of a filters.Effort when it is time for one, else nil. The
// transport leaves it with this exchange for the access log.
func (x *Exchange) Effort() []byte {
	if x.policy == nil || x.policy.engine == nil {
		return nil
	}
	r := x.runtime
	now, told := x.began.UnixNano(), r.effort.told.Load()
	if now-told < int64(effortEvery) || !r.effort.told.CompareAndSwap(told, now) {
		return nil
	}
	s := r.compiler.Stats()
	out, err := json.Marshal(filters.Effort{
		Instance: r.effort.instance, Values: s.Values, Known: s.Known, Asked: s.Asked, Rules: s.Considered,
		Skipped: s.Skipped, Remembered: uint64(s.Remembered), Bytes: uint64(s.Bytes),
	})
	if err != nil {
		return nil
	}
	return out
}
