package waf

import (
	"errors"
	"math"
	"time"
)

// ErrTooSlow says that a phase was broken off at its deadline.
var ErrTooSlow = errors.New("inspection took too long")

// deadlineMark is the second number of the range that carries a transaction's
// deadline: the engine hands operators nothing but the transaction, and of what
// it holds only the ranges of rules taken out are ours to write. Such a range
// covers no rule: its first number is a time, beyond every id.
const deadlineMark = math.MinInt + 1

// StopAt has phases broken off from t on: between two values, not within one.
// Call it before the first phase, or not at all.
func (t *Transaction) StopAt(end time.Time) {
	r, ok := t.tx.(ruleRemover)
	if !ok {
		return
	}
	if ranges := r.GetRuleRemoveByIDRanges(); len(ranges) > 0 && ranges[0][1] == deadlineMark {
		ranges[0][0] = int(end.UnixNano())
		return
	} else if len(ranges) == 0 {
		r.RemoveRuleByIDRange(int(end.UnixNano()), deadlineMark)
	}
}

// late breaks the phase off when the deadline has passed: it takes every rule
// out of the transaction, so that the engine's loop ends by itself.
func late(tx any) bool {
	r, ok := tx.(ruleRemover)
	if !ok {
		return false
	}
	ranges := r.GetRuleRemoveByIDRanges()
	if len(ranges) == 0 || ranges[0][1] != deadlineMark {
		return false
	}
	if time.Now().UnixNano() < int64(ranges[0][0]) {
		return false
	}
	if last := ranges[len(ranges)-1]; last != everyRule {
		r.RemoveRuleByIDRange(everyRule[0], everyRule[1])
	}
	return true
}

var everyRule = [2]int{deadlineMark, math.MaxInt}

// cut is ErrTooSlow when the deadline broke a phase off before it could deny.
func (t *Transaction) cut() error {
	r, ok := t.tx.(ruleRemover)
	if !ok || t.denial != nil {
		return nil
	}
	for _, rng := range r.GetRuleRemoveByIDRanges() {
		if rng == everyRule {
			return ErrTooSlow
		}
	}
	return nil
}
