package xds

import (
	"net/netip"
	"strings"
	"time"

	cluster "github.com/envoyproxy/go-control-plane/envoy/config/cluster/v3"
	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	endpoint "github.com/envoyproxy/go-control-plane/envoy/config/endpoint/v3"
	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	upstreams "github.com/envoyproxy/go-control-plane/envoy/extensions/upstreams/http/v3"
	matcher "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"
	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"
	"google.golang.org/protobuf/types/known/anypb"

	"github.com/gabion-io/gabion/controlplane/ir"
)

const (
	connectTimeout = 5 * time.Second
	// Shorter than the keep-alive of common servers, so that Envoy seldom sends
	// a request on a connection that the server is closing.
	upstreamIdle = 50 * time.Second
)

func (t *translation) clusters(list []ir.Cluster) {
	for _, c := range list {
		part := "cluster " + c.Name
		switch {
		case !readable(c):
			t.out.problem(c.Resource, part, brokenText)
			continue
		case t.out.has(ClusterType, c.Name):
			t.out.problem(c.Resource, part, "two clusters have this name; the first is used")
			continue
		case !sayable(c.Name) || c.Name == "" || strings.HasPrefix(c.Name, "gabion-"):
			t.out.problem(c.Resource, part, "not a usable name")
			continue
		}
		m, ok := t.cluster(c, part)
		if !ok {
			continue
		}
		if problem := invalid(m); problem != "" {
			t.out.problem(c.Resource, part, "%s", problem)
			continue
		}
		t.out.add(ClusterType, c.Name, m, c.Resource)
		if m.GetType() == cluster.Cluster_EDS {
			assignment, bad := loadAssignment(c.Name, c.Endpoints)
			for _, message := range bad {
				t.out.problem(c.Resource, part, "%s", message)
			}
			declared := t.out.types[ClusterType][c.Name]
			t.out.put(EndpointType, endpointResource(assignment, &declared), c.Resource)
		}
	}
	if t.options.Transport == ExtProc {
		t.out.add(ClusterType, FilterCluster, unixCluster(FilterCluster, t.options.FilterSocket))
	}
}

func (t *translation) cluster(c ir.Cluster, part string) (*cluster.Cluster, bool) {
	m := &cluster.Cluster{
		Name:            c.Name,
		ConnectTimeout:  duration(connectTimeout),
		CircuitBreakers: circuitBreakers(),
		CommonLbConfig: &cluster.Cluster_CommonLbConfig{
			// A terminating endpoint is never better than a 503.
			HealthyPanicThreshold: &typev3.Percent{Value: 0},
		},
		IgnoreHealthOnHostRemoval: true,
		TypedExtensionProtocolOptions: map[string]*anypb.Any{
			"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": packed(upstreamProtocol(c.Protocol)),
		},
	}
	discover(m, c)
	if c.TLS == nil {
		return m, true
	}
	socket, problem := t.upstreamTLS(c)
	if problem != "" {
		t.out.problem(c.Resource, part, "%s", problem)
		return nil, false
	}
	m.TransportSocket = socket
	return m, true
}

// discover says where the cluster's endpoints come from.
func discover(m *cluster.Cluster, c ir.Cluster) {
	kind := cluster.Cluster_STRICT_DNS
	if c.DNS == "" {
		m.ClusterDiscoveryType = &cluster.Cluster_Type{Type: cluster.Cluster_EDS}
		m.EdsClusterConfig = &cluster.Cluster_EdsClusterConfig{EdsConfig: fromADS()}
		return
	}
	if _, err := netip.ParseAddr(c.DNS); err == nil {
		kind = cluster.Cluster_STATIC
	} else {
		m.DnsLookupFamily = cluster.Cluster_V4_PREFERRED
	}
	m.ClusterDiscoveryType = &cluster.Cluster_Type{Type: kind}
	m.LoadAssignment = staticEndpoints(c.Name, socketAddress(c.DNS, c.DNSPort))
}

func staticEndpoints(name string, a *core.Address) *endpoint.ClusterLoadAssignment {
	return &endpoint.ClusterLoadAssignment{
		ClusterName: name,
		Endpoints: []*endpoint.LocalityLbEndpoints{{
			LbEndpoints: []*endpoint.LbEndpoint{{HostIdentifier: &endpoint.LbEndpoint_Endpoint{
				Endpoint: &endpoint.Endpoint{Address: a},
			}}},
		}},
	}
}

// circuitBreakers bound what one backend may hold of the proxy, well above
// Envoy's defaults, which shed ordinary load; retries stay a fifth of requests.
func circuitBreakers() *cluster.CircuitBreakers {
	return &cluster.CircuitBreakers{Thresholds: []*cluster.CircuitBreakers_Thresholds{{
		MaxConnections:     u32(8192),
		MaxPendingRequests: u32(8192),
		MaxRequests:        u32(16384),
		RetryBudget: &cluster.CircuitBreakers_Thresholds_RetryBudget{
			BudgetPercent:       &typev3.Percent{Value: 20},
			MinRetryConcurrency: u32(10),
		},
	}}}
}

