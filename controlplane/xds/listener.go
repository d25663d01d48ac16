package xds

import (
	"net"
	"slices"
	"strconv"
	"time"

	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	listener "github.com/envoyproxy/go-control-plane/envoy/config/listener/v3"
	tlsinspector "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/listener/tls_inspector/v3"
	connectionlimit "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/connection_limit/v3"
	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/gabion-io/gabion/controlplane/ir"
)

// handshakeTimeout bounds the TLS client hello and the handshake.
const handshakeTimeout = 10 * time.Second

func (t *translation) listeners(list []ir.Listener) {
	addresses := map[string]string{}
	for _, l := range list {
		part := "listener " + l.Name
		address := net.JoinHostPort(l.Address, strconv.Itoa(int(l.Port)))
		switch other, taken := addresses[address]; {
		case t.out.has(ListenerType, l.Name):
			t.out.problem(l.Resource, part, "two listeners have this name; the first is used")
			continue
		case taken:
			t.out.problem(l.Resource, part, "listener %s has the same address and port", other)
			continue
		case !readable(l):
			t.out.problem(l.Resource, part, brokenText)
			continue
		case !sayable(l.Name) || l.Name == "":
			t.out.problem(l.Resource, part, "not a usable name")
			continue
		}
		m := t.listener(&l, part)
		if m == nil {
			continue
		}
		addresses[address] = l.Name
		t.filterTable(&l)
		t.out.add(ListenerType, l.Name, m, l.Resource)
	}
}

// listener is nil when none of its filter chains can be served.
func (t *translation) listener(l *ir.Listener, part string) *listener.Listener {
	m := &listener.Listener{
		Name:                          l.Name,
		Address:                       listenAddress(l.Address, l.Port),
		PerConnectionBufferLimitBytes: u32OrDefault(gabionFilter{t.options}.bufferLimit(l)),
		TrafficDirection:              core.TrafficDirection_INBOUND,
	}
	seen := map[string]bool{}
	for i := range l.Chains {
		c := &l.Chains[i]
		if fresh := t.freshNames(l, c, seen, part); !fresh {
			continue
		}
		if chain := t.filterChain(l, c, part); chain != nil {
			m.FilterChains = append(m.FilterChains, chain)
		}
		if c.TLS != nil {
			m.ListenerFilters = []*listener.ListenerFilter{tlsInspector()}
			m.ListenerFiltersTimeout = duration(handshakeTimeout)
		}
	}
	if len(m.FilterChains) == 0 {
		t.out.problem(l.Resource, part, "nothing on it can be served")
		return nil
	}
	if problem := invalid(m); problem != "" {
		t.out.problem(l.Resource, part, "%s", problem)
		return nil
	}
	return m
}

// listenAddress takes "::" for every address of both families.
func listenAddress(host string, port uint32) *core.Address {
	a := socketAddress(host, port)
	a.GetSocketAddress().Ipv4Compat = host == "::"
	return a
}

// freshNames refuses a chain whose server names (or name) another one has:
// Envoy would refuse the listener whole.
func (t *translation) freshNames(l *ir.Listener, c *ir.FilterChain, seen map[string]bool, part string) bool {
	keys := []string{"name " + c.Name}
	if len(c.ServerNames) == 0 {
		keys = append(keys, "every server name")
	}
	for _, n := range c.ServerNames {
		keys = append(keys, "server name "+n)
	}
	for _, k := range keys {
		if seen[k] {
			t.out.problem(l.Resource, part, "two filter chains for %s; the first is used", k)
			return false
		}
	}
	for _, k := range keys {
		seen[k] = true
	}
	return true
}

func (t *translation) filterChain(l *ir.Listener, c *ir.FilterChain, part string) *listener.FilterChain {
	chain := &listener.FilterChain{Name: c.Name}
	if c.TLS != nil {
		socket, problem := t.downstreamTLS(l, c.TLS)
		if problem != "" {
			t.out.problem(l.Resource, part, "filter chain %q: %s", c.Name, problem)
			return nil
		}
		chain.TransportSocket = socket
		chain.TransportSocketConnectTimeout = duration(handshakeTimeout)
	}
	if len(c.ServerNames) > 0 {
		chain.FilterChainMatch = &listener.FilterChainMatch{ServerNames: c.ServerNames}
	}
	if l.Options.MaxConnections > 0 {
		chain.Filters = append(chain.Filters, connectionLimit(l))
	}
	manager := t.connectionManager(l, c)
	if problem := invalid(manager); problem != "" {
		t.out.problem(l.Resource, part, "filter chain %q: %s", c.Name, problem)
		return nil
	}
	chain.Filters = append(chain.Filters, networkFilter("envoy.filters.network.http_connection_manager", manager))
	t.routes(l, c)
	return chain
}

func tlsInspector() *listener.ListenerFilter {
	return &listener.ListenerFilter{
		Name:       "envoy.filters.listener.tls_inspector",
		ConfigType: &listener.ListenerFilter_TypedConfig{TypedConfig: packed(&tlsinspector.TlsInspector{})},
	}
}

// connectionLimit holds per filter chain; a listener without TLS has one.
func connectionLimit(l *ir.Listener) *listener.Filter {
	return networkFilter("envoy.filters.network.connection_limit", &connectionlimit.ConnectionLimit{
		StatPrefix:     l.Name,
		MaxConnections: wrapperspb.UInt64(l.Options.MaxConnections),
	})
}

// downstreamTLS terminates TLS, or says why it cannot.
func (t *translation) downstreamTLS(l *ir.Listener, in *ir.TLS) (*core.TransportSocket, string) {
	common := &tlsv3.CommonTlsContext{
		TlsParams:     &tlsv3.TlsParameters{TlsMinimumProtocolVersion: tlsv3.TlsParameters_TLSv1_2},
		AlpnProtocols: alpn(in.ALPN, l.Options.Protocols),
	}
	if in.MinVersion == "1.3" {
		common.TlsParams.TlsMinimumProtocolVersion = tlsv3.TlsParameters_TLSv1_3
	}
	for _, s := range in.Secrets {
		if t.keyPairs[s] {
			common.TlsCertificateSdsSecretConfigs = append(common.TlsCertificateSdsSecretConfigs, secretFromADS(s))
		}
	}
	if len(common.TlsCertificateSdsSecretConfigs) == 0 {
		return nil, "it has no usable certificate"
	}
	down := &tlsv3.DownstreamTlsContext{CommonTlsContext: common}
	switch {
	case in.ClientCA != "" && t.cas[in.ClientCA]:
		common.ValidationContextType = &tlsv3.CommonTlsContext_ValidationContextSdsSecretConfig{
			ValidationContextSdsSecretConfig: secretFromADS(in.ClientCA),
		}
		down.RequireClientCertificate = wrapperspb.Bool(in.RequireClientCert)
	case in.ClientCA != "" || in.RequireClientCert:
		return nil, "the CA that should verify client certificates is missing or unusable"
	}
	return &core.TransportSocket{
		Name:       "envoy.transport_sockets.tls",
		ConfigType: &core.TransportSocket_TypedConfig{TypedConfig: packed(down)},
	}, ""
}

func alpn(asked, protocols []string) []string {
	if len(asked) > 0 {
		return asked
	}
	var out []string
	if speaks(protocols, "http2") {
		out = append(out, "h2")
	}
	if speaks(protocols, "http1") {
		out = append(out, "http/1.1")
	}
	return out
}

// speaks tells whether a protocol is on; an empty list means all.
func speaks(protocols []string, p string) bool {
	return len(protocols) == 0 || slices.Contains(protocols, p)
}
