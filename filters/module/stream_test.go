//go:build cgo

package main

import (
	"bytes"
	"io"
	"log/slog"
	"net/netip"
	"runtime"
	"testing"

	"github.com/gabion-io/gabion/filters"

	"github.com/gabion-io/gabion/filters/chain"
)

// Every byte of a held body is shown once, whatever Envoy moved into its buffer
// between two hooks.
func FuzzSkip(f *testing.F) {
	f.Add([]byte("hello world"), uint8(3), uint8(5))
	f.Add([]byte(""), uint8(0), uint8(0))
	f.Fuzz(func(t *testing.T, body []byte, cut, shown uint8) {
		at := min(int(cut), len(body))
		n := min(int(shown), len(body))
		chunks := [][]byte{body[:at], body[at:]}
		got := bytes.Join(skip(chunks, n), nil)
		if !bytes.Equal(got, body[n:]) || size(skip([][]byte{body[:at], body[at:]}, n)) != len(body)-n {
			t.Errorf("skip %d of %q cut at %d: %q", n, body, at, got)
		}
	})
}

func TestParseAddress(t *testing.T) {
	for in, want := range map[string]netip.AddrPort{
		"192.0.2.1:80":            netip.MustParseAddrPort("192.0.2.1:80"),
		"[2001:db8::1]:443":       netip.MustParseAddrPort("[2001:db8::1]:443"),
		"[::ffff:192.0.2.1]:8080": netip.MustParseAddrPort("192.0.2.1:8080"),
		"/run/envoy.sock":         {},
		"":                        {},
	} {
		if got := parseAddress(in); got != want {
			t.Errorf("%q: %v, want %v", in, got, want)
		}
	}
}

func TestParseStatus(t *testing.T) {
	for in, want := range map[string]int{"200": 200, "599": 599, "": 0, "2x0": 0, "99999999999999999999": 0} {
		if got := parseStatus(in); got != want {
			t.Errorf("%q: %d, want %d", in, got, want)
		}
	}
}

// A panic is caught, and told.
func TestGuard(t *testing.T) {
	log := slog.New(slog.NewTextHandler(io.Discard, nil))
	if !guard(log, "here", func() { panic("x") }) || guard(log, "here", func() {}) {
		t.Error("guard does not tell what happened")
	}
}

// A body whose client left while it waited for its turn costs nothing.
func TestGone(t *testing.T) {
	for _, c := range []struct {
		mode           filters.Mode
		complete, gone bool
	}{{filters.ModeBlock, false, false}, {filters.ModeBlock, true, true}, {filters.ModeDetect, true, false}} {
		s := &stream{policy: filters.Policy{Mode: c.mode}, complete: c.complete}
		if s.gone() != c.gone {
			t.Errorf("mode %s, complete %v: gone is %v", c.mode, c.complete, s.gone())
		}
	}
}

// Hooks find a thread however many bodies are judged.
func TestMakeRoom(t *testing.T) {
	before := runtime.GOMAXPROCS(0)
	defer runtime.GOMAXPROCS(before)
	makeRoom()
	if runtime.GOMAXPROCS(0) <= before {
		t.Errorf("%d bodies at once on %d threads", before, runtime.GOMAXPROCS(0))
	}
}

// Equal content is loaded once and lives until its last user is gone.
func TestLoadSharesEqualContent(t *testing.T) {
	m := newModule(slog.New(slog.DiscardHandler), false)
	table := []byte(`{"listener":"a","bindings":{},"policies":{},"unknown":"open"}`)
	a, err := m.load(table)
	if err != nil {
		t.Fatal(err)
	}
	b, err := m.load(append([]byte(nil), table...))
	if err != nil || a != b {
		t.Fatalf("not shared: %v", err)
	}
	a.release()
	if len(m.live) != 1 {
		t.Error("freed while in use")
	}
	b.release()
	if len(m.live) != 0 {
		t.Error("not freed")
	}
	if _, err := m.load([]byte("{")); err == nil {
		t.Error("took garbage")
	}
}

// Detect never changes a response, whatever its failure mode says.
func TestFailsClosed(t *testing.T) {
	m := newModule(slog.New(slog.DiscardHandler), false)
	table := []byte(`{"listener":"a","unknown":"closed","bindings":{"b":{"policy":"1","route":"r"},"d":{"policy":"2","route":"r"},"o":{"policy":"3","route":"r"}},
		"policies":{"1":{"mode":"block","failureMode":"closed","requestBody":{"inspect":false,"limit":0,"beyond":"partial"},"responseBody":{"inspect":false,"limit":0,"beyond":"partial"},"block":{"status":403}},
		"2":{"mode":"detect","failureMode":"closed","requestBody":{"inspect":false,"limit":0,"beyond":"partial"},"responseBody":{"inspect":false,"limit":0,"beyond":"partial"},"block":{"status":403}},
		"3":{"mode":"block","failureMode":"open","requestBody":{"inspect":false,"limit":0,"beyond":"partial"},"responseBody":{"inspect":false,"limit":0,"beyond":"partial"},"block":{"status":403}}}}`)
	c, err := m.load(table)
	if err != nil {
		t.Fatal(err)
	}
	for key, want := range map[string]bool{"b": true, "d": false, "o": false, "nowhere": true, "": false} {
		s := &stream{config: c, key: key, policy: c.policy(key)}
		if got := s.failsClosed(); got != want {
			t.Errorf("%q: %v, want %v", key, got, want)
		}
	}
}

var _ chain.Spools = noSpools{}