func upstreamProtocol(protocol string) *upstreams.HttpProtocolOptions {
	explicit := &upstreams.HttpProtocolOptions_ExplicitHttpConfig{
		ProtocolConfig: &upstreams.HttpProtocolOptions_ExplicitHttpConfig_HttpProtocolOptions{
			HttpProtocolOptions: &core.Http1ProtocolOptions{},
		},
	}
	if protocol == "http2" {
		explicit.ProtocolConfig = &upstreams.HttpProtocolOptions_ExplicitHttpConfig_Http2ProtocolOptions{
			Http2ProtocolOptions: &core.Http2ProtocolOptions{},
		}
	}
	return &upstreams.HttpProtocolOptions{
		CommonHttpProtocolOptions: &core.HttpProtocolOptions{IdleTimeout: duration(upstreamIdle)},
		UpstreamProtocolOptions: &upstreams.HttpProtocolOptions_ExplicitHttpConfig_{
			ExplicitHttpConfig: explicit,
		},
	}
}

// unixCluster is a gRPC server of gabion's own behind a Unix socket. No pings:
// the kernel tells at once when the other side is gone.
func unixCluster(name, socket string) *cluster.Cluster {
	options := upstreamProtocol("http2")
	options.CommonHttpProtocolOptions = nil // streams to gabion live for ever
	return &cluster.Cluster{
		Name:                 name,
		ConnectTimeout:       duration(connectTimeout),
		ClusterDiscoveryType: &cluster.Cluster_Type{Type: cluster.Cluster_STATIC},
		CircuitBreakers:      circuitBreakers(),
		LoadAssignment:       staticEndpoints(name, pipeAddress(socket)),
		TypedExtensionProtocolOptions: map[string]*anypb.Any{
			"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": packed(options),
		},
	}
}

// upstreamTLS verifies a backend: a CA and a name always, or the reason why not.
func (t *translation) upstreamTLS(c ir.Cluster) (*core.TransportSocket, string) {
	sans := c.TLS.SubjectAltNames
	if len(sans) == 0 && c.TLS.SNI != "" {
		sans = []string{c.TLS.SNI}
	}
	if len(sans) == 0 {
		return nil, "TLS to the backend names neither a host nor a subject: it could verify nothing"
	}
	want := &tlsv3.CertificateValidationContext{MatchTypedSubjectAltNames: subjectAltNames(sans)}
	common := &tlsv3.CommonTlsContext{
		TlsParams:     &tlsv3.TlsParameters{TlsMinimumProtocolVersion: tlsv3.TlsParameters_TLSv1_2},
		AlpnProtocols: []string{"http/1.1"},
	}
	if c.Protocol == "http2" {
		common.AlpnProtocols = []string{"h2"}
	}
	switch {
	case c.TLS.CA != "" && t.cas[c.TLS.CA]:
		common.ValidationContextType = &tlsv3.CommonTlsContext_CombinedValidationContext{
			CombinedValidationContext: &tlsv3.CommonTlsContext_CombinedCertificateValidationContext{
				DefaultValidationContext:         want,
				ValidationContextSdsSecretConfig: secretFromADS(c.TLS.CA),
			},
		}
	case c.TLS.CA == "" && c.TLS.System:
		want.TrustedCa = &core.DataSource{Specifier: &core.DataSource_Filename{Filename: t.options.SystemCA}}
		common.ValidationContextType = &tlsv3.CommonTlsContext_ValidationContext{ValidationContext: want}
	default:
		return nil, "the CA that should verify the backend is missing or unusable"
	}
	up := &tlsv3.UpstreamTlsContext{CommonTlsContext: common}
	if _, err := netip.ParseAddr(c.TLS.SNI); err != nil { // an address is no server name
		up.Sni = c.TLS.SNI
	}
	return &core.TransportSocket{
		Name:       "envoy.transport_sockets.tls",
		ConfigType: &core.TransportSocket_TypedConfig{TypedConfig: packed(up)},
	}, ""
}

func subjectAltNames(names []string) []*tlsv3.SubjectAltNameMatcher {
	var out []*tlsv3.SubjectAltNameMatcher
	for _, n := range names {
		kind := tlsv3.SubjectAltNameMatcher_DNS
		if strings.Contains(n, "://") {
			kind = tlsv3.SubjectAltNameMatcher_URI
		} else if _, err := netip.ParseAddr(n); err == nil {
			kind = tlsv3.SubjectAltNameMatcher_IP_ADDRESS
		}
		out = append(out, &tlsv3.SubjectAltNameMatcher{SanType: kind, Matcher: exactly(n)})
	}
	return out
}

func exactly(s string) *matcher.StringMatcher {
	return &matcher.StringMatcher{MatchPattern: &matcher.StringMatcher_Exact{Exact: s}}
}
