package store

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/gabion-io/gabion/internal/exchange"
)

// writeUntilKilled prints every revision once it is acknowledged.
func writeUntilKilled(dir string) {
	ctx := context.Background()
	s, err := Open(ctx, Options{Dir: dir})
	if err != nil {
		fmt.Println("error", err)
		os.Exit(1)
	}
	for i := 0; ; i++ {
		r, _, err := s.PutResource(ctx, manifest(shop, fmt.Sprint(os.Getpid(), i)), PutOptions{Author: "child"})
		if err != nil {
			fmt.Println("error", err)
			os.Exit(1)
		}
		fmt.Println(r.Revision)
	}
}

func TestAcknowledgedWriteSurvivesKill(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for round := range 8 {
		acknowledged := killOne(t, dir, time.Duration(10+17*round)*time.Millisecond)
		s, err := Open(t.Context(), Options{Dir: dir})
		if err != nil {
			t.Fatal(err)
		}
		cur := must(s.Resource(t.Context(), shop))
		if cur.Revision < acknowledged || cur.Revision > acknowledged+1 {
			t.Fatalf("acknowledged %d, found %d", acknowledged, cur.Revision)
		}
		if v := must(s.VerifyAudit(t.Context())); v.Broken != 0 || v.Entries != cur.Revision {
			t.Fatalf("%+v at revision %d", v, cur.Revision)
		}
		s.Close()
	}
}

func killOne(t *testing.T, dir string, after time.Duration) (acknowledged int64) {
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "STORE_TEST_WRITER="+dir)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	for first := true; lines.Scan(); first = false {
		if acknowledged, err = strconv.ParseInt(lines.Text(), 10, 64); err != nil {
			t.Fatal(lines.Text())
		}
		if first {
			time.AfterFunc(after, func() { cmd.Process.Kill() })
		}
	}
	cmd.Wait()
	if acknowledged == 0 {
		t.Fatal("the child wrote nothing")
	}
	return acknowledged
}

// A child killed while it makes the state for the first time leaves nothing that
// a later start would take for damage.
func TestKilledWhileMakingTheState(t *testing.T) {
	t.Parallel()
	for i := range 6 {
		dir := t.TempDir()
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), "STORE_TEST_WRITER="+dir)
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Duration(5+i*12) * time.Millisecond)
		cmd.Process.Kill()
		cmd.Wait()
		s, err := Open(t.Context(), Options{Dir: dir})
		if err != nil {
			t.Fatal(err)
		}
		s.Close()
	}
}

