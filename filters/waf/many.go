package waf

import (
	"github.com/corazawaf/coraza/v3/experimental/plugins/plugintypes"
	"github.com/corazawaf/coraza/v3/types"
)

const (
	// manyValues is how many there must be under one target for them not to be
	// remembered beyond the request: they would only drive out what comes again.
	manyValues = 256
	// maxSeen is the longest value, in bytes, of which equal ones are looked for
	// among many.
	maxSeen = 64
	// longValue is how long a value is of which one answer takes so long that the
	// deadline is looked at before each.
	longValue = 4 << 10
)

// judgeAll adds to s.hits what matches any of the values.
func (p *skipPlan) judgeAll(tx plugintypes.TransactionState, t *skipTarget, values []types.MatchData, s *skipScratch) {
	if len(values) < manyValues {
		for _, m := range values {
			p.judge(tx, t, m.Key(), m.Value(), s)
		}
		return
	}
	s.many = true
	if s.seen == nil {
		s.seen = map[string]struct{}{}
	}
	for i, m := range values {
		if i%64 == 0 && late(tx) {
			break
		}
		value := m.Value()
		if len(value) <= maxSeen {
			if _, ok := s.seen[value]; ok {
				continue
			}
			s.seen[value] = struct{}{}
		}
		p.judge(tx, t, m.Key(), value, s)
	}
	s.many, s.seen = false, nil
}
