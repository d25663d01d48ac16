package hosts

import (
	"context"
	"slices"
	"strconv"
	"time"

	discovery "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"

	"github.com/gabion-io/gabion/controlplane/identity"
	"github.com/gabion-io/gabion/segmentation"
)

// aggregated is the gRPC service. State of the world is not served: its message
// would carry all of it for each change.
type aggregated struct {
	discovery.UnimplementedAggregatedDiscoveryServiceServer
	*Server
}

// DeltaAggregatedResources serves one host until its certificate ends; by then it
// has a new one, and another stream under it.
func (a aggregated) DeltaAggregatedResources(g discovery.AggregatedDiscoveryService_DeltaAggregatedResourcesServer) error {
	host, err := a.o.Identify(g.Context())
	if err != nil {
		return err
	}
	s, err := a.open(host, addressOf(g.Context()))
	if err != nil {
		return err
	}
	defer a.close(s)
	// Tells the host that it is served, before there is anything to send.
	if err := g.SendHeader(nil); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(g.Context())
	defer cancel()
	requests, ended := receive(ctx, g)
	life := time.NewTimer(host.Ends.Sub(a.o.Now()))
	defer life.Stop()
	for {
		select {
		case <-life.C:
			return status.Error(codes.Unauthenticated, "the certificate of this connection has ended")
		case err := <-ended:
			return err
		case r := <-requests:
			if err := a.hear(s, r); err != nil {
				return err
			}
		case <-s.news:
		}
		if r := a.next(s); r != nil {
			if err := g.Send(r); err != nil {
				return err
			}
		}
	}
}

// receive reads a stream in the background, one message ahead at most.
func receive(ctx context.Context, g discovery.AggregatedDiscoveryService_DeltaAggregatedResourcesServer) (<-chan *discovery.DeltaDiscoveryRequest, <-chan error) {
	requests, ended := make(chan *discovery.DeltaDiscoveryRequest), make(chan error, 1)
	go func() {
		for {
			r, err := g.Recv()
			if err != nil {
				ended <- err
				return
			}
			select {
			case requests <- r:
			case <-ctx.Done():
				return
			}
		}
	}()
	return requests, ended
}

// stream is one of a host's, for the goroutine that serves it.
type stream struct {
	host       identity.Host
	news       chan struct{} // something was published
	subscribed bool
	greeted    bool
	have       map[string]string // versions that the host accepted, by name
	pending    *sent
	refused    string // the version of all that the host said no to last
	nonce      uint64
}

// sent is a response that waits for its answer.
type sent struct {
	nonce   string
	version string
	names   []string
	next    map[string]string // what the host has if it accepts
}

func (s *stream) wake() {
	select {
	case s.news <- struct{}{}:
	default:
	}
}

// maxNames bounds what a host may say that it has: ten times what fits into one
// response.
const maxNames = 1_000_000

// hear takes a request in.
func (a *Server) hear(s *stream, r *discovery.DeltaDiscoveryRequest) error {
	if id := r.GetNode().GetId(); id != "" && id != s.host.Name {
		a.o.Log.Warn("a host asks as another one", "host", s.host.Name, "as", id)
		return status.Errorf(codes.PermissionDenied, "this certificate is of host %s, which cannot ask as %q", s.host.Name, id)
	}
	if r.GetTypeUrl() != segmentation.PolicyResource {
		return status.Errorf(codes.InvalidArgument, "only %s is served here, not %q", segmentation.PolicyResource, r.GetTypeUrl())
	}
	if slices.ContainsFunc(r.GetResourceNamesSubscribe(), func(n string) bool { return n != "*" }) || len(r.GetResourceNamesUnsubscribe()) > 0 {
		return status.Error(codes.InvalidArgument, "a host gets all that it needs: subscribe to *")
	}
	if !s.subscribed {
		if len(r.GetInitialResourceVersions()) > maxNames {
			return status.Error(codes.InvalidArgument, "too many initial versions")
		}
		s.subscribed, s.have = true, r.GetInitialResourceVersions()
		return nil
	}
	p := s.pending
	if p == nil || r.GetResponseNonce() != p.nonce {
		return nil // an answer to what was answered, or nothing new
	}
	s.pending = nil
	if e := r.GetErrorDetail(); e != nil {
		s.refused = p.version
		a.nacked(s, p, e)
		return nil
	}
	s.have, s.refused = p.next, ""
	a.accepted(s.host.Name, p.version)
	return nil
}

// next is what is to be sent now; nil if there is nothing, or an answer is awaited.
// A host takes a response whole or not at all, so after a refusal the next one
// begins at what it had before.
func (a *Server) next(s *stream) *discovery.DeltaDiscoveryResponse {
	if !s.subscribed || s.pending != nil {
		return nil
	}
	v := a.view(s.host.Name)
	if v == nil || v.version == s.refused {
		return nil
	}
	changed, removed := v.since(s.have)
	// A host that knows nothing is answered even with nothing: it waits to hear. So is
	// one that refused something, when that is not asked of it any more: it may come again.
	if len(changed)+len(removed) == 0 && (s.greeted || len(s.have) > 0) && !a.refuses(s.host.Name) {
		a.accepted(s.host.Name, v.version)
		return nil
	}
	s.greeted = true
	s.nonce++
	p := &sent{nonce: strconv.FormatUint(s.nonce, 10), version: v.version, next: v.versions(), names: removed}
	for _, r := range changed {
		p.names = append(p.names, r.Name)
	}
	s.pending = p
	a.sent(s.host.Name)
	a.count.responses.Inc()
	return &discovery.DeltaDiscoveryResponse{
		SystemVersionInfo: v.version, TypeUrl: segmentation.PolicyResource, Nonce: p.nonce,
		Resources: changed, RemovedResources: removed,
	}
}

func addressOf(ctx context.Context) string {
	p, ok := peer.FromContext(ctx)
	if !ok || p.Addr == nil {
		return ""
	}
	if p.Addr.Network() == "unix" { // the peer's end has no name
		return "unix"
	}
	return p.Addr.String()
}
