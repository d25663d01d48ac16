package learn

import "math"

// telling is how many sightings must be missing before two groups are said to
// talk differently: if both did the same, the odds that so many fall on one side
// are e^-7, one in a thousand.
const telling = 7

// feature is something a group does: it talks to, or is talked to by, a peer on a
// port.
type feature struct {
	peer    int32 // a group or class, a workload, or ^external
	port    uint16
	kind    uint8 // the protocol
	alone   bool  // the peer is one workload
	ingress bool
}

// grouper finds groups from what atoms were seen to do.
type grouper struct {
	atoms []*atom
	links []link // between atoms and externals
	of    []*space
	byAt  [][]int32 // links of an atom, as source or destination
	class map[string]int32
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
				out[feature{peer: g.name(l.dst, trial), port: l.port, kind: l.protocol}] += l.did
			}
			if int(l.dst) == m {
				out[feature{peer: g.name(l.src, trial), port: l.port, kind: l.protocol, ingress: true}] += l.had
			}
		}
	}
	return out
}

// name is the number of the class that an end is in, or the external's own.
func (g *grouper) name(end int32, trial *space) int32 {
	if end < 0 {
		return end
	}
	a := g.atoms[end]
	s := g.of[end]
	if a.namespace == trial.name {
		s = trial
	}
	key := s.keyOf(a)
	n, known := g.class[key]
	if !known {
		n = int32(len(g.class))
		g.class[key] = n
	}
	return n
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
			// If they did the same, all of the sightings would fall on one side by
			// chance only.
			mine := some[f]
			if mine == 0 && oneSided(total, rest, size) || mine == total && oneSided(total, n, size) {
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

// oneSided says whether it tells something that all sightings fell on so many
// of size that take equal part in it.
func oneSided(sightings, share, size int) bool {
	return float64(sightings)*math.Log(float64(size)/float64(share)) >= telling
}
