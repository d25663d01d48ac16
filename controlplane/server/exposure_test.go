package server

import (
	"slices"
	"testing"

	"github.com/gabion-io/gabion/api-discovery"
	"github.com/gabion-io/gabion/controlplane/ir"
)

// Which listeners lead to an operation is what the routes say, in their order.
func TestExposure(t *testing.T) {
	route := func(kind, path, method, cluster string, headers ...ir.ValueMatch) ir.Route {
		r := ir.Route{Match: ir.Match{Path: ir.PathMatch{Kind: kind, Value: path}, Method: method, Headers: headers}}
		if cluster != "" {
			r.Backends = []ir.WeightedCluster{{Cluster: cluster, Weight: 1}}
		}
		return r
	}
	beta := ir.ValueMatch{Name: "x-beta", Value: "1"}
	e := exposure{[]ir.Listener{
		{Name: "default/web/http", Chains: []ir.FilterChain{{VirtualHosts: []ir.VirtualHost{{Routes: []ir.Route{
			route("prefix", "/admin", "", "default/admin:80"),
			route("prefix", "/beta", "", "default/beta:80", beta),
			route("exact", "/only", "GET", "default/shop:80"),
			route("regex", "/v[0-9]+/.*", "", "default/versioned:80"),
			route("prefix", "/orders", "", "default/shop:80"),
			route("prefix", "/", "", ""),
			route("prefix", "/", "", "default/late:80"),
		}}}}}},
		{Name: "default/inner/http", Chains: []ir.FilterChain{{VirtualHosts: []ir.VirtualHost{{Routes: []ir.Route{route("prefix", "/", "", "default/shop:80")}}}}}},
	}}
	for _, c := range []struct {
		service, method, template string
		want                      []string
	}{
		{"default/shop", "GET", "/orders/{id}", []string{"default/web/http", "default/inner/http"}},
		{"default/shop", "GET", "/only", []string{"default/web/http", "default/inner/http"}},
		{"default/shop", "POST", "/only", []string{"default/inner/http"}},
		{"default/shop", "GET", "/admin/users", []string{"default/inner/http"}},
		{"default/admin", "GET", "/admin/{rest*}", []string{"default/web/http"}},
		{"default/beta", "GET", "/beta", []string{"default/web/http"}},
		{"default/versioned", "GET", "/v1/{id}", []string{"default/web/http"}},
		{"default/late", "GET", "/x", []string{}},
		{"default/ledger", "GET", "/orders", []string{}},
	} {
		got := e.of(apidiscovery.OperationKey{Service: c.service, Method: c.method, Template: apidiscovery.MustPathTemplate(c.template)})
		if !slices.Equal(got, c.want) {
			t.Errorf("%s %s of %s: %v, want %v", c.method, c.template, c.service, got, c.want)
		}
		if Outside.fits(got) != (len(got) > 0) || Inside.fits(got) != (len(got) == 0) || !Exposure("").fits(got) {
			t.Errorf("%v fits what it should not", got)
		}
	}
}
