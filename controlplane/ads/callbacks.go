package ads

import (
	"context"

	"google.golang.org/grpc/peer"

	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	discovery "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"github.com/envoyproxy/go-control-plane/pkg/cache/v3"

	"github.com/gabion-io/gabion/controlplane/xds"
)

// callbacks tells the ledger what passes on the streams (sotw.Callbacks and
// delta.Callbacks).
type callbacks struct {
	ledger *ledger
	board  *board
}

func (c callbacks) OnStreamOpen(ctx context.Context, id int64, _ string) error {
	c.ledger.opened(streamKey{false, id}, addressOf(ctx))
	return nil
}

func (c callbacks) OnDeltaStreamOpen(ctx context.Context, id int64, _ string) error {
	c.ledger.opened(streamKey{true, id}, addressOf(ctx))
	return nil
}

func (c callbacks) OnStreamClosed(id int64, _ *core.Node)      { c.ledger.closed(streamKey{false, id}) }
func (c callbacks) OnDeltaStreamClosed(id int64, _ *core.Node) { c.ledger.closed(streamKey{true, id}) }

func (c callbacks) OnStreamRequest(id int64, r *discovery.DiscoveryRequest) error {
	c.answered(answer{
		stream: streamKey{false, id}, node: r.GetNode(), typeURL: r.GetTypeUrl(), nonce: r.GetResponseNonce(),
		refused: r.GetErrorDetail() != nil, problem: r.GetErrorDetail().GetMessage(),
	})
	return nil
}

func (c callbacks) OnStreamDeltaRequest(id int64, r *discovery.DeltaDiscoveryRequest) error {
	c.answered(answer{
		stream: streamKey{true, id}, node: r.GetNode(), typeURL: r.GetTypeUrl(), nonce: r.GetResponseNonce(),
		refused: r.GetErrorDetail() != nil, problem: r.GetErrorDetail().GetMessage(),
	})
	return nil
}

func (c callbacks) OnStreamResponse(_ context.Context, id int64, _ *discovery.DiscoveryRequest, r *discovery.DiscoveryResponse) {
	names := make([]string, 0, len(r.GetResources()))
	for _, a := range r.GetResources() {
		if m, err := a.UnmarshalNew(); err == nil {
			names = append(names, cache.GetResourceName(m))
		}
	}
	c.ledger.responded(r.GetTypeUrl(), sent{
		stream: streamKey{false, id}, nonce: r.GetNonce(), version: r.GetVersionInfo(), names: names,
	})
}

func (c callbacks) OnStreamDeltaResponse(id int64, _ *discovery.DeltaDiscoveryRequest, r *discovery.DeltaDiscoveryResponse) {
	names := append([]string(nil), r.GetRemovedResources()...)
	for _, res := range r.GetResources() {
		names = append(names, res.GetName())
	}
	c.ledger.responded(r.GetTypeUrl(), sent{
		stream: streamKey{true, id}, nonce: r.GetNonce(), version: r.GetSystemVersionInfo(), names: names,
	})
}

// answered passes an answer on and, for a refusal, finds who caused it.
func (c callbacks) answered(a answer) {
	l := c.ledger
	refusal, mended := l.answered(a)
	switch {
	case refusal != nil:
		refusal.Causes = xds.Blame(c.board.current(), refusal.TypeURL, refusal.Resources, refusal.Message)
		l.blamed(*refusal)
		l.log.Warn("proxy refused configuration",
			"node", refusal.Node, "type", refusal.TypeURL, "resources", refusal.Resources, "error", refusal.Message)
		if l.onNack != nil {
			l.onNack(*refusal)
		}
	case mended && l.onMend != nil:
		l.onMend()
	}
}

// addressOf is the peer's address; Unix sockets have none worth showing.
func addressOf(ctx context.Context) string {
	p, ok := peer.FromContext(ctx)
	if !ok || p.Addr == nil {
		return ""
	}
	if p.Addr.Network() == "unix" {
		return "unix"
	}
	return p.Addr.String()
}
