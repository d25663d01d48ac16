package bpf

import (
	"bytes"
	"encoding/binary"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// The committed object is what clang makes of the source today.
func TestObjectIsFresh(t *testing.T) {
	for _, tool := range []string{"clang-19", "llvm-strip-19"} {
		if _, err := exec.LookPath(tool); err == nil {
			continue
		}
		if os.Getenv("GABION_REQUIRE") != "" {
			t.Fatalf("%s is missing: run scripts/setup generate", tool)
		}
		t.Skipf("%s is missing: only who changes the programs needs it (scripts/setup generate)", tool)
	}
	source, err := os.ReadFile("bpf.go")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	made := 0
	for line := range strings.Lines(string(source)) {
		command, ok := strings.CutPrefix(line, "//go:generate go ")
		if !ok {
			continue
		}
		c := exec.Command("go", strings.Fields(strings.Replace(command, "-cc", "-output-dir "+dir+" -cc", 1))...)
		c.Env = append(os.Environ(), "GOPACKAGE=bpf", "GOFILE=bpf.go")
		if out, err := c.CombinedOutput(); err != nil {
			t.Fatalf("%s: %v: %s", c, err, out)
		}
		made++
	}
	if made != 2 {
		t.Fatalf("bpf.go says how %d objects are made, not 2", made)
	}
	for _, name := range []string{"http_bpfel.go", "http_bpfel.o", "tls_bpfel.go", "tls_bpfel.o"} {
		fresh, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		if committed, err := os.ReadFile(name); err != nil || !bytes.Equal(fresh, committed) {
			t.Errorf("%s is not what its source gives: run make generate (%v)", name, err)
		}
	}
}

// What the Go types say is in the maps is what the programs put there.
func TestTypesHaveTheProgramsSizes(t *testing.T) {
	spec, err := LoadHTTP()
	if err != nil {
		t.Fatal(err)
	}
	m := spec.Maps["streams"]
	if got := [2]int{binary.Size(Key{}), binary.Size(Stream{})}; got != [2]int{int(m.KeySize), int(m.ValueSize)} {
		t.Errorf("streams: keys and values have %v bytes, in the programs %d and %d", got, m.KeySize, m.ValueSize)
	}
	if n := binary.Size(Segment{}); n != SegmentSize {
		t.Errorf("a segment has %d bytes, not %d", n, SegmentSize)
	}
	if n := spec.Maps["counters"].MaxEntries; n != uint32(Counters) {
		t.Errorf("there are %d counters and %d names of them", n, Counters)
	}
	tls, err := LoadTLS()
	if err != nil {
		t.Fatal(err)
	}
	m = tls.Maps["conns"]
	if got := [2]int{binary.Size(ConnKey{}), binary.Size(Conn{})}; got != [2]int{int(m.KeySize), int(m.ValueSize)} {
		t.Errorf("conns: keys and values have %v bytes, in the programs %d and %d", got, m.KeySize, m.ValueSize)
	}
	if n := binary.Size(Plain{}); n != PlainSize {
		t.Errorf("a piece of plaintext has %d bytes, not %d", n, PlainSize)
	}
	if n := tls.Maps["counters"].MaxEntries; n != uint32(TLSCounters) {
		t.Errorf("there are %d counters of TLS and %d names of them", n, TLSCounters)
	}
}
