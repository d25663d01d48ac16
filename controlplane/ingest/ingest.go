// Package ingest is the door for telemetry: Envoy's access log stream, the
// filter's spool of events and its sealed recordings come in; exchanges, events
// and coverage go to the store. Values stop here: paths are masked, query
// parameters keep their names only, client addresses become keyed hashes.
//
// It judges nothing and learns nothing. The composition root imports it.
package ingest

import (
	"context"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"

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

// Archive takes sealed batches; a *recording.Archive is one.
type Archive interface {
	Append(batch []byte) error
}

// Options wire an Ingest.
type Options struct {
	Sink            Sink
	ClientKey       []byte   // store.InstallationKey(ctx, "client")
	EventSpools     []string // directories filters append events to; watched
	RecordingSpools []string
	Archive         Archive // nil: recording spools are left alone
	Log             *slog.Logger
	Now             func() time.Time
	Registry        prometheus.Registerer // nil: no metrics
	Queue           int                   // entries waiting; default 16,384
	Poll            time.Duration         // of the spools; default 250 ms
}

// Ingest receives telemetry. Register it on a gRPC server and Run it.
type Ingest struct{}

func New(o Options) (*Ingest, error) { panic("todo") }

// Register adds the access log service (envoy.service.accesslog.v3) to a server.
func (in *Ingest) Register(g *grpc.Server) { panic("todo") }

// Run writes and drains until ctx ends; then it drains what is queued.
func (in *Ingest) Run(ctx context.Context) error { panic("todo") }

// Flush returns when everything received before is in the store.
func (in *Ingest) Flush(ctx context.Context) error { panic("todo") }

// SetSpools replaces the watched directories, as recordings and listeners come and go.
func (in *Ingest) SetSpools(events, recordings []string) { panic("todo") }
