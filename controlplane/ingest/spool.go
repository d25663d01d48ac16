package ingest

import (
	"context"
	"errors"
	"time"

	"github.com/gabion-io/gabion/controlplane/store"
	"github.com/gabion-io/gabion/filters"
	"github.com/gabion-io/gabion/internal/recording"
	"github.com/gabion-io/gabion/internal/spool"
)

// spoolDir is a watched directory.
type spoolDir struct {
	dir       string
	recording bool
}

// Names of the spools as sources of coverage. The second receives sealed batches
// and counts exchanges: those in what it received, and those that were lost.
const (
	sourceSpool     = "spool"
	sourceRecording = "recording"
)

// spoolDirs lists the watched directories, events first.
func spoolDirs(events, recordings []string) (dirs []spoolDir) {
	for _, d := range events {
		dirs = append(dirs, spoolDir{dir: d})
	}
	for _, d := range recordings {
		dirs = append(dirs, spoolDir{dir: d, recording: true})
	}
	return dirs
}

// watch drains every spool at each tick. Polling asks for nothing but a readable
// directory, which the filter may make later than we start.
func (in *Ingest) watch(ctx context.Context) {
	poll := time.NewTicker(in.o.Poll)
	defer poll.Stop()
	prune := time.NewTicker(time.Minute)
	defer prune.Stop()
	for {
		in.pass(ctx)
		select {
		case <-ctx.Done():
			return
		case <-poll.C:
		case <-prune.C:
			if in.o.Archive != nil {
				if err := in.o.Archive.Prune(in.o.Now()); err != nil {
					in.warn("prune recordings", err)
				}
			}
		}
	}
}

// pass drains every spool once.
func (in *Ingest) pass(ctx context.Context) {
	in.drain.Lock()
	defer in.drain.Unlock()
	for _, d := range in.spools {
		if ctx.Err() != nil {
			return
		}
		if d.recording && in.o.Archive == nil {
			continue
		}
		source, take := sourceSpool, in.takeEvents
		var weight func([]byte) int
		if d.recording {
			source, take, weight = sourceRecording, in.takeRecordings, recording.Count
		}
		report, err := spool.Drainer{
			Weight:  weight,
			Records: func(recs [][]byte) error { return take(ctx, recs) },
			Loss: func(l spool.Loss) error {
				return in.o.Sink.AddCoverage(ctx, []store.CoverageDelta{{Source: source, Writer: l.Writer, WriterLost: l.Total}})
			},
		}.Drain(d.dir)
		in.metrics.received.WithLabelValues(source).Add(float64(report.Records))
		in.metrics.lost.WithLabelValues(source).Add(float64(report.Dropped))
		if report.Torn > 0 {
			in.garbage(source, source, report.Torn)
		}
		if err != nil && !errors.Is(err, spool.ErrBusy) && ctx.Err() == nil {
			in.warn("drain "+source, err)
		}
	}
}

// takeEvents stores spooled events. An error leaves them in the spool, whose own
// bound then decides what is lost; what cannot be read will never be, and goes.
func (in *Ingest) takeEvents(ctx context.Context, recs [][]byte) error {
	var events []filters.Event
	bad := 0
	for _, rec := range recs {
		e, err := decodeEvent(rec)
		if err != nil {
			bad++
			continue
		}
		in.door.spooled(e)
		events = append(events, *e)
	}
	added, err := in.o.Sink.AddEvents(ctx, events)
	if err != nil {
		return err
	}
	if bad > 0 {
		in.metrics.garbage.WithLabelValues("event").Add(float64(bad))
	}
	in.metrics.stored.WithLabelValues("event").Add(float64(added))
	in.coverage.add(store.CoverageDelta{Source: sourceSpool, Received: uint64(len(events)),
		Duplicates: uint64(len(events) - added), Garbage: uint64(bad)})
	return nil
}

// takeRecordings moves sealed batches into the archive.
func (in *Ingest) takeRecordings(_ context.Context, recs [][]byte) error {
	bad, exchanges := 0, 0
	for _, rec := range recs {
		err := in.o.Archive.Append(rec)
		if errors.Is(err, recording.ErrBatch) {
			bad++
		} else if err != nil {
			return err
		} else {
			exchanges += recording.Count(rec)
		}
	}
	in.coverage.add(store.CoverageDelta{Source: sourceRecording, Received: uint64(exchanges), Garbage: uint64(bad)})
	return nil
}
