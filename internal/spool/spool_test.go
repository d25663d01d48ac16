package spool

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func drainAll(t *testing.T, dir string) ([]string, Report) {
	t.Helper()
	var got []string
	r, err := Drain(dir, func(rec []byte) error { got = append(got, string(rec)); return nil })
	if err != nil {
		t.Fatal(err)
	}
	return got, r
}

func numbered(n int) (want []string) {
	for i := range n {
		want = append(want, fmt.Sprintf("record %d", i))
	}
	return want
}

func openTest(t *testing.T, dir string, o Options) *Writer {
	t.Helper()
	w, err := OpenWith(dir, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.Close() })
	return w
}

func TestRoundTripWhileActiveAndAfter(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a", "spool")
	if got, r := drainAll(t, dir); got != nil || r != (Report{}) {
		t.Fatalf("missing directory: %v %+v", got, r)
	}
	w := openTest(t, dir, Options{SegmentBytes: 100})
	want := numbered(50)
	for _, s := range want[:25] {
		w.Append([]byte(s))
	}
	w.Flush()
	got, r := drainAll(t, dir)
	if diff := cmp.Diff(want[:25], got); diff != "" {
		t.Fatal(diff)
	}
	if again, _ := drainAll(t, dir); again != nil {
		t.Fatalf("delivered twice: %v", again)
	}
	for _, s := range want[25:] {
		w.Append([]byte(s))
	}
	w.Close()
	got, r = drainAll(t, dir)
	if diff := cmp.Diff(want[25:], got); diff != "" {
		t.Fatal(diff)
	}
	if r.Dropped != 0 || r.Torn != 0 {
		t.Fatalf("%+v", r)
	}
	if left, _ := os.ReadDir(dir); len(left) != 0 {
		t.Fatalf("left behind: %v", left)
	}
}

func TestCallbackErrorDeliversAgain(t *testing.T) {
	dir := t.TempDir()
	w := openTest(t, dir, Options{})
	for _, s := range numbered(5) {
		w.Append([]byte(s))
	}
	w.Flush()
	n, boom := 0, errors.New("boom")
	_, err := Drain(dir, func([]byte) error {
		if n++; n == 3 {
			return boom
		}
		return nil
	})
	if !errors.Is(err, boom) {
		t.Fatal(err)
	}
	got, _ := drainAll(t, dir)
	if diff := cmp.Diff(numbered(5)[2:], got); diff != "" {
		t.Fatal(diff)
	}
}

func TestQueueFullIsCounted(t *testing.T) {
	dir := t.TempDir()
	w := openTest(t, dir, Options{QueueRecords: 10, FlushEvery: time.Hour})
	ok := 0
	for range 25 {
		if w.Append([]byte("x")) {
			ok++
		}
	}
	if ok != 10 || w.Dropped() != 15 {
		t.Fatalf("kept %d, dropped %d", ok, w.Dropped())
	}
	if _, r := drainAll(t, dir); r.Dropped != 15 {
		t.Fatalf("told while alive: %+v", r)
	}
	if _, r := drainAll(t, dir); r.Dropped != 0 {
		t.Fatalf("told twice: %+v", r)
	}
	w.Close()
	if got, r := drainAll(t, dir); len(got) != 10 || r.Dropped != 0 {
		t.Fatalf("%d records, %+v", len(got), r)
	}
}

func TestDirectoryBound(t *testing.T) {
	dir := t.TempDir()
	w := openTest(t, dir, Options{MaxBytes: 64 << 10, SegmentBytes: 8 << 10})
	rec := bytes.Repeat([]byte("r"), 1000)
	for range 200 {
		w.Append(rec)
		w.Flush()
	}
	if n := dirBytes(dir); n > 64<<10 {
		t.Fatalf("directory holds %d bytes", n)
	}
	lost := w.Dropped()
	if lost == 0 {
		t.Fatal("nothing dropped")
	}
	got, r := drainAll(t, dir)
	if uint64(len(got))+lost != 200 || r.Dropped != lost {
		t.Fatalf("%d delivered, %d lost, %+v", len(got), lost, r)
	}
	// Draining made room, although the writer never restarted.
	if w.Append(rec); w.Dropped() != lost {
		t.Fatal("still full")
	}
	w.Flush()
	if got, _ := drainAll(t, dir); len(got) != 1 {
		t.Fatalf("%d records after making room", len(got))
	}
}

func TestBadRecords(t *testing.T) {
	w := openTest(t, t.TempDir(), Options{})
	if w.Append(nil) || w.Append(make([]byte, MaxRecord+1)) {
		t.Fatal("accepted")
	}
	w.Close()
	if w.Append([]byte("late")) {
		t.Fatal("accepted after Close")
	}
	if w.Dropped() != 3 {
		t.Fatal(w.Dropped())
	}
}

