package learn

import "strconv"

// telling is how many sightings must be missing before two groups are said to
// talk differently: if both did the same, the odds that so many fall on one side
// are e^-7, one in a thousand.
const telling = 7

// feature is something a group does: it talks to, or is talked to by, a peer on a
// port.
type feature struct {
	peer    string
	port    uint16
	kind    uint8 // the protocol
	ingress bool
}

// grouper finds groups from what atoms were seen to do.
type grouper struct {
	atoms []*atom
	links []link // between atoms and externals
	of    []*space
	byAt  [][]int32 // links of an atom, as source or destination
}

// link is all good edges between two atoms on one port. Externals are negative.
type link struct {
	src, dst int32
	protocol uint8
	port     uint16
	did, had int // windows in which the source's, and the target's, workloads took part, summed over them
}

// does collects what a group of atoms was seen to do. Peers of the trial's
// namespace are named by the trial.
func (g *grouper) does(members []int, trial *space) map[feature]int {
	out := map[feature]int{}
	for _, m := range members {
		for _, n := range g.byAt[m] {
			l := &g.links[n]
			if int(l.src) == m {
				out[feature{g.name(l.dst, trial), l.port, l.protocol, false}] += l.did
			}
			if int(l.dst) == m {
				out[feature{g.name(l.src, trial), l.port, l.protocol, true}] += l.had
			}
		}
	}
	return out
}

func (g *grouper) name(end int32, trial *space) string {
	if end < 0 {
		return "external " + strconv.Itoa(int(^end))
	}
	a := g.atoms[end]
	if a.namespace == trial.name {
		return trial.keyOf(a)
	}
	return g.of[end].keyOf(a)
}

// joins says whether the groups of the coarser grouping are made of groups of the
// finer one that talk alike: all but a share of them.
func (g *grouper) joins(fine, coarse *space, share float64) bool {
	joined, unlike := 0, 0
	for _, members := range coarse.partition(g.atoms) {
		parts := map[string][]int{}
		for _, m := range members {
			k := fine.keyOf(g.atoms[m])
			parts[k] = append(parts[k], m)
		}
		if len(parts) < 2 {
			continue
		}
		joined++
		if !g.alike(parts, members, coarse) {
			unlike++
		}
	}
	return float64(unlike) <= share*float64(joined)
}

// alike says whether no part talks differently from the whole.
func (g *grouper) alike(parts map[string][]int, whole []int, trial *space) bool {
	all, size := g.does(whole, trial), g.size(whole)
	for _, part := range parts {
		some, n := g.does(part, trial), g.size(part)
		rest := size - n
		if rest <= 0 {
			continue
		}
		for f, total := range all {
			mine, others := some[f], total-some[f]
			if mine == 0 && float64(others)*float64(n)/float64(rest) >= telling ||
				others == 0 && float64(mine)*float64(rest)/float64(n) >= telling {
				return false
			}
		}
	}
	return true
}

func (g *grouper) size(atoms []int) (n int) {
	for _, i := range atoms {
		n += len(g.atoms[i].members)
	}
	return n
}

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

// similar is which share of what members do, beside what everybody does, is done
// by most of them.
func similar(members []map[feature]int, everybody map[feature]bool) float64 {
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
		return 1
	}
	shared := 0
	for _, n := range count {
		if 2*n > busy || busy == 2 && n == 2 {
			shared += n
		}
	}
	return float64(shared) / float64(all)
}
