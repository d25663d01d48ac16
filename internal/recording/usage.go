package recording

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// Usage is what an archive holds and may hold.
type Usage struct {
	Exchanges int64
	Bytes     int64
	Oldest    time.Time // zero: it is empty
	MaxBytes  int64
	MaxAge    time.Duration
	Pruned    int64 // exchanges, since this process began
}

// Usage counts by the clear heads of the batches. Segments that have not grown
// since the last look are not read again.
func (a *Archive) Usage() (Usage, error) {
	a.mu.Lock()
	u := Usage{MaxBytes: a.maxBytes(), MaxAge: a.maxAge(), Pruned: a.pruned}
	a.mu.Unlock()
	a.counting.Lock()
	defer a.counting.Unlock()
	files, err := listSegments(a.Dir)
	if err != nil {
		return u, fmt.Errorf("measure recordings: %w", err)
	}
	counted := make(map[string]Segment, len(files))
	for _, f := range files {
		s, ok := a.counted[f.Name]
		if !ok || s.Bytes != f.Bytes {
			n, from, err := countHeads(filepath.Join(a.Dir, f.Name))
			if err != nil {
				return u, fmt.Errorf("measure recordings: %w", err)
			}
			s = Segment{Name: f.Name, Bytes: f.Bytes, Exchanges: int(n), From: from}
		}
		counted[f.Name] = s
		u.Exchanges += int64(s.Exchanges)
		u.Bytes += s.Bytes
		if !s.From.IsZero() && (u.Oldest.IsZero() || s.From.Before(u.Oldest)) {
			u.Oldest = s.From
		}
	}
	a.counted = counted
	return u, nil
}

// countHeads counts a segment's exchanges without reading what is sealed, up to the
// first place where no batch begins.
func countHeads(path string) (exchanges int64, from time.Time, err error) {
	f, err := os.Open(path)
	if errors.Is(err, os.ErrNotExist) {
		return 0, from, nil // pruned meanwhile
	}
	if err != nil {
		return 0, from, err
	}
	defer f.Close()
	start := make([]byte, frameBytes+headBytes)
	for at := int64(0); ; at += frameBytes + int64(binary.LittleEndian.Uint32(start)) {
		if n, _ := f.ReadAt(start, at); n < len(start) {
			return exchanges, from, nil
		}
		h, err := readHead(start[frameBytes:])
		if err != nil {
			return exchanges, from, nil
		}
		exchanges += int64(h.Count)
		if from.IsZero() || h.From.Before(from) {
			from = h.From
		}
	}
}
