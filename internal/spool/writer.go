package spool

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// segmentFile is what the writer needs of a file; tests put a failing one there.
type segmentFile interface {
	io.WriteCloser
	Truncate(size int64) error
}

// Writer appends to its own segments in the directory. Its methods may be
// called concurrently.
type Writer struct {
	dir, id string
	o       Options
	create  func(path string) (segmentFile, error)

	mu         sync.Mutex
	state      *state
	queue      [][]byte
	queueBytes int64
	dropped    uint64
	ended      bool

	wake  chan struct{}      // something to do
	flush chan chan struct{} // do it now and say so
	stop  chan struct{}
	gone  chan struct{} // the goroutine has ended

	// Owned by the goroutine.
	seq    uint64
	active segmentFile
	size   int64
	opened time.Time
	buf    []byte
}

// Open makes the directory (0700) if need be and starts a writer in it. Several
// writers, of one or many processes, may share a directory and its byte bound.
func Open(dir string, maxBytes int64) (*Writer, error) {
	return OpenWith(dir, Options{MaxBytes: maxBytes})
}

// OpenWith is Open with every bound given.
func OpenWith(dir string, o Options) (*Writer, error) {
	return open(dir, o, func(path string) (segmentFile, error) {
		return os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	})
}

func open(dir string, o Options, create func(string) (segmentFile, error)) (*Writer, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("open spool: %w", err)
	}
	random := make([]byte, 4)
	rand.Read(random) // never fails
	id := fmt.Sprintf("%016x-%d-%s", time.Now().UnixNano(), os.Getpid(), hex.EncodeToString(random))
	st, err := createState(dir, id)
	if err != nil {
		return nil, fmt.Errorf("open spool %s: %w", dir, err)
	}
	w := &Writer{
		dir: dir, id: id, o: o.withDefaults(), create: create, state: st,
		wake: make(chan struct{}, 1), flush: make(chan chan struct{}),
		stop: make(chan struct{}), gone: make(chan struct{}),
	}
	go w.run()
	return w, nil
}

// Append queues a copy of rec and returns at once. It returns false, and counts,
// when the record was dropped: queue full, record empty or longer than
// MaxRecord, or writer closed. A record accepted here can still be dropped (and
// counted) when the directory is full or the disk refuses it.
func (w *Writer) Append(rec []byte) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	weight := weigh(w.o.Weight, [][]byte{rec})
	w.state.add(offAppended, weight)
	n := int64(len(rec))
	if w.ended || n == 0 || n > MaxRecord || len(w.queue) >= w.o.QueueRecords || w.queueBytes+n > w.o.QueueBytes {
		w.drop(weight)
		return false
	}
	w.queue = append(w.queue, append([]byte(nil), rec...))
	w.queueBytes += n
	select {
	case w.wake <- struct{}{}:
	default:
	}
	return true
}

// weigh is what records count together.
func weigh(weight func([]byte) int, recs [][]byte) uint64 {
	if weight == nil {
		return uint64(len(recs))
	}
	var n uint64
	for _, r := range recs {
		n += uint64(max(weight(r), 0))
	}
	return n
}

// drop counts n as lost; w.mu is held.
func (w *Writer) drop(n uint64) {
	w.dropped += n
	w.state.add(offDropped, n)
}

// Lose counts what was lost before it became a record, in the unit of Weight.
func (w *Writer) Lose(n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.state.add(offAppended, uint64(n))
	w.drop(uint64(n))
}

// Dropped counts what this writer lost so far: records, or their weight.
func (w *Writer) Dropped() uint64 {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.dropped
}

// Flush returns when everything appended before is in the file or counted.
func (w *Writer) Flush() {
	done := make(chan struct{})
	select {
	case w.flush <- done:
		<-done
	case <-w.gone:
	}
}

// Close flushes and ends the writer; what is appended later is dropped.
func (w *Writer) Close() error {
	w.mu.Lock()
	if w.ended {
		w.mu.Unlock()
		<-w.gone
		return nil
	}
	w.ended = true
	w.mu.Unlock()
	close(w.stop)
	<-w.gone
	return nil
}