func filledDir(t *testing.T) string {
	dir := t.TempDir()
	s := must(Open(t.Context(), Options{Dir: dir}))
	for i := range 50 {
		must(s.PutResources(t.Context(), []Resource{manifest(shop, strings.Repeat(fmt.Sprint(i), 2000))}, PutOptions{Author: "ann"}))
	}
	must(s.AddEvents(t.Context(), sampleEvents(50)))
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestDamagedFilesAreToldAndLeftAlone(t *testing.T) {
	damages := map[string]func(b []byte) []byte{
		"empty":           func(b []byte) []byte { return nil },
		"header":          func(b []byte) []byte { return append([]byte("no database here"), b[16:]...) },
		"short":           func(b []byte) []byte { return b[:60] },
		"noise in middle": func(b []byte) []byte { copy(b[len(b)/2:], bytes.Repeat([]byte{0xA5}, 9000)); return b },
		"cut in half":     func(b []byte) []byte { return b[:len(b)/2] },
		"text":            func(b []byte) []byte { return bytes.Repeat([]byte("hello\n"), 5000) },
	}
	for name, damage := range damages {
		for _, file := range []string{"state.db", "telemetry.db"} {
			t.Run(name+" "+file, func(t *testing.T) {
				t.Parallel()
				path := filepath.Join(filledDir(t), file)
				bad := damage(must(os.ReadFile(path)))
				if err := os.WriteFile(path, bad, 0o600); err != nil {
					t.Fatal(err)
				}
				s, err := Open(t.Context(), Options{Dir: filepath.Dir(path)})
				if s != nil {
					s.Close()
				}
				if !errors.Is(err, ErrCorrupt) {
					t.Fatalf("want ErrCorrupt, got %v", err)
				}
				contains(t, err, path, "nothing was changed", "away")
				if !bytes.Equal(bad, must(os.ReadFile(path))) {
					t.Fatal("the damaged file was changed")
				}
			})
		}
	}
	t.Run("missing beside its log", func(t *testing.T) {
		dir := filledDir(t)
		os.Rename(filepath.Join(dir, "state.db"), filepath.Join(dir, "state.db-wal"))
		_, err := Open(t.Context(), Options{Dir: dir})
		contains(t, err, "state.db", "it is missing")
	})
}

func TestFullDisk(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=1500k"); err != nil {
		t.Skipf("needs a small tmpfs (root): %v", err)
	}
	t.Cleanup(func() { syscall.Unmount(dir, 0) })
	ctx := t.Context()
	s, err := Open(ctx, Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { s.Close() }()
	last := int64(0)
	for i := 0; err == nil; i++ {
		var r Resource
		r, _, err = s.PutResource(ctx, manifest(shop, strings.Repeat("x", 20_000)+fmt.Sprint(i)), PutOptions{Author: "ann"})
		last = max(last, r.Revision)
	}
	if !errors.Is(err, ErrDiskFull) {
		t.Fatal(err)
	}
	contains(t, err, "free space", "state.db")
	s.Close()
	if s, err = Open(ctx, Options{Dir: dir}); err != nil {
		// Without room for its log SQLite cannot even read; it must say so and keep everything.
		if !errors.Is(err, ErrDiskFull) {
			contains(t, err, "free space")
		}
		if err := syscall.Mount("tmpfs", dir, "tmpfs", syscall.MS_REMOUNT, "size=4000k"); err != nil {
			t.Fatal(err)
		}
		s = must(Open(ctx, Options{Dir: dir}))
	}
	if cur := must(s.Resource(ctx, shop)); cur.Revision != last {
		t.Fatalf("acknowledged %d, found %d", last, cur.Revision)
	}
	if v := must(s.VerifyAudit(ctx)); v.Broken != 0 {
		t.Fatalf("%+v", v)
	}
}

// Telemetry stops at 90 %, resources go on, and Status says so.
func TestTelemetryStopsFirst(t *testing.T) {
	onBoth(t, func(t *testing.T, open func(Options) *Store) {
		ctx, c, used := t.Context(), newClock(), 0.89
		s := open(Options{Now: c.now, Disk: func(string) (float64, error) { return used, nil }})
		must(s.AddEvents(ctx, sampleEvents(1)))
		used = 0.91
		c.advance(3 * time.Second)
		_, err := s.AddEvents(ctx, sampleEvents(5))
		if !errors.Is(err, ErrDiskFull) {
			t.Fatal(err)
		}
		contains(t, err, "91 % full", "free space")
		if _, err := s.AddExchanges(ctx, []exchange.Exchange{{ID: "x"}}); !errors.Is(err, ErrDiskFull) {
			t.Fatal(err)
		}
		must(s.PutResources(ctx, []Resource{manifest(shop, "x")}, PutOptions{Author: "ann"}))
		if err := s.AddCoverage(ctx, []CoverageDelta{{Source: "spool", Lost: 5}}); err != nil {
			t.Fatal(err)
		}
		st := must(s.Status(ctx))
		if !st.TelemetryStopped || st.TelemetryRefused != 6 || st.DiskUsed != 0.91 {
			t.Fatalf("%+v", st)
		}
		used = 0.5
		c.advance(3 * time.Second)
		if n := must(s.AddEvents(ctx, sampleEvents(5))); n != 4 {
			t.Fatal(n)
		}
	})
}

func TestPruneByAgeAndBytes(t *testing.T) {
	onBoth(t, func(t *testing.T, open func(Options) *Store) {
		ctx, c := t.Context(), newClock()
		s := open(Options{Now: c.now, Limits: Limits{
			Events: Limit{Age: time.Hour}, Exchanges: Limit{Bytes: 100_000}, Revisions: Limit{Age: time.Hour}, Proposals: Limit{Age: time.Hour},
		}})
		events := sampleEvents(1200)
		for i := range events {
			events[i].Time = c.now().Add(-time.Duration(i) * time.Minute)
		}
		must(s.AddEvents(ctx, events))
		var xs []exchange.Exchange
		for i := range 2000 {
			xs = append(xs, exchange.Exchange{ID: fmt.Sprint(i), Time: c.now().Add(time.Duration(i) * time.Millisecond), Path: "/a"})
		}
		must(s.AddExchanges(ctx, xs))
		for i := range 5 {
			must(s.PutResources(ctx, []Resource{manifest(shop, fmt.Sprint(i))}, PutOptions{Author: "ann"}))
		}
		must(s.PutProposal(ctx, Proposal{ID: "open"}))
		must(s.PutProposal(ctx, Proposal{ID: "done"}))
		must(s.DecideProposal(ctx, "done", ProposalRejected, nil, PutOptions{Author: "ann"}))
		c.advance(2 * time.Minute)
		if err := s.Prune(ctx); err != nil {
			t.Fatal(err)
		}
		got := map[string]Class{}
		for _, cl := range must(s.Status(ctx)).Classes {
			got[cl.Name] = cl
		}
		if e := got["events"]; e.Rows != 59 || e.Pruned != 1141 {
			t.Errorf("events %+v", e)
		}
		if x := got["exchanges"]; x.Bytes > 100_000 || x.Bytes < 95_000 || x.Rows+x.Pruned != 2000 || !x.Oldest.After(xs[1500].Time) {
			t.Errorf("exchanges %+v", x)
		}
		var rules int
		s.telemetry.read.NewRaw("SELECT count(*) FROM event_rules").Scan(ctx, &rules)
		if rules != 59 {
			t.Errorf("%d event rules left", rules)
		}
		c.advance(2 * time.Hour)
		if err := s.Prune(ctx); err != nil {
			t.Fatal(err)
		}
		if revs := must(s.Revisions(ctx, shop, 0)); len(revs) != 2 || revs[0].Revision != 5 {
			t.Errorf("revisions %+v", revs)
		}
		if ps := must(s.Proposals(ctx, "")); len(ps) != 1 || ps[0].ID != "open" {
			t.Errorf("proposals %+v", ps)
		}
		if v := must(s.VerifyAudit(ctx)); v.Broken != 0 {
			t.Errorf("%+v", v)
		}
	})
}

// What pruning frees goes back to the file system.
func TestPruneShrinksTheFile(t *testing.T) {
	t.Parallel()
	ctx, dir, c := t.Context(), t.TempDir(), newClock()
	s := must(Open(ctx, Options{Dir: dir, Now: c.now}))
	defer s.Close()
	for i := range 20 {
		var xs []exchange.Exchange
		for j := range 500 {
			xs = append(xs, exchange.Exchange{ID: fmt.Sprint(i, "/", j), Time: c.now(), Path: strings.Repeat("/a", 200)})
		}
		must(s.AddExchanges(ctx, xs))
	}
	size := func() int64 {
		if _, err := s.telemetry.write.ExecContext(ctx, "PRAGMA wal_checkpoint(TRUNCATE)"); err != nil {
			t.Fatal(err)
		}
		return must(os.Stat(filepath.Join(dir, "telemetry.db"))).Size()
	}
	before := size()
	c.advance(8 * 24 * time.Hour)
	if err := s.Prune(ctx); err != nil {
		t.Fatal(err)
	}
	if after := size(); after > before/3 {
		t.Fatalf("%d bytes before, %d after", before, after)
	}
}

func TestMigrationsHaveEqualNames(t *testing.T) {
	list := func(folder string) (names []string) {
		fs.WalkDir(migrations, "migrations/"+folder, func(path string, d fs.DirEntry, err error) error {
			if err == nil && !d.IsDir() {
				names = append(names, strings.TrimPrefix(path, "migrations/"+folder))
			}
			return err
		})
		return names
	}
	if diff := cmp.Diff(list("sqlite"), list("postgres")); diff != "" || len(list("sqlite")) == 0 {
		t.Fatal(diff)
	}
}

func TestNewerSchemaIsRefused(t *testing.T) {
	onBoth(t, func(t *testing.T, open func(Options) *Store) {
		s := open(Options{})
		_, err := s.state.write.ExecContext(t.Context(), "INSERT INTO migrations_state (version_id, is_applied) VALUES (99, true)")
		if err != nil {
			t.Fatal(err)
		}
		_, err = Open(t.Context(), s.o)
		contains(t, err, "newer gabion")
	})
}

func TestPostgresAddressStaysSecret(t *testing.T) {
	for _, dsn := range []string{"postgres://u:hunter2@127.0.0.1:1/db?connect_timeout=1", "postgres://u:hunter2@[::bad/db", "host=127.0.0.1 port=x password=hunter2"} {
		_, err := Open(t.Context(), Options{Postgres: dsn})
		if err == nil || strings.Contains(err.Error(), "hunter2") || strings.Contains(err.Error(), "\n") {
			t.Errorf("%v", err)
		}
	}
}
