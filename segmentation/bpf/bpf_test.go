package bpf

import (
	"bytes"
	"encoding/binary"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/cilium/ebpf"
)

// The committed objects are what clang makes of the source today.
func TestObjectsAreFresh(t *testing.T) {
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
	n := 0
	for line := range strings.Lines(string(source)) {
		command, ok := strings.CutPrefix(strings.TrimSpace(line), "//go:generate go ")
		if !ok {
			continue
		}
		n++
		args := strings.Fields(strings.Replace(command, "-cc", "-output-dir "+dir+" -cc", 1))
		c := exec.Command("go", args...)
		c.Env = append(os.Environ(), "GOPACKAGE=bpf", "GOFILE=bpf.go")
		if out, err := c.CombinedOutput(); err != nil {
			t.Fatalf("%s: %v: %s", c, err, out)
		}
	}
	made, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil || len(made) != 2*n {
		t.Fatalf("made %v (%v)", made, err)
	}
	for _, file := range made {
		fresh, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		committed, err := os.ReadFile(filepath.Base(file))
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(fresh, committed) {
			t.Errorf("%s is not what its source gives: run make generate", filepath.Base(file))
		}
	}
}

// What the Go types say is in the maps is what the programs put there.
func TestTypesHaveTheProgramsSizes(t *testing.T) {
	spec, err := LoadDatapath()
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string][2]any{
		"control": {uint32(0), Control{}}, "endpoints": {uint32(0), Endpoint{}}, "addresses": {Address{}, Peer{}},
		"prefixes": {Prefix{}, Peer{}}, "rules": {RuleKey{}, Rule{}}, "flows": {TallyKey{}, Tally{}}, "drops": {TallyKey{}, Tally{}},
		"half_open": {uint32(0), HalfOpenSet{}}, "established": {FlowKey{}, Flow{}}, "neighbours": {Address{}, Neighbour{}},
		"usages": {uint32(0), Usage{}}, "shares": {uint32(0), Share{}}, "askings": {uint32(0), Asking{}}, "sockets": {uint64(0), Process{}}, "groups": {uint64(0), uint32(0)},
		"prefilters": {uint32(0), Prefilter{}}, "prefiltered": {uint32(0), uint64(0)},
	} {
		m := spec.Maps[name]
		if m == nil {
			t.Errorf("there is no map %s", name)
			continue
		}
		if m.Type == ebpf.ArrayOfMaps {
			m = m.InnerMap
		}
		if got := [2]int{binary.Size(want[0]), binary.Size(want[1])}; got != [2]int{int(m.KeySize), int(m.ValueSize)} {
			t.Errorf("%s: keys and values have %v bytes, in the programs %d and %d", name, got, m.KeySize, m.ValueSize)
		}
	}
	if n := spec.Maps["counters"].MaxEntries; n != uint32(Reasons) {
		t.Errorf("there are %d counters and %d reasons", n, Reasons)
	}
}
