package crs

import (
	"encoding/json"
	"fmt"
	"maps"
	"net"
	"path/filepath"
	"slices"

	"github.com/gabion-io/gabion/controlplane/xds"
	"github.com/gabion-io/gabion/controlplane/xds/xdstest"
	"github.com/gabion-io/gabion/filters"
)

type object = map[string]any
type list = []any

// bootstrap is Envoy's configuration for the suite: a listener for each policy,
// as open as Envoy can be made, so that the rules and not Envoy see the odd
// requests. A listener of the product is stricter; nothing here is a default.
func bootstrap(o EnvoyOptions, upstream string) ([]byte, error) {
	table, err := suiteTable(o.Policies)
	if err != nil {
		return nil, err
	}
	transport := xds.Options{Transport: xds.Module}
	if o.ExtProc != "" {
		transport = xds.Options{Transport: xds.ExtProc, FilterSocket: o.ExtProc}
	}
	f, err := xdstest.NewFilter(transport, table)
	if err != nil {
		return nil, err
	}
	var ls list
	for _, name := range slices.Sorted(maps.Keys(o.Policies)) {
		override, err := f.Route(name)
		if err != nil {
			return nil, err
		}
		ls = append(ls, listener(name, o.Dir, f.HTTPFilter, override))
	}
	host, port, err := net.SplitHostPort(upstream)
	if err != nil {
		return nil, fmt.Errorf("split upstream address: %w", err)
	}
	return json.MarshalIndent(object{
		"node":  object{"id": "crs", "cluster": "crs"},
		"admin": object{"address": object{"pipe": object{"path": filepath.Join(o.Dir, "admin.sock")}}},
		"static_resources": object{
			"listeners": ls,
			"clusters":  append(list{cluster(host, port)}, f.Clusters...),
		},
	}, "", " ")
}

// suiteTable is the filter's configuration: a key for each policy.
func suiteTable(policies map[string]filters.Policy) ([]byte, error) {
	table := filters.Table{Listener: "crs", Bindings: map[string]filters.Binding{}, Policies: map[string]filters.Policy{},
		Unknown: filters.FailClosed, Debug: true}
	for name, p := range policies {
		id := filters.PolicyID(p)
		table.Policies[id] = p
		table.Bindings[name] = filters.Binding{Policy: id, Route: name}
	}
	b, err := json.Marshal(table)
	if err != nil {
		return nil, fmt.Errorf("encode table: %w", err)
	}
	return b, nil
}

func listener(name, dir string, filter, override object) object {
	return object{
		"name":                              name,
		"address":                           object{"socket_address": object{"address": "127.0.0.1", "port_value": 0}},
		"per_connection_buffer_limit_bytes": 16 << 20,
		"filter_chains": list{object{"filters": list{object{"name": "hcm", "typed_config": object{
			"@type":       "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
			"stat_prefix": name,
			"codec_type":  "HTTP1",

			// The path as it was sent, with dot segments, double and encoded slashes.
			"normalize_path": false, "merge_slashes": false, "path_with_escaped_slashes_action": "KEEP_UNCHANGED",
			// Nothing about the client is added or stripped; x-forwarded-proto is always set.
			"use_remote_address": false, "skip_xff_append": true, "generate_request_id": false, "preserve_external_request_id": true,
			// The upstream's Server header and no other.
			"server_header_transformation": "PASS_THROUGH",
			// Many and long headers, names with underscores.
			"max_request_headers_kb":       8192,
			"common_http_protocol_options": object{"headers_with_underscores_action": "ALLOW", "max_headers_count": 10000},
			"http_protocol_options": object{
				"accept_http_10":       true, // and 0.x, 2.x as such
				"allow_chunked_length": true, // Content-Length beside Transfer-Encoding: which then goes
				"allow_custom_methods": true, // any token
				"enable_trailers":      true,
			},
			"upgrade_configs": list{object{"upgrade_type": "websocket"}, object{"upgrade_type": "CONNECT"}},
			// A body that never comes ends the request, so that the suite ends.
			"request_timeout": "2s",

			"access_log":   list{fileLog(accessLogPath(dir))},
			"route_config": routes(override),
			"http_filters": list{
				filter,
				object{"name": "router", "typed_config": object{
					"@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router",
					// No x-envoy headers in what the response rules see.
					"suppress_envoy_headers": true,
				}},
			},
		}}}}},
	}
}

// routes send everything to the upstream: a regular expression also takes the
// target "*", which no prefix does, and only a match of its own takes CONNECT.
func routes(override object) object {
	to := func(match object) object {
		return object{
			"match":                   match,
			"route":                   object{"cluster": "upstream", "timeout": "20s"},
			"typed_per_filter_config": object{xdstest.FilterName: override},
			// Bytes Envoy may hold of a body for ext_proc; the module asks for what it needs.
			"request_body_buffer_limit": 4 << 20,
		}
	}
	return object{"virtual_hosts": list{object{"name": "all", "domains": list{"*"}, "routes": list{
		to(object{"connect_matcher": object{}}),
		to(object{"safe_regex": object{"regex": "(?s).*"}}),
	}}}}
}

func fileLog(path string) object {
	return object{"name": "file", "typed_config": object{
		"@type": "type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog",
		"path":  path,
		"log_format": object{"json_format": object{
			"peer":   "%DOWNSTREAM_DIRECT_REMOTE_ADDRESS% %DOWNSTREAM_LOCAL_ADDRESS%",
			"detail": "%RESPONSE_CODE_DETAILS%",
			"event":  fmt.Sprintf("%%DYNAMIC_METADATA(%s:%s)%%", filters.MetadataNamespace, filters.MetadataKey),
			"shown": object{
				"protocol": "%PROTOCOL%", "path": "%REQ(:PATH)%", "referer": "%REQ(REFERER)%",
				"connection": "%REQ(CONNECTION)%", "someheader": "%REQ(SOMEHEADER)%",
			},
		}},
	}}
}

// cluster is the upstream, on a connection of its own for each request: what
// one odd request does to its connection is no other's business.
func cluster(host, port string) object {
	return object{
		"name": "upstream", "type": "STATIC", "connect_timeout": "10s",
		"circuit_breakers": object{"thresholds": list{object{"max_connections": 10000, "max_pending_requests": 10000, "max_requests": 10000}}},
		"load_assignment": object{"cluster_name": "upstream", "endpoints": list{object{"lb_endpoints": list{object{"endpoint": object{
			"address": object{"socket_address": object{"address": host, "port_value": json.Number(port)}},
		}}}}}},
		"typed_extension_protocol_options": object{"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": object{
			"@type":                        "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
			"common_http_protocol_options": object{"max_requests_per_connection": 1, "max_headers_count": 10000},
			"explicit_http_config":         object{"http_protocol_options": object{"enable_trailers": true}},
		}},
	}
}
