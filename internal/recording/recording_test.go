package recording

import (
	"bytes"
	"crypto/hpke"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/gabion-io/gabion/filters"
	"github.com/gabion-io/gabion/internal/spool"
)

var day = time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)

func sample(i int) *Exchange {
	return &Exchange{
		ID: fmt.Sprintf("X%05d", i), Time: day.Add(time.Duration(i) * time.Second), Recording: "default/all",
		Listener: "default/web/http", Key: fmt.Sprint("k", i%2), Route: "default/shop", RouteRule: "0", PolicyID: "abcd",
		Request: filters.RequestHead{Method: "POST", Scheme: "http", Authority: "h:80", Path: "/a?q=\xff\x00" + fmt.Sprint(i), Proto: "HTTP/1.1",
			Headers: []filters.Header{{Name: "x", Value: "raw \x80 bytes"}, {Name: "x", Value: ""}},
			Client:  netip.MustParseAddrPort("[2001:db8::1]:4711"), Server: netip.MustParseAddrPort("10.0.0.1:80"),
			RequestID: "r", Time: day},
		RequestBody: bytes.Repeat([]byte{byte(i)}, 300), RequestBodyBytes: 900, RequestBodyTruncated: true,
		Response:     filters.ResponseHead{Status: 200, Headers: []filters.Header{{Name: "content-type", Value: "text/plain"}}},
		ResponseBody: []byte("secret answer"), ResponseBodyBytes: 13,
		Decision: filters.Detect, Event: &filters.Event{ID: fmt.Sprintf("X%05d", i), Time: day, Score: 5},
	}
}

var sameAddr = cmpopts.EquateComparable(netip.AddrPort{})