func TestIdleSegmentIsClosedAndRemoved(t *testing.T) {
	dir := t.TempDir()
	w := openTest(t, dir, Options{SegmentAge: 20 * time.Millisecond})
	w.Append([]byte("one"))
	w.Flush()
	deadline := time.Now().Add(10 * time.Second)
	for {
		drainAll(t, dir)
		if segs, _ := filepath.Glob(filepath.Join(dir, "*.seg")); len(segs) == 0 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal("segment of an idle writer stays")
		}
		time.Sleep(10 * time.Millisecond)
	}
}

func TestSecondDrainIsBusy(t *testing.T) {
	dir := t.TempDir()
	w := openTest(t, dir, Options{})
	w.Append([]byte("x"))
	w.Flush()
	_, err := Drain(dir, func([]byte) error {
		_, err := Drain(dir, nil)
		return err
	})
	if !errors.Is(err, ErrBusy) {
		t.Fatal(err)
	}
}

func TestTornAndGarbage(t *testing.T) {
	dir := t.TempDir()
	w := openTest(t, dir, Options{})
	for _, s := range numbered(4) {
		w.Append([]byte(s))
	}
	w.Close()
	segs, _ := filepath.Glob(filepath.Join(dir, "*.seg"))
	b, _ := os.ReadFile(segs[0])
	os.WriteFile(segs[0], b[:len(b)-3], 0o600)
	os.WriteFile(filepath.Join(dir, "holiday.jpg"), []byte("not ours"), 0o600)
	// A writer whose state file is gone: a torn segment and one of noise.
	os.WriteFile(filepath.Join(dir, "0000000000000001-7-cafecafe.00000001.seg"), appendRecord(nil, []byte("orphan")), 0o600)
	os.WriteFile(filepath.Join(dir, "0000000000000001-7-cafecafe.00000002.seg"), bytes.Repeat([]byte("noise"), 99), 0o600)
	// And one whose state file is noise.
	os.WriteFile(filepath.Join(dir, "0000000000000002-8-cafecafe.state"), []byte("noise"), 0o600)

	got, r := drainAll(t, dir)
	if diff := cmp.Diff(append([]string{"orphan"}, numbered(3)...), got); diff != "" {
		t.Fatal(diff)
	}
	if want := (Report{Records: 4, Bytes: 30, Dropped: 1, Torn: 2, Garbage: 2}); r != want {
		t.Fatalf("%+v, want %+v", r, want)
	}
	if _, err := os.Stat(filepath.Join(dir, "holiday.jpg")); err != nil {
		t.Fatal("removed what is not ours")
	}
}

// failing takes a budget of bytes and then refuses, writing what still fits: a
// disk that runs full in the middle of a write.
type failing struct {
	f      *os.File
	budget *int
}

func (x failing) Write(b []byte) (int, error) {
	n := min(len(b), *x.budget)
	*x.budget -= n
	n, _ = x.f.Write(b[:n])
	if n < len(b) {
		return n, syscall.ENOSPC
	}
	return n, nil
}
func (x failing) Truncate(size int64) error { return x.f.Truncate(size) }
func (x failing) Close() error              { return x.f.Close() }

