// Package ingest is the door for telemetry: Envoy's access log stream, the
// filter's spool of events and its sealed recordings come in; exchanges, events
// and coverage go to the store. Values stop here: paths are masked, query
// parameters keep their names only, client addresses become keyed hashes (an
// event also keeps the network, /24 or /48, so that a person can tell an office
// from a data centre); user agents and header values are not kept.
//
// It judges nothing and learns nothing: observations, past the same door, go to
// who learns operations of them, and are stored nowhere here. The composition root imports it.
package ingest

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/gabion-io/gabion/controlplane/store"
	"github.com/gabion-io/gabion/filters"
	"github.com/gabion-io/gabion/internal/exchange"
)

// Sink is where telemetry goes; *store.Store is one.
type Sink interface {
	AddEvents(ctx context.Context, events []filters.Event) (int, error)
	AddExchanges(ctx context.Context, xs []exchange.Exchange) (int, error)
	AddCoverage(ctx context.Context, ds []store.CoverageDelta) error
}

// Operations takes what of an exchange tells which operations there are;
// *inventory.Inventory is one.
type Operations interface{ Add(*exchange.Observation) }

// Archive takes sealed batches; a *recording.Archive is one.
type Archive interface {
	Append(batch []byte) error
	Prune(now time.Time) error
}

// Options wire an Ingest.
type Options struct {
	Sink            Sink
	ClientKey       []byte       // store.InstallationKey(ctx, "client")
	Operations      Operations   // nil: nothing is learned of them
	OperationKey    exchange.Key // of the hashes in observations
	Twins           *Twins       // knows what agents tell of too; nil: it counts twice
	EventSpools     []string     // directories filters append events to; watched
	RecordingSpools []string
	Archive         Archive // nil: recording spools are left alone
	Log             *slog.Logger
	Now             func() time.Time
	Registry        prometheus.Registerer // nil: no metrics
	Queue           int                   // entries waiting; default 16,384
	Poll            time.Duration         // of the spools; default 250 ms
}

// Ingest receives telemetry. Register it on a gRPC server and Run it.
type Ingest struct {
	o        Options
	door     door
	queue    chan item
	flush    chan flushing
	coverage *tally
	metrics  *metrics
	seen     *recentSet // exchanges that ended: a repeated entry is a duplicate

	efforts *efforts

	spools []spoolDir
	drain  sync.Mutex // one pass at a time

	mu     sync.Mutex
	warned map[string]time.Time
}

// item is one access log entry past the door.
type item struct {
	source      string
	exchange    exchange.Exchange
	event       *filters.Event
	observation *exchange.Observation // of a stream that has ended, when operations are learned
}

// flushing asks the writer to write what was queued before and then say so.
type flushing struct{ done chan struct{} }

// New wires an Ingest; nothing runs yet.
func New(o Options) (*Ingest, error) {
	if o.Sink == nil || len(o.ClientKey) < 16 {
		return nil, errors.New("ingest needs a sink and a client key of 16 bytes or more")
	}
	o.Queue = cmp.Or(o.Queue, 16_384)
	o.Poll = cmp.Or(o.Poll, 250*time.Millisecond)
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	in := &Ingest{
		o: o, door: door{key: o.ClientKey, now: o.Now, operations: exchange.Door{Key: o.OperationKey, Names: new(exchange.Names)}}, queue: make(chan item, o.Queue), flush: make(chan flushing),
		coverage: newTally(), seen: newRecentSet(65_536), warned: map[string]time.Time{},
		efforts: &efforts{last: map[string]Effort{}},
	}
	in.metrics = newMetrics(o.Registry, func() float64 { return float64(len(in.queue)) })
	o.Twins.amends(in.enqueue)
	in.spools = spoolDirs(o.EventSpools, o.RecordingSpools)
	return in, nil
}

// Run writes and drains until ctx ends; then it writes what is queued.
func (in *Ingest) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	wg.Go(func() { in.watch(ctx) })
	wg.Go(func() { in.write(ctx) })
	wg.Wait()
	return nil
}

// Flush returns when everything received or spooled before is in the store. Run
// must be running.
func (in *Ingest) Flush(ctx context.Context) error {
	in.pass(ctx)
	f := flushing{make(chan struct{})}
	select {
	case in.flush <- f:
	case <-ctx.Done():
		return ctx.Err()
	}
	select {
	case <-f.done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// warn logs a lasting trouble once a minute, not once a batch.
func (in *Ingest) warn(what string, err error) {
	in.mu.Lock()
	last, now := in.warned[what], in.o.Now()
	again := now.Sub(last) >= time.Minute
	if again {
		in.warned[what] = now
	}
	in.mu.Unlock()
	if again {
		in.o.Log.Warn("telemetry is being lost or waits", "step", what, "error", err)
	}
}
