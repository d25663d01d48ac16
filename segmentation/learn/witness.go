package learn

import "slices"

// company is who else of a group does the same.
type company struct {
	sources int
	steady  int  // of them: who do more than look
	seen    seen // by all of them
}

func (s *suspicion) gather() {
	s.peers, s.users = map[actKey]*company{}, map[actKey]int{}
	for _, list := range s.acts {
		for _, a := range list {
			if !a.good || s.taken[a.source] && !s.again(a) {
				continue
			}
			k := actKey{s.groupOf(a.source), a.to, a.protocol, a.port}
			c := s.peers[k]
			if c == nil {
				c = &company{}
				s.peers[k] = c
				s.users[k.service()]++
			}
			c.sources++
			if s.returns(a) || s.works(a) {
				c.steady++
			}
			c.seen.join(a.seen)
		}
	}
}

// service is the act without who does it.
func (k actKey) service() actKey {
	k.source = 0
	return k
}

// popular says whether most groups do the same: DNS, logs, a broker. That is no
// sign of anything.
func (s *suspicion) popular(a *act) bool {
	n := s.users[actKey{to: a.to, protocol: a.protocol, port: a.port}]
	return a.good && n > popularFrom && 5*n > 3*len(s.groups)
}

// repeat finds how often each source repeats what nobody answers, if that is more
// than a dead dependency: in how many windows its fourth most repeated attempt was
// seen.
func (s *suspicion) repeat() {
	s.repeats = map[int32]int{}
	for source, list := range s.acts {
		var counts []int
		for _, a := range list {
			if !a.good {
				counts = append(counts, a.again)
			}
		}
		slices.Sort(counts)
		if n := len(counts) - 1 - fewUnanswered; n >= 0 {
			s.repeats[source] = counts[n]
		}
	}
}

// usual says whether an act is nothing new: policies allow it, it comes back over
// time, or the group's other workloads do it too.
func (s *suspicion) usual(a *act) bool {
	return a.known || a.good && s.again(a) || s.shared(a)
}

// again says whether an act comes back: one and the same edge must, for a slow scan
// finds other targets of the same group again and again. Who scans again and again
// must come back far more often than to where nobody answers. Of a source that was
// found more is asked.
func (s *suspicion) again(a *act) bool {
	return a.again > 3*s.repeats[a.source] && s.returns(a)
}

func (s *suspicion) returns(a *act) bool {
	least := 3
	if s.taken[a.source] {
		least = 4
	}
	return a.again >= 8 || a.again >= least && a.last-a.first >= int64(s.windows.observed())/8
}

// works says whether an act is more than a look at each of its targets.
func (s *suspicion) works(a *act) bool {
	flows := uint64(0)
	for _, n := range a.edges {
		flows += s.edges[n].flows
	}
	return a.good && flows >= 2*uint64(len(a.edges))
}

// shared says whether the group does it without this source. For a source that was
// found, one that did it by the way is no witness.
func (s *suspicion) shared(a *act) bool {
	c := s.peers[actKey{s.groupOf(a.source), a.to, a.protocol, a.port}]
	if c == nil || a.source < 0 {
		return false
	}
	others := c.sources
	all := c.seen.count()
	if a.good && !s.taken[a.source] {
		others--
		all -= a.seen.count() // at least so many are the others'
	}
	size := len(s.groups[s.of[a.source]].members)
	if s.taken[a.source] && others < 2 && c.steady == 0 {
		return false
	}
	return others >= 1 && all >= 3 || others >= 1 && 3*(others+1) > 2*size
}
