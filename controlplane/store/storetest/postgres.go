// Package storetest runs a real PostgreSQL for tests: the one that
// GABION_TEST_POSTGRES names, or a throw-away cluster of the Debian package. Only
// tests import it.
package storetest

import (
	"context"
	"database/sql"
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

	_ "github.com/jackc/pgx/v5/stdlib" // the driver "pgx"
)

// Database returns the address of an empty database of the test's own. Without
// PostgreSQL the test skips, or fails where everything is required.
func (p *Postgres) Database(t testing.TB) string {
	t.Helper()
	admin, err := p.start()
	if err != nil {
		if os.Getenv("GABION_REQUIRE") == "1" {
			t.Fatalf("needs PostgreSQL: %v", err)
		}
		t.Skipf("needs PostgreSQL (GABION_TEST_POSTGRES=dsn, or the Debian package postgresql): %v", err)
	}
	name := fmt.Sprintf("gabion_test_%d_%d", os.Getpid(), p.databases.Add(1))
	run(t, admin, "CREATE DATABASE "+name)
	t.Cleanup(func() { run(t, admin, "DROP DATABASE IF EXISTS "+name+" WITH (FORCE)") })
	return withDatabase(t, admin, name)
}

// Away cuts a database off from all who use it, until back is called.
func (p *Postgres) Away(t testing.TB, dsn string) (back func()) {
	t.Helper()
	u, err := url.Parse(dsn)
	if err != nil {
		t.Fatal(err)
	}
	name := strings.TrimPrefix(u.Path, "/")
	allow := func(connections bool) {
		run(t, p.dsn, fmt.Sprintf("ALTER DATABASE %s ALLOW_CONNECTIONS %t", name, connections))
	}
	allow(false)
	run(t, p.dsn, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '"+name+"'")
	return func() { allow(true) }
}

func withDatabase(t testing.TB, dsn, name string) string {
	t.Helper()
	u, err := url.Parse(dsn)
	if err != nil {
		t.Fatalf("GABION_TEST_POSTGRES must be a URL: %v", err)
	}
	u.Path = "/" + name
	return u.String()
}

func run(t testing.TB, dsn, query string) {
	t.Helper()
	db, err := sql.Open("pgx", dsn)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.ExecContext(context.Background(), query); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
}

// Postgres is a throw-away server, started when first asked for. The zero value is
// ready; Stop ends it.
type Postgres struct {
	once      sync.Once
	dsn       string
	err       error
	dir       string
	cmd       *exec.Cmd
	databases atomic.Int64
}

func (p *Postgres) start() (string, error) {
	p.once.Do(func() {
		if p.dsn = os.Getenv("GABION_TEST_POSTGRES"); p.dsn == "" {
			p.dsn, p.err = p.launch()
		}
	})
	return p.dsn, p.err
}

// launch makes a throw-away cluster that listens on a Unix socket only.
func (p *Postgres) launch() (string, error) {
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
		if db, err := sql.Open("pgx", dsn); err == nil {
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

// Stop ends the server and forgets everything in it.
func (p *Postgres) Stop() {
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
