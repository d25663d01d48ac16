package ingest

import (
	"cmp"
	"strings"

	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	data "github.com/envoyproxy/go-control-plane/envoy/data/accesslog/v3"
	stats "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/grpc_stats/v3"

	"github.com/gabion-io/gabion/filters"
	"github.com/gabion-io/gabion/internal/exchange"
)

// observe makes of an entry what operations are learned from, with what the filter
// told beside it. The raw exchange lives in here only. An error is about what the
// filter told; then that is left out.
func (d door) observe(it *item, e *data.HTTPAccessLogEntry) (*exchange.Observation, error) {
	common, request, response := e.GetCommonProperties(), e.GetRequest(), e.GetResponse()
	x := &it.exchange
	raw := exchange.Raw{
		Time:     x.Time,
		Client:   clientText(e),
		Workload: workloadOf(common.GetTlsProperties()),
		Method:   x.Method,
		Scheme:   request.GetScheme(),
		Host:     request.GetAuthority(),
		Path:     cmp.Or(request.GetOriginalPath(), request.GetPath()),
		Request:  exchange.RawMessage{Headers: headers(request.GetRequestHeaders()), Size: int64(request.GetRequestBodyBytes())},
		Status:   x.Status,
		Response: exchange.RawMessage{Headers: headers(response.GetResponseHeaders()), Size: int64(response.GetResponseBodyBytes())},
		Duration: x.Duration,
		Blocked:  it.event != nil && it.event.Decision == filters.Denied,
		Suspect:  suspect(it.event),
		Failed:   answeredByProxy(x),
		Some:     true,
	}
	o := new(exchange.Observation)
	raw.Response.Headers = append(raw.Response.Headers, headers(response.GetResponseTrailers())...)
	raw.Request.Messages, raw.Response.Messages = messages(common)
	d.operations.Observe(&raw, o)
	o.Service = serviceOf(x)
	facts, err := metadataFacts(common.GetMetadata())
	if facts != nil {
		o.Add(facts)
	}
	return o, err
}

// grpcMessages is where Envoy leaves how many messages of a gRPC call it counted
// (its docs: the HTTP filter grpc_stats, emit_filter_state).
const grpcMessages = "envoy.filters.http.grpc_stats"

// messages are how many of a gRPC call went each way, as Envoy counted them.
func messages(common *data.AccessLogCommon) (request, response uint64) {
	var counted stats.FilterObject
	if err := common.GetFilterStateObjects()[grpcMessages].UnmarshalTo(&counted); err != nil {
		return 0, 0 // it was no gRPC
	}
	return counted.GetRequestMessageCount(), counted.GetResponseMessageCount()
}

// suspect says that the exchange looks like an attack. That it is not what its API
// takes makes it no such: else what is new could never be learned.
func suspect(e *filters.Event) bool {
	return e != nil && e.Decision == filters.Detect && (e.API == nil || len(e.Matches) > 0)
}

// metadataFacts are what the filter told of the exchange; nil when it told
// nothing.
func metadataFacts(m *core.Metadata) (*exchange.Facts, error) {
	field, ok := m.GetFilterMetadata()[filters.MetadataNamespace].GetFields()[filters.ObservationKey]
	if !ok {
		return nil, nil
	}
	f, err := exchange.DecodeFacts([]byte(field.GetStringValue()))
	if err != nil {
		return nil, err
	}
	return &f, nil
}

func clientText(e *data.HTTPAccessLogEntry) string {
	if a := address(e.GetCommonProperties().GetDownstreamRemoteAddress()); a.IsValid() {
		return a.String()
	}
	return ""
}

// workloadOf is who the client proved to be: the first URI of its certificate.
func workloadOf(tls *data.TLSProperties) string {
	for _, name := range tls.GetPeerCertificateProperties().GetSubjectAltName() {
		if uri := name.GetUri(); strings.HasPrefix(uri, "spiffe://") {
			return bounded(uri, 256)
		}
	}
	return ""
}

func headers(m map[string]string) (list []exchange.Header) {
	for name, value := range m {
		list = append(list, exchange.Header{Name: name, Value: value})
	}
	return list
}

// serviceOf is the service an exchange belongs to: that which it was sent to,
// "default/shop" of cluster "default/shop:80"; else the route that answered it.
// What no route took belongs to nobody: a host is the client's own text.
func serviceOf(x *exchange.Exchange) string {
	if name, _, ok := strings.Cut(x.Cluster, ":"); ok && strings.Contains(name, "/") {
		return name
	}
	return cmp.Or(x.Cluster, x.Route, noService)
}

// noService stands for the service of what no route took.
const noService = "unrouted"

// answeredByProxy says that no service answered: Envoy did, for the reasons in
// its response flags, or because it sent the request nowhere.
func answeredByProxy(x *exchange.Exchange) bool {
	if x.Cluster == "" {
		return true
	}
	for flag := range strings.SplitSeq(x.Flags, ",") {
		switch flag {
		case "LH", "UH", "UT", "LR", "UF", "UO", "NR", "FI", "RL", "UAEX", "RLSE", "URX", "IH", "DPE", "UMSDR", "NFCF", "DT", "UPE", "NC", "OM", "DF":
			return true
		}
	}
	return false
}
