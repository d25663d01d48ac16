package store

import (
	"context"
	"fmt"
	"time"

	"github.com/uptrace/bun"
)

// Coverage says how complete the telemetry of one source is.
type Coverage struct {
	Source     string    `json:"source"` // "accesslog <proxy>", "spool", "recording"
	Received   uint64    `json:"received"`
	Duplicates uint64    `json:"duplicates"`
	Lost       uint64    `json:"lost"`    // known to be lost: queue full, spool full, disk full
	Garbage    uint64    `json:"garbage"` // could not be read
	Since      time.Time `json:"since"`
	Last       time.Time `json:"last"`
}

// CoverageDelta adds to a source's counters. Lost of a spool writer is given as
// its running total (Writer, WriterLost) so that telling twice adds once.
type CoverageDelta struct {
	Source                              string
	Received, Duplicates, Lost, Garbage uint64
	Writer                              string
	WriterLost                          uint64
}

type coverageRow struct {
	bun.BaseModel `bun:"table:coverage"`
	Source        string `bun:",pk"`
	Received      int64
	Duplicates    int64
	Lost          int64
	Garbage       int64
	Since         int64
	Last          int64
}

// AddCoverage also works while telemetry is refused for a full disk: that is
// when there are losses to count, and its rows are few.
func (s *Store) AddCoverage(ctx context.Context, ds []CoverageDelta) error {
	if len(ds) == 0 {
		return nil
	}
	err := s.telemetry.update(ctx, func(tx bun.Tx) error {
		for _, d := range ds {
			if err := s.addCoverage(ctx, tx, d); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("write coverage: %w", err)
	}
	return nil
}

func (s *Store) addCoverage(ctx context.Context, tx bun.Tx, d CoverageDelta) error {
	now := nanos(s.o.Now())
	lost := int64(d.Lost)
	if d.Writer != "" {
		more, err := writerLost(ctx, tx, d, now)
		if err != nil {
			return err
		}
		lost += more
	}
	row := coverageRow{Source: text(d.Source), Received: int64(d.Received), Duplicates: int64(d.Duplicates),
		Lost: lost, Garbage: int64(d.Garbage), Since: now, Last: now}
	_, err := tx.NewInsert().Model(&row).On("CONFLICT (source) DO UPDATE").
		Set("received = coverage_row.received + EXCLUDED.received").
		Set("duplicates = coverage_row.duplicates + EXCLUDED.duplicates").
		Set("lost = coverage_row.lost + EXCLUDED.lost").
		Set("garbage = coverage_row.garbage + EXCLUDED.garbage").
		Set("last = EXCLUDED.last").Exec(ctx)
	return err
}

// writerLost keeps a writer's running total and says by how much it grew.
func writerLost(ctx context.Context, tx bun.Tx, d CoverageDelta, now int64) (int64, error) {
	var known []int64
	err := tx.NewRaw("SELECT lost FROM coverage_writers WHERE source = ? AND writer = ?", d.Source, d.Writer).Scan(ctx, &known)
	if err != nil {
		return 0, err
	}
	grown := int64(d.WriterLost)
	if len(known) == 1 {
		grown = max(0, grown-known[0])
	}
	_, err = tx.NewRaw(`INSERT INTO coverage_writers (source, writer, lost, time) VALUES (?, ?, ?, ?)
		ON CONFLICT (source, writer) DO UPDATE SET lost = coverage_writers.lost + ?, time = EXCLUDED.time`,
		d.Source, d.Writer, grown, now, grown).Exec(ctx)
	return grown, err
}

// Coverage lists all sources, sorted.
func (s *Store) Coverage(ctx context.Context) ([]Coverage, error) {
	var rows []coverageRow
	if err := s.telemetry.read.NewSelect().Model(&rows).Order("source").Scan(ctx); err != nil {
		return nil, fmt.Errorf("read coverage: %w", s.telemetry.explain(err))
	}
	out := make([]Coverage, len(rows))
	for i, r := range rows {
		out[i] = Coverage{r.Source, uint64(r.Received), uint64(r.Duplicates), uint64(r.Lost), uint64(r.Garbage),
			fromNanos(r.Since), fromNanos(r.Last)}
	}
	return out, nil
}
