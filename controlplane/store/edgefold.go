package store

import (
	"cmp"
	"slices"

	"github.com/gabion-io/gabion/segmentation"
)

// edgeFold joins the rows of one edge, which come one after the other: hours,
// verdicts, and what both ends saw of the same flows.
type edgeFold struct {
	ends  map[int64]FlowEnd
	query FlowQuery
	hours bool
	yield func(*Edge) error

	rows []edgeRow
}

func (f *edgeFold) add(r *edgeRow) error {
	if len(f.rows) > 0 {
		o := &f.rows[0]
		if o.Src != r.Src || o.Dst != r.Dst || o.Protocol != r.Protocol || o.Port != r.Port || f.hours && o.Hour != r.Hour {
			if err := f.flush(); err != nil {
				return err
			}
		}
	}
	f.rows = append(f.rows, *r)
	return nil
}

func (f *edgeFold) flush() error {
	if len(f.rows) == 0 {
		return nil
	}
	e := f.edge()
	f.rows = f.rows[:0]
	if !f.query.matchesEnds(e.Src, e.Dst) || f.query.Verdict != nil && !e.met(*f.query.Verdict) {
		return nil
	}
	return f.yield(&e)
}

// met says whether some of the edge's flows met a verdict.
func (e *Edge) met(v segmentation.Verdict) bool {
	switch v {
	case segmentation.Denied:
		return e.Denied > 0 || e.Verdict == segmentation.Denied
	case segmentation.Audited:
		return e.Audited > 0 || e.Verdict == segmentation.Audited
	}
	return e.Flows > e.Audited+e.Denied
}

// edge is made of rows. What both ends counted is the same flows: the larger count
// is nearer to the truth, because an end may have begun to look later. What was
// denied at one end was not seen by the other.
func (f *edgeFold) edge() Edge {
	first := &f.rows[0]
	e := Edge{
		Src: f.ends[first.Src], Dst: f.ends[first.Dst], Protocol: segmentation.Protocol(first.Protocol), Port: uint16(first.Port),
		Verdict: segmentation.Allowed, First: fromNanos(first.First), Last: fromNanos(first.Last), SeenBy: []segmentation.Direction{},
	}
	var sums [2]struct{ flows, answered, packets, bytes, audited, denied uint64 }
	var decided int64
	for i := range f.rows {
		r := &f.rows[i]
		s, v := &sums[r.Way&1], segmentation.Verdict(r.Verdict)
		s.flows, s.answered = s.flows+uint64(r.Flows), s.answered+uint64(r.Answered)
		s.packets, s.bytes = s.packets+uint64(r.Packets), s.bytes+uint64(r.Bytes)
		switch v {
		case segmentation.Denied:
			s.denied += uint64(r.Flows)
		case segmentation.Audited:
			s.audited += uint64(r.Flows)
		case segmentation.Allowed:
		}
		if d := segmentation.Direction(r.Way); !slices.Contains(e.SeenBy, d) {
			e.SeenBy = append(e.SeenBy, d)
		}
		// Of equally hard verdicts the newest one's rule is told.
		if i == 0 || v < e.Verdict || v == e.Verdict && r.Last > decided {
			e.Verdict, e.Rule, e.Reason, decided = v, r.Rule, r.Reason, r.Last
		}
		if at := fromNanos(r.First); at.Before(e.First) {
			e.First = at
		}
		if at := fromNanos(r.Last); at.After(e.Last) {
			e.Last = at
		}
		if r.Process != "" {
			e.Process = r.Process
		}
	}
	in, out := &sums[segmentation.Ingress], &sums[segmentation.Egress]
	e.Flows, e.Answered = max(in.flows, out.flows), max(in.answered, out.answered)
	e.Packets, e.Bytes = max(in.packets, out.packets), max(in.bytes, out.bytes)
	e.Audited, e.Denied = max(in.audited, out.audited), min(in.denied+out.denied, e.Flows)
	slices.Sort(e.SeenBy)
	return e
}

// newestEdges keeps the newest of many.
type newestEdges struct {
	limit int
	total int
	kept  []Edge
}

func (n *newestEdges) add(e Edge) {
	n.total++
	n.kept = append(n.kept, e)
	if len(n.kept) >= 2*n.limit {
		n.kept = n.sorted()
	}
}

func (n *newestEdges) sorted() []Edge {
	slices.SortStableFunc(n.kept, func(a, b Edge) int {
		return cmp.Or(b.Last.Compare(a.Last), cmp.Compare(a.Src.String(), b.Src.String()), cmp.Compare(a.Dst.String(), b.Dst.String()), cmp.Compare(a.Port, b.Port))
	})
	return n.kept[:min(len(n.kept), n.limit)]
}
