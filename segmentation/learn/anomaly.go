package learn

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/gabion-io/gabion/segmentation"
)

// Shape names what makes edges look unlike a job that was only rarely seen.
type Shape string

// Shapes.
const (
	FanOut     Shape = "fan-out"             // one workload, many new peers or ports in a short time
	SlowFanOut Shape = "slow fan-out"        // the same over a long time
	Unanswered Shape = "unanswered"          // many attempts that nobody answers
	LateNew    Shape = "new after stability" // a new edge of a group that had long had none
)

// Anomaly is edges that were not learned because of their shape. They can be
// learned by naming them; a person decides.
type Anomaly struct {
	Shape  Shape
	Source segmentation.Endpoint
	Why    string
	Begin  time.Time
	End    time.Time
	Edges  []Held
}

// Held is an edge that is shown apart.
type Held struct {
	Dst      segmentation.Endpoint
	Protocol segmentation.Protocol
	Port     uint16
	Answered bool
	First    time.Time
}

// suspicion finds the sources whose new acts have the shape of an attack.
type suspicion struct {
	*Learner
	windows windows
	groups  []*group
	of      []int32
	acts    map[int32][]*act
	peers   map[actKey]*company // by the source's group
	users   map[actKey]int      // how many groups do an act, with no source
	repeats map[int32]int       // in how many windows a source repeats what nobody answers
	taken   map[int32]bool      // sources that were found: nobody's witness
}

func (s *suspicion) groupOf(source int32) int32 {
	if source < 0 {
		return source
	}
	return s.of[source]
}

// find lists the anomalies, and which edges they hold back. Sources that are found
// are no witnesses any more, which may uncover those that did the same.
func (s *suspicion) find() (list []Anomaly, held map[int32]bool) {
	s.taken = map[int32]bool{}
	s.repeat()
	for {
		list, held = s.pass()
		grown := false
		for _, a := range list {
			source := s.intern(&a.Source)
			grown = grown || !s.taken[source]
			s.taken[source] = true
		}
		if !grown {
			return list, held
		}
	}
}

func (s *suspicion) pass() (list []Anomaly, held map[int32]bool) {
	s.gather()
	fresh := map[int32][]*act{}
	for source, acts := range s.acts {
		for _, a := range acts {
			if !s.usual(a) {
				a.popular = s.popular(a)
				fresh[source] = append(fresh[source], a)
			}
		}
	}
	limits := s.limits(fresh)
	held = map[int32]bool{}
	sources := slices.Sorted(maps.Keys(fresh))
	scanned := map[actKey]int32{}
	for _, source := range sources {
		a, found := s.judge(source, fresh[source], limits)
		if !found {
			continue
		}
		list = append(list, a)
		for _, act := range fresh[source] {
			if s.before(act, a.Begin.UnixNano()) {
				continue
			}
			if source >= 0 && !act.popular {
				scanned[actKey{s.of[source], act.to, act.protocol, act.port}] = source
			}
			for _, n := range act.edges {
				held[n] = true
			}
		}
	}
	return append(list, s.accomplices(sources, fresh, scanned, held)...), held
}

// accomplices are workloads whose new acts are those for which one of their group
// was found: two replicas can be taken over the same way.
func (s *suspicion) accomplices(sources []int32, fresh map[int32][]*act, scanned map[actKey]int32, held map[int32]bool) (list []Anomaly) {
	for _, source := range sources {
		var same []*act
		first := int32(0)
		for _, a := range fresh[source] {
			by, found := scanned[actKey{s.groupOf(source), a.to, a.protocol, a.port}]
			if !found || held[a.edges[0]] || s.works(a) {
				continue
			}
			first = by
			same = append(same, a)
			for _, n := range a.edges {
				held[n] = true
			}
		}
		if len(same) > 0 {
			list = append(list, s.anomaly(FanOut, source, same, same, "the same as "+endText(s.endpoint(first))+" did, which looks like a scan"))
		}
	}
	return list
}