func TestDiskFullKeepsWholeRecords(t *testing.T) {
	dir, budget := t.TempDir(), 250
	w, err := open(dir, Options{FlushEvery: time.Hour}, func(path string) (segmentFile, error) {
		if budget == 0 {
			return nil, syscall.ENOSPC
		}
		f, err := os.Create(path)
		return failing{f, &budget}, err
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range numbered(100) {
		w.Append([]byte(s))
	}
	w.Flush()
	w.Append([]byte("still full"))
	w.Close()
	got, r := drainAll(t, dir)
	if diff := cmp.Diff(numbered(15)[:len(got)], got); diff != "" || len(got) < 13 {
		t.Fatal(len(got), diff)
	}
	if r.Torn != 0 || int(r.Dropped)+len(got) != 101 || w.Dropped() != r.Dropped {
		t.Fatalf("%d delivered, %+v", len(got), r)
	}
}

func TestRealFullDisk(t *testing.T) {
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=256k"); err != nil {
		t.Skipf("needs a small tmpfs (root): %v", err)
	}
	t.Cleanup(func() { syscall.Unmount(dir, 0) })
	w, err := OpenWith(dir, Options{MaxBytes: 64 << 20, SegmentBytes: 32 << 10})
	if err != nil {
		t.Fatal(err)
	}
	rec := bytes.Repeat([]byte("r"), 700)
	for range 1000 {
		w.Append(rec)
		if w.o.QueueRecords/2 < 1000 {
			w.Flush()
		}
	}
	w.Close()
	got, r := drainAll(t, dir)
	if len(got) < 200 || len(got)+int(r.Dropped) != 1000 || r.Torn != 0 {
		t.Fatalf("%d delivered, %+v", len(got), r)
	}
}

// A state file cut short under a living writer must not fault its process.
func TestTruncatedStateDoesNotKill(t *testing.T) {
	dir := t.TempDir()
	w := openTest(t, dir, Options{})
	states, _ := filepath.Glob(filepath.Join(dir, "*.state"))
	if err := os.Truncate(states[0], 0); err != nil {
		t.Fatal(err)
	}
	for range 10 {
		w.Append([]byte("x"))
	}
	w.Close()
	if !w.state.broken {
		t.Fatal("the fault went unnoticed")
	}
}

func TestPanicInTheWriterIsContained(t *testing.T) {
	dir := t.TempDir()
	w, err := open(dir, Options{}, func(string) (segmentFile, error) { panic("deliberate") })
	if err != nil {
		t.Fatal(err)
	}
	w.Append([]byte("x"))
	<-w.gone
	if w.Append([]byte("y")) {
		t.Fatal("accepted by a dead writer")
	}
	w.Close()
	if _, r := drainAll(t, dir); r.Dropped != 1 {
		t.Fatalf("%+v", r)
	}
}

func TestLossIsToldAgainUntilTaken(t *testing.T) {
	dir := t.TempDir()
	w := openTest(t, dir, Options{QueueRecords: 1, FlushEvery: time.Hour})
	w.Append([]byte("a"))
	w.Append([]byte("b"))
	w.Close()
	var told []uint64
	d := Drainer{Records: func([][]byte) error { return nil }}
	d.Loss = func(l Loss) error { told = append(told, l.Total); return errors.New("not now") }
	if _, err := d.Drain(dir); err == nil {
		t.Fatal("error swallowed")
	}
	d.Loss = func(l Loss) error { told = append(told, l.Total); return nil }
	for range 2 {
		if _, err := d.Drain(dir); err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff([]uint64{1, 1}, told); diff != "" {
		t.Fatal(diff)
	}
}

func FuzzReadRecord(f *testing.F) {
	f.Add([]byte{})
	f.Add(appendRecord(nil, []byte("one")))
	f.Add(appendRecord(appendRecord(nil, []byte("one")), []byte("two"))[:20])
	f.Add(make([]byte, 64))
	f.Fuzz(func(t *testing.T, b []byte) {
		r := bufio.NewReader(bytes.NewReader(b))
		var again []byte
		for {
			rec, err := readRecord(r)
			if err != nil {
				break
			}
			again = appendRecord(again, rec)
		}
		if !bytes.HasPrefix(b, again) {
			t.Fatal("read records that were not there")
		}
	})
}

func FuzzDrain(f *testing.F) {
	f.Add([]byte(stateMagic), appendRecord(nil, []byte("one")))
	f.Add(append([]byte(stateMagic), make([]byte, stateSize-8)...), []byte("junk"))
	f.Fuzz(func(t *testing.T, state, seg []byte) {
		dir := t.TempDir()
		id := "0000000000000001-7-cafecafe"
		os.WriteFile(filepath.Join(dir, id+".state"), state, 0o600)
		os.WriteFile(filepath.Join(dir, segmentName(id, 1)), seg, 0o600)
		Drain(dir, func([]byte) error { return nil })
		for _, e := range must(os.ReadDir(dir)) {
			if strings.HasSuffix(e.Name(), ".seg") {
				t.Fatalf("segment of a dead writer stays: %s", e.Name())
			}
		}
	})
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// A record of a hundred that is lost is a hundred lost, whoever finds out: the
// queue, the directory's bound, or the reader after a kill.
func TestLossesHaveWeight(t *testing.T) {
	weight := func(rec []byte) int { return int(rec[0]) }
	dir := t.TempDir()
	w := openTest(t, dir, Options{QueueRecords: 1, FlushEvery: time.Hour, Weight: weight})
	if !w.Append([]byte{3}) || w.Append([]byte{100}) {
		t.Fatal("the queue holds one")
	}
	w.Lose(20)
	if w.Dropped() != 120 {
		t.Fatalf("dropped %d", w.Dropped())
	}
	w.Close()
	var got [][]byte
	d := Drainer{Weight: weight, Records: func(recs [][]byte) error { got = append(got, recs...); return nil }}
	r, err := d.Drain(dir)
	if err != nil || len(got) != 1 || r.Dropped != 120 || r.Records != 1 {
		t.Fatalf("%d records, %+v, %v", len(got), r, err)
	}
}
