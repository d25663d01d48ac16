package store

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"github.com/uptrace/bun"
)

// Limit bounds one class of stored things; zero: the default.
type Limit struct {
	Age   time.Duration
	Bytes int64
}

func (l Limit) or(days int, mib int64) Limit {
	return Limit{cmp.Or(l.Age, time.Duration(days)*24*time.Hour), cmp.Or(l.Bytes, mib<<20)}
}

// Limits bound every class. Current resources are not bounded.
type Limits struct {
	Revisions Limit // default 400 days, 256 MiB; the latest two of each resource are always kept
	Audit     Limit // default 400 days, 256 MiB
	Proposals Limit // decided ones; default 90 days, 64 MiB
	Events    Limit // default 30 days, 512 MiB
	Exchanges Limit // default 7 days, 512 MiB
	Edges     Limit // default 30 days, 512 MiB
	Flows     Limit // default 2 days, 256 MiB
	Coverage  Limit // sources not heard of; default 90 days, 8 MiB
	// Operations that were not called; default 400 days, 256 MiB. Who learns them
	// keeps to it: a part cannot be left out without the others.
	Operations Limit
	Observed   Limit // APIs as they were observed; default 400 days, 256 MiB; the latest two of each service are always kept
}

func (l Limits) withDefaults() Limits {
	return Limits{
		Revisions:  l.Revisions.or(400, 256),
		Audit:      l.Audit.or(400, 256),
		Proposals:  l.Proposals.or(90, 64),
		Events:     l.Events.or(30, 512),
		Exchanges:  l.Exchanges.or(7, 512),
		Edges:      l.Edges.or(30, 512),
		Flows:      l.Flows.or(2, 256),
		Coverage:   l.Coverage.or(90, 8),
		Operations: l.Operations.or(400, 256),
		Observed:   l.Observed.or(400, 256),
	}
}

// class is how one kind of stored thing is measured and pruned. All texts are
// SQL of our own, never anybody's input.
type class struct {
	name, table     string
	key, time, size string // column or expression
	older           string // condition with %d for the oldest time kept; "": time < %d
	order           string // in which rows go; "": by time
	prunable        string // condition on rows that may go; "": all
	limit           Limit
	db              *database
	removed         func(ctx context.Context, tx bun.Tx) error // after a slice has gone; may be nil
	before          func(ctx context.Context, tx bun.Tx, keys string) error
}

const classCount = 11

// classes are in the order in which they give way.
func (s *Store) classes() [classCount]class {
	return [classCount]class{
		{name: "exchanges", table: "exchanges", key: "id", time: "time", size: "size", limit: s.o.Limits.Exchanges, db: &s.telemetry},
		{name: "flows", table: "flows", key: "cursor", time: "last", size: "size", limit: s.o.Limits.Flows, db: &s.telemetry,
			removed: s.removeOldQueues},
		{name: "edges", table: "edges", key: "id", time: "last", size: "size", limit: s.o.Limits.Edges, db: &s.telemetry},
		{name: "flow ends", table: "flow_ends", key: "id", time: "last", size: "size", limit: s.endsLimit(), db: &s.telemetry,
			prunable: "id NOT IN (SELECT src FROM edges UNION SELECT dst FROM edges UNION SELECT src FROM flows UNION SELECT dst FROM flows)"},
		{name: "events", table: "events", key: "cursor", time: "time", size: "size", limit: s.o.Limits.Events, db: &s.telemetry,
			before: removeEventRules},
		{name: "coverage", table: "coverage", key: "source", time: "last", size: "200", limit: s.o.Limits.Coverage, db: &s.telemetry,
			removed: s.removeOldWriters},
		{name: "operations", table: "operation_parts", key: "id", time: "time", size: "size", limit: s.o.Limits.Operations, db: &s.telemetry,
			prunable: "1 = 0"},
		{name: "observed", table: "observed_apis", key: "id", time: "time", size: "size", limit: s.o.Limits.Observed, db: &s.state,
			prunable: "revision < (SELECT max(r.revision) - 1 FROM observed_apis AS r WHERE r.service = observed_apis.service)"},
		{name: "proposals", table: "proposals", key: "id", time: "updated", size: "size", limit: s.o.Limits.Proposals, db: &s.state,
			prunable: "status <> 'open'"},
		{name: "revisions", table: "revisions", key: "id", time: "time", size: "size", limit: s.o.Limits.Revisions, db: &s.state,
			prunable: `revision < (SELECT max(r.revision) - 1 FROM revisions AS r
				WHERE r.kind = revisions.kind AND r.namespace = revisions.namespace AND r.name = revisions.name)`},
		{name: "audit", table: "audit", key: "seq", time: "time", size: "size", limit: s.o.Limits.Audit, db: &s.state,
			// Whatever clocks did, what goes is a beginning of the chain, and never all of it.
			order: "seq", older: "seq < (SELECT coalesce(min(a.seq), 9223372036854775807) FROM audit AS a WHERE a.time >= %d)",
			prunable: "seq < (SELECT max(a.seq) FROM audit AS a)", before: moveChainStart},
	}
}

