// Package hosts serves each host what it is to enforce: the workloads on it, the
// policies that govern them, and those these speak of, over one stream of Envoy's
// discovery protocol (delta, aggregated) with gabion's own type. Who asks is read
// from the certificate of the connection; what a request says about it is compared
// and never believed. It remembers what each host accepted and refused.
//
// It does not decide what a host needs (controlplane/segment does) nor who a host
// is (controlplane/identity). The control plane's composition imports it.
package hosts

import (
	"context"
	"log/slog"
	"sync"
	"time"

	discovery "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"

	"github.com/gabion-io/gabion/controlplane/api/v1alpha1"
	"github.com/gabion-io/gabion/controlplane/identity"
	"github.com/gabion-io/gabion/controlplane/segment"
)

// Options configure a Server. Identify is required.
type Options struct {
	// Identify says which host is calling; its error, a gRPC status, ends the call.
	Identify func(context.Context) (identity.Host, error)
	// OnChange is called, on no lock, when conditions may have changed: a host
	// refused, accepted after it refused, came or went. It must not block.
	OnChange func()
	This     string // the one machine there is, for workloads that name none; empty: there are several
	Log      *slog.Logger
	Now      func() time.Time
	Metrics  prometheus.Registerer // nil: nowhere
}

// Server is safe for concurrent use.
type Server struct {
	o     Options
	count *metrics

	mu       sync.Mutex
	resource *segment.Hosts   // nil: nothing was published yet, and hosts wait
	views    map[string]*view // by host, of those that are asked for
	texts    texts
	hosts    map[string]*record
	streams  map[*stream]bool
}

// New returns a server that has nothing yet: hosts that connect wait.
func New(o Options) *Server {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.OnChange == nil {
		o.OnChange = func() {}
	}
	return &Server{o: o, count: newMetrics(o.Metrics), views: map[string]*view{}, hosts: map[string]*record{}, streams: map[*stream]bool{}}
}

// Register adds the aggregated discovery service to a gRPC server.
func (s *Server) Register(g *grpc.Server) {
	discovery.RegisterAggregatedDiscoveryServiceServer(g, aggregated{Server: s})
}

// Publish replaces what hosts are served. Those for whom nothing changed are not
// told.
func (s *Server) Publish(objects []v1alpha1.Object, compiled segment.Result) {
	resources := segment.NewHosts(objects, compiled, s.o.This)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.resource = resources
	s.views = map[string]*view{}
	s.texts.turn()
	for st := range s.streams {
		st.wake()
	}
}

// view is what a host is to have now; nil while nothing was published.
func (s *Server) view(host string) *view {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.viewLocked(host)
}

func (s *Server) viewLocked(host string) *view {
	if s.resource == nil {
		return nil
	}
	v := s.views[host]
	if v == nil {
		v = s.texts.view(s.resource.Need(host), s.o.Log)
		s.views[host] = v
	}
	return v
}
