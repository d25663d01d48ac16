// Package ads serves xds snapshots to Envoys and filters: aggregated discovery,
// delta and state of the world, over gRPC. It remembers per proxy and type what
// was sent, accepted and refused.
//
// It does not make snapshots (controlplane/xds does) and turns no refusal into a
// condition (controlplane/reconcile does, by Nacks). Only the control plane's
// composition and reconcile import it.
package ads

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"
	"google.golang.org/grpc/keepalive"

	discovery "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"github.com/envoyproxy/go-control-plane/pkg/resource/v3"
	"github.com/envoyproxy/go-control-plane/pkg/server/delta/v3"
	"github.com/envoyproxy/go-control-plane/pkg/server/sotw/v3"

	"github.com/gabion-io/gabion/controlplane/ir"
	"github.com/gabion-io/gabion/controlplane/xds"
	"github.com/gabion-io/gabion/internal/unixsocket"
)

// Options configure a Server. The zero value works.
type Options struct {
	Log    *slog.Logger
	Now    func() time.Time
	Linger time.Duration // how long a removed resource is still served (make before break); 0: 60 s; < 0: not at all
	OnNack func(Nack)    // called, on no lock, for every refusal; must not block
	OnMend func()        // called, on no lock, when a proxy accepts what mends a refusal; must not block
	// Metrics is where the server's figures are registered; nil: nowhere.
	Metrics prometheus.Registerer
}

const defaultLinger = time.Minute

// Server holds the current snapshot and the state of every proxy.
type Server struct {
	log   *slog.Logger
	board *board
	seen  *ledger
	sotw  sotw.Server
	delta delta.Server
	end   context.CancelFunc
}

// NewServer returns a Server with no snapshot: proxies that connect wait.
func NewServer(o Options) *Server {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Linger == 0 {
		o.Linger = defaultLinger
	}
	ctx, end := context.WithCancel(context.Background())
	seen := newLedger(o)
	b := newBoard(max(o.Linger, 0), seen)
	c := callbacks{ledger: seen, board: b}
	return &Server{
		log:   o.Log,
		board: b,
		seen:  seen,
		sotw:  sotw.NewServer(ctx, b, c, sotw.WithOrderedADS()),
		delta: delta.NewServer(ctx, b, c),
		end:   end,
	}
}

// SetSnapshot replaces what is served. Resources with equal content are not
// pushed again. What the new snapshot lacks is served on for Options.Linger
// (listeners excepted), so that nothing loses what it still refers to.
func (s *Server) SetSnapshot(snap *xds.Snapshot) error {
	if snap == nil {
		return fmt.Errorf("set snapshot: none given")
	}
	s.board.set(snap)
	return nil
}

// SetEndpoints is the fast path: it replaces endpoints of the named clusters in
// the current snapshot and pushes EDS only.
func (s *Server) SetEndpoints(endpoints map[string][]ir.Endpoint) error {
	return s.board.update(func(old *xds.Snapshot) (*xds.Snapshot, error) {
		if old == nil {
			return nil, fmt.Errorf("set endpoints: no snapshot yet")
		}
		return old.WithEndpoints(endpoints)
	})
}

// Snapshot is what is served now; nil before the first SetSnapshot.
func (s *Server) Snapshot() *xds.Snapshot { return s.board.current() }

// Register adds the aggregated discovery service to a gRPC server.
func (s *Server) Register(g *grpc.Server) {
	discovery.RegisterAggregatedDiscoveryServiceServer(g, aggregated{s})
}

// aggregated is the gRPC service.
type aggregated struct{ *Server }

func (a aggregated) StreamAggregatedResources(stream discovery.AggregatedDiscoveryService_StreamAggregatedResourcesServer) error {
	return a.sotw.StreamHandler(stream, resource.AnyType)
}

func (a aggregated) DeltaAggregatedResources(stream discovery.AggregatedDiscoveryService_DeltaAggregatedResourcesServer) error {
	return a.delta.DeltaStreamHandler(stream, resource.AnyType)
}

// Close ends every stream. Proxies keep their configuration and reconnect.
func (s *Server) Close() {
	s.end()
	s.board.close()
}

// graceful is how long streams may take to end once asked to.
const graceful = 2 * time.Second

// Serve listens on a Unix socket until the context ends, then closes the streams.
func (s *Server) Serve(ctx context.Context, socket string) error {
	l, err := unixsocket.Listen(socket)
	if err != nil {
		return err
	}
	g := grpc.NewServer(ServerOptions()...)
	s.Register(g)
	s.log.Info("discovery service listening", "socket", socket)

	failed := make(chan error, 1)
	go func() { failed <- g.Serve(l) }()
	select {
	case err := <-failed:
		return fmt.Errorf("serve discovery on %s: %w", socket, err)
	case <-ctx.Done():
	}
	s.Close()
	cut := time.AfterFunc(graceful, g.Stop)
	defer cut.Stop()
	g.GracefulStop()
	<-failed
	return nil
}

// ServerOptions are what gabion's gRPC servers for proxies have in common: dead
// peers are noticed, a peer can hold only so many streams, messages are bounded.
func ServerOptions() []grpc.ServerOption {
	return []grpc.ServerOption{
		grpc.MaxConcurrentStreams(1000),
		grpc.MaxRecvMsgSize(16 << 20),
		grpc.KeepaliveParams(keepalive.ServerParameters{Time: 30 * time.Second, Timeout: 10 * time.Second}),
		grpc.KeepaliveEnforcementPolicy(keepalive.EnforcementPolicy{MinTime: 10 * time.Second, PermitWithoutStream: true}),
	}
}
