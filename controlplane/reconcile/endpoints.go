package reconcile

import (
	"reflect"
	"slices"

	"github.com/gabion-io/gabion/controlplane/ir"
)

// onlyEndpoints reports whether two intents differ in nothing but the endpoints
// of clusters they share, and gives the endpoints that changed.
func onlyEndpoints(a, b *ir.IR) (map[string][]ir.Endpoint, bool) {
	if len(a.Clusters) != len(b.Clusters) {
		return nil, false
	}
	changed := map[string][]ir.Endpoint{}
	for i := range a.Clusters {
		ca, cb := a.Clusters[i], b.Clusters[i]
		if !slices.Equal(ca.Endpoints, cb.Endpoints) {
			changed[cb.Name] = cb.Endpoints
		}
		ca.Endpoints, cb.Endpoints = nil, nil
		if !reflect.DeepEqual(ca, cb) {
			return nil, false
		}
	}
	ra, rb := *a, *b
	ra.Clusters, rb.Clusters = nil, nil
	return changed, reflect.DeepEqual(ra, rb)
}
