package store

import (
	"context"
	"time"
)

// Limit bounds one class of stored things; zero: the default.
type Limit struct {
	Age   time.Duration
	Bytes int64
}

// Limits bound every class. Current resources are not bounded.
type Limits struct {
	Revisions Limit // default 400 days, 256 MiB; the current and one before are always kept
	Audit     Limit // default 400 days, 256 MiB
	Proposals Limit // decided ones; default 90 days, 64 MiB
	Events    Limit // default 30 days, 512 MiB
	Exchanges Limit // default 7 days, 512 MiB
	Coverage  Limit // sources not heard of; default 90 days, 8 MiB
}

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

func (s *Store) Status(ctx context.Context) (Status, error) { panic("todo") }

// Prune applies the limits once, in slices.
func (s *Store) Prune(ctx context.Context) error { panic("todo") }
