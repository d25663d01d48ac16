package crs

// transport is how Envoy reaches the filter.
type transport struct {
	filter   object
	route    func(key string) object
	clusters list
}

// moduleFilter is the filter in Envoy's own process.
func moduleFilter(table string) object {
	return object{"name": "gabion", "typed_config": object{
		"@type":                 "type.googleapis.com/envoy.extensions.filters.http.dynamic_modules.v3.DynamicModuleFilter",
		"dynamic_module_config": module(), "filter_name": "gabion", "filter_config": text(table),
	}}
}

func moduleRoute(key string) object {
	return object{
		"@type":                 "type.googleapis.com/envoy.extensions.filters.http.dynamic_modules.v3.DynamicModuleFilterPerRoute",
		"dynamic_module_config": module(), "filter_name": "gabion", "filter_config": text(key),
	}
}

func module() object { return object{"name": "gabion", "do_not_close": true} }

func text(s string) object {
	return object{"@type": "type.googleapis.com/google.protobuf.StringValue", "value": s}
}

const extProcTable = "gabion/crs"

// extProcFilter is the filter beside Envoy, set as filters/extproc documents.
func extProcFilter() object {
	return object{"name": "gabion", "typed_config": object{
		"@type": "type.googleapis.com/envoy.extensions.filters.http.ext_proc.v3.ExternalProcessor",
		"grpc_service": object{
			"envoy_grpc":       object{"cluster_name": "gabion-filter"},
			"timeout":          "0s",
			"initial_metadata": list{object{"key": "x-gabion-table", "value": extProcTable}},
		},
		"allow_mode_override":         true,
		"allow_content_length_header": true,
		"message_timeout":             "20s",
		"status_on_error":             object{"code": "ServiceUnavailable"},
		"route_cache_action":          "RETAIN",
		"request_attributes":          list{"request.protocol", "source.address", "destination.address"},
		"metadata_options":            object{"receiving_namespaces": object{"untyped": list{"io.gabion"}}},
		"processing_mode": object{
			"request_header_mode": "SEND", "response_header_mode": "SKIP",
			"request_body_mode": "NONE", "response_body_mode": "NONE",
			"request_trailer_mode": "SKIP", "response_trailer_mode": "SKIP",
		},
	}}
}

func extProcRoute(key string) object {
	return object{
		"@type":     "type.googleapis.com/envoy.extensions.filters.http.ext_proc.v3.ExtProcPerRoute",
		"overrides": object{"grpc_initial_metadata": list{object{"key": "x-gabion-key", "value": key}}},
	}
}

func filterCluster(socket string) object {
	return object{
		"name": "gabion-filter", "type": "STATIC", "connect_timeout": "5s",
		"circuit_breakers": object{"thresholds": list{object{"max_requests": 10000}}},
		"load_assignment": object{"cluster_name": "gabion-filter", "endpoints": list{object{"lb_endpoints": list{object{"endpoint": object{
			"address": object{"pipe": object{"path": socket}},
		}}}}}},
		"typed_extension_protocol_options": object{"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": object{
			"@type":                "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
			"explicit_http_config": object{"http2_protocol_options": object{}},
		}},
	}
}
