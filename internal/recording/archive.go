package recording

import (
	"bufio"
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"
)

// Archive is the control plane's append-only directory of sealed segments,
// pruned oldest first and never larger than MaxBytes. One process appends.
//
// A segment is named by the moment it was begun; in it each batch follows its
// length and CRC-32C, both uint32, little endian.
type Archive struct {
	Dir      string
	MaxBytes int64         // default 256 MiB
	MaxAge   time.Duration // default 7 days
	Full     func() bool   // no more is taken while the disk is too full for it; nil: never

	mu     sync.Mutex
	active *os.File
	size   int64
	recent map[string]bool // encapsulated keys of the newest batches: unique to each
	order  []string
	pruned int64

	counting sync.Mutex
	counted  map[string]Segment // as they were at the last look
}

// ErrFull is an archive's no while its disk is too full.
var ErrFull = errors.New("the disk is too full for more recordings: free space")

// Segment is one file of an archive.
type Segment struct {
	Name      string
	Bytes     int64
	Exchanges int
	From, To  time.Time
	Garbage   int // places where no batch could be read
}

const (
	frameBytes = 8
	maxFrame   = 16 << 20
	remembered = 4096 // batches; more than a spool can deliver again
	suffix     = ".rec"
)

func (a *Archive) maxBytes() int64       { return cmp.Or(a.MaxBytes, 256<<20) }
func (a *Archive) maxAge() time.Duration { return cmp.Or(a.MaxAge, 7*24*time.Hour) }

// segmentBytes is when the next segment is begun: pruning removes whole ones.
func (a *Archive) segmentBytes() int64 { return max(1, min(a.maxBytes()/16, 8<<20)) }

// SetLimits changes the bounds of a living archive; zero means the default.
func (a *Archive) SetLimits(bytes int64, age time.Duration) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.MaxBytes, a.MaxAge = bytes, age
}

// Append keeps one sealed batch; one it holds already is ignored.
func (a *Archive) Append(batch []byte) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	if err := a.append(batch); err != nil {
		return fmt.Errorf("append to recordings: %w", err)
	}
	return nil
}

func (a *Archive) append(batch []byte) error {
	if _, err := readHead(batch); err != nil {
		return err
	}
	n := int64(len(batch)) + frameBytes
	if len(batch) > maxFrame || n > a.maxBytes() {
		return fmt.Errorf("%w: %d bytes are more than the archive takes", ErrBatch, len(batch))
	}
	if a.Full != nil && a.Full() {
		return ErrFull
	}
	if a.recent == nil {
		if err := a.remember(); err != nil {
			return err
		}
	}
	id := fingerprint(batch)
	if a.recent[id] {
		return nil
	}
	if a.active == nil || a.size > 0 && a.size+n > a.segmentBytes() {
		if err := a.begin(); err != nil {
			return err
		}
	}
	if err := a.makeRoom(n); err != nil {
		return err
	}
	if err := a.write(batch); err != nil {
		return err
	}
	a.noted(id)
	return nil
}

// write puts a whole frame into the active segment, or nothing.
func (a *Archive) write(batch []byte) error {
	frame := binary.LittleEndian.AppendUint32(make([]byte, 0, len(batch)+frameBytes), uint32(len(batch)))
	frame = binary.LittleEndian.AppendUint32(frame, checksum(batch))
	frame = append(frame, batch...)
	if _, err := a.active.WriteAt(frame, a.size); err != nil {
		a.active.Truncate(a.size) // a torn frame is met by the reader, which goes on
		return err
	}
	a.size += int64(len(frame))
	return nil
}

