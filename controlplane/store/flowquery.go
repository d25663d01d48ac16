package store

import (
	"context"
	"fmt"
	"net/netip"
	"time"

	"github.com/uptrace/bun"

	"github.com/gabion-io/gabion/segmentation"
	"github.com/gabion-io/gabion/workload"
)

// EndFilter picks ends of flows; the zero value picks all.
type EndFilter struct {
	Namespace string
	Workload  string // namespace/name
	Labels    workload.Selector
	Address   netip.Prefix // of what is no workload
}

func (f EndFilter) empty() bool {
	return f.Namespace == "" && f.Workload == "" && f.Labels.Empty() && !f.Address.IsValid()
}

func (f EndFilter) matches(e FlowEnd) bool {
	if f.Address.IsValid() {
		a, err := netip.ParseAddr(e.Address)
		if err != nil || !f.Address.Contains(a) {
			return false
		}
	}
	if f.Workload != "" && f.Workload != e.Workload {
		return false
	}
	if f.Namespace != "" {
		id, err := workload.ParseID(e.Workload)
		if err != nil || id.Namespace != f.Namespace {
			return false
		}
	}
	return f.Labels.Empty() || e.Workload != "" && f.Labels.Matches(e.Labels)
}

// FlowQuery selects flows and edges; zero fields select all.
type FlowQuery struct {
	Since, Until time.Time // seen within: since inclusive, until exclusive
	Src, Dst     EndFilter
	Either       EndFilter // one of the ends
	Verdict      *segmentation.Verdict
	Protocol     segmentation.Protocol
	Port         uint16
	After        int64 // cursor: then in order of arrival; of flows
	Before       int64 // cursor, for paging back; of flows
	Limit        int   // default 100, at most 10,000

	arrival bool // After counts although it is 0
}

func (q *FlowQuery) matchesEnds(src, dst FlowEnd) bool {
	return q.Src.matches(src) && q.Dst.matches(dst) && (q.Either.empty() || q.Either.matches(src) || q.Either.matches(dst))
}

// Matches says whether the query, but for its cursors, would list a flow.
func (q *FlowQuery) Matches(f *Flow) bool {
	return (q.Since.IsZero() || !f.Last.Before(q.Since)) && (q.Until.IsZero() || f.First.Before(q.Until)) &&
		(q.Verdict == nil || *q.Verdict == f.Verdict) && (q.Protocol == 0 || q.Protocol == f.Protocol) &&
		(q.Port == 0 || q.Port == f.Port) && q.matchesEnds(f.Src, f.Dst)
}

// manyEnds is how many ends a query is narrowed to by their numbers; beyond it the
// rows are looked at.
const manyEnds = 5000

// narrow lets the database leave out what surely does not match.
func (q *FlowQuery) narrow(sel *bun.SelectQuery, ends map[int64]FlowEnd) *bun.SelectQuery {
	if !q.Since.IsZero() {
		sel = sel.Where("last >= ?", nanos(q.Since))
	}
	if !q.Until.IsZero() {
		sel = sel.Where("first < ?", nanos(q.Until))
	}
	if q.Protocol != 0 {
		sel = sel.Where("protocol = ?", int64(q.Protocol))
	}
	if q.Port != 0 {
		sel = sel.Where("port = ?", int64(q.Port))
	}
	for _, f := range []struct {
		filter    EndFilter
		condition string
	}{{q.Src, "src IN (?0)"}, {q.Dst, "dst IN (?0)"}, {q.Either, "(src IN (?0) OR dst IN (?0))"}} {
		if f.filter.empty() {
			continue
		}
		ids := []int64{-1} // a list must not be empty
		for id, e := range ends {
			if f.filter.matches(e) {
				ids = append(ids, id)
			}
		}
		if len(ids) <= manyEnds {
			sel = sel.Where(f.condition, bun.List(ids))
		}
	}
	return sel
}

// flowEnds reads all ends, by number. There are far fewer of them than of flows.
func (s *Store) flowEnds(ctx context.Context, tx bun.Tx) (map[int64]FlowEnd, error) {
	var rows []flowEndRow
	err := tx.NewSelect().Model(&rows).Column("id", "namespace", "name", "labels", "address").Scan(ctx)
	if err != nil {
		return nil, fmt.Errorf("read ends of flows: %w", s.telemetry.explain(err))
	}
	ends := make(map[int64]FlowEnd, len(rows))
	shared := map[string]workload.Labels{}
	for _, r := range rows {
		labels, known := shared[r.Labels]
		if known {
			r.Labels = "null"
		}
		e, err := r.end()
		if err != nil {
			return nil, fmt.Errorf("read ends of flows: %w", err)
		}
		if known {
			e.Labels = labels
		} else if r.Labels != "" {
			shared[r.Labels] = e.Labels
		}
		ends[r.ID] = e
	}
	return ends, nil
}

