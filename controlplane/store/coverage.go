package store

import (
	"context"
	"time"
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

func (s *Store) AddCoverage(ctx context.Context, ds []CoverageDelta) error { panic("todo") }

func (s *Store) Coverage(ctx context.Context) ([]Coverage, error) { panic("todo") }
