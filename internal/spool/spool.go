// Package spool is a bounded queue of byte records in a directory of files,
// written by one or more processes and drained by another. It carries security
// events and sealed recordings out of the filter while the control plane may be
// away: the writer never waits for the disk, what does not fit is dropped and
// counted, and the count survives the writer.
//
// It is not a database (no keys, no order between writers) and promises nothing
// across a power failure beyond what the page cache had written: records survive
// the death of either process, torn tails are tolerated.
//
// It knows nothing of what the records mean. Filters and ingest import it; it
// imports the standard library only.
package spool

import "time"

// MaxRecord is the longest record in bytes.
const MaxRecord = 16 << 20

// Options bound a Writer; the zero value of a field means its default.
type Options struct {
	MaxBytes     int64         // of all files in the directory; default 64 MiB
	SegmentBytes int64         // a segment is closed beyond this; default MaxBytes/8, at most 4 MiB
	SegmentAge   time.Duration // and when it is older; default 10 s
	FlushEvery   time.Duration // records reach the file within; default 50 ms
	QueueRecords int           // records waiting in memory; default 4096
	QueueBytes   int64         // bytes waiting in memory; default 32 MiB
}

// Writer appends to its own segments in the directory. Its methods may be
// called concurrently.
type Writer struct{}

// Open makes the directory (0700) if need be and starts a writer in it. Several
// writers, of one or many processes, may share a directory and its byte bound.
func Open(dir string, maxBytes int64) (*Writer, error) {
	return OpenWith(dir, Options{MaxBytes: maxBytes})
}

// OpenWith is Open with every bound given.
func OpenWith(dir string, o Options) (*Writer, error) { panic("todo") }

// Append queues a copy of rec and returns at once. It returns false, and counts,
// when the record was dropped: queue full, directory full, record longer than
// MaxRecord, or writer closed. A record accepted here can still be dropped (and
// counted) when the disk refuses it.
func (w *Writer) Append(rec []byte) bool { panic("todo") }

// Dropped counts the records this writer lost so far.
func (w *Writer) Dropped() uint64 { panic("todo") }

// Flush returns when everything appended before is in the file or counted.
func (w *Writer) Flush() { panic("todo") }

// Close flushes and ends the writer; what is appended later is dropped.
func (w *Writer) Close() error { panic("todo") }

// Report is what one Drain did.
type Report struct {
	Records int    // delivered to the callback, which returned nil
	Bytes   int64  // of those
	Dropped uint64 // records lost by writers and not reported by an earlier Drain
	Torn    int    // segments that ended in half a record or went bad in the middle
	Garbage int    // files that are no segment at all; left alone
	Losses  []Loss // cumulative, per writer that ever lost something
}

// Loss is the running total of one writer: adding it up twice can be told.
type Loss struct {
	Writer string // unique for all time: "<pid>-<random>"
	Total  uint64
}

// Drain hands every record in dir to fn, oldest first within a writer, and
// removes what fn took (returned nil). It stops at fn's first error and returns
// it; the record is delivered again by the next Drain (at least once, never
// silently lost). Writers may be active meanwhile. A missing dir is an empty
// one. Two Drains of one directory exclude each other: the second gets ErrBusy.
func Drain(dir string, fn func(rec []byte) error) (Report, error) { panic("todo") }
