package store

import (
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gabion-io/gabion/controlplane/store/storetest"
)

// TestMain ends the PostgreSQL server that tests may have started, and turns
// the test binary into a writer that is to be killed.
func TestMain(m *testing.M) {
	if dir := os.Getenv("STORE_TEST_WRITER"); dir != "" {
		writeUntilKilled(dir)
	}
	code := m.Run()
	server.Stop()
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
func postgres(t *testing.T) string { return server.Database(t) }

// server is the one PostgreSQL all tests of this package share.
var server storetest.Postgres

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
