package learn

import (
	"cmp"
	"fmt"
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

// Thresholds of shape. Those on counts are compared with what the other
// workloads of the same observation do as well: where everybody has many rare
// edges, many are no news.
const (
	burstGap      = 10 * time.Minute
	burstPeers    = 6
	slowPeers     = 15
	portsOfOne    = 5
	fewUnanswered = 3
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
	good        bool // somebody answered
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
			a = &act{source: e.src, to: to, protocol: e.protocol, port: e.port, first: l.began(int32(n)), last: l.ended(int32(n))}
			index[k] = a
			out[e.src] = append(out[e.src], a)
		}
		a.edges = append(a.edges, int32(n))
		a.first, a.last = min(a.first, l.began(int32(n))), max(a.last, l.ended(int32(n)))
		if l.evidence(e) {
			a.good = true
			in := l.seenIn(int32(n), w)
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

// suspicion finds the sources whose new acts have the shape of an attack.
type suspicion struct {
	*Learner
	windows windows
	groups  []*group
	of      []int32
	acts    map[int32][]*act
	peers   map[actKey]*company // by the source's group
	taken   map[int32]bool      // sources that were found: nobody's witness
}

// company is who else of a group does the same.
type company struct {
	sources int
	seen    seen // by all of them
}

func (s *suspicion) groupOf(source int32) int32 {
	if source < 0 {
		return source
	}
	return s.of[source]
}

func (s *suspicion) gather() {
	s.peers = map[actKey]*company{}
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
			}
			c.sources++
			c.seen.join(a.seen)
		}
	}
}

// usual says whether an act is nothing new: it comes back over time, or the
// group's other workloads do it too.
func (s *suspicion) usual(a *act) bool {
	if !a.good {
		return s.known(a)
	}
	return s.again(a) || s.known(a)
}

// again says whether an act comes back: one and the same edge must, for a slow scan
// finds other targets of the same group again and again. Of a source that was
// found more is asked.
func (s *suspicion) again(a *act) bool {
	return a.again >= 8 || !s.taken[a.source] && a.again >= 3 && a.last-a.first >= int64(s.windows.observed())/8
}

// known says whether the group does it without this source.
func (s *suspicion) known(a *act) bool {
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
	return others >= 1 && all >= 3 || others >= 1 && 3*(others+1) > 2*size
}

// find lists the anomalies, and which edges they hold back. Sources that are found
// are no witnesses any more, which may uncover those that did the same.
func (s *suspicion) find() (list []Anomaly, held map[int32]bool) {
	s.taken = map[int32]bool{}
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
	var bursts, totals []int
	for source, acts := range s.acts {
		for _, a := range acts {
			if !s.usual(a) {
				fresh[source] = append(fresh[source], a)
			}
		}
		if n := len(fresh[source]); n > 0 {
			totals = append(totals, n)
			bursts = append(bursts, largestBurst(fresh[source]))
		}
	}
	burst, slow := max(burstPeers, 3*most(bursts, len(s.acts))), max(slowPeers, 4*most(totals, len(s.acts)))
	held = map[int32]bool{}
	sources := make([]int32, 0, len(fresh))
	for source := range fresh {
		sources = append(sources, source)
	}
	slices.Sort(sources)
	for _, source := range sources {
		a, found := s.judge(source, fresh[source], burst, slow)
		if !found {
			continue
		}
		list = append(list, a)
		for _, act := range fresh[source] {
			if instant(act.first).Before(a.Begin) {
				continue
			}
			for _, n := range act.edges {
				held[n] = true
			}
		}
	}
	return list, held
}

// most is what nine in ten of all sources stay below. Of few sources three are left
// out: they may be the very ones that are looked for.
func most(counts []int, sources int) int {
	slices.Sort(counts)
	at := len(counts) - 1 - max(sources/10, 3)
	if at < 0 {
		return 0
	}
	return counts[at]
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

func largestBurst(acts []*act) (n int) {
	for _, r := range runs(acts) {
		n = max(n, len(r))
	}
	return n
}

// judge looks at what one source did that is new. What is too much over the whole
// time began with the first of it; what is too much in a short time, with that
// run. All that is new from there on is held back: whoever scans has been taken
// over.
func (s *suspicion) judge(source int32, acts []*act, burst, slow int) (Anomaly, bool) {
	var found *Anomaly
	var calm []*act
	for _, run := range runs(acts) {
		shape, why := shapeOf(run, burst)
		if shape == "" {
			calm = append(calm, run...)
		} else if found == nil {
			a := s.anomaly(shape, source, acts, run, why)
			found = &a
		}
	}
	silent, ports := silentOf(calm), portsOf(calm)
	switch {
	case len(calm) >= slow:
		return s.anomaly(SlowFanOut, source, acts, acts, fmt.Sprintf("%d new peers and ports, each seen once or twice", len(acts))), true
	case ports > portsOfOne:
		return s.anomaly(SlowFanOut, source, acts, acts, fmt.Sprintf("%d new ports of one peer", ports)), true
	case silent > fewUnanswered && 3*silent >= len(calm):
		return s.anomaly(Unanswered, source, acts, acts, fmt.Sprintf("%d of %d new attempts were not answered", silent, len(calm))), true
	case found != nil:
		return *found, true
	}
	return Anomaly{}, false
}

// shapeOf is what a run of new acts in a short time looks like; empty: nothing.
func shapeOf(run []*act, burst int) (Shape, string) {
	silent, ports := silentOf(run), portsOf(run)
	switch {
	case len(run) >= burst:
		return FanOut, fmt.Sprintf("%d new peers and ports within %s of one another", len(run), burstGap)
	case ports >= portsOfOne:
		return FanOut, fmt.Sprintf("%d new ports of one peer in a short time", ports)
	case silent >= fewUnanswered && len(run) > fewUnanswered:
		return Unanswered, fmt.Sprintf("%d of %d new attempts in a short time were not answered", silent, len(run))
	}
	return "", ""
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

func (s *suspicion) anomaly(shape Shape, source int32, acts, run []*act, why string) Anomaly {
	a := Anomaly{Shape: shape, Source: s.endpoint(source), Why: why, Begin: instant(run[0].first)}
	for _, act := range acts {
		if act.first < run[0].first {
			continue
		}
		a.End = instant(max(act.last, a.End.UnixNano()))
		a.Edges = append(a.Edges, s.held(act)...)
	}
	return a
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
