package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/uptrace/bun"
	"github.com/uptrace/bun/dialect/pgdialect"
)

// Keys of the advisory locks that make writers of all replicas one after the
// other: revision numbers, the audit chain and event cursors need it.
const (
	lockState     = 0x6761_6200
	lockTelemetry = 0x6761_6201
)

func (s *Store) openPostgres(ctx context.Context) error {
	config, err := pgx.ParseConfig(s.o.Postgres)
	if err != nil {
		return fmt.Errorf("read PostgreSQL address: %w", redactDSN(err))
	}
	s.backend = "postgres"
	s.where = fmt.Sprintf("%s:%d/%s", config.Host, config.Port, config.Database)
	s.disk = newDiskGuard("", nil, s.o.Now) // the server's disk is not ours to see
	if s.o.Disk != nil {
		s.disk = newDiskGuard(s.where, s.o.Disk, s.o.Now)
	}
	connect := func(conns int) *bun.DB {
		db := stdlib.OpenDB(*config)
		db.SetMaxOpenConns(conns)
		return bun.NewDB(db, pgdialect.New())
	}
	read := connect(8)
	s.state = database{write: connect(2), read: read, mu: new(sync.Mutex), where: s.where,
		begin: []string{fmt.Sprintf("SELECT pg_advisory_xact_lock(%d)", lockState)}}
	s.telemetry = database{write: connect(2), read: read, mu: new(sync.Mutex), where: s.where,
		begin: []string{fmt.Sprintf("SELECT pg_advisory_xact_lock(%d)", lockTelemetry), "SET LOCAL synchronous_commit TO OFF"}}
	if err := read.PingContext(ctx); err != nil {
		return fmt.Errorf("connect to PostgreSQL at %s: %s; start it, or correct the address (--database, $GABION_DATABASE)", s.where, lastLine(redactDSN(err)))
	}
	for _, name := range []string{"state", "telemetry"} {
		if err := migratePostgres(ctx, s.state.write.DB, name); err != nil {
			return s.state.explain(err)
		}
	}
	return nil
}

// redactDSN keeps the driver's reason and not the address it quotes, which may
// hold a password.
func redactDSN(err error) error {
	if e := errors.Unwrap(err); e != nil {
		return e
	}
	return errors.New("the address cannot be parsed (want postgres://user@host:5432/database)")
}

// lastLine is what came of the last way to connect that was tried.
func lastLine(err error) string {
	text := err.Error()
	return text[strings.LastIndexByte(text, '\n')+1:]
}

// explain turns what a person can act on into words, for either backend.
func (d *database) explain(err error) error {
	if err == nil || errors.Is(err, sql.ErrNoRows) {
		return err
	}
	if e, ok := errors.AsType[*pgconn.PgError](err); ok {
		switch e.Code {
		case "53100": // disk_full
			return fmt.Errorf("%w: nothing was written to %s; free space on the database server and repeat", ErrDiskFull, d.where)
		case "XX001", "XX002": // data_corrupted, index_corrupted
			return fmt.Errorf("%w: PostgreSQL at %s reports %s; nothing was written; restore it from a backup", ErrCorrupt, d.where, e.Message)
		}
	}
	return explainSQLite(err, d.where, "nothing was changed; stop the control plane and restore the file from a backup")
}
