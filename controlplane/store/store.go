// Package store is the control plane's state: resources with every revision,
// the audit log, tokens and proposals, which are durable when acknowledged; and
// telemetry (events, exchanges, coverage), which is written in batches, bounded
// by age and bytes, and gives way first when the disk fills.
//
// One set of queries runs on SQLite (a directory, the default: state.db and
// telemetry.db) and PostgreSQL. It does not know what a manifest says and
// validates nothing but names. Only the control plane and cmd import it. No raw
// value of anybody's traffic may reach it: controlplane/ingest is the door where
// those stop.
package store

import (
	"cmp"
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/uptrace/bun"
)

// Errors a caller tells apart with errors.Is.
var (
	ErrNotFound  = errors.New("not found")
	ErrExists    = errors.New("already exists")
	ErrMoved     = errors.New("the resources have changed since they were judged")
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
type Store struct {
	o         Options
	backend   string // "sqlite", "postgres"
	where     string
	state     database
	telemetry database
	disk      *diskGuard

	resources broadcast
	events    broadcast
	flows     broadcast

	pruned  [classCount]atomic.Int64
	refused atomic.Int64
}

// database is one set of tables: a single writer and any number of readers.
type database struct {
	write, read *bun.DB
	mu          *sync.Mutex // one writer in this process; others wait in the database
	begin       []string    // said first in each writing transaction
	where       string
}

// Open opens or makes the state and brings its schema up to date. A damaged
// file is an error that says which file and what to do; it is never replaced.
func Open(ctx context.Context, o Options) (*Store, error) {
	o.Limits = o.Limits.withDefaults()
	o.Poll = cmp.Or(o.Poll, time.Second)
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	s := &Store{o: o}
	open := s.openSQLite
	if o.Postgres != "" {
		open = s.openPostgres
	}
	if err := open(ctx); err != nil {
		s.Close()
		return nil, fmt.Errorf("open state: %w", err)
	}
	return s, nil
}

// Run prunes, watches the disk and looks for changes by other replicas, until
// ctx ends.
func (s *Store) Run(ctx context.Context) error {
	prune := time.NewTicker(time.Minute)
	defer prune.Stop()
	poll := time.NewTicker(s.o.Poll)
	defer poll.Stop()
	var seen watermarks
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-poll.C:
			seen = s.look(ctx, seen)
		case <-prune.C:
			if err := s.Prune(ctx); err != nil && ctx.Err() == nil {
				s.o.Log.Warn("prune state", "error", err)
			}
		}
	}
}

// Close waits for nobody: callers end their own work first.
func (s *Store) Close() error {
	var errs []error
	for _, db := range []*bun.DB{s.telemetry.read, s.telemetry.write, s.state.read, s.state.write} {
		if db != nil {
			errs = append(errs, db.Close())
		}
	}
	return errors.Join(errs...)
}

// InstallationKey returns 32 random bytes kept under name, made at first use.
// It keys the hashes of this installation (client addresses).
func (s *Store) InstallationKey(ctx context.Context, name string) ([]byte, error) {
	var key []byte
	err := s.state.update(ctx, func(tx bun.Tx) error {
		var found [][]byte
		if err := tx.NewRaw("SELECT value FROM installation_keys WHERE name = ?", name).Scan(ctx, &found); err != nil {
			return err
		}
		if len(found) == 1 {
			key = found[0]
			return nil
		}
		key = make([]byte, 32)
		rand.Read(key) // never fails
		_, err := tx.NewRaw("INSERT INTO installation_keys (name, value) VALUES (?, ?)", name, key).Exec(ctx)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read installation key %q: %w", name, err)
	}
	return key, nil
}

// update runs fn in a writing transaction, durable when it returns nil.
func (d *database) update(ctx context.Context, fn func(tx bun.Tx) error) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	err := d.write.RunInTx(ctx, nil, func(ctx context.Context, tx bun.Tx) error {
		for _, q := range d.begin {
			if _, err := tx.NewRaw(q).Exec(ctx); err != nil {
				return err
			}
		}
		return fn(tx)
	})
	return d.explain(err)
}

// view reads at one moment: what fn finds in several tables belongs together.
func (d *database) view(ctx context.Context, fn func(tx bun.Tx) error) error {
	moment := &sql.TxOptions{Isolation: sql.LevelRepeatableRead, ReadOnly: true}
	return d.read.RunInTx(ctx, moment, func(_ context.Context, tx bun.Tx) error { return fn(tx) })
}

func nanos(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixNano()
}

func fromNanos(n int64) time.Time {
	if n == 0 {
		return time.Time{}
	}
	return time.Unix(0, n).UTC()
}