// run is the only goroutine that touches files. Whatever goes wrong in it ends
// the spool and is counted, never the process.
func (w *Writer) run() {
	defer close(w.gone)
	defer w.end()
	age := time.NewTicker(w.o.SegmentAge/4 + time.Millisecond)
	defer age.Stop()
	for {
		select {
		case <-w.stop:
			w.writeQueue()
			return
		case done := <-w.flush:
			w.writeQueue()
			close(done)
		case <-age.C:
			if w.active != nil && time.Since(w.opened) >= w.o.SegmentAge {
				w.closeSegment()
			}
		case <-w.wake:
			if !w.gather() {
				w.writeQueue()
				return
			}
			w.writeQueue()
		}
	}
}

// gather waits for more to come, up to FlushEvery. False: the writer is to end.
func (w *Writer) gather() bool {
	t := time.NewTimer(w.o.FlushEvery)
	defer t.Stop()
	select {
	case <-t.C:
	case done := <-w.flush:
		w.writeQueue()
		close(done)
	case <-w.stop:
		return false
	}
	return true
}

func (w *Writer) end() {
	recovered := recover()
	if w.active != nil {
		w.closeSegment()
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.ended = true
	if recovered != nil || len(w.queue) > 0 {
		w.drop(weigh(w.o.Weight, w.queue))
		w.queue = nil
	}
	w.state.close()
}

// writeQueue writes what waits, as far as the directory's bound lets it.
func (w *Writer) writeQueue() {
	w.mu.Lock()
	recs := w.queue
	w.queue, w.queueBytes = nil, 0
	w.mu.Unlock()
	if len(recs) == 0 {
		return
	}
	room := w.o.MaxBytes - dirBytes(w.dir)
	for len(recs) > 0 {
		n, bytes := w.take(recs, room)
		if n == 0 {
			// Full. A finished segment can be removed by the reader, an active one cannot.
			w.closeSegment()
			w.lose(recs)
			return
		}
		room -= bytes
		w.lose(recs[w.writeBatch(recs[:n]):n])
		recs = recs[n:]
	}
}

// take says how many of recs go into the active segment in one write.
func (w *Writer) take(recs [][]byte, room int64) (n int, bytes int64) {
	for _, r := range recs {
		size := recordSize(r)
		if bytes+size > room || n > 0 && w.size+bytes+size > w.o.SegmentBytes {
			break
		}
		n, bytes = n+1, bytes+size
	}
	return n, bytes
}

func (w *Writer) lose(recs [][]byte) {
	if len(recs) == 0 {
		return
	}
	w.mu.Lock()
	w.drop(weigh(w.o.Weight, recs))
	w.mu.Unlock()
}

// writeBatch writes records into one segment and says how many are whole in it.
func (w *Writer) writeBatch(recs [][]byte) (kept int) {
	w.buf = w.buf[:0]
	for _, r := range recs {
		w.buf = appendRecord(w.buf, r)
	}
	if w.active != nil && w.size > 0 && w.size+int64(len(w.buf)) > w.o.SegmentBytes {
		w.closeSegment()
	}
	if w.active == nil && !w.openSegment() {
		return 0
	}
	n, err := w.active.Write(w.buf)
	if err == nil {
		w.size += int64(n)
		return len(recs)
	}
	// The disk took a part: keep whole records, cut the torn one off.
	var whole int64
	for _, r := range recs {
		if whole+recordSize(r) > int64(n) {
			break
		}
		whole += recordSize(r)
		kept++
	}
	w.size += whole
	w.active.Truncate(w.size) // if this fails too, the reader meets a torn tail
	w.closeSegment()
	if cap(w.buf) > 4<<20 {
		w.buf = nil
	}
	return kept
}

func (w *Writer) openSegment() bool {
	f, err := w.create(filepath.Join(w.dir, segmentName(w.id, w.seq+1)))
	if err != nil {
		return false
	}
	w.seq++
	w.active, w.size, w.opened = f, 0, time.Now()
	return true
}

func (w *Writer) closeSegment() {
	if w.active == nil {
		return
	}
	w.active.Close()
	w.active = nil
	w.mu.Lock()
	w.state.add(offClosed, 1)
	w.mu.Unlock()
}

func segmentName(id string, seq uint64) string { return fmt.Sprintf("%s.%08d.seg", id, seq) }

// dirBytes sums the files of all writers; a file that vanishes meanwhile is 0.
func dirBytes(dir string) (sum int64) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return 0
	}
	for _, e := range entries {
		if info, err := e.Info(); err == nil && info.Mode().IsRegular() {
			sum += info.Size()
		}
	}
	return sum
}
