package xds

import (
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	stats "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/grpc_stats/v3"
	hcm "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"

	"github.com/gabion-io/gabion/controlplane/ir"
)

// GRPCStatsName is Envoy's filter that counts the messages of gRPC calls, and the
// key under which an access log entry has them.
const GRPCStatsName = "envoy.filters.http.grpc_stats"

// grpcFilter counts messages, which say how a call streams: nobody else needs to
// look into its body for that. It makes no metrics: their names would be those of
// the client's paths.
type grpcFilter struct{ options Options }

func (f grpcFilter) entry(*ir.Listener) *hcm.HttpFilter {
	if f.options.ALS == "" {
		return nil
	}
	return &hcm.HttpFilter{
		Name: GRPCStatsName,
		ConfigType: &hcm.HttpFilter_TypedConfig{TypedConfig: packed(&stats.FilterConfig{
			EmitFilterState:        true,
			PerMethodStatSpecifier: &stats.FilterConfig_StatsForAllMethods{StatsForAllMethods: wrapperspb.Bool(false)},
		})},
	}
}

func (grpcFilter) override(*ir.Listener, *ir.Route) *anypb.Any { return nil }