// Flows answers a query, the newest first, or with After in order of arrival.
func (s *Store) Flows(ctx context.Context, q FlowQuery) (out []Flow, err error) {
	err = s.telemetry.view(ctx, func(tx bun.Tx) (err error) {
		out, err = s.flowsAt(ctx, tx, q)
		return err
	})
	return out, err
}

func (s *Store) flowsAt(ctx context.Context, tx bun.Tx, q FlowQuery) ([]Flow, error) {
	ends, err := s.flowEnds(ctx, tx)
	if err != nil {
		return nil, err
	}
	sel := tx.NewSelect().Model((*flowRow)(nil))
	if q.Verdict != nil {
		sel = sel.Where("verdict = ?", int64(*q.Verdict))
	}
	if q.Before > 0 {
		sel = sel.Where("cursor < ?", q.Before)
	}
	if q.After > 0 || q.arrival {
		sel = sel.Where("cursor > ?", q.After).Order("cursor")
	} else {
		sel = sel.Order("cursor DESC")
	}
	rows, err := q.narrow(sel, ends).Rows(ctx)
	if err != nil {
		return nil, fmt.Errorf("read flows: %w", s.telemetry.explain(err))
	}
	defer rows.Close()
	limit := int(bounded(q.Limit))
	var out []Flow
	for len(out) < limit && rows.Next() {
		var r flowRow
		if err := s.telemetry.read.ScanRow(ctx, rows, &r); err != nil {
			return nil, fmt.Errorf("read flows: %w", s.telemetry.explain(err))
		}
		if f := r.flow(ends); q.matchesEnds(f.Src, f.Dst) {
			out = append(out, f)
		}
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("read flows: %w", s.telemetry.explain(err))
	}
	return out, nil
}

// FlowsFrom answers a query with what arrived after cursor (0: from the beginning),
// in order of arrival.
func (s *Store) FlowsFrom(ctx context.Context, cursor int64, q FlowQuery) ([]Flow, error) {
	q.After, q.arrival = cursor, true
	return s.Flows(ctx, q)
}

// FlowCount is how many flows are kept, were ever stored, and were seen lately.
type FlowCount struct{ Kept, Ever, Recent uint64 }

// CountFlows counts flows; recent are those seen since then.
func (s *Store) CountFlows(ctx context.Context, since time.Time) (FlowCount, error) {
	var kept, ever, recent int64
	err := s.telemetry.read.NewRaw("SELECT count(*), coalesce(max(cursor), 0), coalesce(sum(CASE WHEN last >= ? THEN 1 ELSE 0 END), 0) FROM flows",
		nanos(since)).Scan(ctx, &kept, &ever, &recent)
	if err != nil {
		return FlowCount{}, fmt.Errorf("count flows: %w", s.telemetry.explain(err))
	}
	return FlowCount{uint64(kept), uint64(ever), uint64(recent)}, nil
}

// FlowsSince returns up to limit flows that arrived after cursor and the cursor to
// go on with. Cursor -1: none, only the cursor of now.
func (s *Store) FlowsSince(ctx context.Context, cursor int64, limit int) ([]Flow, int64, error) {
	if cursor < 0 {
		err := s.telemetry.read.NewRaw("SELECT coalesce(max(cursor), 0) FROM flows").Scan(ctx, &cursor)
		if err != nil {
			return nil, 0, fmt.Errorf("read flows: %w", s.telemetry.explain(err))
		}
		return nil, cursor, nil
	}
	out, err := s.Flows(ctx, FlowQuery{After: cursor, arrival: true, Limit: limit})
	if err != nil {
		return nil, cursor, err
	}
	if len(out) > 0 {
		cursor = out[len(out)-1].Cursor
	}
	return out, cursor, nil
}

// FlowsChanged is closed after the next flows arrived; get it, then FlowsSince,
// then wait.
func (s *Store) FlowsChanged() <-chan struct{} { return s.flows.wait() }
