package learn

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/gabion-io/gabion/segmentation"
)

// relation is all good edges from one group to another, or to or from an
// external, on one port: what a rule allows.
type relation struct {
	src, dst    int32 // groups, or ^external
	protocol    segmentation.Protocol
	port        uint16
	edges       []int32
	flows       uint64
	answered    uint64 // of flows
	bytes       uint64
	known       Known // all of its edges
	first, last int64
	seen        seen
	sources     map[int32]bool // workloads, or ^external
	targets     map[int32]bool
}

// relations folds what is neither unanswered nor held back.
func (l *Learner) relations(w windows, of []int32, held map[int32]bool) []*relation {
	type key struct {
		src, dst int32
		protocol segmentation.Protocol
		port     uint16
	}
	at := func(end int32) int32 {
		if end < 0 {
			return end
		}
		return of[end]
	}
	index := map[key]*relation{}
	var out []*relation
	for n := range l.edges {
		e, n := &l.edges[n], int32(n)
		if held[n] || !l.evidence(e) {
			continue
		}
		k := key{at(e.src), at(e.dst), e.protocol, e.port}
		r := index[k]
		if r == nil {
			r = &relation{src: k.src, dst: k.dst, protocol: k.protocol, port: k.port, known: e.known, first: l.began(n), last: l.ended(n), sources: map[int32]bool{}, targets: map[int32]bool{}}
			index[k] = r
			out = append(out, r)
		}
		r.edges = append(r.edges, n)
		r.flows += e.flows
		r.answered += l.answers(e)
		r.known = r.known.and(e.known)
		r.bytes += e.bytes
		r.first, r.last = min(r.first, l.began(n)), max(r.last, l.ended(n))
		r.seen.join(l.marks[n])
		r.sources[e.src], r.targets[e.dst] = true, true
	}
	slices.SortFunc(out, func(a, b *relation) int {
		return cmp.Or(l.compareEnds(a.src, b.src), l.compareEnds(a.dst, b.dst), compareServices(a, b))
	})
	for _, r := range out {
		slices.SortFunc(r.edges, func(a, b int32) int { return l.compareEdges(a, b) })
	}
	return out
}

func compareServices(a, b *relation) int {
	return cmp.Or(cmp.Compare(a.protocol, b.protocol), cmp.Compare(a.port, b.port))
}

// compareEnds orders by what ends are, not by the numbers they got: those depend
// on the order of adding.
func (l *Learner) compareEnds(a, b int32) int {
	switch {
	case a >= 0 && b >= 0:
		return cmp.Compare(a, b)
	case a >= 0 || b >= 0:
		return cmp.Compare(b, a) // externals last
	}
	x, y := l.externals[^a], l.externals[^b]
	return cmp.Or(cmp.Compare(x.name, y.name), slices.CompareFunc(x.addrs, y.addrs, func(a, b netip.Addr) int { return a.Compare(b) }))
}

func (l *Learner) compareEdges(a, b int32) int {
	x, y := &l.edges[a], &l.edges[b]
	return cmp.Or(l.compareEnds(x.src, y.src), l.compareEnds(x.dst, y.dst))
}

// Where an observation has been quiet for most of its time, what appears in its
// last moments is not what the learning was about.
const (
	stableFor = 0.80 // no new relation of the group since this share of the time
	lateAfter = 0.97
	longRuns  = 64 // windows
)

// late holds back relations that are new after stability.
func (l *Learner) late(w windows, all []*relation, groups []*group) (kept []*relation, list []Anomaly) {
	bySource := map[int32][]*relation{}
	for _, r := range all {
		if r.src >= 0 {
			bySource[r.src] = append(bySource[r.src], r)
		}
	}
	drop := map[*relation]bool{}
	for src := range int32(len(groups)) {
		late := l.lateOf(w, bySource[src])
		if late == nil {
			continue
		}
		a := Anomaly{Shape: LateNew, Source: l.endpoint(late.edges0(l).src), Begin: instant(late.first), End: instant(late.last)}
		a.Why = fmt.Sprintf("new in the last %s of %s, after a long time without a new edge", short(w.begin+w.length*int64(w.count)-late.first), w.observed().Round(time.Minute))
		for _, n := range late.edges {
			e := &l.edges[n]
			a.Edges = append(a.Edges, Held{Dst: l.endpoint(e.dst), Protocol: e.protocol, Port: e.port, Answered: true, First: instant(l.began(n))})
		}
		drop[late] = true
		list = append(list, a)
	}
	return slices.DeleteFunc(all, func(r *relation) bool { return drop[r] }), list
}

func (r *relation) edges0(l *Learner) *edge { return &l.edges[r.edges[0]] }

func short(nanos int64) string { return time.Duration(nanos).Round(time.Minute).String() }

// lateOf finds the one relation of a group that is new after stability; several
// at once are a rollout.
func (l *Learner) lateOf(w windows, list []*relation) *relation {
	if w.count < longRuns || len(list) < 2 {
		return nil
	}
	end := w.length * int64(w.count)
	var late *relation
	sightings := 0
	for _, r := range list {
		share := float64(r.first-w.begin) / float64(end)
		switch {
		case r.known.both():
			sightings += r.seen.count()
		case share >= lateAfter && late != nil:
			return nil
		case share >= lateAfter:
			late = r
		case share >= stableFor:
			return nil
		default:
			sightings += r.seen.count()
		}
	}
	if sightings < longRuns {
		return nil // too quiet to call it stable
	}
	return late
}
