package compile

import (
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/gabion-io/gabion/controlplane/api/v1alpha1"
	"github.com/gabion-io/gabion/controlplane/source"
)

// index is a Set by kind, each in key order.
type index struct {
	set        source.Set
	gateways   []*gatewayv1.Gateway
	httpRoutes []*gatewayv1.HTTPRoute
	grpcRoutes []*gatewayv1.GRPCRoute
	grants     []*gatewayv1.ReferenceGrant
	backendTLS []*gatewayv1.BackendTLSPolicy
	services   []*corev1.Service
	slices     map[v1alpha1.Key][]*discoveryv1.EndpointSlice // by Service
	namespaces map[string]map[string]string                  // labels
	created    map[v1alpha1.Key]time.Time
}

func newIndex(set source.Set) *index {
	ix := &index{
		set:        set,
		slices:     map[v1alpha1.Key][]*discoveryv1.EndpointSlice{},
		namespaces: map[string]map[string]string{},
		created:    map[v1alpha1.Key]time.Time{},
	}
	for _, item := range set.Items() {
		ix.created[item.Key()] = created(item)
		switch o := item.Object.(type) {
		case *gatewayv1.Gateway:
			ix.gateways = append(ix.gateways, o)
		case *gatewayv1.HTTPRoute:
			ix.httpRoutes = append(ix.httpRoutes, o)
		case *gatewayv1.GRPCRoute:
			ix.grpcRoutes = append(ix.grpcRoutes, o)
		case *gatewayv1.ReferenceGrant:
			ix.grants = append(ix.grants, o)
		case *gatewayv1.BackendTLSPolicy:
			ix.backendTLS = append(ix.backendTLS, o)
		case *corev1.Service:
			ix.services = append(ix.services, o)
		case *discoveryv1.EndpointSlice:
			k := v1alpha1.Key{Kind: v1alpha1.KindService, Namespace: o.Namespace, Name: o.Labels[discoveryv1.LabelServiceName]}
			ix.slices[k] = append(ix.slices[k], o)
		case *corev1.Namespace:
			ix.namespaces[o.Name] = o.Labels
		}
	}
	return ix
}

// created is when a resource began: what its own metadata say, else its source.
// What flags generate is older than anything written.
func created(item source.Item) time.Time {
	if item.Origin == source.Flags {
		return time.Time{}
	}
	if t := item.Object.GetCreationTimestamp(); !t.IsZero() {
		return t.Time
	}
	return item.Created
}

// lookup finds a resource of a known type.
func lookup[T v1alpha1.Object](ix *index, kind, namespace, name string) (T, bool) {
	item, ok := ix.set.Get(v1alpha1.Key{Kind: kind, Namespace: namespace, Name: name})
	if !ok {
		var none T
		return none, false
	}
	o, ok := item.Object.(T)
	return o, ok
}

// has says whether a resource exists.
func (ix *index) has(k v1alpha1.Key) bool {
	_, ok := ix.set.Get(k)
	return ok
}

// older orders routes and policies the Gateway API's way: by age, then by name.
func (ix *index) older(a, b v1alpha1.Key) int {
	if c := ix.created[a].Compare(ix.created[b]); c != 0 {
		return c
	}
	return a.Compare(b)
}

// generated says whether flags made a resource: whoever writes another one means
// to replace it, so that is no conflict.
func (ix *index) generated(k v1alpha1.Key) bool {
	item, ok := ix.set.Get(k)
	return ok && item.Origin == source.Flags
}
