package lookup

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

var start = time.Date(2026, 11, 1, 8, 0, 0, 0, time.UTC)

func never(netip.Addr) bool { return false }

func answer(name string, ttl time.Duration, addresses ...netip.Addr) Answer {
	return Answer{Name: name, Addresses: addresses, TTL: ttl}
}

func TestTimesOfAddresses(t *testing.T) {
	b := NewBook(Limits{Grace: time.Minute, MaxTTL: time.Hour})
	changed, keep := b.Learn(web, answer("api.example.com", 30*time.Second, first, second), start, start, nil)
	if d := cmp.Diff([]string{first.String(), second.String()}, texts(changed)); d != "" || len(keep.Addresses) != 2 {
		t.Error(d, keep)
	}
	// Told again, one lives longer; the disk is not written for a little more.
	changed, keep = b.Learn(cart, answer("api.example.com", 40*time.Second, first), start, start, nil)
	if len(changed) != 0 || len(keep.Addresses) != 0 {
		t.Errorf("changed %v, to keep %v", changed, keep)
	}
	if gone := b.Expire(start.Add(90*time.Second), never); len(gone) != 0 {
		t.Errorf("within its grace %v is gone", gone)
	}
	if now := start.Add(95 * time.Second); !b.Due(now) {
		t.Error("nothing is due")
	} else if gone := b.Expire(now, never); cmp.Diff([]string{second.String()}, texts(gone)) != "" {
		t.Errorf("gone are %v", gone)
	}
	// One that a flow uses stays, until it does no more.
	now := start.Add(200 * time.Second)
	if gone := b.Expire(now, func(a netip.Addr) bool { return a == first }); len(gone) != 0 {
		t.Errorf("an address in use is gone: %v", gone)
	}
	if gone := b.Expire(now.Add(time.Minute), never); len(gone) != 0 {
		t.Errorf("within its grace %v is gone", gone)
	}
	if gone := b.Expire(now.Add(2*time.Minute), never); len(gone) != 1 || len(b.Names()) != 0 || len(b.byAddr) != 0 || len(b.byID) != 0 {
		t.Errorf("gone are %v, left is %v", gone, b.Names())
	}
	if b.Told(web, first) != "api.example.com" {
		t.Error("the flow's name is forgotten")
	}
	if changed, _ := b.Learn(web, answer("api.example.com", time.Minute, second), start, start.Add(2*time.Minute), nil); len(changed) != 0 {
		t.Error("an answer that was read too late counts")
	}
	// A TTL of a week is an hour here.
	b.Learn(web, answer("api.example.com", 7*24*time.Hour, first), start, start, nil)
	if gone := b.Expire(start.Add(62*time.Minute), never); len(gone) != 1 {
		t.Error("a long TTL is not bounded")
	}
}

func TestBookIsBounded(t *testing.T) {
	b := NewBook(Limits{Names: 10, Addresses: 4, Told: 5})
	at := func(n int) netip.Addr { return netip.AddrFrom4([4]byte{198, 51, 100, byte(n)}) }
	for n := range 6 {
		b.Learn(web, answer("api.example.com", time.Duration(n)*time.Second, at(n)), start, start, nil)
	}
	if got := texts(b.Names()["api.example.com"]); cmp.Diff([]string{at(2).String(), at(3).String(), at(4).String(), at(5).String()}, got) != "" || b.Overflowing() != 2 {
		t.Errorf("left are %v, %d overflowed", got, b.Overflowing())
	}
	precious := func(name string) bool { return name == "api.example.com" || name == "late.example.com" }
	for n := range 20 {
		b.Learn(web, answer(fmt.Sprintf("n%d.example.org", n), time.Second, at(100+n)), start, start, precious)
	}
	if len(b.Names()) != 10 || b.Overflowing() != 2+11 {
		t.Errorf("there are %d names, %d overflowed", len(b.Names()), b.Overflowing())
	}
	changed, _ := b.Learn(web, answer("late.example.com", time.Second, at(200)), start, start, precious)
	if len(b.Names()) != 10 || b.Names()["late.example.com"] == nil || b.Names()["api.example.com"] == nil || len(changed) != 2 {
		t.Errorf("a name that a rule means got no place: %v; changed %v", b.Names(), changed)
	}
	// Another workload has its own budget.
	b.Learn(cart, answer("cart.example.org", time.Second, first), start, start, precious)
	if b.Names()["cart.example.org"] == nil || len(b.told[web]) != 5 {
		t.Errorf("%v; web is told %d names", b.Names(), len(b.told[web]))
	}
}

func TestJournal(t *testing.T) {
	file := filepath.Join(t.TempDir(), "names.jsonl")
	b := NewBook(Limits{})
	j, err := OpenJournal(file, b, start)
	if err != nil {
		t.Fatal(err)
	}
	_, keep := b.Learn(web, answer("api.example.com", time.Minute, first, sixth), start, start, nil)
	if err := j.Write(keep); err != nil {
		t.Fatal(err)
	}
	// Killed while it wrote another.
	f, err := os.OpenFile(file, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	f.WriteString(`{"workload":"shop/web","na`)
	f.Close()
	for _, c := range []struct {
		after time.Duration
		want  int
	}{{time.Minute, 2}, {119 * time.Second, 2}, {2 * time.Minute, 0}} {
		// The first to open it compacts it: a copy is read.
		copied := filepath.Join(t.TempDir(), "names.jsonl")
		text, _ := os.ReadFile(file)
		if err := os.WriteFile(copied, text, 0o600); err != nil {
			t.Fatal(err)
		}
		back := NewBook(Limits{})
		again, err := OpenJournal(copied, back, start.Add(c.after))
		if err != nil {
			t.Fatal(err)
		}
		again.Close()
		if got := back.Names()["api.example.com"]; len(got) != c.want {
			t.Errorf("after %v there are %v", c.after, got)
		}
		if c.want > 0 && back.Told(web, first) != "api.example.com" {
			t.Error("what web was told is forgotten")
		}
	}
	for n := range 5000 {
		_, keep := b.Learn(web, answer("api.example.com", time.Minute, first), start.Add(time.Duration(n)*time.Minute), start, nil)
		if err := j.Write(keep); err != nil {
			t.Fatal(err)
		}
	}
	if !j.Long(b) {
		t.Error("it never becomes long")
	}
	if err := j.Compact(b); err != nil || j.Long(b) {
		t.Error("it stays long", err)
	}
	if text, _ := os.ReadFile(file); len(parseJournal(text)) != 2 {
		t.Errorf("it holds %s", text)
	}
	if err := j.Close(); err != nil {
		t.Error(err)
	}
}

// FuzzParseJournal holds that a damaged file gives no nonsense.
func FuzzParseJournal(f *testing.F) {
	f.Add([]byte(`{"workload":"shop/web","name":"api.example.com","addresses":["198.51.100.1"],"until":"2026-11-01T08:00:00Z"}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		b := NewBook(Limits{})
		for _, p := range parseJournal(text) {
			b.Restore(p, start)
		}
		for name, list := range b.Names() {
			for _, a := range list {
				if name == "" || !believable(a) {
					t.Fatalf("%q has %v", name, a)
				}
			}
		}
	})
}
