package learn

import "slices"

// someEdges is from how many edges on one may have a wrong time.
const someEdges = 20

// timeline is what learning asks of every edge again and again, worked out once.
type timeline struct {
	begin, end []int64 // of an edge, over all its records
	marks      []seen  // the windows that an edge was seen in
	ties       []tie   // the links that an edge is part of
	links      []link  // without sightings
	did, had   int     // how many sources and targets ties number
}

// measure works it out, and says in which windows time is cut.
func (l *Learner) measure() windows {
	n := len(l.edges)
	l.timeline = timeline{begin: make([]int64, n), end: make([]int64, n), marks: make([]seen, n)}
	first, last := l.edges[0].first, l.edges[0].last
	for i := range l.edges {
		s := l.edges[i].span
		l.begin[i], l.end[i] = s.first, s.last
	}
	for i, list := range l.more {
		for _, s := range list {
			l.begin[i], l.end[i] = min(l.begin[i], s.first), max(l.end[i], s.last)
		}
	}
	for i := range l.edges {
		first, last = min(first, l.begin[i]), max(last, l.end[i])
	}
	w := newWindows(l.believed(first, last))
	for i := range l.edges {
		l.marks[i].mark(w, l.edges[i].span)
	}
	for i, list := range l.more {
		for _, s := range list {
			l.marks[i].mark(w, s)
		}
	}
	return w
}

// believed is the time from first to last without what wrong clocks made of it: one
// edge in a thousand, of some, may be left out if a tenth of the time holds all
// others. Else each window would hold everything.
func (l *Learner) believed(first, last int64) (from, to int64) {
	few := len(l.edges) / 1000
	if len(l.edges) >= someEdges {
		few = max(few, 1)
	}
	begin, end := slices.Sorted(slices.Values(l.begin)), slices.Sorted(slices.Values(l.end))
	from, to = begin[few], end[len(end)-1-few]
	if from <= to && (to-from) < (last-first)/10 {
		return from, to
	}
	return first, last
}

// stray is how many edges were seen outside the windows.
func (l *Learner) stray(w windows) (n int) {
	for i := range l.edges {
		if l.begin[i] < w.begin || l.end[i] > w.end {
			n++
		}
	}
	return n
}

// began and ended are of the edge over all records.
func (l *Learner) began(n int32) int64 { return l.begin[n] }
func (l *Learner) ended(n int32) int64 { return l.end[n] }

// tie says where an edge counts: in which link between atoms, and whose sightings
// of it are meant.
type tie struct{ link, did, had int32 }

// tie finds the links of all edges.
func (l *Learner) tie(atomOf []int32) {
	at := func(end int32) int32 {
		if end < 0 {
			return end
		}
		return atomOf[end]
	}
	index, sources, targets := map[linkKey]int32{}, map[linkKey]int32{}, map[linkKey]int32{}
	number := func(m map[linkKey]int32, k linkKey) int32 {
		n, known := m[k]
		if !known {
			n = int32(len(m))
			m[k] = n
		}
		return n
	}
	l.ties = make([]tie, len(l.edges))
	for n := range l.edges {
		e := &l.edges[n]
		k := linkKey{at(e.src), at(e.dst), uint8(e.protocol), e.port}
		t := tie{link: number(index, k), did: number(sources, linkKey{e.src, k.dst, k.protocol, k.port}), had: number(targets, linkKey{k.src, e.dst, k.protocol, k.port})}
		if int(t.link) == len(l.links) {
			l.links = append(l.links, link{src: k.src, dst: k.dst, protocol: k.protocol, port: k.port})
		}
		l.ties[n] = t
	}
	l.did, l.had = len(sources), len(targets)
}
