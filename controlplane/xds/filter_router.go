package xds

import (
	"google.golang.org/protobuf/types/known/anypb"

	router "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/router/v3"
	hcm "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"

	"github.com/gabion-io/gabion/controlplane/ir"
)

// routerFilter forwards to the route's cluster. It adds no x-envoy-* headers,
// neither to the backend's request nor to the client's response.
type routerFilter struct{}

func (routerFilter) entry(*ir.Listener) *hcm.HttpFilter {
	return &hcm.HttpFilter{
		Name:       "envoy.filters.http.router",
		ConfigType: &hcm.HttpFilter_TypedConfig{TypedConfig: packed(&router.Router{SuppressEnvoyHeaders: true})},
	}
}

func (routerFilter) override(*ir.Listener, *ir.Route) *anypb.Any { return nil }
