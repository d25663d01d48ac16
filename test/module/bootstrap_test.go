package module

import (
	"encoding/json"
	"fmt"
	"net"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gabion-io/gabion/controlplane/xds"
	"github.com/gabion-io/gabion/controlplane/xds/xdstest"
	"github.com/gabion-io/gabion/filters"
	"github.com/gabion-io/gabion/internal/envoybin/envoybintest"
)

type object = map[string]any
type list = []any

// bootstrap is a static Envoy configuration: one listener with the filter, a
// route per key of the table (the key is the first path segment), an upstream.
type bootstrap struct {
	dir      string
	upstream string // host:port
	filter   *xdstest.Filter
	found    object // the HTTP filter, when it is not filter's own
	buffer   int    // bytes Envoy may hold of a request; 0: no more than its small default here
}

func (b bootstrap) json(t testing.TB) string {
	t.Helper()
	host, port, err := net.SplitHostPort(b.upstream)
	if err != nil {
		t.Fatal(err)
	}
	var routes list
	for _, key := range []string{"detect", "block", "off", "missing"} {
		override, err := b.filter.Route(key)
		if err != nil {
			t.Fatal(err)
		}
		routes = append(routes, object{
			"match":                   object{"prefix": "/" + key + "/"},
			"route":                   object{"cluster": "app", "timeout": "0s"},
			"typed_per_filter_config": object{xdstest.FilterName: override},
		})
	}
	for _, r := range routes {
		if b.buffer > 0 {
			r.(object)["request_body_buffer_limit"] = b.buffer
		}
	}
	routes = append(routes, object{"match": object{"prefix": "/plain/"}, "route": object{"cluster": "app"}})
	filter := b.filter.HTTPFilter
	if b.found != nil {
		filter = b.found
	}
	hcm := object{
		"@type":       "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
		"stat_prefix": "in", "codec_type": "AUTO", "use_remote_address": true, "xff_num_trusted_hops": 1,
		"upgrade_configs":        list{object{"upgrade_type": "websocket"}},
		"http_protocol_options":  object{"enable_trailers": true},
		"http2_protocol_options": object{"initial_stream_window_size": 64 << 10, "initial_connection_window_size": 1 << 20},
		"access_log": list{object{"name": "file", "typed_config": object{
			"@type": "type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog",
			"path":  filepath.Join(b.dir, "access.log"),
			"log_format": object{"json_format": object{
				"case": "%REQ(X-CASE)%", "status": "%RESPONSE_CODE%", "flags": "%RESPONSE_FLAGS%", "detail": "%RESPONSE_CODE_DETAILS%",
				"event": fmt.Sprintf("%%DYNAMIC_METADATA(%s:%s)%%", filters.MetadataNamespace, filters.MetadataKey),
			}},
		}}},
		"route_config": object{"virtual_hosts": list{object{"name": "all", "domains": list{"*"}, "routes": routes}}},
		"http_filters": list{filter, object{"name": "router", "typed_config": object{"@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"}}},
	}
	clusters := append(list{object{
		"name": "app", "type": "STATIC", "connect_timeout": "5s",
		"load_assignment": object{"cluster_name": "app", "endpoints": list{object{"lb_endpoints": list{object{"endpoint": object{
			"address": object{"socket_address": object{"address": host, "port_value": json.Number(port)}},
		}}}}}},
		"typed_extension_protocol_options": object{"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": object{
			"@type":                          "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
			"use_downstream_protocol_config": object{"http_protocol_options": object{"enable_trailers": true}, "http2_protocol_options": object{}},
		}},
	}}, b.filter.Clusters...)
	text, err := json.MarshalIndent(object{
		"node":  object{"id": "test", "cluster": "test"},
		"admin": object{"address": object{"pipe": object{"path": filepath.Join(b.dir, "admin.sock")}}},
		"static_resources": object{
			"listeners": list{object{
				"name": "in", "per_connection_buffer_limit_bytes": 32 << 10,
				"address":       object{"socket_address": object{"address": "127.0.0.1", "port_value": 0}},
				"filter_chains": list{object{"filters": list{object{"name": "hcm", "typed_config": hcm}}}},
			}},
			"clusters": clusters,
		},
	}, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// theFilter is the filter with a table, as the control plane ships it.
func theFilter(t testing.TB, o xds.Options, table []byte) *xdstest.Filter {
	t.Helper()
	f, err := xdstest.NewFilter(o, table)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// moduleFilter is the filter inside Envoy.
func moduleFilter(t testing.TB, table []byte) *xdstest.Filter {
	t.Helper()
	return theFilter(t, xds.Options{Transport: xds.Module}, table)
}

// startModule runs Envoy with the module built with tags.
func startModule(t testing.TB, tags string, table []byte, env ...string) *proxy {
	t.Helper()
	envoybintest.Need(t)
	dir := t.TempDir()
	b := bootstrap{dir: dir, upstream: startUpstream(t), filter: moduleFilter(t, table)}
	return startEnvoy(t, dir, setup{
		config: b.json(t),
		env:    append([]string{"ENVOY_DYNAMIC_MODULES_SEARCH_PATH=" + buildModule(t, tags)}, env...),
	})
}

func contains(out, part string) bool { return strings.Contains(out, part) }
