//go:build cgo

package main

import (
	"bytes"
	"io"
	"log/slog"
	"net/netip"
	"runtime"
	"testing"
	"unsafe"

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
		key            string
		complete, gone bool
	}{{"b", false, false}, {"b", true, true}, {"d", true, false}} {
		s := &stream{config: modes(t), key: c.key, complete: c.complete}
		if s.gone() != c.gone {
			t.Errorf("key %s, complete %v: gone is %v", c.key, c.complete, s.gone())
		}
	}
}

// What is kept of attributes is not Envoy's memory, which is gone when the hook is.
func TestAttributesAreNotKept(t *testing.T) {
	for _, text := range []string{"HTTP/1.1", "HTTP/2", "HTTP/3"} {
		lent := []byte(text)
		kept := parseProtocol(unsafe.String(&lent[0], len(lent)))
		clear(lent)
		if kept != text {
			t.Errorf("%q became %q", text, kept)
		}
	}
	for _, text := range []string{"192.0.2.7:80", "[2001:db8::1]:80", "[fe80::1%eth7]:80"} {
		lent := []byte(text)
		kept := parseAddress(unsafe.String(&lent[0], len(lent)))
		clear(lent)
		if kept.String() != text {
			t.Errorf("%s became %s", text, kept)
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

// modes is a configuration with a policy of each kind that matters when nothing can
// be judged.
func modes(t *testing.T) *config {
	t.Helper()
	table := []byte(`{"listener":"a","unknown":"closed","bindings":{"b":{"policy":"1","route":"r"},"d":{"policy":"2","route":"r"},"o":{"policy":"3","route":"r"}},
		"policies":{"1":{"mode":"block","failureMode":"closed","requestBody":{"inspect":false,"limit":0,"beyond":"partial"},"responseBody":{"inspect":false,"limit":0,"beyond":"partial"},"block":{"status":403}},
		"2":{"mode":"detect","failureMode":"closed","requestBody":{"inspect":false,"limit":0,"beyond":"partial"},"responseBody":{"inspect":false,"limit":0,"beyond":"partial"},"block":{"status":403}},
		"3":{"mode":"block","failureMode":"open","requestBody":{"inspect":false,"limit":0,"beyond":"partial"},"responseBody":{"inspect":false,"limit":0,"beyond":"partial"},"block":{"status":403}}}}`)
	c, err := newModule(slog.New(slog.DiscardHandler), false).load(table)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// Detect never changes a response, whatever its failure mode says.
func TestFailsClosed(t *testing.T) {
	c := modes(t)
	for key, want := range map[string]bool{"b": true, "d": false, "o": false, "nowhere": true, "": false} {
		s := &stream{config: c, key: key}
		if got := s.failsClosed(); got != want {
			t.Errorf("%q: %v, want %v", key, got, want)
		}
	}
}

var _ chain.Spools = noSpools{}
