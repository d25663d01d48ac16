package store

import (
	"context"
	"fmt"
	"time"

	"github.com/uptrace/bun"

	"github.com/gabion-io/gabion/segmentation"
)

// Edge is flows folded: who talked to whom, over what, how often, since when.
type Edge struct {
	Src      FlowEnd               `json:"src"`
	Dst      FlowEnd               `json:"dst"`
	Protocol segmentation.Protocol `json:"protocol"`
	Port     uint16                `json:"port"`
	Verdict  segmentation.Verdict  `json:"verdict"` // the hardest that any of its flows met
	Rule     string                `json:"rule,omitempty"`
	Reason   string                `json:"reason,omitempty"`
	Flows    uint64                `json:"flows"` // attempts
	Answered uint64                `json:"answered"`
	Audited  uint64                `json:"audited,omitempty"` // of Flows: audited policies would have denied them
	Denied   uint64                `json:"denied,omitempty"`  // of Flows
	Packets  uint64                `json:"packets"`
	Bytes    uint64                `json:"bytes"`
	First    time.Time             `json:"first"`
	Last     time.Time             `json:"last"`
	Process  string                `json:"process,omitempty"` // the newest known to have opened one
	// Ends that saw it: an edge between two hosts should be seen by both.
	SeenBy []segmentation.Direction `json:"seenBy"`
}

type edgeRow struct {
	bun.BaseModel `bun:"table:edges"`
	ID            int64 `bun:",pk,autoincrement"`
	Hour          int64
	Src, Dst      int64
	Protocol      int64
	Port          int64
	Way           int64
	Verdict       int64
	Rule          string
	Reason        string
	Flows         int64
	Answered      int64
	Packets       int64
	Bytes         int64
	First         int64
	Last          int64
	Process       string
	Size          int64
}

// edgeKey is what flows of one edge, judged alike in one hour, have in common.
type edgeKey struct {
	src, dst, protocol, port, way, verdict, hour int64
}

// addEdges folds rows into the edges of their hour.
func addEdges(ctx context.Context, tx bun.Tx, rows []flowRow) error {
	at := map[edgeKey]int{}
	var edges []edgeRow
	for _, r := range rows {
		hour := r.Last - r.Last%int64(time.Hour)
		k := edgeKey{r.Src, r.Dst, r.Protocol, r.Port, r.Way, r.Verdict, hour}
		n, known := at[k]
		if !known {
			at[k] = len(edges)
			edges = append(edges, edgeRow{
				Hour: hour, Src: r.Src, Dst: r.Dst, Protocol: r.Protocol, Port: r.Port, Way: r.Way, Verdict: r.Verdict, Rule: r.Rule, Reason: r.Reason,
				Flows: r.Flows, Answered: r.Answered, Packets: r.Packets, Bytes: r.Bytes, First: r.First, Last: r.Last, Process: r.Process,
				Size: int64(len(r.Rule)+len(r.Reason)+len(r.Process)) + rowBytes,
			})
			continue
		}
		e := &edges[n]
		e.Flows, e.Answered, e.Packets, e.Bytes = e.Flows+r.Flows, e.Answered+r.Answered, e.Packets+r.Packets, e.Bytes+r.Bytes
		e.First = min(e.First, r.First)
		if r.Last >= e.Last {
			e.Last, e.Rule, e.Reason = r.Last, r.Rule, r.Reason
		}
		if r.Process != "" {
			e.Process = r.Process
		}
	}
	for _, part := range chunks(edges, func(edgeRow) int64 { return 512 }) {
		_, err := tx.NewInsert().Model(&part).On("CONFLICT (src, dst, protocol, port, way, verdict, hour) DO UPDATE").
			Set("flows = edge_row.flows + EXCLUDED.flows").
			Set("answered = edge_row.answered + EXCLUDED.answered").
			Set("packets = edge_row.packets + EXCLUDED.packets").
			Set("bytes = edge_row.bytes + EXCLUDED.bytes").
			Set("first = CASE WHEN EXCLUDED.first < edge_row.first THEN EXCLUDED.first ELSE edge_row.first END").
			Set("last = CASE WHEN EXCLUDED.last > edge_row.last THEN EXCLUDED.last ELSE edge_row.last END").
			Set("rule = EXCLUDED.rule, reason = EXCLUDED.reason").
			Set("process = CASE WHEN EXCLUDED.process <> '' THEN EXCLUDED.process ELSE edge_row.process END").
			Returning("NULL").Exec(ctx)
		if err != nil {
			return err
		}
	}
	return nil
}

