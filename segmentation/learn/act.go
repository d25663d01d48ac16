package learn

import (
	"cmp"
	"slices"

	"github.com/gabion-io/gabion/segmentation"
)

// act is what one source was seen to do towards one group or external on one
// port.
type act struct {
	source      int32 // a workload, or ^external
	to          int32 // a group, or ^external
	protocol    segmentation.Protocol
	port        uint16
	edges       []int32
	seen        seen
	again       int // in how many windows the edge was seen that was seen in most
	first, last int64
	latest      int64 // when the last of its records began
	good        bool  // somebody answered
	known       bool  // policies allow all of it
	popular     bool  // most groups do it too
}

type actKey struct {
	source, to int32
	protocol   segmentation.Protocol
	port       uint16
}

// acts folds all edges, answered or not, by source and target group.
func (l *Learner) acts(w windows, of []int32) map[int32][]*act {
	index := map[actKey]*act{}
	out := map[int32][]*act{}
	for n := range l.edges {
		e := &l.edges[n]
		to := e.dst
		if to >= 0 {
			to = of[to]
		}
		k := actKey{e.src, to, e.protocol, e.port}
		a := index[k]
		if a == nil {
			a = &act{source: e.src, to: to, protocol: e.protocol, port: e.port, known: true, first: l.began(int32(n)), last: l.ended(int32(n))}
			index[k] = a
			out[e.src] = append(out[e.src], a)
		}
		a.edges = append(a.edges, int32(n))
		a.known = a.known && e.known.both()
		a.first, a.last = min(a.first, l.began(int32(n))), max(a.last, l.ended(int32(n)))
		a.latest = max(a.latest, e.first)
		for _, r := range l.more[int32(n)] {
			a.latest = max(a.latest, r.first)
		}
		in := l.marks[n]
		switch good := l.evidence(e); {
		case good && !a.good:
			a.good, a.seen, a.again = true, in, in.count()
		case good == a.good:
			a.seen.join(in)
			a.again = max(a.again, in.count())
		}
	}
	for _, list := range out {
		slices.SortFunc(list, func(a, b *act) int {
			return cmp.Or(cmp.Compare(a.first, b.first), cmp.Compare(a.to, b.to), cmp.Compare(a.protocol, b.protocol), cmp.Compare(a.port, b.port))
		})
	}
	return out
}

// weight counts acts, without those that most groups do.
func weight(acts []*act) (n int) {
	for _, a := range acts {
		if !a.popular {
			n++
		}
	}
	return n
}

// runs cuts acts at long gaps.
func runs(acts []*act) (out [][]*act) {
	from := 0
	for i := 1; i <= len(acts); i++ {
		if i == len(acts) || acts[i].first-acts[i-1].first > int64(burstGap) {
			out = append(out, acts[from:i])
			from = i
		}
	}
	return out
}

// targets is how many peers a run of acts looked at, once each: who works with
// somebody says more than one thing. One act of a workload without replicas may be
// a pool of connections, so it counts for one peer less.
func (s *suspicion) targets(run []*act) int {
	found := map[int32]bool{}
	acts := 0
	for _, a := range run {
		if a.popular {
			continue
		}
		acts++
		for _, n := range a.edges {
			if s.look(n) {
				found[s.edges[n].dst] = true
			}
		}
	}
	if acts == 1 && run[0].source >= 0 && len(s.groups[s.of[run[0].source]].members) == 1 {
		return max(len(found)-1, 0)
	}
	return len(found)
}

// look says whether an edge may be one: a single flow that moved little. A
// connection that stays open is a single flow too.
func (s *suspicion) look(n int32) bool {
	return s.edges[n].flows == 1 && s.edges[n].bytes < lookBytes
}

// looks is at how many targets and ports a run of acts looked, once each.
func (s *suspicion) looks(run []*act) (n int) {
	if len(run) < 2 {
		return 0
	}
	for _, a := range run {
		for _, e := range a.edges {
			if !a.popular && s.look(e) {
				n++
			}
		}
	}
	return n
}

// largest is the most of something that a run has.
func largest(acts []*act, count func([]*act) int) (n int) {
	for _, r := range runs(acts) {
		n = max(n, count(r))
	}
	return n
}

func silentOf(acts []*act) (n int) {
	for _, a := range acts {
		if !a.good {
			n++
		}
	}
	return n
}

// portsOf is on how many ports the most tried peer was tried.
func portsOf(acts []*act) (most int) {
	count := map[int32]int{}
	for _, a := range acts {
		count[a.to]++
		most = max(most, count[a.to])
	}
	return most
}
