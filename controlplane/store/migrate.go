package store

import (
	"context"
	"database/sql"
	"embed"
	"fmt"
	"io/fs"

	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"
)

// The two folders hold the same file names (a test says so): one history, told
// in two dialects. state and telemetry are two histories, as they are two files.
//
//go:embed migrations
var migrations embed.FS

func migrateSQLite(ctx context.Context, db *sql.DB, name string) error {
	return migrate(ctx, goose.DialectSQLite3, db, "sqlite", name)
}

func migratePostgres(ctx context.Context, db *sql.DB, name string) error {
	// Replicas that start at once take turns, and look each second for theirs.
	locker, err := lock.NewPostgresSessionLocker(lock.WithLockTimeout(1, 300))
	if err != nil {
		return err
	}
	return migrate(ctx, goose.DialectPostgres, db, "postgres", name, goose.WithSessionLocker(locker))
}

func migrate(ctx context.Context, dialect goose.Dialect, db *sql.DB, folder, name string, opts ...goose.ProviderOption) error {
	files, err := fs.Sub(migrations, "migrations/"+folder+"/"+name)
	if err != nil {
		return err
	}
	opts = append(opts, goose.WithTableName("migrations_"+name), goose.WithDisableGlobalRegistry(true))
	p, err := goose.NewProvider(dialect, db, files, opts...)
	if err != nil {
		return fmt.Errorf("read migrations: %w", err)
	}
	if _, err := p.Up(ctx); err != nil {
		return fmt.Errorf("bring the schema of %s up to date: %w", name, err)
	}
	at, newest, err := p.GetVersions(ctx)
	if err != nil {
		return fmt.Errorf("read schema version of %s: %w", name, err)
	}
	if at > newest {
		return fmt.Errorf("the %s schema is version %d and this gabion knows %d: it was written by a newer gabion, run that one", name, at, newest)
	}
	return nil
}
