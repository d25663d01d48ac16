package xds

import (
	"fmt"
	"net/netip"

	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpoint "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"

	"github.com/gabion-io/gabion/controlplane/ir"
)

// loadAssignment lists a cluster's endpoints; those that are no addresses are
// left out and described.
func loadAssignment(cluster string, endpoints []ir.Endpoint) (*endpoint.ClusterLoadAssignment, []string) {
	var bad []string
	list := make([]*endpoint.LbEndpoint, 0, len(endpoints))
	for _, e := range endpoints {
		if _, err := netip.ParseAddr(e.Address); err != nil || e.Port == 0 || e.Port > 65535 {
			bad = append(bad, fmt.Sprintf("endpoint %s:%d is not an IP address and port", e.Address, e.Port))
			continue
		}
		health := core.HealthStatus_HEALTHY
		if !e.Healthy {
			health = core.HealthStatus_UNHEALTHY
		}
		list = append(list, &endpoint.LbEndpoint{
			HealthStatus: health,
			HostIdentifier: &endpoint.LbEndpoint_Endpoint{
				Endpoint: &endpoint.Endpoint{Address: socketAddress(e.Address, e.Port)},
			},
		})
	}
	return &endpoint.ClusterLoadAssignment{
		ClusterName: cluster,
		Endpoints:   []*endpoint.LocalityLbEndpoints{{LbEndpoints: list}},
	}, bad
}

// endpointResource gives endpoints a version that also depends on their cluster:
// Envoy warms a changed cluster until its endpoints are sent again, and asks for
// them only if it did not have them before.
func endpointResource(m *endpoint.ClusterLoadAssignment, declared *Resource) Resource {
	body := packed(m)
	version := ""
	if declared != nil {
		version = declared.Version
	}
	return Resource{Name: m.GetClusterName(), Version: hashed(body.Value, []byte(version)), Any: body}
}
