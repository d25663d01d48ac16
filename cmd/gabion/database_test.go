package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gabion-io/gabion/controlplane/store/storetest"
)

const databasePolicy = `apiVersion: gabion.io/v1alpha1
kind: WAFPolicy
metadata: {name: kept}
spec: {mode: detect}
`

// What is written through one `gabion serve --database` is there for another that
// has nothing but the same address.
func TestServeKeepsItsStateInPostgreSQL(t *testing.T) {
	var server storetest.Postgres
	t.Cleanup(server.Stop)
	address := server.Database(t)
	policy := filepath.Join(t.TempDir(), "policy.yaml")
	if err := os.WriteFile(policy, []byte(databasePolicy), 0o600); err != nil {
		t.Fatal(err)
	}
	first := serveOn(t, address)
	first.command(t, "apply", "-f", policy)
	first.stop()
	second := serveOn(t, address)
	if out := second.command(t, "get", "waf"); !strings.Contains(out, " kept ") {
		t.Errorf("the second knows:\n%s", out)
	}
	if out := second.command(t, "audit", "list"); !strings.Contains(out, "WAFPolicy default/kept") {
		t.Errorf("the audit log is\n%s", out)
	}
	if files, _ := filepath.Glob(filepath.Join(second.state, "db", "*")); len(files) > 0 {
		t.Errorf("it has SQLite files all the same: %v", files)
	}
}

func TestDatabaseAddress(t *testing.T) {
	for _, bad := range []string{"mysql://root:hunter2@db/x", "db.internal", "postgres://u:hunter2@h:port/x"} {
		var errOut bytes.Buffer
		code := execute(context.Background(), []string{"serve", "--state", t.TempDir(), "--database", bad}, strings.NewReader(""), &errOut, &errOut)
		if code != exitUsage || !strings.Contains(errOut.String(), "want postgres://") || strings.Contains(errOut.String(), "hunter2") {
			t.Errorf("%s: exit code %d, %s", bad, code, errOut.String())
		}
	}
}

type serving struct {
	state string
	stop  func()
}

// serveOn runs `gabion serve` in this process until the test or stop ends it.
func serveOn(t *testing.T, database string) serving {
	t.Helper()
	s := serving{state: t.TempDir()}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	log := &lockedLog{}
	a := &app{in: strings.NewReader(""), out: log, err: log, env: func(string) string { return "" }, now: time.Now, self: "gabion"}
	a.state = s.state
	go func() {
		done <- runServe(ctx, a, serveOptions{admin: "127.0.0.1:0", transport: "module", database: database})
	}()
	s.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("serve: %v\n%s", err, log)
		}
	})
	t.Cleanup(s.stop)
	l := layout{dir: s.state}
	for deadline := time.Now().Add(2 * time.Minute); ; time.Sleep(50 * time.Millisecond) {
		if _, err := os.Stat(l.serverURL()); err == nil {
			return s
		}
		select {
		case err := <-done:
			done <- err
			t.Fatalf("serve ended: %v\n%s", err, log)
		default:
		}
		if time.Now().After(deadline) {
			t.Fatalf("serve does not come up:\n%s", log)
		}
	}
}

// command runs the command line against it.
func (s serving) command(t *testing.T, args ...string) string {
	t.Helper()
	var out bytes.Buffer
	if code := execute(context.Background(), append(args, "--state", s.state), strings.NewReader(""), &out, &out); code != exitOK {
		t.Fatalf("gabion %s: exit code %d\n%s", strings.Join(args, " "), code, &out)
	}
	return out.String()
}

type lockedLog struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedLog) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedLog) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return fmt.Sprint(l.b.String())
}
