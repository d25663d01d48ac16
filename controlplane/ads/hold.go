package ads

import (
	"slices"
	"time"

	"github.com/gabion-io/gabion/controlplane/xds"
)

// holdAtMost bounds how long routes wait for clusters: a proxy that asks for no
// clusters at all still gets its routes.
const holdAtMost = 3 * time.Second

// held keeps listeners and routes back until the proxy has taken the clusters
// that they may refer to: a route to a cluster that is still warming is an
// error to every request (Envoy docs: xDS protocol, eventual consistency).
func (b *board) held(w *watch) bool {
	if w.typeURL != xds.ListenerType && w.typeURL != xds.RouteType || b.warm(w) {
		return false
	}
	now := time.Now()
	if w.heldUntil.IsZero() {
		w.heldUntil = now.Add(holdAtMost)
		time.AfterFunc(holdAtMost, func() {
			b.mu.Lock()
			defer b.mu.Unlock()
			if !b.closed && b.streams[w.stream][w.typeURL] == w {
				b.try(w)
			}
		})
	}
	return now.Before(w.heldUntil)
}

// warm reports whether the proxy on the watch's stream has accepted all clusters
// with their endpoints and secrets. A watch without an answer on its way has no
// news either, so there is nothing to remember but the watches.
func (b *board) warm(w *watch) bool {
	types := b.streams[w.stream]
	clusters, endpoints, secrets := types[xds.ClusterType], types[xds.EndpointType], types[xds.SecretType]
	if clusters == nil || clusters.answered || secrets != nil && secrets.answered || endpoints != nil && endpoints.answered {
		return false
	}
	refused := b.seen.refused(w.node, xds.ClusterType)
	for _, e := range b.offers[w.audience][xds.EndpointType] {
		if slices.Contains(refused, e.Name) {
			continue
		}
		if endpoints == nil || !endpoints.wants(e.Name) {
			return false
		}
	}
	return true
}
