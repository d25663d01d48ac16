package store

import (
	"context"
	"fmt"
	"time"
)

// Class is one stored class in Status.
type Class struct {
	Name     string        `json:"name"`
	Rows     int64         `json:"rows"`
	Bytes    int64         `json:"bytes"`
	Oldest   time.Time     `json:"oldest,omitzero"`
	MaxAge   time.Duration `json:"maxAge"`
	MaxBytes int64         `json:"maxBytes"`
	Pruned   int64         `json:"pruned"` // rows since this process began
}

// Status is what the store holds and whether it still takes more.
type Status struct {
	Backend          string  `json:"backend"` // "sqlite", "postgres"
	Where            string  `json:"where"`   // directory, or host and database without credentials
	DiskUsed         float64 `json:"diskUsed"`
	TelemetryStopped bool    `json:"telemetryStopped"` // disk beyond 90 %
	TelemetryRefused int64   `json:"telemetryRefused"` // rows refused since this process began
	Classes          []Class `json:"classes"`
}

// Status counts what is stored; it reads an index of each table whole.
func (s *Store) Status(ctx context.Context) (Status, error) {
	st := Status{Backend: s.backend, Where: s.where, DiskUsed: s.disk.usedFraction(),
		TelemetryStopped: s.disk.full(), TelemetryRefused: s.refused.Load()}
	for i, c := range s.classes() {
		var row struct{ Rows, Bytes, Oldest int64 }
		query := fmt.Sprintf("SELECT count(*) AS rows, coalesce(sum(%s), 0) AS bytes, coalesce(min(%s), 0) AS oldest FROM %s",
			c.size, c.time, c.table)
		if err := c.db.read.NewRaw(query).Scan(ctx, &row.Rows, &row.Bytes, &row.Oldest); err != nil {
			return st, fmt.Errorf("read status of %s: %w", c.name, c.db.explain(err))
		}
		st.Classes = append(st.Classes, Class{Name: c.name, Rows: row.Rows, Bytes: row.Bytes, Oldest: fromNanos(row.Oldest),
			MaxAge: c.limit.Age, MaxBytes: c.limit.Bytes, Pruned: s.pruned[i].Load()})
	}
	return st, nil
}
