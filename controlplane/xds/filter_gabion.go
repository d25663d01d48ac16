package xds

import (
	"encoding/json"
	"time"

	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	modules "github.com/envoyproxy/go-control-plane/envoy/extensions/dynamic_modules/v3"
	moduleFilter "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/dynamic_modules/v3"
	extproc "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/ext_proc/v3"
	hcm "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"

	"github.com/gabion-io/gabion/controlplane/ir"
	"github.com/gabion-io/gabion/filters"
)

// gabionFilter is gabion's own filter, by either transport. Its configuration
// comes by ECDS, so that a change of policy drains no connection; routes carry
// only the key under which the listener's table knows their policy.
type gabionFilter struct{ options Options }

// filterCallTimeout bounds one ext_proc message: the filter itself bounds how long
// a body may wait for its turn (30 s) and how long judging it may take (30 s at
// most), so what this catches is a `gabion filter` that hangs.
const filterCallTimeout = 65 * time.Second

func (f gabionFilter) entry(l *ir.Listener) *hcm.HttpFilter {
	if l.FilterTable == nil {
		return nil
	}
	return &hcm.HttpFilter{
		Name: TableName(l.Name), // Envoy asks ECDS for the filter's name, and routes override by it
		ConfigType: &hcm.HttpFilter_ConfigDiscovery{ConfigDiscovery: &core.ExtensionConfigSource{
			// No default configuration: it would be part of the listener, and a policy
			// that changes the failure mode would then drain the listener. Without
			// any table Envoy answers 500.
			ConfigSource: fromADS(),
			// Both, so that a fleet changes its transport without draining a listener.
			TypeUrls: []string{packed(&moduleFilter.DynamicModuleFilter{}).TypeUrl, packed(&extproc.ExternalProcessor{}).TypeUrl},
		}},
	}
}

// config is the filter's configuration in Envoy for one table.
func (f gabionFilter) config(name string, table json.RawMessage) *anypb.Any {
	if f.options.Transport == ExtProc {
		return packed(extProc(name, unknownKey(table)))
	}
	return packed(&moduleFilter.DynamicModuleFilter{
		DynamicModuleConfig: module(),
		FilterName:          FilterName,
		FilterConfig:        packed(wrapperspb.String(string(table))),
	})
}

func (f gabionFilter) override(_ *ir.Listener, r *ir.Route) *anypb.Any {
	switch {
	case r.FilterKey == "":
		return disabled()
	case f.options.Transport == ExtProc:
		return packed(&extproc.ExtProcPerRoute{Override: &extproc.ExtProcPerRoute_Overrides{
			Overrides: &extproc.ExtProcOverrides{
				GrpcInitialMetadata: []*core.HeaderValue{{Key: KeyMetadata, Value: r.FilterKey}},
			},
		}})
	}
	return packed(&moduleFilter.DynamicModuleFilterPerRoute{
		DynamicModuleConfig: module(),
		FilterName:          FilterName,
		FilterConfig:        packed(wrapperspb.String(r.FilterKey)),
	})
}

func module() *modules.DynamicModuleConfig {
	return &modules.DynamicModuleConfig{Name: ModuleName, DoNotClose: true} // a Go runtime cannot be unloaded
}

// filterTable ships a listener's table: to Envoy inside the filter's
// configuration (module), and to `gabion filter` as it is.
func (t *translation) filterTable(l *ir.Listener) {
	if l.FilterTable == nil {
		return
	}
	name := TableName(l.Name)
	content := gabionFilter{t.options}.config(name, l.FilterTable)
	causes := l.FilterCauses
	if len(causes) == 0 {
		causes = []ir.Ref{l.Resource}
	}
	t.out.add(ExtensionType, name, &core.TypedExtensionConfig{Name: name, TypedConfig: content}, causes...)
	body := packed(&core.TypedExtensionConfig{Name: name, TypedConfig: packed(wrapperspb.String(string(l.FilterTable)))})
	t.out.tables = append(t.out.tables, Resource{Name: name, Version: hashed(body.Value), Any: body})
}

