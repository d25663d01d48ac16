// Package hubble speaks Hubble's observer protocol, so that the `hubble` command
// line, and what else talks to Hubble, lists gabion's flows.
//
// It is a view of the stored flows and holds nothing of its own. It is no Cilium
// agent: what gabion does not know of a flow stays empty, and a filter by it is an
// error, never ignored. Of Cilium it needs two generated packages and nothing
// else. Only cmd imports it.
//
// A flow of Hubble's is a packet or a connection. One of gabion's is what a
// workload's flows with one peer came to in a few seconds (store.Flow), judged at
// one end, replies included; its Summary counts them.
package hubble

import (
	"cmp"
	"context"
	"fmt"
	"net/netip"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/status"

	"github.com/cilium/cilium/api/v1/observer"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/gabion-io/gabion/controlplane/store"
	"github.com/gabion-io/gabion/workload"
)

// Limits: of what one caller may send, and of what all may make us do at once.
const (
	maxRequest  = 64 << 10
	maxStreams  = 16 // of one connection
	maxReaders  = 32 // GetFlows at once
	handshake   = 20 * time.Second
	pingAfter   = 30 * time.Second
	pingTimeout = 10 * time.Second
)

// Options are what a Server needs. Store, Addresses, Nodes and Now are required.
type Options struct {
	Store *store.Store
	// Addresses are those that a workload has now; flows are stored by workload.
	Addresses func(workload.ID) []netip.Addr
	Nodes     func(context.Context) ([]Node, error)
	Admit     Admit  // nil: whoever reaches the listener may read
	Version   string // gabion's
	Encrypted bool   // the listener speaks TLS
	Now       func() time.Time
	Again     time.Duration // between two looks at the token of who follows; default 15 s
}

// Node is a host by what its agent reported.
type Node struct {
	Name  string
	Since time.Time // of the first report; zero: it never reported
	Here  bool      // it reports
	Rows  uint64
}

// Server answers; register it on a gRPC server made with its ServerOptions.
type Server struct {
	observer.UnimplementedObserverServer
	o       Options
	began   time.Time
	readers chan struct{}
}

// New makes a server, which starts nothing.
func New(o Options) *Server {
	o.Again = cmp.Or(o.Again, 15*time.Second)
	return &Server{o: o, began: o.Now(), readers: make(chan struct{}, maxReaders)}
}

// ServerOptions bound what callers may do, and admit them.
func (s *Server) ServerOptions() []grpc.ServerOption {
	return []grpc.ServerOption{
		grpc.MaxRecvMsgSize(maxRequest), grpc.MaxConcurrentStreams(maxStreams), grpc.ConnectionTimeout(handshake),
		grpc.KeepaliveParams(keepalive.ServerParameters{Time: pingAfter, Timeout: pingTimeout}),
		grpc.UnaryInterceptor(func(ctx context.Context, req any, _ *grpc.UnaryServerInfo, next grpc.UnaryHandler) (any, error) {
			if err := s.admit(ctx); err != nil {
				return nil, err
			}
			return next(ctx, req)
		}),
		grpc.StreamInterceptor(func(srv any, stream grpc.ServerStream, _ *grpc.StreamServerInfo, next grpc.StreamHandler) error {
			if err := s.admit(stream.Context()); err != nil {
				return err
			}
			return next(srv, stream)
		}),
	}
}

// Register adds the observer and the health check that `hubble status` asks first.
func (s *Server) Register(g *grpc.Server) {
	observer.RegisterObserverServer(g, s)
	grpc_health_v1.RegisterHealthServer(g, serving{})
}

// serving is the health of whoever answers at all.
type serving struct {
	grpc_health_v1.UnimplementedHealthServer
}

func (serving) Check(_ context.Context, in *grpc_health_v1.HealthCheckRequest) (*grpc_health_v1.HealthCheckResponse, error) {
	switch in.GetService() {
	case "", "hubble.server.Observer", observer.Observer_ServiceDesc.ServiceName:
		return &grpc_health_v1.HealthCheckResponse{Status: grpc_health_v1.HealthCheckResponse_SERVING}, nil
	}
	return nil, status.Errorf(codes.NotFound, "no service %q is served here", in.GetService())
}

// ServerStatus counts flows and hosts. MaxFlows stays 0: the store is bounded by
// bytes and age, not by a number of flows.
func (s *Server) ServerStatus(ctx context.Context, _ *observer.ServerStatusRequest) (*observer.ServerStatusResponse, error) {
	now := s.o.Now()
	count, err := s.o.Store.CountFlows(ctx, now.Add(-time.Minute))
	if err != nil {
		return nil, internal(ctx, err)
	}
	nodes, err := s.o.Nodes(ctx)
	if err != nil {
		return nil, internal(ctx, err)
	}
	out := &observer.ServerStatusResponse{
		NumFlows: count.Kept, SeenFlows: count.Ever, FlowsRate: float64(count.Recent) / time.Minute.Seconds(),
		UptimeNs: uint64(now.Sub(s.began)), Version: "gabion " + s.o.Version,
	}
	var here, away uint32
	for _, n := range nodes {
		if n.Here {
			here++
			continue
		}
		away++
		out.UnavailableNodes = append(out.UnavailableNodes, n.Name)
	}
	out.NumConnectedNodes, out.NumUnavailableNodes = wrapperspb.UInt32(here), wrapperspb.UInt32(away)
	return out, nil
}

// GetAgentEvents says what to do instead.
func (s *Server) GetAgentEvents(*observer.GetAgentEventsRequest, grpc.ServerStreamingServer[observer.GetAgentEventsResponse]) error {
	return status.Error(codes.Unimplemented, "gabion has no events of Cilium's agent: its own are in the log of gabion-agent, changes of resources in `gabion audit list`")
}

// GetDebugEvents says what to do instead.
func (s *Server) GetDebugEvents(*observer.GetDebugEventsRequest, grpc.ServerStreamingServer[observer.GetDebugEventsResponse]) error {
	return status.Error(codes.Unimplemented, "gabion has no debug events of Cilium's datapath")
}

// internal hides what is not the caller's doing; the store has logged or counted it.
func internal(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return status.FromContextError(ctx.Err()).Err()
	}
	return status.Error(codes.Internal, fmt.Sprintf("flows cannot be read: %v", err))
}

// invalid is a caller's mistake.
func invalid(format string, args ...any) error {
	return status.Errorf(codes.InvalidArgument, format, args...)
}
