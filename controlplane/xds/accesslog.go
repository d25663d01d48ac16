package xds

import (
	accesslog "github.com/envoyproxy/go-control-plane/envoy/config/accesslog/v3"
	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	grpclog "github.com/envoyproxy/go-control-plane/envoy/extensions/access_loggers/grpc/v3"

	"github.com/gabion-io/gabion/controlplane/ir"
)

// loggedRequestHeaders are those that operations are learned from, and no more: each
// costs every request. Their values stop in the control plane's ingest.
func loggedRequestHeaders() []string {
	return []string{"content-type", "content-length", "accept", "access-control-request-method", "upgrade", "soapaction"}
}

func loggedResponseHeaders() []string {
	return []string{"content-type", "grpc-status"}
}

// accessLog streams every exchange to the control plane, under the listener's name.
func (t *translation) accessLog(l *ir.Listener) []*accesslog.AccessLog {
	if t.options.ALS == "" {
		return nil
	}
	config := &grpclog.HttpGrpcAccessLogConfig{
		CommonConfig: &grpclog.CommonGrpcAccessLogConfig{
			LogName:                 l.Name,
			GrpcService:             envoyGRPC(t.options.ALS, 0),
			TransportApiVersion:     core.ApiVersion_V3,
			BufferFlushInterval:     duration(t.options.ALSFlush),
			BufferSizeBytes:         u32(64 << 10),
			FilterStateObjectsToLog: []string{GRPCStatsName},
		},
		AdditionalRequestHeadersToLog:  loggedRequestHeaders(),
		AdditionalResponseHeadersToLog: loggedResponseHeaders(),
		// How a gRPC call ended stands behind its body, or where it has none among
		// the headers.
		AdditionalResponseTrailersToLog: []string{"grpc-status"},
	}
	return []*accesslog.AccessLog{{
		Name:       "envoy.access_loggers.http_grpc",
		ConfigType: &accesslog.AccessLog_TypedConfig{TypedConfig: packed(config)},
	}}
}
