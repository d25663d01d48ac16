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
// Files of one writer, whose id is "<start>-<pid>-<random>":
//
//	<id>.state       one page: the writer's counters and the reader's position;
//	                 locked (flock) for as long as the writer lives
//	<id>.<seq>.seg   records, in order of seq
//
// It knows nothing of what the records mean. Filters and ingest import it; it
// imports the standard library only.
package spool

import (
	"cmp"
	"errors"
	"time"
)

// MaxRecord is the longest record in bytes.
const MaxRecord = 16 << 20

// ErrBusy says that another Drain of the same directory is at work.
var ErrBusy = errors.New("spool is being drained by another reader")

// Options bound a Writer; the zero value of a field means its default.
type Options struct {
	MaxBytes     int64         // of all files in the directory; default 64 MiB
	SegmentBytes int64         // a segment is closed beyond this; default MaxBytes/8, at most 4 MiB
	SegmentAge   time.Duration // and when it is older; default 10 s
	FlushEvery   time.Duration // records reach the file within; default 50 ms
	QueueRecords int           // records waiting in memory; default 4096
	QueueBytes   int64         // bytes waiting in memory; default 32 MiB
	// Weight is what a record counts when it is lost; nil: 1. The reader's Drainer
	// has the same.
	Weight func(rec []byte) int
}

func (o Options) withDefaults() Options {
	o.MaxBytes = cmp.Or(o.MaxBytes, 64<<20)
	o.SegmentBytes = cmp.Or(o.SegmentBytes, min(o.MaxBytes/8, 4<<20))
	o.SegmentAge = cmp.Or(o.SegmentAge, 10*time.Second)
	o.FlushEvery = cmp.Or(o.FlushEvery, 50*time.Millisecond)
	o.QueueRecords = cmp.Or(o.QueueRecords, 4096)
	o.QueueBytes = cmp.Or(o.QueueBytes, 32<<20)
	return o
}

// Report is what one Drain did.
type Report struct {
	Records int    // delivered to the callback, which returned nil
	Bytes   int64  // of those
	Dropped uint64 // records lost by writers and not reported by an earlier Drain
	Torn    int    // segments that ended in half a record or went bad in the middle
	Garbage int    // files that are no part of a spool; left alone
}

// Loss is the running total of one writer, so that telling twice adds once.
type Loss struct {
	Writer string // unique for all time
	Total  uint64
}