// judge looks at what one source did that is new. What is too much over the whole
// time began with the first of it; what is too much in a short time, with that
// run, or with what was not answered before. All that is new and recorded from there
// on is held back: whoever scans has been taken over.
func (s *suspicion) judge(source int32, acts []*act, most limits) (Anomaly, bool) {
	var found *Anomaly
	var calm []*act
	for _, run := range runs(acts) {
		shape, why := s.shapeOf(run, most)
		if shape == "" {
			calm = append(calm, run...)
		} else if found == nil {
			a := s.anomaly(shape, source, acts, from(calm, run), why)
			found = &a
		}
	}
	silent, ports, peers := silentOf(calm), portsOf(calm), weight(calm)
	switch {
	case peers >= most.slow:
		return s.anomaly(SlowFanOut, source, acts, acts, fmt.Sprintf("%d new peers and ports, each seen once or twice", len(acts))), true
	case s.targets(calm) >= most.reach:
		return s.anomaly(SlowFanOut, source, acts, acts, fmt.Sprintf("%d new targets, each seen once or twice", s.targets(calm))), true
	case ports > portsOfOne:
		return s.anomaly(SlowFanOut, source, acts, acts, fmt.Sprintf("%d new ports of one peer", ports)), true
	case silent > most.silent && 3*silent >= len(calm):
		return s.anomaly(Unanswered, source, acts, acts, fmt.Sprintf("%d of %d new attempts were not answered", silent, len(calm))), true
	case found != nil:
		return *found, true
	}
	return Anomaly{}, false
}

// from is where a found run began: at an attempt before it that was not answered,
// if there was one.
func from(before, run []*act) []*act {
	for i, a := range before {
		if !a.good {
			return append(slices.Clone(before[i:]), run...)
		}
	}
	return run
}

// shapeOf is what a run of new acts in a short time looks like; empty: nothing.
func (s *suspicion) shapeOf(run []*act, most limits) (Shape, string) {
	silent, ports, peers := silentOf(run), portsOf(run), weight(run)
	switch {
	case peers >= most.burst:
		return FanOut, fmt.Sprintf("%d new peers and ports within %s of one another", len(run), burstGap)
	case s.targets(run) >= most.sweep:
		return FanOut, fmt.Sprintf("%d new targets within %s of one another", s.targets(run), burstGap)
	case s.looks(run) >= most.looks:
		return FanOut, fmt.Sprintf("a look at %d new targets and ports within %s of one another", s.looks(run), burstGap)
	case ports >= portsOfOne:
		return FanOut, fmt.Sprintf("%d new ports of one peer in a short time", ports)
	case silent >= most.silent && len(run) > fewUnanswered:
		return Unanswered, fmt.Sprintf("%d of %d new attempts in a short time were not answered", silent, len(run))
	}
	return "", ""
}

func (s *suspicion) anomaly(shape Shape, source int32, acts, run []*act, why string) Anomaly {
	a := Anomaly{Shape: shape, Source: s.endpoint(source), Why: why, Begin: instant(run[0].first)}
	for _, act := range acts {
		if s.before(act, run[0].first) {
			continue
		}
		a.End = instant(max(act.last, a.End.UnixNano()))
		a.Edges = append(a.Edges, s.held(act)...)
	}
	return a
}

// before says whether an act is from before a time: all of it, or so much that going
// on with it is nothing new.
func (s *suspicion) before(a *act, at int64) bool {
	return a.latest < at || a.good && a.first < at && a.seen.below(s.windows.of(at)) >= earlier
}

func (s *suspicion) held(a *act) (out []Held) {
	for _, n := range a.edges {
		e := &s.edges[n]
		out = append(out, Held{Dst: s.endpoint(e.dst), Protocol: e.protocol, Port: e.port, Answered: s.evidence(e), First: instant(s.began(n))})
	}
	slices.SortFunc(out, func(a, b Held) int {
		return cmp.Or(a.First.Compare(b.First), cmp.Compare(endText(a.Dst), endText(b.Dst)))
	})
	return out
}

// endpoint is an interned end as people know it.
func (l *Learner) endpoint(end int32) segmentation.Endpoint {
	if end >= 0 {
		return segmentation.At(l.workloads[end])
	}
	x := l.externals[^end]
	var e segmentation.Endpoint
	if len(x.addrs) > 0 {
		e.Addr = x.addrs[0]
	}
	if x.name != "" {
		e.Names = []string{x.name}
	}
	return e
}

func endText(e segmentation.Endpoint) string {
	switch {
	case e.Workload != nil:
		return e.Workload.ID.String()
	case len(e.Names) > 0:
		return e.Names[0]
	}
	return e.Addr.String()
}
