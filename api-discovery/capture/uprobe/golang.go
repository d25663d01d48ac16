package uprobe

import (
	"debug/elf"
	"debug/gosym"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"reflect"
	"unsafe"

	"golang.org/x/arch/x86/x86asm"

	"github.com/gabion-io/gabion/api-discovery/capture/bpf"
)

// span is a function's code.
type span struct{ from, to uint64 }

// Functions of crypto/tls.
const (
	goRead  = "crypto/tls.(*Conn).Read"
	goWrite = "crypto/tls.(*Conn).Write"
	goClose = "crypto/tls.(*Conn).Close"
	// goTCP is what a tls.Conn that was made over TCP holds.
	goTCP = "go:itab.*net.TCPConn,net.Conn"
)

// maxCode is the longest function that is decoded.
const maxCode = 1 << 20

// goLibrary finds the functions by symbols, or in a stripped program by the table
// that Go's runtime itself needs.
func goLibrary(e *elf.File) (*library, error) {
	spans, hash, err := goSymbols(e)
	if err == nil && len(spans) == 0 {
		spans, err = goTable(e)
	}
	if err != nil {
		return nil, err
	}
	if spans[goRead] == (span{}) || spans[goWrite] == (span{}) {
		return nil, nil
	}
	l := &library{of: "crypto/tls"}
	for name, function := range map[string]uint64{goRead: bpf.Reads, goWrite: bpf.Writes} {
		s := spans[name]
		at, ok := offsetOf(e, s.from)
		if !ok {
			return nil, fmt.Errorf("find %s: it is not in the file", name)
		}
		returns, err := returnsOf(e, s)
		if err != nil {
			return nil, fmt.Errorf("find where %s returns: %w", name, err)
		}
		l.enter = append(l.enter, place{at, function | uint64(hash)<<32})
		l.leave = append(l.leave, returns...)
	}
	if at, ok := offsetOf(e, spans[goClose].from); ok && spans[goClose] != (span{}) {
		l.finish = append(l.finish, at)
	}
	return l, nil
}

// goSymbols answers nothing for a stripped program.
func goSymbols(e *elf.File) (map[string]span, uint32, error) {
	all, err := e.Symbols()
	if err != nil && !errors.Is(err, elf.ErrNoSymbols) {
		return nil, 0, fmt.Errorf("read symbols: %w", err)
	}
	out, hash := map[string]span{}, ownTCPHash()
	for _, s := range all {
		switch s.Name {
		case goRead, goWrite, goClose:
			out[s.Name] = span{s.Value, s.Value + s.Size}
		case goTCP:
			if h, ok := word(e, s.Value+16); ok {
				hash = h
			}
		}
	}
	return out, hash, nil
}

// word reads 32 bits of what the program has at an address.
func word(e *elf.File, address uint64) (uint32, bool) {
	var b [4]byte
	for _, p := range e.Progs {
		if p.Type == elf.PT_LOAD && address >= p.Vaddr && address-p.Vaddr+4 <= p.Filesz {
			_, err := p.ReadAt(b[:], int64(address-p.Vaddr))
			return binary.LittleEndian.Uint32(b[:]), err == nil
		}
	}
	return 0, false
}

// ownTCPHash is the hash of the type *net.TCPConn in this program. The compiler makes
// it of the type's name, so it is the same in programs that a like compiler made;
// where it is another, the peers of connections stay unknown.
func ownTCPHash() uint32 {
	type goType struct { // the beginning of internal/abi.Type
		_, _ uintptr
		hash uint32
	}
	t := reflect.TypeFor[*net.TCPConn]()
	return (*goType)((*[2]unsafe.Pointer)(unsafe.Pointer(&t))[1]).hash
}

// goTable finds the functions in the table of program counters and lines.
func goTable(e *elf.File) (map[string]span, error) {
	s := e.Section(".gopclntab")
	if s == nil {
		s = e.Section(".data.rel.ro.gopclntab")
	}
	text := e.Section(".text")
	if s == nil || text == nil {
		return nil, nil
	}
	b, err := s.Data()
	if err != nil {
		return nil, fmt.Errorf("read table of functions: %w", err)
	}
	t, err := gosym.NewTable(nil, gosym.NewLineTable(b, text.Addr))
	if err != nil {
		return nil, fmt.Errorf("read table of functions: %w", err)
	}
	out := map[string]span{}
	for _, name := range []string{goRead, goWrite, goClose} {
		if f := t.LookupFunc(name); f != nil {
			out[name] = span{f.Entry, f.End}
		}
	}
	return out, nil
}

// returnsOf are the offsets of a function's instructions that return.
func returnsOf(e *elf.File, s span) ([]uint64, error) {
	start, ok := offsetOf(e, s.from)
	if !ok || s.to <= s.from || s.to-s.from > maxCode {
		return nil, errors.New("its code is not in the file")
	}
	code := make([]byte, s.to-s.from)
	for _, p := range e.Progs {
		if p.Type == elf.PT_LOAD && p.Flags&elf.PF_X != 0 && s.from >= p.Vaddr && s.to-p.Vaddr <= p.Filesz {
			if _, err := p.ReadAt(code, int64(s.from-p.Vaddr)); err != nil {
				return nil, fmt.Errorf("read code: %w", err)
			}
		}
	}
	list, err := returnsIn(code, e.Machine)
	if err == nil && len(list) == 0 {
		err = errors.New("it never does")
	}
	for i := range list {
		list[i] += start
	}
	return list, err
}

// returnsIn decodes code from its first instruction to its last.
func returnsIn(code []byte, m elf.Machine) (out []uint64, err error) {
	if m == elf.EM_AARCH64 {
		const ret = 0xd65f03c0
		for i := 0; i+4 <= len(code); i += 4 {
			if binary.LittleEndian.Uint32(code[i:]) == ret {
				out = append(out, uint64(i))
			}
		}
		return out, nil
	}
	for i := 0; i < len(code); {
		instruction, err := x86asm.Decode(code[i:], 64)
		if err != nil {
			return nil, fmt.Errorf("decode instruction at %d: %w", i, err)
		}
		if instruction.Op == x86asm.RET {
			out = append(out, uint64(i))
		}
		i += instruction.Len
	}
	return out, nil
}