func newKey(t *testing.T) hpke.PrivateKey {
	t.Helper()
	k, err := GenerateKey()
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func batchOf(t *testing.T, k hpke.PrivateKey, xs ...*Exchange) []byte {
	t.Helper()
	b, err := seal(xs, k.PublicKey())
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// The whole way: sealer, spool, archive, opener.
func TestThroughSpoolAndArchive(t *testing.T) {
	dir, k := t.TempDir(), newKey(t)
	w, err := spool.Open(filepath.Join(dir, "spool"), 8<<20)
	if err != nil {
		t.Fatal(err)
	}
	s, err := NewSealer(PublicKey(k), w, SealerOptions{})
	if err != nil {
		t.Fatal(err)
	}
	const n = 200
	for i := range n {
		if !s.Add(sample(n - 1 - i)) {
			t.Fatal("dropped")
		}
	}
	s.Close()
	w.Close()
	if s.Add(sample(0)) || s.Dropped() != 1 {
		t.Fatal("accepted after Close")
	}
	a := &Archive{Dir: filepath.Join(dir, "archive")}
	report, err := spool.Drain(filepath.Join(dir, "spool"), a.Append)
	if err != nil || report.Records == 0 || report.Records > 5 {
		t.Fatalf("%+v %v", report, err)
	}
	files, _ := filepath.Glob(filepath.Join(dir, "archive", "*"))
	for _, f := range files {
		if b, _ := os.ReadFile(f); bytes.Contains(b, []byte("secret")) || bytes.Contains(b, []byte("X000")) {
			t.Fatal("readable text in the archive")
		}
	}
	o := NewOpener(a.Dir, k)
	i := 0
	got, err := o.Each(Query{}, func(x *Exchange) error {
		if diff := cmp.Diff(sample(i), x, sameAddr); diff != "" {
			t.Fatalf("%d: %s", i, diff)
		}
		i++
		return nil
	})
	if err != nil || got.Exchanges != n || got.Garbage != 0 {
		t.Fatalf("%+v %v", got, err)
	}
	if c, err := o.Count(Query{}); err != nil || c != n {
		t.Fatal(c, err)
	}
	segs, err := a.Segments()
	if err != nil || len(segs) != 1 || segs[0].Exchanges != n || !segs[0].From.Equal(day) || !segs[0].To.Equal(sample(n-1).Time) {
		t.Fatalf("%+v %v", segs, err)
	}
}

func TestQuery(t *testing.T) {
	a, k := &Archive{Dir: t.TempDir()}, newKey(t)
	for i := 0; i < 60; i += 3 { // overlapping batches
		if err := a.Append(batchOf(t, k, sample(i+2), sample(i), sample((i+31)%60), sample(i+1))); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		q    Query
		want int
	}{
		{Query{}, 60}, {Query{Since: day.Add(10 * time.Second), Until: day.Add(20 * time.Second)}, 10},
		{Query{Keys: []string{"k1"}}, 30}, {Query{IDs: []string{"X00007", "none"}}, 1}, {Query{Since: day.Add(time.Hour)}, 0},
	} {
		last := time.Time{}
		got, err := NewOpener(a.Dir, k).Each(c.q, func(x *Exchange) error {
			if x.Time.Before(last) {
				t.Errorf("out of order at %s", x.ID)
			}
			last = x.Time
			return nil
		})
		if err != nil || got.Exchanges != c.want {
			t.Errorf("%+v: %+v %v", c.q, got, err)
		}
	}
	stop := errors.New("enough")
	if _, err := NewOpener(a.Dir, k).Each(Query{}, func(*Exchange) error { return stop }); !errors.Is(err, stop) {
		t.Fatal(err)
	}
	if got, err := NewOpener(filepath.Join(a.Dir, "none"), k).Each(Query{}, nil); err != nil || got.Segments != 0 {
		t.Fatal(got, err)
	}
}

func TestDamagedArchive(t *testing.T) {
	a, k, other := &Archive{Dir: t.TempDir()}, newKey(t), newKey(t)
	for i := range 10 {
		key := k
		if i == 9 {
			key = other
		}
		if err := a.Append(batchOf(t, key, sample(i))); err != nil {
			t.Fatal(err)
		}
	}
	segs, _ := a.Segments()
	path := filepath.Join(a.Dir, segs[0].Name)
	b, _ := os.ReadFile(path)
	step := len(b) / 10
	b[3*step+20] ^= 1                             // a flipped bit in the fourth
	copy(b[6*step:], bytes.Repeat([]byte{0}, 40)) // a hole at the seventh
	os.WriteFile(path, b[:len(b)-7], 0o600)       // and a torn tail: the tenth
	os.WriteFile(filepath.Join(a.Dir, "99999999999999999999.rec"), []byte("garbage"), 0o600)
	os.WriteFile(filepath.Join(a.Dir, "readme.txt"), []byte("not ours"), 0o600)
	var ids []string
	got, err := NewOpener(a.Dir, k).Each(Query{}, func(x *Exchange) error { ids = append(ids, x.ID); return nil })
	if err != nil {
		t.Fatal(err)
	}
	if want := "X00000 X00001 X00002 X00004 X00005 X00007 X00008"; strings.Join(ids, " ") != want {
		t.Fatal(ids)
	}
	if got.Garbage != 4 || len(got.Problems) != 4 {
		t.Fatalf("%+v", got)
	}
}

func TestForeignKeyAndForgedHead(t *testing.T) {
	k, other := newKey(t), newKey(t)
	b := batchOf(t, k, sample(1))
	if _, err := unseal(b, other); err == nil {
		t.Fatal("opened with another key")
	}
	b[8] ^= 1 // From
	if _, err := unseal(b, k); err == nil {
		t.Fatal("a forged head went unnoticed")
	}
	a := &Archive{Dir: t.TempDir()}
	if err := a.Append([]byte("noise")); err == nil {
		t.Fatal("the archive took noise")
	}
}

func TestArchiveBound(t *testing.T) {
	a, k := &Archive{Dir: t.TempDir(), MaxBytes: 40_000}, newKey(t)
	size := func() (n int64) {
		files, _ := listSegments(a.Dir)
		for _, f := range files {
			n += f.Bytes
		}
		return n
	}
	for i := range 200 {
		if err := a.Append(batchOf(t, k, sample(i))); err != nil {
			t.Fatal(err)
		}
		if n := size(); n > 40_000 {
			t.Fatalf("%d bytes", n)
		}
	}
	if n := size(); n < 30_000 {
		t.Fatalf("only %d of 40,000 bytes used", n)
	}
	first := ""
	NewOpener(a.Dir, k).Each(Query{}, func(x *Exchange) error {
		if first == "" {
			first = x.ID
		}
		return nil
	})
	if first < "X00080" {
		t.Fatalf("oldest is %s: not the oldest went first", first)
	}
	for range 2 { // the second time from memory
		u, err := a.Usage()
		if err != nil || u.Bytes != size() || u.MaxBytes != 40_000 || u.Exchanges+u.Pruned != 200 || !u.Oldest.Equal(day.Add(time.Duration(u.Pruned)*time.Second)) {
			t.Fatalf("%+v %v", u, err)
		}
	}
	if err := a.Prune(time.Now().Add(8 * 24 * time.Hour)); err != nil || size() != 0 {
		t.Fatal(size(), err)
	}
	if u, err := a.Usage(); err != nil || u.Exchanges != 0 || u.Pruned != 200 || !u.Oldest.IsZero() {
		t.Fatalf("%+v %v", u, err)
	}
	if err := a.Append(batchOf(t, k, sample(1))); err != nil {
		t.Fatal(err)
	}
}

// What an archive does not take on a full disk, a spool gives again.
func TestArchiveOnAFullDisk(t *testing.T) {
	isFull := true
	a, b := &Archive{Dir: t.TempDir(), Full: func() bool { return isFull }}, batchOf(t, newKey(t), sample(1))
	if err := a.Append(b); !errors.Is(err, ErrFull) {
		t.Fatal(err)
	}
	isFull = false
	if err := a.Append(b); err != nil {
		t.Fatal(err)
	}
	if u, _ := a.Usage(); u.Exchanges != 1 {
		t.Fatalf("%+v", u)
	}
}

// A spool delivers at least once, also over a restart; the archive holds once.
func TestArchiveIgnoresRepeats(t *testing.T) {
	dir, k := t.TempDir(), newKey(t)
	b := batchOf(t, k, sample(1))
	for range 3 {
		a := &Archive{Dir: dir}
		for range 2 {
			if err := a.Append(b); err != nil {
				t.Fatal(err)
			}
		}
	}
	if c, _ := NewOpener(dir, k).Count(Query{}); c != 1 {
		t.Fatal(c)
	}
}

type full struct{ after int }

func (f *full) Append([]byte) bool { f.after--; return f.after >= 0 }

func TestSealerCountsWhatItLoses(t *testing.T) {
	s, err := NewSealer(PublicKey(newKey(t)), &full{after: 1}, SealerOptions{BatchExchanges: 10, QueueExchanges: 30, BatchAge: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	kept := 0
	for i := range 25 {
		if s.Add(sample(i)) {
			kept++
		}
	}
	s.Close()
	if int(s.Dropped()) != 15 && int(s.Dropped()) != 25-10 {
		t.Fatalf("kept %d, dropped %d", kept, s.Dropped())
	}
	if _, err := NewSealer([]byte("short"), &full{}, SealerOptions{}); err == nil {
		t.Fatal("accepted a bad key")
	}
}

type panicking struct{}

func (panicking) Append([]byte) bool { panic("deliberate") }

func TestPanicInSealerIsContained(t *testing.T) {
	s, _ := NewSealer(PublicKey(newKey(t)), panicking{}, SealerOptions{BatchAge: time.Millisecond})
	s.Add(sample(1))
	<-s.gone
	if s.Add(sample(2)) {
		t.Fatal("accepted by a dead sealer")
	}
	s.Close()
	if s.Dropped() != 2 {
		t.Fatal(s.Dropped())
	}
}

func TestKeyFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keys", "recording.key")
	k, err := LoadOrCreateKey(path)
	if err != nil {
		t.Fatal(err)
	}
	if info, _ := os.Stat(path); info.Mode().Perm() != 0o600 {
		t.Fatal(info.Mode())
	}
	again, err := LoadOrCreateKey(path)
	if err != nil || !bytes.Equal(PublicKey(k), PublicKey(again)) {
		t.Fatal("the key changed", err)
	}
	os.Chmod(path, 0o644)
	if _, err := LoadOrCreateKey(path); err == nil || !strings.Contains(err.Error(), "chmod 600") {
		t.Fatal(err)
	}
	os.Chmod(path, 0o600)
	os.WriteFile(path, []byte("nonsense"), 0o600)
	if _, err := LoadOrCreateKey(path); err == nil || !strings.Contains(err.Error(), "no recording key") {
		t.Fatal(err)
	}
	if b, _ := os.ReadFile(path); string(b) != "nonsense" {
		t.Fatal("replaced")
	}
}

func FuzzDecode(f *testing.F) {
	b, _ := encode(nil, sample(1))
	f.Add(b)
	f.Add(b[:40])
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		x, rest, err := decode(b)
		if err != nil {
			return
		}
		if len(rest) >= len(b) {
			t.Fatal("nothing was taken")
		}
		again, err := encode(nil, x)
		if err != nil {
			t.Fatal(err)
		}
		y, _, err := decode(again)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(x, y, sameAddr); diff != "" {
			t.Fatal(diff)
		}
	})
}

func FuzzReadSegment(f *testing.F) {
	k, _ := GenerateKey()
	b, _ := seal([]*Exchange{sample(1)}, k.PublicKey())
	a := &Archive{Dir: f.TempDir()}
	a.Append(b)
	files, _ := listSegments(a.Dir)
	seg, _ := os.ReadFile(filepath.Join(a.Dir, files[0].Name))
	f.Add(seg)
	f.Add(seg[:30])
	f.Fuzz(func(t *testing.T, b []byte) {
		dir := t.TempDir()
		os.WriteFile(filepath.Join(dir, "1.rec"), b, 0o600)
		if _, err := NewOpener(dir, k).Each(Query{}, func(*Exchange) error { return nil }); err != nil {
			t.Fatal(err)
		}
	})
}
