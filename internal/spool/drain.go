package spool

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Drainer reads and removes.
type Drainer struct {
	// Records takes a batch of whole records, oldest first within a writer. The
	// slices are the callee's to keep. Nil: they are taken and may be removed.
	// An error: the whole batch is delivered again by the next Drain.
	Records func(recs [][]byte) error
	// Loss is told a writer's running total before it is forgotten; an error
	// makes it be told again. May be nil.
	Loss   func(Loss) error
	Weight func(rec []byte) int // as the writers' Options; nil: 1
	Batch  int                  // records handed over at once; default 256, at most 4 MiB together
}

const batchBytes = 4 << 20

// Drain hands every record in dir to fn, oldest first within a writer, and
// removes what fn took (returned nil). It stops at fn's first error and returns
// it; the record is delivered again by the next Drain (at least once, never
// silently lost). Writers may be active meanwhile. A missing dir is an empty
// one. Two Drains of one directory exclude each other: the second gets ErrBusy.
func Drain(dir string, fn func(rec []byte) error) (Report, error) {
	return Drainer{Batch: 1, Records: func(recs [][]byte) error { return fn(recs[0]) }}.Drain(dir)
}

// Drain is one pass over the directory.
func (d Drainer) Drain(dir string) (Report, error) {
	if d.Batch == 0 {
		d.Batch = 256
	}
	lock, err := lockDir(dir)
	if errors.Is(err, os.ErrNotExist) {
		return Report{}, nil
	}
	if err != nil {
		return Report{}, err
	}
	defer lock.Close()
	p := pass{Drainer: d, dir: dir}
	ids, err := p.writers()
	if err != nil {
		return p.report, fmt.Errorf("drain spool %s: %w", dir, err)
	}
	for _, id := range ids {
		if err := p.writer(id); err != nil {
			return p.report, fmt.Errorf("drain spool %s: %w", dir, err)
		}
	}
	return p.report, nil
}

// lockDir locks the directory itself: no file is needed, so a full disk is no hindrance.
func lockDir(dir string) (*os.File, error) {
	f, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		f.Close()
		if err == syscall.EWOULDBLOCK {
			return nil, ErrBusy
		}
		return nil, fmt.Errorf("lock spool %s: %w", dir, err)
	}
	return f, nil
}

// pass is one Drain at work.
type pass struct {
	Drainer
	dir    string
	report Report
}