// unknownKey reads the one field of the table that Envoy itself must know: what
// to do when the filter cannot be reached.
func unknownKey(table json.RawMessage) filters.FailureMode {
	var t struct {
		Unknown filters.FailureMode `json:"unknown"`
	}
	if err := json.Unmarshal(table, &t); err != nil || t.Unknown != filters.FailOpen {
		return filters.FailClosed
	}
	return filters.FailOpen
}

// extProc asks `gabion filter` about every message; package filters/extproc says
// why each of these settings is needed. Bodies are off until the filter's answer
// to the head asks for them, and so are response heads: a reply that Envoy makes
// to a request it could not even read passes the filter backwards, and its
// connection would be closed before the filter has answered.
func extProc(table string, unknown filters.FailureMode) *extproc.ExternalProcessor {
	service := envoyGRPC(FilterCluster, 0)
	service.Timeout = duration(0) // a stream lives as long as its exchange
	service.InitialMetadata = []*core.HeaderValue{{Key: TableMetadata, Value: table}}
	return &extproc.ExternalProcessor{
		GrpcService:              service,
		FailureModeAllow:         unknown == filters.FailOpen,
		StatusOnError:            &typev3.HttpStatus{Code: typev3.StatusCode_ServiceUnavailable},
		AllowModeOverride:        true,
		AllowContentLengthHeader: true, // no byte is changed, so the length stays
		RouteCacheAction:         extproc.ExternalProcessor_RETAIN,
		MessageTimeout:           duration(filterCallTimeout),
		StatPrefix:               FilterName,
		ProcessingMode: &extproc.ProcessingMode{
			RequestHeaderMode:   extproc.ProcessingMode_SEND,
			ResponseHeaderMode:  extproc.ProcessingMode_SKIP,
			RequestBodyMode:     extproc.ProcessingMode_NONE,
			ResponseBodyMode:    extproc.ProcessingMode_NONE,
			RequestTrailerMode:  extproc.ProcessingMode_SKIP,
			ResponseTrailerMode: extproc.ProcessingMode_SKIP,
		},
		RequestAttributes: []string{"request.protocol", "source.address", "destination.address"},
		MetadataOptions: &extproc.MetadataOptions{
			ReceivingNamespaces: &extproc.MetadataOptions_MetadataNamespaces{Untyped: []string{filters.MetadataNamespace}},
		},
	}
}

// bufferSlack is room beyond the inspected bytes: what Envoy reads at once.
const bufferSlack = 1 << 20

// bufferLimit is the listener's own, or what the filter beside Envoy must be
// able to hold of a response if that is more. (Inside Envoy the filter sets it by
// itself.)
func (f gabionFilter) bufferLimit(l *ir.Listener) uint32 {
	held := f.held(l, func(p filters.Policy) int64 { return p.ResponseBody.MostHeld() })
	return max(uint32(held), l.Options.BufferLimit)
}

// requestBufferLimit is what Envoy must be able to hold of a request on any route
// of the listener for the filter beside it; nil leaves Envoy's own. A route's limit
// also lifts that of an HTTP/2 stream's window.
func (f gabionFilter) requestBufferLimit(l *ir.Listener) *wrapperspb.UInt64Value {
	held := f.held(l, func(p filters.Policy) int64 { return max(p.RequestBody.MostHeld(), p.APIBody()) })
	if held == 0 {
		return nil
	}
	return wrapperspb.UInt64(held)
}

// held is the longest inspected body of any policy with room to spare, rounded
// up so that small changes of a policy change nothing here; 0 when none is held.
func (f gabionFilter) held(l *ir.Listener, body func(filters.Policy) int64) uint64 {
	if f.options.Transport != ExtProc || l.FilterTable == nil {
		return 0
	}
	var table filters.Table
	if err := json.Unmarshal(l.FilterTable, &table); err != nil {
		return 0
	}
	need := int64(0)
	for _, p := range table.Policies {
		need = max(need, body(p))
	}
	if need == 0 {
		return 0
	}
	limit := int64(bufferSlack)
	for limit < need+bufferSlack && limit < 1<<30 {
		limit *= 2
	}
	return uint64(limit)
}
