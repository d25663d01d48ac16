package spool

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime/debug"
	"sync/atomic"
	"syscall"
	"unsafe"
)

// The state file is one page, allocated when it is made so that a full disk
// cannot stop the counting. The writer counts through a shared mapping: what was
// counted stays when the process is killed in the next instruction. The reader
// keeps its position in the second half.
const (
	stateSize     = 4096
	stateMagic    = "gspool01"
	offAppended   = 8  // records given to Append
	offDropped    = 16 // of those, known to be lost
	offClosed     = 24 // segments up to this seq are finished
	offPosition   = 2048
	positionBytes = 5 * 8
)

// state is the writer's half.
type state struct {
	file   *os.File // holds the lock
	mem    []byte
	broken bool // the mapping faulted: counts go on in memory only
}

// createState makes and locks dir/<id>.state. It appears under its name only
// once it is locked, so no reader takes the writer for a dead one.
func createState(dir, id string) (*state, error) {
	temp := filepath.Join(dir, id+".tmp")
	f, err := os.OpenFile(temp, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, err
	}
	s := &state{file: f}
	if err := s.prepare(temp, filepath.Join(dir, id+".state")); err != nil {
		f.Close()
		os.Remove(temp)
		return nil, err
	}
	return s, nil
}

func (s *state) prepare(temp, name string) error {
	page := make([]byte, stateSize)
	copy(page, stateMagic)
	if _, err := s.file.Write(page); err != nil {
		return err
	}
	fd := int(s.file.Fd())
	if err := syscall.Flock(fd, syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return fmt.Errorf("lock %s: %w", temp, err)
	}
	mem, err := syscall.Mmap(fd, 0, stateSize, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_SHARED)
	if err != nil {
		return fmt.Errorf("map %s: %w", temp, err)
	}
	s.mem = mem
	if err := os.Rename(temp, name); err != nil {
		syscall.Munmap(mem)
		return err
	}
	return nil
}

// add adds to a counter. A file that someone cut short, or a file system that
// cannot give the page, faults: that must not take the host process (Envoy)
// down, so the fault becomes a panic and ends here.
func (s *state) add(off int, n uint64) {
	if s.broken || s.mem == nil {
		return
	}
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if recover() != nil {
			s.broken = true
		}
	}()
	atomic.AddUint64((*uint64)(unsafe.Pointer(&s.mem[off])), n)
}

// close unlocks: from now on the writer counts as gone.
func (s *state) close() {
	if s.mem != nil {
		syscall.Munmap(s.mem)
		s.mem = nil
	}
	s.file.Close()
}

// counters is the writer's half as the reader sees it.
type counters struct{ appended, dropped, closed uint64 }

// position is how far the reader got with one writer.
type position struct {
	segment   uint64 // next to read; those before are done
	offset    int64  // into it
	delivered uint64 // records taken in all
	reported  uint64 // losses told in all
}

// ledger is the reader's view of a state file.
type ledger struct {
	file  *os.File
	alive bool
	counters
	position
}

var errNoState = errors.New("no state file")

func openLedger(path string) (*ledger, error) {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if errors.Is(err, os.ErrNotExist) {
		return nil, errNoState
	}
	if err != nil {
		return nil, err
	}
	l := &ledger{file: f}
	// A lock we get belongs to nobody: the writer is gone. Closing the file gives it back.
	l.alive = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) != nil
	page := make([]byte, stateSize)
	if n, _ := f.ReadAt(page, 0); n < stateSize || string(page[:8]) != stateMagic {
		f.Close()
		return nil, fmt.Errorf("%s is no spool state: %w", path, errBad)
	}
	l.counters = counters{u64(page, offAppended), u64(page, offDropped), u64(page, offClosed)}
	p := page[offPosition:]
	if checksum(p[:positionBytes-8]) == uint32(u64(p, positionBytes-8)) {
		l.position = position{u64(p, 0), int64(u64(p, 8)), u64(p, 16), u64(p, 24)}
	}
	return l, nil
}

// save writes the position in place: it needs no space on a full disk.
func (l *ledger) save() error {
	var b []byte
	for _, v := range []uint64{l.segment, uint64(l.offset), l.delivered, l.reported} {
		b = binary.LittleEndian.AppendUint64(b, v)
	}
	b = binary.LittleEndian.AppendUint64(b, uint64(checksum(b)))
	_, err := l.file.WriteAt(b, offPosition)
	return err
}

// lost is how many records this writer lost: what it says while it lives, and
// what is missing once it is gone and everything was read.
func (l *ledger) lost(drained bool) uint64 {
	if l.alive || !drained {
		return l.dropped
	}
	if l.appended < l.delivered {
		return l.dropped // counters older than the data: after a power failure
	}
	return max(l.appended-l.delivered, l.dropped)
}

func u64(b []byte, off int) uint64 { return binary.NativeEndian.Uint64(b[off:]) }
