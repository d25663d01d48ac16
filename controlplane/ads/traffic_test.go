package ads_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/gabion-io/gabion/controlplane/ir"
)

// hardened are the listener defaults that compile fills in.
func hardened() ir.ListenerOptions {
	return ir.ListenerOptions{
		RequestHeadersTimeout: 10 * time.Second, RequestTimeout: 300 * time.Second,
		StreamIdleTimeout: 300 * time.Second, ConnectionIdleTimeout: 300 * time.Second,
		MaxRequestHeadersKB: 60, MaxHeadersCount: 100, MaxConnections: 1000,
		HTTP2MaxStreams: 100, HTTP2StreamWindow: 64 << 10, HTTP2ConnectionWindow: 1 << 20,
		BufferLimit: 1 << 20, NormalizePath: true, MergeSlashes: true, EscapedSlashes: "keep",
		HeadersWithUnderscores: "reject", UseRemoteAddress: true, WebSocket: true, DrainTimeout: 5 * time.Second,
	}
}

// backend is an upstream whose answer says who it is and what it got.
func backend(t testing.TB, name string) *httptest.Server {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Backend", name)
		w.Header().Set("X-Got-Path", r.URL.RequestURI())
		w.Header().Set("X-Got-Host", r.Host)
		w.Header().Set("X-Got-Header", strings.Join(r.Header.Values("X-Test"), ","))
		io.Copy(io.Discard, r.Body)
		fmt.Fprintf(w, "hello from %s", name)
	}))
	t.Cleanup(s.Close)
	return s
}

func endpointOf(t testing.TB, address string) ir.Endpoint {
	t.Helper()
	a, err := netip.ParseAddrPort(address)
	if err != nil {
		t.Fatal(err)
	}
	return ir.Endpoint{Address: a.Addr().String(), Port: uint32(a.Port()), Healthy: true}
}

func clusterOf(t testing.TB, name string, servers ...*httptest.Server) ir.Cluster {
	c := ir.Cluster{Name: name, Protocol: "http1", Resource: ir.Ref{Kind: "Service", Namespace: "default", Name: name}}
	for _, s := range servers {
		c.Endpoints = append(c.Endpoints, endpointOf(t, s.Listener.Addr().String()))
	}
	return c
}

func routeRef() ir.Ref { return ir.Ref{Kind: "HTTPRoute", Namespace: "default", Name: "shop"} }

// route matches a path prefix and goes to one cluster.
func route(prefix, cluster string) ir.Route {
	return ir.Route{
		Name: "default/shop" + prefix, Resource: routeRef(),
		Match:    ir.Match{Path: ir.PathMatch{Kind: "prefix", Value: prefix}},
		Backends: []ir.WeightedCluster{{Cluster: cluster, Weight: 1}},
	}
}

// gateway is one plain listener with one host.
func gateway(port uint32, clusters []ir.Cluster, routes ...ir.Route) *ir.IR {
	return &ir.IR{
		Clusters: clusters,
		Listeners: []ir.Listener{{
			Name: "default/web/http", Resource: ir.Ref{Kind: "Gateway", Namespace: "default", Name: "web"},
			Address: "127.0.0.1", Port: port, Options: hardened(),
			Chains: []ir.FilterChain{{VirtualHosts: []ir.VirtualHost{{Name: "any", Domains: []string{"*"}, Routes: routes}}}},
		}},
	}
}

// client keeps no connection and follows no redirect.
func client() *http.Client {
	return &http.Client{
		Timeout:       patience,
		Transport:     &http.Transport{DisableKeepAlives: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

func get(t testing.TB, c *http.Client, url string, header ...string) (*http.Response, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(context.Background(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i+1 < len(header); i += 2 {
		if strings.EqualFold(header[i], "host") {
			r.Host = header[i+1]
			continue
		}
		r.Header.Set(header[i], header[i+1])
	}
	resp, err := c.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, string(b)
}

func urlOf(port uint32, path string) string { return fmt.Sprintf("http://127.0.0.1:%d%s", port, path) }

// raw writes bytes to the listener and returns what comes back until it closes.
func raw(t testing.TB, port uint32, text string) string {
	t.Helper()
	c, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(patience))
	if _, err := io.WriteString(c, text); err != nil {
		t.Fatal(err)
	}
	b, _ := io.ReadAll(c)
	return string(b)
}