// slice is how many rows go in one transaction, so that others get their turn.
const slice int64 = 500

// Prune applies the limits once, in slices.
func (s *Store) Prune(ctx context.Context) error {
	for i, c := range s.classes() {
		n, err := s.pruneClass(ctx, c)
		s.pruned[i].Add(n)
		if err != nil {
			return fmt.Errorf("prune %s: %w", c.name, err)
		}
	}
	if s.backend != "sqlite" {
		return nil
	}
	for _, d := range []*database{&s.telemetry, &s.state} {
		if err := d.shrink(ctx); err != nil {
			return fmt.Errorf("shrink %s: %w", d.where, err)
		}
	}
	return nil
}

// shrink gives free pages back to the file system, a few at a time.
func (d *database) shrink(ctx context.Context) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	_, err := d.write.ExecContext(ctx, "PRAGMA incremental_vacuum(4000)")
	return d.explain(err)
}

func (s *Store) pruneClass(ctx context.Context, c class) (total int64, err error) {
	oldest := nanos(s.o.Now().Add(-c.limit.Age))
	for {
		n, err := c.remove(ctx, fmt.Sprintf(cmp.Or(c.older, c.time+" < %d"), oldest), slice)
		total += n
		if err != nil {
			return total, err
		}
		if n < slice {
			break
		}
	}
	for {
		var bytes, rows int64
		query := fmt.Sprintf("SELECT coalesce(sum(%s), 0), count(*) FROM %s", c.size, c.table)
		if err := c.db.read.NewRaw(query).Scan(ctx, &bytes, &rows); err != nil {
			return total, c.db.explain(err)
		}
		if bytes <= c.limit.Bytes || rows == 0 {
			return total, nil
		}
		// Rows of average size that make up the excess, and at most a slice of them.
		excess := (bytes-c.limit.Bytes)*rows/bytes + 1
		n, err := c.remove(ctx, "1 = 1", min(excess, slice))
		total += n
		if err != nil || n == 0 {
			return total, err
		}
	}
}

// remove deletes the oldest rows that may go and match the condition.
func (c class) remove(ctx context.Context, condition string, limit int64) (n int64, err error) {
	if c.prunable != "" {
		condition += " AND " + c.prunable
	}
	keys := fmt.Sprintf("SELECT %s FROM %s WHERE %s ORDER BY %s, %s LIMIT %d", c.key, c.table, condition, cmp.Or(c.order, c.time), c.key, limit)
	err = c.db.update(ctx, func(tx bun.Tx) error {
		if c.before != nil {
			if err := c.before(ctx, tx, keys); err != nil {
				return err
			}
		}
		res, err := tx.NewRaw(fmt.Sprintf("DELETE FROM %s WHERE %s IN (%s)", c.table, c.key, keys)).Exec(ctx)
		if err != nil {
			return err
		}
		if n, err = res.RowsAffected(); err != nil || c.removed == nil {
			return err
		}
		return c.removed(ctx, tx)
	})
	return n, err
}

func removeEventRules(ctx context.Context, tx bun.Tx, keys string) error {
	_, err := tx.NewRaw("DELETE FROM event_rules WHERE event IN (SELECT id FROM events WHERE cursor IN (" + keys + "))").Exec(ctx)
	return err
}

// removeOldWriters forgets running totals of spool writers long gone.
func (s *Store) removeOldWriters(ctx context.Context, tx bun.Tx) error {
	_, err := tx.NewRaw("DELETE FROM coverage_writers WHERE time < ?", nanos(s.o.Now().Add(-s.o.Limits.Coverage.Age))).Exec(ctx)
	return err
}

// endsLimit: an end that is used stays, whatever its age; one that is not goes soon.
func (s *Store) endsLimit() Limit { return Limit{2 * touchEvery, s.o.Limits.Edges.Bytes} }

// removeOldQueues forgets how far queues had come whose agents are long gone.
func (s *Store) removeOldQueues(ctx context.Context, tx bun.Tx) error {
	_, err := tx.NewRaw("DELETE FROM flow_queues WHERE time < ?", nanos(s.o.Now().Add(-s.o.Limits.Coverage.Age))).Exec(ctx)
	return err
}

// moveChainStart anchors the audit chain behind what is about to be removed.
func moveChainStart(ctx context.Context, tx bun.Tx, keys string) error {
	var last []auditRow
	if err := tx.NewSelect().Model(&last).Where("seq IN (" + keys + ")").Order("seq DESC").Limit(1).Scan(ctx); err != nil {
		return err
	}
	if len(last) == 0 {
		return nil
	}
	return writeEnd(ctx, tx, auditEnd{Name: chainStart, Seq: last[0].Seq, Hash: last[0].Hash})
}
