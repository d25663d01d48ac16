// Package store is the control plane's state: resources with every revision,
// the audit log, tokens and proposals, which are durable when acknowledged; and
// telemetry (events, exchanges, coverage), which is written in batches, bounded
// by age and bytes, and gives way first when the disk fills.
//
// One set of queries runs on SQLite (a directory, the default) and PostgreSQL.
// It does not know what a manifest says and validates nothing but names. Only
// the control plane and cmd import it. No raw value of anybody's traffic may
// reach it: controlplane/ingest is the door where those stop.
package store

import (
	"context"
	"errors"
	"log/slog"
	"time"
)

// Errors a caller tells apart with errors.Is.
var (
	ErrNotFound  = errors.New("not found")
	ErrExists    = errors.New("already exists")
	ErrDiskFull  = errors.New("disk full")             // telemetry refused, or the database could not grow
	ErrCorrupt   = errors.New("state file is corrupt") // message says which, where, what to do
	ErrUnknownID = errors.New("unknown or revoked token")
)

// Options say where the state lies and how much of it is kept.
type Options struct {
	Dir      string // SQLite: the state directory (made 0700)
	Postgres string // DSN; set: PostgreSQL instead of SQLite
	Limits   Limits // zero fields: defaults
	Log      *slog.Logger
	Now      func() time.Time
	Disk     func(dir string) (usedFraction float64, err error) // nil: statfs
	Poll     time.Duration                                      // how often changes by other replicas are looked for; default 1 s
}

// Store is safe for concurrent use.
type Store struct{}

// Open opens or makes the state and brings its schema up to date. A damaged
// file is an error that says which file and what to do; it is never replaced.
func Open(ctx context.Context, o Options) (*Store, error) { panic("todo") }

// Run prunes and watches the disk until ctx ends.
func (s *Store) Run(ctx context.Context) error { panic("todo") }

func (s *Store) Close() error { panic("todo") }

// InstallationKey returns 32 random bytes kept under name, made at first use.
// It keys the hashes of this installation (client addresses).
func (s *Store) InstallationKey(ctx context.Context, name string) ([]byte, error) { panic("todo") }
