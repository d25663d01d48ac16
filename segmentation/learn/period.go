package learn

import (
	"math"
	"slices"
	"time"
)

// periods are those that people run jobs at.
var periods = []time.Duration{time.Hour, 6 * time.Hour, 12 * time.Hour, 24 * time.Hour, 7 * 24 * time.Hour}

// period finds the rhythm of something that happens rarely; 0: none shows. at are
// the times it was seen to begin.
func period(at []int64, flows uint64) time.Duration {
	slices.Sort(at)
	at = slices.CompactFunc(at, func(a, b int64) bool { return max(a, b)-min(a, b) < int64(5*time.Minute) })
	if len(at) < 2 {
		return 0
	}
	var gaps []int64
	for i := 1; i < len(at); i++ {
		gaps = append(gaps, at[i]-at[i-1])
	}
	if len(gaps) == 1 {
		// One record of many flows says only when the first and the last were.
		if flows < 3 {
			return 0
		}
		return rhythm([]int64{gaps[0] / int64(flows-1)})
	}
	return rhythm(gaps)
}

// rhythm is the longest period of which every gap is a multiple, and most the
// period itself.
func rhythm(gaps []int64) time.Duration {
	for _, p := range slices.Backward(periods) {
		fits, same := 0, 0
		for _, g := range gaps {
			n := math.Round(float64(g) / float64(p))
			if n >= 1 && math.Abs(float64(g)-n*float64(p)) <= 0.05*float64(p) {
				fits++
				if n == 1 {
					same++
				}
			}
		}
		if fits == len(gaps) && 2*same >= len(gaps) {
			return p
		}
	}
	return 0
}
