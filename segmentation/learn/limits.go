package learn

import (
	"slices"
	"time"
)

// Thresholds of shape. Those on counts are compared with what the other
// workloads of the same observation do as well: where everybody has many rare
// edges, many are no news.
const (
	burstGap      = 10 * time.Minute // acts further apart are of different runs
	burstPeers    = 6                // peers and ports in a short time
	slowPeers     = 10               // over the whole time
	portsOfOne    = 5
	sweepTargets  = 4 // workloads, in a short time
	slowTargets   = 6 // workloads
	lookBytes     = 64 << 10
	sweepLooks    = 8 // targets and ports, by two acts or more
	fewUnanswered = 3
	earlier       = 3 // windows before a scan: what was done then goes on
	popularFrom   = 4 // groups
)

// most is what half of the sources stay below, or at: not more, for of few sources
// some may be the very ones that are looked for.
func most(counts []int) int {
	slices.Sort(counts)
	if len(counts) == 0 {
		return 0
	}
	return counts[(len(counts)-1)/2]
}

// limits are from where on new acts are too many.
type limits struct{ burst, slow, silent, sweep, reach, looks int }

func (s *suspicion) limits(fresh map[int32][]*act) limits {
	other := func(count func([]*act) int) int {
		var counts []int
		for source := range s.acts {
			if source >= 0 && !s.taken[source] {
				counts = append(counts, count(fresh[source]))
			}
		}
		return most(counts)
	}
	inRun := func(count func([]*act) int) func([]*act) int {
		return func(acts []*act) int { return largest(acts, count) }
	}
	return limits{
		burst:  max(burstPeers, 3*other(inRun(weight))),
		slow:   max(slowPeers, 4*other(weight)),
		silent: max(fewUnanswered, 3*other(silentOf)),
		sweep:  max(sweepTargets, 3*other(inRun(s.targets))),
		reach:  max(slowTargets, 4*other(s.targets)),
		looks:  max(sweepLooks, 3*other(inRun(s.looks))),
	}
}
