package xds

import (
	"time"

	"google.golang.org/protobuf/proto"

	overload "github.com/envoyproxy/go-control-plane/envoy/config/overload/v3"
	cgroup "github.com/envoyproxy/go-control-plane/envoy/extensions/resource_monitors/cgroup_memory/v3"
	connections "github.com/envoyproxy/go-control-plane/envoy/extensions/resource_monitors/downstream_connections/v3"
	injected "github.com/envoyproxy/go-control-plane/envoy/extensions/resource_monitors/injected_resource/v3"
)

// refreshInterval is how often the figures are read.
const refreshInterval = 250 * time.Millisecond

// overload bounds connections always and memory when told how to measure it.
func (o BootstrapOptions) overload() *overload.OverloadManager {
	limit := o.Connections
	if limit == 0 {
		limit = defaultConnections
	}
	m := &overload.OverloadManager{
		RefreshInterval: duration(refreshInterval),
		ResourceMonitors: []*overload.ResourceMonitor{
			monitor("envoy.resource_monitors.global_downstream_max_connections",
				&connections.DownstreamConnectionsConfig{MaxActiveDownstreamConnections: int64(min(limit, 1<<62))}),
		},
	}
	memory := ""
	switch {
	case o.MemoryPressureFile != "":
		memory = "envoy.resource_monitors.injected_resource"
		m.ResourceMonitors = append(m.ResourceMonitors,
			monitor(memory, &injected.InjectedResourceConfig{Filename: o.MemoryPressureFile}))
	case o.CgroupMemory > 0:
		memory = "envoy.resource_monitors.cgroup_memory"
		m.ResourceMonitors = append(m.ResourceMonitors,
			monitor(memory, &cgroup.CgroupMemoryConfig{MaxMemoryBytes: o.CgroupMemory}))
	default:
		return m
	}
	// From the gentlest to the last resort.
	m.Actions = []*overload.OverloadAction{
		when(memory, 0.85, "envoy.overload_actions.shrink_heap"),
		when(memory, 0.90, "envoy.overload_actions.disable_http_keepalive"),
		when(memory, 0.95, "envoy.overload_actions.stop_accepting_requests"),
		when(memory, 0.98, "envoy.overload_actions.stop_accepting_connections"),
	}
	return m
}

func monitor(name string, config proto.Message) *overload.ResourceMonitor {
	return &overload.ResourceMonitor{
		Name:       name,
		ConfigType: &overload.ResourceMonitor_TypedConfig{TypedConfig: packed(config)},
	}
}

func when(resource string, pressure float64, action string) *overload.OverloadAction {
	return &overload.OverloadAction{
		Name: action,
		Triggers: []*overload.Trigger{{
			Name:         resource,
			TriggerOneof: &overload.Trigger_Threshold{Threshold: &overload.ThresholdTrigger{Value: pressure}},
		}},
	}
}
