package learn

import "slices"

// likeness is how much members must have in common for labels alone to say that
// they are one thing.
const likeness = 0.25

// everybody are the features of most workloads: monitoring, name service. They
// say nothing about who belongs together.
func everybody(doings []map[feature]int) map[feature]bool {
	count := map[feature]int{}
	busy := 0
	for _, m := range doings {
		if len(m) > 0 {
			busy++
		}
		for f := range m {
			count[f]++
		}
	}
	out := map[feature]bool{}
	for f, n := range count {
		if 5*n > 3*busy {
			out[f] = true
		}
	}
	return out
}

// similar says whether workloads that a label joins do much of the same, beside
// what everybody does: a good part of it is done by most of them, and nobody who
// does much does nothing of that.
func similar(members []map[feature]int, everybody map[feature]bool) bool {
	count := map[feature]int{}
	busy, all := 0, 0
	for _, m := range members {
		own := 0
		for f := range m {
			if !everybody[f] {
				count[f]++
				own++
			}
		}
		if own > 0 {
			busy++
		}
		all += own
	}
	if busy < 2 {
		return true
	}
	common := func(f feature) bool { return 2*count[f] > busy || busy == 2 && count[f] == 2 }
	shared := 0
	for f, n := range count {
		if common(f) {
			shared += n
		}
	}
	return float64(shared) >= likeness*float64(all) && !slices.ContainsFunc(members, func(m map[feature]int) bool {
		mine, does := 0, 0
		for f, windows := range m {
			if !everybody[f] {
				does += windows
				if common(f) {
					mine++
				}
			}
		}
		return mine == 0 && does >= telling
	})
}

// uniform says whether nothing shows that workloads are different things, where
// neither label nor name says that they are one: none of them misses what the
// others do so often that chance does not explain it.
func uniform(members []map[feature]int) bool {
	total := map[feature]int{}
	exposure := make([]int, len(members))
	all := 0
	for i, m := range members {
		for f, windows := range m {
			total[f] += windows
			exposure[i] = max(exposure[i], windows)
		}
		all += exposure[i]
	}
	for i, m := range members {
		if exposure[i] == 0 {
			continue
		}
		for f, sightings := range total {
			if m[f] == 0 && oneSided(sightings, all-exposure[i], all) {
				return false
			}
		}
	}
	return true
}
