package xds

import (
	"google.golang.org/protobuf/types/known/anypb"

	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	hcm "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"

	"github.com/gabion-io/gabion/controlplane/ir"
)

// httpFilter is one place in the chain of HTTP filters.
type httpFilter interface {
	// entry is the filter on a listener; nil: it has no work there.
	entry(l *ir.Listener) *hcm.HttpFilter
	// override is what the filter needs to know of a route; nil: nothing.
	override(l *ir.Listener, r *ir.Route) *anypb.Any
}

// filterOrder is the order in which a request passes the HTTP filters; a
// response passes them backwards. The router sends the request away, so it is last.
func (t *translation) filterOrder() []httpFilter {
	return []httpFilter{
		accessFilter{},
		gabionFilter{t.options},
		grpcFilter{t.options},
		routerFilter{},
	}
}

func (t *translation) httpFilters(l *ir.Listener) []*hcm.HttpFilter {
	var out []*hcm.HttpFilter
	for _, f := range t.filterOrder() {
		if e := f.entry(l); e != nil {
			out = append(out, e)
		}
	}
	return out
}

// overrides fills a route's typed_per_filter_config.
func (t *translation) overrides(l *ir.Listener, r *ir.Route) map[string]*anypb.Any {
	out := map[string]*anypb.Any{}
	for _, f := range t.filterOrder() {
		e := f.entry(l)
		if e == nil {
			continue
		}
		if o := f.override(l, r); o != nil {
			out[e.GetName()] = o
		}
	}
	return out
}

// disabled switches a filter off on one route.
func disabled() *anypb.Any { return packed(&routev3.FilterConfig{Disabled: true}) }
