package spool

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// TestMain turns the test binary into a writer that is to be killed.
func TestMain(m *testing.M) {
	if dir := os.Getenv("SPOOL_TEST_WRITER"); dir != "" {
		writeUntilKilled(dir)
	}
	os.Exit(m.Run())
}

// writeUntilKilled prints every number that is surely flushed.
func writeUntilKilled(dir string) {
	w, err := OpenWith(dir, Options{SegmentBytes: 2000, FlushEvery: time.Millisecond})
	if err != nil {
		panic(err)
	}
	for i := 0; ; i++ {
		w.Append([]byte(strconv.Itoa(i)))
		if i%10 == 9 {
			w.Flush()
			fmt.Println(i)
		}
	}
}

// Everything flushed before a kill -9 is delivered, exactly once, and what was
// appended but did not reach the file is counted to the last one.
func TestKilledWriterLosesNothingFlushed(t *testing.T) {
	dir := t.TempDir()
	for round := range 8 {
		flushed, got, lost := killOne(t, dir, time.Duration(20+round*13)*time.Millisecond)
		if len(got) <= flushed {
			t.Fatalf("flushed %d, delivered %d", flushed, len(got))
		}
		if !slices.IsSorted(got) || len(slices.Compact(slices.Clone(got))) != len(got) {
			t.Fatal("out of order or twice")
		}
		if lost > 10 {
			t.Fatalf("lost %d of at most 10 unflushed", lost)
		}
		if uint64(got[len(got)-1]+1) != uint64(len(got)) {
			t.Fatal("a record in the middle is missing")
		}
	}
	if left, _ := os.ReadDir(dir); len(left) != 0 {
		t.Fatalf("left behind: %v", left)
	}
}

func killOne(t *testing.T, dir string, after time.Duration) (flushed int, got []int, lost uint64) {
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "SPOOL_TEST_WRITER="+dir)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	for n := 0; lines.Scan(); n++ {
		flushed, _ = strconv.Atoi(strings.TrimSpace(lines.Text()))
		if n == 0 {
			time.AfterFunc(after, func() { cmd.Process.Kill() })
		}
		if n%5 == 0 { // drain beside the living writer too
			lost += drainNumbers(t, dir, &got)
		}
	}
	cmd.Wait()
	lost += drainNumbers(t, dir, &got)
	return flushed, got, lost
}

func drainNumbers(t *testing.T, dir string, got *[]int) uint64 {
	r, err := Drain(dir, func(rec []byte) error {
		n, err := strconv.Atoi(string(rec))
		*got = append(*got, n)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return r.Dropped
}
