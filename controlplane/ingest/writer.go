package ingest

import (
	"context"
	"time"

	"github.com/gabion-io/gabion/controlplane/store"
	"github.com/gabion-io/gabion/filters"
	"github.com/gabion-io/gabion/internal/exchange"
)

const (
	batchItems = 512
	batchAge   = 100 * time.Millisecond
)

// write moves the queue into the store in batches until ctx ends, and what is
// queued by then.
func (in *Ingest) write(ctx context.Context) {
	coverage := time.NewTicker(time.Second)
	defer coverage.Stop()
	for {
		select {
		case <-ctx.Done():
			last, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
			defer cancel()
			in.writeQueued(last)
			in.writeCoverage(last)
			return
		case f := <-in.flush:
			in.writeQueued(ctx)
			in.writeCoverage(ctx)
			close(f.done)
		case <-coverage.C:
			in.writeCoverage(ctx)
		case first := <-in.queue:
			in.writeBatch(ctx, in.gather(ctx, first))
		}
	}
}

// gather waits for more, a tenth of a second at most.
func (in *Ingest) gather(ctx context.Context, first item) []item {
	batch := append(make([]item, 0, batchItems), first)
	age := time.NewTimer(batchAge)
	defer age.Stop()
	for len(batch) < batchItems {
		select {
		case it := <-in.queue:
			batch = append(batch, it)
		case <-age.C:
			return batch
		case <-ctx.Done():
			return batch
		}
	}
	return batch
}

func (in *Ingest) writeQueued(ctx context.Context) {
	for {
		var batch []item
		for len(batch) < batchItems && len(in.queue) > 0 {
			batch = append(batch, <-in.queue)
		}
		if len(batch) == 0 {
			return
		}
		in.writeBatch(ctx, batch)
	}
}

// writeBatch stores a batch. Events first: they are what a person waits for.
// What the store refuses is counted; an event has its second way, the spool.
func (in *Ingest) writeBatch(ctx context.Context, batch []item) {
	ctx = context.WithoutCancel(ctx) // a batch taken from the queue is finished
	start := time.Now()
	var events []filters.Event
	var xs []exchange.Exchange
	for _, it := range batch {
		if it.event != nil {
			events = append(events, *it.event)
		}
		xs = append(xs, it.exchange)
		if it.observation != nil {
			in.o.Operations.Add(it.observation)
		}
	}
	if _, err := in.o.Sink.AddEvents(ctx, events); err != nil {
		in.warn("write events", err)
		in.metrics.lost.WithLabelValues("event").Add(float64(len(events)))
	} else {
		in.metrics.stored.WithLabelValues("event").Add(float64(len(events)))
	}
	if _, err := in.o.Sink.AddExchanges(ctx, xs); err != nil {
		in.warn("write exchanges", err)
		for _, it := range batch {
			in.lose(it.source, 1)
		}
	} else {
		in.metrics.stored.WithLabelValues("exchange").Add(float64(len(xs)))
	}
	in.metrics.seconds.Observe(time.Since(start).Seconds())
}

func (in *Ingest) lose(source string, n uint64) {
	in.coverage.add(store.CoverageDelta{Source: source, Lost: n})
	in.metrics.lost.WithLabelValues("entry").Add(float64(n))
}

// writeCoverage stores the counters; what cannot be stored now is added later.
func (in *Ingest) writeCoverage(ctx context.Context) {
	ds := in.coverage.take()
	if len(ds) == 0 {
		return
	}
	if err := in.o.Sink.AddCoverage(context.WithoutCancel(ctx), ds); err != nil {
		in.warn("write coverage", err)
		for _, d := range ds {
			in.coverage.add(d)
		}
	}
}
