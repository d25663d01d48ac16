package ads

import (
	"context"
	"maps"
	"slices"
	"time"

	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	discovery "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"github.com/envoyproxy/go-control-plane/pkg/cache/v3"

	"github.com/gabion-io/gabion/controlplane/xds"
)

// streamRef tells streams apart: the channel on which a stream is answered.
type streamRef any

// watch is what one stream wants of one type.
type watch struct {
	id        uint64
	stream    streamRef
	node      nodeKey
	audience  audience
	typeURL   string
	sub       cache.Subscription
	first     bool      // of its type on its stream
	answered  bool      // an answer is on its way; the proxy's next word makes a new watch
	heldUntil time.Time // see hold.go
	// answer sends what is new in the list and reports whether it did. The board
	// calls it under its lock; the channel has room for one answer per watch.
	answer func(list []xds.Resource) bool
}

func newWatch(stream streamRef, node *core.Node, typeURL, nonce string, sub cache.Subscription) *watch {
	return &watch{
		stream: stream, node: keyOf(node), audience: audienceOf(node),
		typeURL: typeURL, sub: sub, first: nonce == "",
	}
}

// version is the content hash of what of the list is subscribed to.
func (w *watch) version(list []xds.Resource) string { return xds.VersionOf(subscribed(list, w.sub)) }

// wants reports whether a resource is subscribed to by name.
func (w *watch) wants(name string) bool {
	_, ok := w.sub.SubscribedResources()[name]
	return ok || w.sub.IsWildcard()
}

// stateWatch answers with all subscribed resources when any of them changed. The
// version is a hash of exactly what is sent, so a node that reconnects with the
// version it has needs no answer, and one that has less gets one.
func stateWatch(r *cache.Request, sub cache.Subscription, out chan cache.Response) *watch {
	w := newWatch(out, r.GetNode(), r.GetTypeUrl(), r.GetResponseNonce(), sub)
	known := r.GetVersionInfo()
	if !w.first {
		// What was last sent, refused or not: sending a refused version again
		// would be refused again.
		known = versionOfMap(sub.ReturnedResources())
	}
	w.answer = func(list []xds.Resource) bool {
		chosen := subscribed(list, sub)
		version := xds.VersionOf(chosen)
		if version == known || len(chosen) == 0 && !sub.IsWildcard() {
			return false
		}
		out <- &stateResponse{request: r, version: version, resources: chosen}
		return true
	}
	return w
}

func subscribed(list []xds.Resource, sub cache.Subscription) []xds.Resource {
	if sub.IsWildcard() {
		return list
	}
	var out []xds.Resource
	for _, name := range slices.Sorted(maps.Keys(sub.SubscribedResources())) {
		if r, ok := find(list, name); ok {
			out = append(out, r)
		}
	}
	return out
}

func versionOfMap(versions map[string]string) string {
	var list []xds.Resource
	for _, name := range slices.Sorted(maps.Keys(versions)) {
		list = append(list, xds.Resource{Name: name, Version: versions[name]})
	}
	return xds.VersionOf(list)
}

// deltaWatch answers with the subscribed resources that changed, and the names
// of those that are gone.
func deltaWatch(r *cache.DeltaRequest, sub cache.Subscription, out chan cache.DeltaResponse) *watch {
	w := newWatch(out, r.GetNode(), r.GetTypeUrl(), r.GetResponseNonce(), sub)
	// Envoy starts only when its wildcard subscriptions were answered, even if
	// there is nothing; one that knows resources already has started.
	greet := w.first && sub.IsWildcard() && len(r.GetInitialResourceVersions()) == 0
	w.answer = func(list []xds.Resource) bool {
		known := sub.ReturnedResources()
		next := map[string]string{}
		var changed []xds.Resource
		for _, res := range subscribed(list, sub) {
			next[res.Name] = res.Version
			if known[res.Name] != res.Version {
				changed = append(changed, res)
			}
		}
		var removed []string
		for _, name := range slices.Sorted(maps.Keys(known)) {
			_, wanted := sub.SubscribedResources()[name]
			if _, there := next[name]; !there && (wanted || sub.IsWildcard()) {
				removed = append(removed, name)
			}
		}
		if len(changed)+len(removed) == 0 && !greet {
			return false
		}
		out <- &deltaResponse{request: r, version: w.version(list), changed: changed, removed: removed, next: next}
		return true
	}
	return w
}

// stateResponse implements cache.Response.
type stateResponse struct {
	request   *cache.Request
	version   string
	resources []xds.Resource
}

func (s *stateResponse) GetDiscoveryResponse() (*discovery.DiscoveryResponse, error) {
	out := &discovery.DiscoveryResponse{VersionInfo: s.version, TypeUrl: s.request.GetTypeUrl()}
	for _, r := range s.resources {
		out.Resources = append(out.Resources, r.Any)
	}
	return out, nil
}

func (s *stateResponse) GetRequest() *discovery.DiscoveryRequest { return s.request }
func (s *stateResponse) GetVersion() (string, error)             { return s.version, nil }
func (s *stateResponse) GetResponseVersion() string              { return s.version }
func (s *stateResponse) GetContext() context.Context             { return context.Background() }
func (s *stateResponse) GetReturnedResources() map[string]string {
	out := map[string]string{}
	for _, r := range s.resources {
		out[r.Name] = r.Version
	}
	return out
}

// deltaResponse implements cache.DeltaResponse.
type deltaResponse struct {
	request *cache.DeltaRequest
	version string
	changed []xds.Resource
	removed []string
	next    map[string]string
}

func (d *deltaResponse) GetDeltaDiscoveryResponse() (*discovery.DeltaDiscoveryResponse, error) {
	out := &discovery.DeltaDiscoveryResponse{
		SystemVersionInfo: d.version,
		TypeUrl:           d.request.GetTypeUrl(),
		RemovedResources:  d.removed,
	}
	for _, r := range d.changed {
		out.Resources = append(out.Resources, &discovery.Resource{Name: r.Name, Version: r.Version, Resource: r.Any})
	}
	return out, nil
}

func (d *deltaResponse) GetDeltaRequest() *discovery.DeltaDiscoveryRequest { return d.request }
func (d *deltaResponse) GetSystemVersion() (string, error)                 { return d.version, nil }
func (d *deltaResponse) GetResponseVersion() string                        { return d.version }
func (d *deltaResponse) GetNextVersionMap() map[string]string              { return d.next }
func (d *deltaResponse) GetReturnedResources() map[string]string           { return d.next }
func (d *deltaResponse) GetContext() context.Context                       { return context.Background() }
