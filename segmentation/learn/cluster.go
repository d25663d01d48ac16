package learn

import "slices"

// Workloads that neither labels nor names describe are still replicas of one
// another when they talk to the very same peers.
const (
	sameDoings   = 0.6 // of what either of two does, both do
	enoughDoings = 3
	crowded      = 400 // a doing of more workloads than this finds nobody
)

// lacks says whether one workload never does what the other does often.
func lacks(often, never map[feature]int) bool {
	for f, windows := range often {
		if windows >= telling && never[f] == 0 {
			return true
		}
	}
	return false
}

// cluster joins single workloads of one namespace that do the same. doings are
// exact: every peer counts for itself.
func cluster(members []int32, doings []map[feature]int, usual map[feature]bool) [][]int32 {
	own := make([][]feature, len(members))
	holders := map[feature][]int{}
	for i, m := range members {
		for f := range doings[m] {
			if !usual[f] {
				own[i] = append(own[i], f)
				holders[f] = append(holders[f], i)
			}
		}
	}
	parent := make([]int, len(members))
	for i := range parent {
		parent[i] = i
	}
	var root func(int) int
	root = func(i int) int {
		if parent[i] != i {
			parent[i] = root(parent[i])
		}
		return parent[i]
	}
	for i := range members {
		if len(own[i]) < enoughDoings {
			continue
		}
		shared := map[int]int{}
		for _, f := range own[i] {
			if len(holders[f]) > crowded {
				continue
			}
			for _, j := range holders[f] {
				if j > i {
					shared[j]++
				}
			}
		}
		for j, n := range shared {
			either := len(own[i]) + len(own[j]) - n
			if len(own[j]) >= enoughDoings && float64(n) >= sameDoings*float64(either) &&
				!lacks(doings[members[i]], doings[members[j]]) && !lacks(doings[members[j]], doings[members[i]]) {
				a, b := root(i), root(j)
				parent[max(a, b)] = min(a, b)
			}
		}
	}
	parts := map[int][]int32{}
	var order []int
	for i, m := range members {
		r := root(i)
		if parts[r] == nil {
			order = append(order, r)
		}
		parts[r] = append(parts[r], m)
	}
	slices.Sort(order)
	out := make([][]int32, len(order))
	for n, r := range order {
		out[n] = parts[r]
	}
	return out
}