func (a *Archive) begin() error {
	if a.active != nil {
		a.active.Close()
		a.active = nil
	}
	if err := os.MkdirAll(a.Dir, 0o700); err != nil {
		return err
	}
	for at := time.Now().UnixNano(); ; at++ {
		f, err := os.OpenFile(filepath.Join(a.Dir, fmt.Sprintf("%020d%s", at, suffix)), os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
		if errors.Is(err, os.ErrExist) {
			continue
		}
		if err != nil {
			return err
		}
		a.active, a.size = f, 0
		return nil
	}
}

// makeRoom removes the oldest segments until n more bytes fit.
func (a *Archive) makeRoom(n int64) error {
	files, err := listSegments(a.Dir)
	if err != nil {
		return err
	}
	total := n
	for _, f := range files {
		total += f.Bytes
	}
	for _, f := range files {
		if total <= a.maxBytes() {
			return nil
		}
		path := filepath.Join(a.Dir, f.Name)
		if a.active != nil && path == a.active.Name() {
			continue
		}
		if err := a.remove(path); err != nil {
			return err
		}
		total -= f.Bytes
	}
	if total > a.maxBytes() { // only the active one is left
		if err := a.remove(a.active.Name()); err != nil {
			return err
		}
		return a.begin()
	}
	return nil
}

func (a *Archive) remove(path string) error {
	n, _, err := countHeads(path)
	if err != nil {
		return err
	}
	if err := os.Remove(path); err != nil {
		return err
	}
	a.pruned += n
	return nil
}

// remember reads which batches are there: a spool may deliver again what was
// appended before the process ended.
func (a *Archive) remember() error {
	a.recent = map[string]bool{}
	files, err := listSegments(a.Dir)
	if err != nil {
		return err
	}
	for _, f := range files[max(0, len(files)-4):] {
		_, err := readSegment(filepath.Join(a.Dir, f.Name), func(_ int64, batch []byte) error {
			a.noted(fingerprint(batch))
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func (a *Archive) noted(id string) {
	if len(a.order) >= remembered {
		delete(a.recent, a.order[0])
		a.order = a.order[1:]
	}
	a.recent[id] = true
	a.order = append(a.order, id)
}

// fingerprint is the encapsulated key, random for each batch.
func fingerprint(batch []byte) string {
	return string(batch[min(headBytes, len(batch)):min(headBytes+32, len(batch))])
}

// Prune applies the bounds as of now. A segment goes by age when its newest
// exchange is too old.
func (a *Archive) Prune(now time.Time) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	files, err := listSegments(a.Dir)
	if err != nil {
		return fmt.Errorf("prune recordings: %w", err)
	}
	for _, f := range files {
		path := filepath.Join(a.Dir, f.Name)
		info, err := os.Stat(path)
		if err != nil || now.Sub(info.ModTime()) <= a.maxAge() {
			continue // appended to since: its newest is not older
		}
		if a.active != nil && path == a.active.Name() {
			a.active.Close()
			a.active = nil
		}
		if err := a.remove(path); err != nil {
			return fmt.Errorf("prune recordings: %w", err)
		}
	}
	if err := a.makeRoom(0); err != nil {
		return fmt.Errorf("prune recordings: %w", err)
	}
	return nil
}

// Segments lists the archive, oldest first, reading the clear heads of its
// batches. A missing directory is an empty archive.
func (a *Archive) Segments() ([]Segment, error) {
	files, err := listSegments(a.Dir)
	if err != nil {
		return nil, fmt.Errorf("list recordings: %w", err)
	}
	for i := range files {
		s := &files[i]
		s.Garbage, err = readSegment(filepath.Join(a.Dir, s.Name), func(_ int64, batch []byte) error {
			h, err := readHead(batch)
			if err != nil {
				return err
			}
			s.Exchanges += h.Count
			if s.From.IsZero() || h.From.Before(s.From) {
				s.From = h.From
			}
			if h.To.After(s.To) {
				s.To = h.To
			}
			return nil
		})
		if err != nil {
			return nil, fmt.Errorf("list recordings: %w", err)
		}
	}
	return files, nil
}

// listSegments lists files with their sizes, oldest first.
func listSegments(dir string) (out []Segment, err error) {
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, err
	}
	for _, e := range entries {
		info, err := e.Info()
		if err == nil && info.Mode().IsRegular() && strings.HasSuffix(e.Name(), suffix) {
			out = append(out, Segment{Name: e.Name(), Bytes: info.Size()})
		}
	}
	return out, nil
}

// readSegment hands every whole batch with its offset to fn; what fn refuses and
// stretches without one count as garbage. After damage it looks for the next
// batch, so that one bad byte does not cost the rest of the file.
func readSegment(path string, fn func(offset int64, batch []byte) error) (garbage int, err error) {
	f, err := os.Open(path)
	if errors.Is(err, os.ErrNotExist) {
		return 0, nil // pruned meanwhile
	}
	if err != nil {
		return 0, err
	}
	defer f.Close()
	r := bufio.NewReaderSize(f, 1<<16)
	lost := false
	for at := int64(0); ; {
		batch, err := peekFrame(r, f, at)
		switch {
		case err == io.EOF:
			return garbage, nil
		case err != nil && err != ErrBatch:
			return garbage, err
		case err == ErrBatch || fn(at, batch) != nil:
			if !lost {
				garbage++
			}
			lost = true
			if _, err := r.Discard(1); err != nil {
				return garbage, nil
			}
			at++
		default:
			lost = false
			n := frameBytes + len(batch)
			if _, err := r.Discard(n); err != nil {
				return garbage, err
			}
			at += int64(n)
		}
	}
}

// peekFrame reads the frame at offset without moving r. A frame is recognised by
// the magic behind its length, before its length is believed.
func peekFrame(r *bufio.Reader, f io.ReaderAt, at int64) ([]byte, error) {
	start, err := r.Peek(frameBytes + len(batchMagic))
	if len(start) == 0 && err == io.EOF {
		return nil, io.EOF
	}
	if err != nil && err != io.EOF {
		return nil, err
	}
	if len(start) < frameBytes+len(batchMagic) || string(start[frameBytes:]) != batchMagic {
		return nil, ErrBatch
	}
	n := binary.LittleEndian.Uint32(start)
	if n < headBytes || n > maxFrame {
		return nil, ErrBatch
	}
	batch := make([]byte, n)
	if m, err := f.ReadAt(batch, at+frameBytes); m < len(batch) {
		if err == io.EOF {
			return nil, ErrBatch
		}
		return nil, err
	}
	if checksum(batch) != binary.LittleEndian.Uint32(start[4:]) {
		return nil, ErrBatch
	}
	return batch, nil
}

func checksum(b []byte) uint32 { return crc32.Checksum(b, crc32.MakeTable(crc32.Castagnoli)) }