// Edges answers a query, the newest first, and how many edges match it in all.
func (s *Store) Edges(ctx context.Context, q FlowQuery) ([]Edge, int, error) {
	newest := newestEdges{limit: int(bounded(q.Limit))}
	err := s.EachEdge(ctx, q, func(e *Edge) error {
		newest.add(*e)
		return nil
	})
	return newest.sorted(), newest.total, err
}

// EachEdge calls yield for every edge that a query matches, in no order that means
// anything. Limit, After and Before do not count.
func (s *Store) EachEdge(ctx context.Context, q FlowQuery, yield func(*Edge) error) error {
	return s.eachEdge(ctx, q, false, yield)
}

// EachEdgeByHour is EachEdge with each hour of an edge as an edge of its own.
func (s *Store) EachEdgeByHour(ctx context.Context, q FlowQuery, yield func(*Edge) error) error {
	return s.eachEdge(ctx, q, true, yield)
}

// Objection is flows of one hour that a rule denied, or would have, at one end.
type Objection struct {
	Rule    string
	Verdict segmentation.Verdict
	Flows   uint64
	Last    time.Time
}

// EachObjection calls yield for everything that was denied or audited since. Both ends
// of an edge may object, each by a rule of its own.
func (s *Store) EachObjection(ctx context.Context, since time.Time, yield func(Objection)) error {
	return s.telemetry.view(ctx, func(tx bun.Tx) error {
		sel := tx.NewSelect().Model((*edgeRow)(nil)).ExcludeColumn("id", "size").Where("verdict <> ?", int64(segmentation.Allowed))
		return s.eachEdgeRow(ctx, (&FlowQuery{Since: since}).narrow(sel, nil), func(r *edgeRow) error {
			yield(Objection{r.Rule, segmentation.Verdict(r.Verdict), uint64(r.Flows), fromNanos(r.Last)})
			return nil
		})
	})
}

func (s *Store) eachEdge(ctx context.Context, q FlowQuery, hours bool, yield func(*Edge) error) error {
	return s.telemetry.view(ctx, func(tx bun.Tx) error { return s.eachEdgeAt(ctx, tx, q, hours, yield) })
}

func (s *Store) eachEdgeAt(ctx context.Context, tx bun.Tx, q FlowQuery, hours bool, yield func(*Edge) error) error {
	ends, err := s.flowEnds(ctx, tx)
	if err != nil {
		return err
	}
	sel := tx.NewSelect().Model((*edgeRow)(nil)).ExcludeColumn("id", "size").
		Order("src", "dst", "protocol", "port")
	if hours {
		sel = sel.Order("hour")
	}
	f := edgeFold{ends: ends, query: q, hours: hours, yield: yield}
	if err := s.eachEdgeRow(ctx, q.narrow(sel, ends), f.add); err != nil {
		return err
	}
	return f.flush()
}

// eachEdgeRow calls yield for what is selected, one row at a time.
func (s *Store) eachEdgeRow(ctx context.Context, sel *bun.SelectQuery, yield func(*edgeRow) error) error {
	rows, err := sel.Rows(ctx)
	if err != nil {
		return fmt.Errorf("read edges: %w", s.telemetry.explain(err))
	}
	defer rows.Close()
	for rows.Next() {
		var r edgeRow
		if err := s.telemetry.read.ScanRow(ctx, rows, &r); err != nil {
			return fmt.Errorf("read edges: %w", s.telemetry.explain(err))
		}
		if err := yield(&r); err != nil {
			return err
		}
	}
	if err := rows.Err(); err != nil {
		return fmt.Errorf("read edges: %w", s.telemetry.explain(err))
	}
	return nil
}
