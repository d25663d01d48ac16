package xds

import (
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/wrapperspb"

	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	listener "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	hcm "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"

	"github.com/gabion-io/gabion/controlplane/ir"
)

func networkFilter(name string, m proto.Message) *listener.Filter {
	return &listener.Filter{Name: name, ConfigType: &listener.Filter_TypedConfig{TypedConfig: packed(m)}}
}

// connectionManager is HTTP on one filter chain, hardened as Envoy's guide for
// edge proxies asks (docs: configuration/best_practices/edge).
func (t *translation) connectionManager(l *ir.Listener, c *ir.FilterChain) *hcm.HttpConnectionManager {
	o := l.Options
	m := &hcm.HttpConnectionManager{
		StatPrefix: l.Name,
		CodecType:  codec(o.Protocols),
		RouteSpecifier: &hcm.HttpConnectionManager_Rds{Rds: &hcm.Rds{
			ConfigSource:    fromADS(),
			RouteConfigName: routeConfigName(l, c),
		}},
		HttpFilters: t.httpFilters(l),
		AccessLog:   t.accessLog(l),

		RequestHeadersTimeout: durationOrDefault(o.RequestHeadersTimeout),
		RequestTimeout:        durationOrDefault(o.RequestTimeout),
		StreamIdleTimeout:     duration(o.StreamIdleTimeout), // 0 is off here, not Envoy's 5 minutes
		DrainTimeout:          durationOrDefault(o.DrainTimeout),
		MaxRequestHeadersKb:   u32OrDefault(o.MaxRequestHeadersKB),

		CommonHttpProtocolOptions: &core.HttpProtocolOptions{
			IdleTimeout:                  durationOrDefault(o.ConnectionIdleTimeout),
			MaxHeadersCount:              u32OrDefault(o.MaxHeadersCount),
			HeadersWithUnderscoresAction: underscores(o.HeadersWithUnderscores),
		},
		// HTTP/1.0 is answered, not turned away before the filter has seen it.
		HttpProtocolOptions: &core.Http1ProtocolOptions{AcceptHttp_10: true},
		Http2ProtocolOptions: &core.Http2ProtocolOptions{
			MaxConcurrentStreams:        u32OrDefault(o.HTTP2MaxStreams),
			InitialStreamWindowSize:     u32OrDefault(o.HTTP2StreamWindow),
			InitialConnectionWindowSize: u32OrDefault(o.HTTP2ConnectionWindow),
			AllowConnect:                o.WebSocket, // RFC 8441
		},

		UseRemoteAddress:  wrapperspb.Bool(o.UseRemoteAddress),
		XffNumTrustedHops: o.TrustedHops,
		// No client is "internal": x-envoy-* request headers steer Envoy and are
		// believed from nobody.
		InternalAddressConfig: &hcm.HttpConnectionManager_InternalAddressConfig{},

		NormalizePath:                wrapperspb.Bool(o.NormalizePath),
		MergeSlashes:                 o.MergeSlashes,
		PathWithEscapedSlashesAction: escapedSlashes(o.EscapedSlashes),

		// The backend's own Server header passes; Envoy adds none.
		ServerHeaderTransformation:   hcm.HttpConnectionManager_PASS_THROUGH,
		GenerateRequestId:            wrapperspb.Bool(true),
		AlwaysSetRequestIdInResponse: true,
	}
	if hasStreaming(c) {
		// Envoy cannot lift this one per route, and it would cut a client's stream.
		m.RequestTimeout = nil
	}
	if o.WebSocket {
		m.UpgradeConfigs = []*hcm.HttpConnectionManager_UpgradeConfig{{UpgradeType: "websocket"}}
	}
	if t.options.ALS != "" {
		m.AccessLogOptions = &hcm.HttpConnectionManager_HcmAccessLogOptions{
			AccessLogFlushInterval: duration(t.options.StreamReport),
		}
	}
	return m
}

func hasStreaming(c *ir.FilterChain) bool {
	for _, h := range c.VirtualHosts {
		for _, r := range h.Routes {
			if r.Streaming {
				return true
			}
		}
	}
	return false
}

func codec(protocols []string) hcm.HttpConnectionManager_CodecType {
	switch {
	case !speaks(protocols, "http2"):
		return hcm.HttpConnectionManager_HTTP1
	case !speaks(protocols, "http1"):
		return hcm.HttpConnectionManager_HTTP2
	}
	return hcm.HttpConnectionManager_AUTO
}

func underscores(action string) core.HttpProtocolOptions_HeadersWithUnderscoresAction {
	switch action {
	case "allow":
		return core.HttpProtocolOptions_ALLOW
	case "drop":
		return core.HttpProtocolOptions_DROP_HEADER
	}
	return core.HttpProtocolOptions_REJECT_REQUEST
}

func escapedSlashes(action string) hcm.HttpConnectionManager_PathWithEscapedSlashesAction {
	switch action {
	case "reject":
		return hcm.HttpConnectionManager_REJECT_REQUEST
	case "unescape-redirect":
		return hcm.HttpConnectionManager_UNESCAPE_AND_REDIRECT
	case "unescape-forward":
		return hcm.HttpConnectionManager_UNESCAPE_AND_FORWARD
	}
	return hcm.HttpConnectionManager_KEEP_UNCHANGED
}
