package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"syscall"

	"github.com/uptrace/bun"
	"github.com/uptrace/bun/dialect/sqlitedialect"
	"modernc.org/sqlite"
)

// What is lost, and what to do, when a file is damaged.
const (
	mendState     = "nothing was changed; put a backup of it back, or move it and its -wal and -shm files away to begin with no resources, tokens and audit log"
	mendTelemetry = "nothing was changed; move it and its -wal and -shm files away: events and exchanges are lost, resources are not"
)

func (s *Store) openSQLite(ctx context.Context) error {
	if err := os.MkdirAll(s.o.Dir, 0o700); err != nil {
		return err
	}
	unlock, err := lockDir(s.o.Dir)
	if err != nil {
		return err
	}
	defer unlock()
	s.backend, s.where = "sqlite", s.o.Dir
	s.disk = newDiskGuard(s.o.Dir, s.o.Disk, s.o.Now)
	// FULL: what was acknowledged survives power failure. NORMAL: telemetry survives
	// the death of the process, and loses its last moments with the power.
	s.state, err = openFile(ctx, s.o.Dir, "state", "FULL", mendState)
	if err != nil {
		return err
	}
	s.telemetry, err = openFile(ctx, s.o.Dir, "telemetry", "NORMAL", mendTelemetry)
	return err
}

// lockDir keeps two processes from making the same files at once.
func lockDir(dir string) (unlock func(), err error) {
	f, err := os.OpenFile(filepath.Join(dir, "open.lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX); err != nil {
		f.Close()
		return nil, fmt.Errorf("lock %s: %w", f.Name(), err)
	}
	return func() { f.Close() }, nil
}

// openFile opens dir/<name>.db, or makes it. A new file gets its schema under
// another name first, so a file without content is never a fresh start.
func openFile(ctx context.Context, dir, name, synchronous, mend string) (database, error) {
	path := filepath.Join(dir, name+".db")
	fresh, err := inspectFile(path, mend)
	if err != nil {
		return database{}, err
	}
	if fresh {
		if err := makeFile(ctx, path, name, synchronous); err != nil {
			return database{}, explainSQLite(err, path, mend)
		}
	}
	d, err := connectFile(path, synchronous)
	if err != nil {
		return d, explainSQLite(err, path, mend)
	}
	if err := d.check(ctx, path, mend); err != nil {
		return d, err
	}
	return d, explainSQLite(migrateSQLite(ctx, d.write.DB, name), path, mend)
}

// inspectFile says whether there is no file yet, and refuses what is no database.
func inspectFile(path, mend string) (fresh bool, err error) {
	f, err := os.Open(path)
	if errors.Is(err, os.ErrNotExist) {
		if _, err := os.Stat(path + "-wal"); err == nil {
			return false, corrupt(path, "it is missing, while its write-ahead log is there", mend)
		}
		return true, nil
	}
	if err != nil {
		return false, err
	}
	defer f.Close()
	head := make([]byte, 100)
	if n, err := io.ReadFull(f, head); err != nil {
		return false, corrupt(path, fmt.Sprintf("it is only %d bytes long", n), mend)
	}
	if string(head[:16]) != "SQLite format 3\x00" {
		return false, corrupt(path, "it does not begin like an SQLite database", mend)
	}
	return false, nil
}

func corrupt(path, what, mend string) error {
	return fmt.Errorf("%w: %s: %s; %s", ErrCorrupt, path, what, mend)
}

func makeFile(ctx context.Context, path, name, synchronous string) error {
	temp := path + ".new"
	for _, leftover := range []string{temp, temp + "-wal", temp + "-shm", temp + "-journal"} {
		if err := os.Remove(leftover); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	f, err := os.OpenFile(temp, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	f.Close()
	// Only a new file can be told to give pages back; the order of pragmas is theirs.
	d, err := connectFile(temp, synchronous, "auto_vacuum(INCREMENTAL)")
	if err != nil {
		return err
	}
	err = migrateSQLite(ctx, d.write.DB, name)
	if err := errors.Join(err, d.read.Close(), d.write.Close()); err != nil {
		return err
	}
	if err := os.Rename(temp, path); err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}

func syncDir(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer f.Close()
	return f.Sync()
}

func connectFile(path, synchronous string, pragmas ...string) (database, error) {
	open := func(mode string, conns int) (*bun.DB, error) {
		dsn := "file:" + (&url.URL{Path: path}).EscapedPath() + "?" + url.Values{
			"_pragma": append([]string{"busy_timeout(10000)", "journal_mode(WAL)",
				"synchronous(" + synchronous + ")", "query_only(" + mode + ")"}, pragmas...),
			"_txlock": {"immediate"},
		}.Encode()
		db, err := sql.Open("sqlite", dsn)
		if err != nil {
			return nil, err
		}
		db.SetMaxOpenConns(conns)
		return bun.NewDB(db, sqlitedialect.New()), nil
	}
	d := database{mu: new(sync.Mutex), where: path}
	var err error
	if d.write, err = open("OFF", 1); err != nil {
		return d, err
	}
	d.read, err = open("ON", 4)
	return d, err
}

// checkBytes bounds the whole-file check at start: beyond it damage is found
// when it is met, with the same message.
const checkBytes = 64 << 20

func (d *database) check(ctx context.Context, path, mend string) error {
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	query := "PRAGMA quick_check(1)"
	if info.Size() > checkBytes {
		query = "SELECT 'ok' FROM (SELECT count(*) FROM sqlite_schema)"
	}
	var verdict string
	if err := d.write.QueryRowContext(ctx, query).Scan(&verdict); err != nil {
		return explainSQLite(err, path, mend)
	}
	if verdict != "ok" {
		return corrupt(path, verdict, mend)
	}
	return nil
}

// Primary result codes of SQLite.
const (
	sqliteIOErr   = 10
	sqliteCorrupt = 11
	sqliteFull    = 13
	sqliteNotADB  = 26
)

// explainSQLite turns what a person can act on into words.
func explainSQLite(err error, path, mend string) error {
	var e *sqlite.Error
	if !errors.As(err, &e) {
		return err
	}
	switch e.Code() & 0xff {
	case sqliteCorrupt, sqliteNotADB:
		return corrupt(path, e.Error(), mend)
	case sqliteFull:
		return fmt.Errorf("%w: nothing was written to %s; free space on its file system and repeat", ErrDiskFull, path)
	case sqliteIOErr:
		return fmt.Errorf("read or write %s: the disk answered with an error, nothing was written; look at the kernel log and at free space: %w", path, err)
	}
	return err
}