// writers lists the ids of all writers that left anything, oldest first, and
// clears away state files that never got their name.
func (p *pass) writers() ([]string, error) {
	entries, err := os.ReadDir(p.dir)
	if err != nil {
		return nil, err
	}
	var ids []string
	for _, e := range entries {
		id, kind := splitName(e.Name())
		switch {
		case kind == "tmp":
			if info, err := e.Info(); err == nil && time.Since(info.ModTime()) > time.Minute {
				os.Remove(filepath.Join(p.dir, e.Name()))
			}
		case kind == "" || !e.Type().IsRegular():
			p.report.Garbage++
		default:
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	return slices.Compact(ids), nil
}

// splitName takes a file name apart: kind is "state", "tmp", "seg" or "" for
// what is not ours.
func splitName(name string) (id, kind string) {
	id, rest, _ := strings.Cut(name, ".")
	parts := strings.Split(id, "-")
	if len(parts) != 3 || len(parts[0]) != 16 {
		return "", ""
	}
	if rest == "state" || rest == "tmp" {
		return id, rest
	}
	if seq, ok := strings.CutSuffix(rest, ".seg"); ok {
		if _, err := strconv.ParseUint(seq, 10, 64); err == nil {
			return id, "seg"
		}
	}
	return "", ""
}

// segment is one file of a writer.
type segment struct {
	seq  uint64
	path string
}

func (p *pass) segments(id string) ([]segment, error) {
	paths, err := filepath.Glob(filepath.Join(p.dir, id+".*.seg"))
	if err != nil {
		return nil, err
	}
	var segs []segment
	for _, path := range paths {
		parts := strings.Split(filepath.Base(path), ".")
		seq, err := strconv.ParseUint(parts[1], 10, 64)
		if err == nil {
			segs = append(segs, segment{seq, path})
		}
	}
	slices.SortFunc(segs, func(a, b segment) int {
		if a.seq < b.seq {
			return -1
		}
		return 1
	})
	return segs, nil
}

// writer drains one writer's segments and tells its losses. The state is read
// before the segments are listed: all that a finished writer wrote is then seen.
func (p *pass) writer(id string) error {
	statePath := filepath.Join(p.dir, id+".state")
	l, err := openLedger(statePath)
	orphan := err != nil
	if orphan {
		// Records without a readable state are still records; losses are unknown.
		if !errors.Is(err, errNoState) {
			p.report.Garbage++
		}
		l = &ledger{}
	} else {
		defer l.file.Close()
	}
	segs, err := p.segments(id)
	if err != nil {
		return err
	}
	for _, seg := range segs {
		if err := p.segment(l, seg, orphan); err != nil {
			return err
		}
	}
	if orphan {
		return nil
	}
	if err := p.losses(id, l); err != nil {
		return err
	}
	if !l.alive {
		return os.Remove(statePath)
	}
	return nil
}

// losses tells what the writer lost since last told.
func (p *pass) losses(id string, l *ledger) error {
	total := l.lost(true)
	if total <= l.reported {
		return nil
	}
	if p.Loss != nil {
		if err := p.Loss(Loss{Writer: id, Total: total}); err != nil {
			return err
		}
	}
	p.report.Dropped += total - l.reported
	l.reported = total
	return l.save()
}

// segment delivers what is new in one segment and removes it once it is finished.
func (p *pass) segment(l *ledger, seg segment, orphan bool) error {
	final := orphan || !l.alive || seg.seq <= l.closed
	if orphan {
		l.position = position{segment: seg.seq}
	}
	if seg.seq < l.segment {
		return os.Remove(seg.path) // done before, only the removal was missed
	}
	if seg.seq > l.segment {
		l.segment, l.offset = seg.seq, 0
	}
	f, err := os.Open(seg.path)
	if err != nil {
		return err
	}
	defer f.Close()
	if _, err := f.Seek(l.offset, io.SeekStart); err != nil {
		return err
	}
	torn, err := p.deliver(l, bufio.NewReaderSize(f, 64<<10), orphan)
	if err != nil || !final {
		return err
	}
	if torn {
		p.report.Torn++
	}
	l.segment, l.offset = seg.seq+1, 0
	if !orphan {
		if err := l.save(); err != nil {
			return err
		}
	}
	return os.Remove(seg.path)
}

// deliver hands over records batch by batch and saves the position after each.
func (p *pass) deliver(l *ledger, r *bufio.Reader, orphan bool) (torn bool, err error) {
	for {
		recs, bytes, end, err := p.batch(r)
		if err != nil {
			return false, err
		}
		if len(recs) > 0 {
			if err := p.Records(recs); err != nil {
				return false, err
			}
			p.report.Records += len(recs)
			p.report.Bytes += bytes - int64(len(recs))*recordHeader
			l.offset += bytes
			l.delivered += weigh(p.Weight, recs)
			if !orphan {
				if err := l.save(); err != nil {
					return false, err
				}
			}
		}
		if end != nil {
			return end == errBad, nil
		}
	}
}

// batch reads up to Batch records; end says why there are no more: io.EOF, errBad.
func (p *pass) batch(r *bufio.Reader) (recs [][]byte, bytes int64, end, err error) {
	for len(recs) < p.Batch && bytes < batchBytes {
		rec, err := readRecord(r)
		if err == io.EOF || err == errBad {
			return recs, bytes, err, nil
		}
		if err != nil {
			return nil, 0, nil, err
		}
		recs = append(recs, rec)
		bytes += recordSize(rec)
	}
	return recs, bytes, nil, nil
}
