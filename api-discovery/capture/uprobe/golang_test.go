package uprobe

import (
	"debug/elf"
	"encoding/binary"
	"os/exec"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// What symbols say of a Go program, the table of its runtime says as well; and the type
// by which sockets are known has the hash that it has in us.
func TestStrippedProgramsSayTheSame(t *testing.T) {
	path, err := exec.LookPath("go")
	if err != nil {
		t.Skip("there is no go")
	}
	e, err := elf.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	symbols, hash, err := goSymbols(e)
	if err != nil || len(symbols) != 3 {
		t.Skipf("go itself is stripped, or knows no TLS: %v, %v", symbols, err)
	}
	table, err := goTable(e)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{goRead, goWrite, goClose} {
		if symbols[name].from != table[name].from {
			t.Errorf("%s is at %#x by symbols, at %#x by the table", name, symbols[name].from, table[name].from)
		}
		// The table's end includes what fills the space to the next function.
		byName, err := returnsOf(e, symbols[name])
		if err != nil {
			t.Fatal(err)
		}
		byTable, err := returnsOf(e, table[name])
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(byName, byTable); diff != "" {
			t.Errorf("%s returns elsewhere (-symbols +table):\n%s", name, diff)
		}
	}
	if own := ownTCPHash(); hash != own {
		t.Errorf("the hash of *net.TCPConn is %#x there, %#x here", hash, own)
	}
}

// An instruction that returns is not looked for within others.
func TestReturns(t *testing.T) {
	amd := []byte{
		0xb8, 0xc3, 0xc3, 0xc3, 0xc3, // mov $0xc3c3c3c3, %eax
		0xc3,                   // ret
		0x48, 0x83, 0xc3, 0x01, // add $1, %rbx
		0xc3,
	}
	if got, err := returnsIn(amd, elf.EM_X86_64); err != nil || !slices.Equal(got, []uint64{5, 10}) {
		t.Errorf("amd64: %v, %v", got, err)
	}
	if got, err := returnsIn([]byte{0x06}, elf.EM_X86_64); err == nil {
		t.Errorf("what is no instruction: %v", got)
	}
	var arm []byte
	for _, word := range []uint32{0xd503201f, 0xd65f03c0, 0xd65f03c1, 0xd65f03c0} { // nop, ret, none, ret
		arm = binary.LittleEndian.AppendUint32(arm, word)
	}
	if got, err := returnsIn(arm, elf.EM_AARCH64); err != nil || !slices.Equal(got, []uint64{4, 12}) {
		t.Errorf("arm64: %v, %v", got, err)
	}
}
