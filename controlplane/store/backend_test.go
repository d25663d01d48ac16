package store

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// TestMain ends the PostgreSQL server that tests may have started, and turns
// the test binary into a writer that is to be killed.
func TestMain(m *testing.M) {
	if dir := os.Getenv("STORE_TEST_WRITER"); dir != "" {
		writeUntilKilled(dir)
	}
	code := m.Run()
	server.stop()
	os.Exit(code)
}

// clock is a time that tests move.
type clock struct{ ns atomic.Int64 }

func newClock() *clock {
	c := &clock{}
	c.ns.Store(time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC).UnixNano())
	return c
}
func (c *clock) now() time.Time          { return time.Unix(0, c.ns.Load()).UTC() }
func (c *clock) advance(d time.Duration) { c.ns.Add(int64(d)) }

// onBoth runs a test on SQLite and on a real PostgreSQL.
func onBoth(t *testing.T, test func(t *testing.T, open func(Options) *Store)) {
	opener := func(t *testing.T, place Options) func(Options) *Store {
		return func(o Options) *Store {
			t.Helper()
			o.Dir, o.Postgres = place.Dir, place.Postgres
			s, err := Open(t.Context(), o)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { s.Close() })
			return s
		}
	}
	t.Run("sqlite", func(t *testing.T) {
		t.Parallel()
		test(t, opener(t, Options{Dir: t.TempDir()}))
	})
	t.Run("postgres", func(t *testing.T) {
		t.Parallel()
		test(t, opener(t, Options{Postgres: postgres(t)}))
	})
}

// postgres returns the DSN of an empty database of its own.
func postgres(t *testing.T) string {
	t.Helper()
	admin, err := server.start()
	if err != nil {
		if os.Getenv("GABION_REQUIRE") == "1" {
			t.Fatalf("needs PostgreSQL: %v", err)
		}
		t.Skipf("needs PostgreSQL (GABION_TEST_POSTGRES=dsn, or the Debian package postgresql): %v", err)
	}
	name := fmt.Sprintf("gabion_test_%d_%d", os.Getpid(), server.databases.Add(1))
	run(t, admin, "CREATE DATABASE "+name)
	t.Cleanup(func() { run(t, admin, "DROP DATABASE IF EXISTS "+name+" WITH (FORCE)") })
	return withDatabase(t, admin, name)
}

func withDatabase(t *testing.T, dsn, name string) string {
	t.Helper()
	u, err := url.Parse(dsn)
	if err != nil {
		t.Fatalf("GABION_TEST_POSTGRES must be a URL: %v", err)
	}
	u.Path = "/" + name
	return u.String()
}

func run(t *testing.T, dsn, query string) {
	t.Helper()
	db, err := openPlain(dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.ExecContext(context.Background(), query); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
}

// server is the one PostgreSQL all tests of this package share.
var server postgresServer

type postgresServer struct {
	once      sync.Once
	dsn       string
	err       error
	dir       string
	cmd       *exec.Cmd
	databases atomic.Int64
}

func (p *postgresServer) start() (string, error) {
	p.once.Do(func() {
		if p.dsn = os.Getenv("GABION_TEST_POSTGRES"); p.dsn == "" {
			p.dsn, p.err = p.launch()
		}
	})
	return p.dsn, p.err
}

// launch makes a throw-away cluster that listens on a Unix socket only.
func (p *postgresServer) launch() (string, error) {
	found, _ := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	if len(found) == 0 {
		return "", fmt.Errorf("no /usr/lib/postgresql/*/bin/initdb")
	}
	bin := filepath.Dir(found[len(found)-1])
	as, err := postgresUser()
	if err != nil {
		return "", err
	}
	if p.dir, err = os.MkdirTemp("/tmp", "gabion-pg"); err != nil {
		return "", err
	}
	if as != nil {
		os.Chown(p.dir, int(as.Uid), int(as.Gid))
	}
	data := filepath.Join(p.dir, "data")
	init := asUser(as, exec.Command(filepath.Join(bin, "initdb"), "-D", data, "-U", "gabion", "-A", "trust", "-N", "-E", "UTF8", "--locale=C"))
	if out, err := init.CombinedOutput(); err != nil {
		return "", fmt.Errorf("initdb: %v: %s", err, out)
	}
	p.cmd = asUser(as, exec.Command(filepath.Join(bin, "postgres"), "-D", data, "-k", p.dir,
		"-c", "listen_addresses=", "-c", "fsync=off", "-c", "max_connections=300"))
	if err := p.cmd.Start(); err != nil {
		return "", err
	}
	dsn := "postgres://gabion@/postgres?sslmode=disable&host=" + url.QueryEscape(p.dir)
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(50 * time.Millisecond) {
		if db, err := openPlain(dsn); err == nil {
			err = db.Ping()
			db.Close()
			if err == nil {
				return dsn, nil
			}
			if time.Now().After(deadline) {
				return "", err
			}
		}
	}
}

func (p *postgresServer) stop() {
	if p.cmd != nil {
		p.cmd.Process.Signal(syscall.SIGQUIT) // immediate shutdown: nothing of it is kept
		p.cmd.Wait()
	}
	if p.dir != "" {
		os.RemoveAll(p.dir)
	}
}

// postgresUser is who the server runs as: PostgreSQL refuses root.
func postgresUser() (*syscall.Credential, error) {
	if os.Getuid() != 0 {
		return nil, nil
	}
	u, err := user.Lookup("postgres")
	if err != nil {
		return nil, err
	}
	uid, _ := strconv.ParseUint(u.Uid, 10, 32)
	gid, _ := strconv.ParseUint(u.Gid, 10, 32)
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, nil
}

func asUser(as *syscall.Credential, cmd *exec.Cmd) *exec.Cmd {
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: as, Pdeathsig: syscall.SIGQUIT, Setpgid: true}
	cmd.Dir = "/"
	cmd.Env = append(os.Environ(), "LC_ALL=C")
	return cmd
}

func contains(t *testing.T, err error, parts ...string) {
	t.Helper()
	if err == nil {
		t.Fatalf("no error, want one with %q", parts)
	}
	for _, p := range parts {
		if !strings.Contains(err.Error(), p) {
			t.Errorf("error %q lacks %q", err, p)
		}
	}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}
