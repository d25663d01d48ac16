package uprobe

import (
	"debug/elf"
	"errors"
	"fmt"
	"os"
	"runtime"

	"github.com/gabion-io/gabion/api-discovery/capture/bpf"
)

// library is where in a file the functions are that give and take plaintext. A nil
// one has none.
type library struct {
	of     string // "libssl" or "crypto/tls"
	enter  []place
	leave  []uint64 // of Go: where the functions return; else empty
	finish []uint64
}

// place is an offset in the file, and what the probe there is told by its cookie.
type place struct {
	at     uint64
	cookie uint64
}

// maxFile is the largest file that is looked into.
const maxFile = 1 << 30

var errNotELF = errors.New("it is no program of this machine")

// readLibrary looks into a file that some process has mapped. The file is anybody's.
func readLibrary(path string) (l *library, err error) {
	defer func() {
		if r := recover(); r != nil { // debug/elf and debug/gosym promise nothing for forged files
			l, err = nil, fmt.Errorf("read symbols: %v", r)
		}
	}()
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("open program: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("open program: %w", err)
	}
	if !info.Mode().IsRegular() || info.Size() > maxFile {
		return nil, fmt.Errorf("read program: it is no file, or longer than %d bytes", maxFile)
	}
	e, err := elf.NewFile(f)
	if err != nil || e.Machine != machine() || e.Class != elf.ELFCLASS64 {
		return nil, errNotELF
	}
	for _, s := range e.Sections {
		if s.Type != elf.SHT_NOBITS && (s.Size > uint64(info.Size()) || s.FileSize > uint64(info.Size())) {
			return nil, fmt.Errorf("read program: section %q is longer than the file", s.Name)
		}
	}
	if e.Section(".gopclntab") != nil || e.Section(".data.rel.ro.gopclntab") != nil {
		return goLibrary(e)
	}
	return cLibrary(e)
}

func machine() elf.Machine {
	if runtime.GOARCH == "arm64" {
		return elf.EM_AARCH64
	}
	return elf.EM_X86_64
}

// cFunctions are those of OpenSSL and what is like it.
var cFunctions = map[string]uint64{
	"SSL_read": bpf.Reads, "SSL_write": bpf.Writes,
	"SSL_read_ex": bpf.Reads | bpf.Extended, "SSL_write_ex": bpf.Writes | bpf.Extended,
}

// cLibrary finds the functions by symbols, those that others may call and the rest.
func cLibrary(e *elf.File) (*library, error) {
	dynamic, err := e.DynamicSymbols()
	if err != nil && !errors.Is(err, elf.ErrNoSymbols) {
		return nil, fmt.Errorf("read symbols: %w", err)
	}
	static, err := e.Symbols()
	if err != nil && !errors.Is(err, elf.ErrNoSymbols) {
		return nil, fmt.Errorf("read symbols: %w", err)
	}
	l := &library{of: "libssl"}
	known := map[uint64]bool{}
	for _, s := range append(dynamic, static...) {
		function, is := cFunctions[s.Name]
		ends := s.Name == "SSL_free" || s.Name == "SSL_clear"
		if !is && !ends || elf.ST_TYPE(s.Info) != elf.STT_FUNC || s.Section == elf.SHN_UNDEF {
			continue
		}
		at, ok := offsetOf(e, s.Value)
		switch {
		case !ok || known[at]:
		case ends:
			l.finish = append(l.finish, at)
		default:
			l.enter = append(l.enter, place{at, function})
		}
		known[at] = ok
	}
	if len(l.enter) == 0 {
		return nil, nil
	}
	return l, nil
}

// offsetOf is where in the file the code at an address is.
func offsetOf(e *elf.File, address uint64) (uint64, bool) {
	for _, p := range e.Progs {
		if p.Type == elf.PT_LOAD && p.Flags&elf.PF_X != 0 && address >= p.Vaddr && address-p.Vaddr < p.Filesz {
			return address - p.Vaddr + p.Off, true
		}
	}
	return 0, false
}
