package ads_test

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gabion-io/gabion/controlplane/ir"
	"github.com/gabion-io/gabion/controlplane/xds"
)

// orders lets GET /orders/{id} pass from one address.
func orders(from string) *ir.Condition {
	return &ir.Condition{All: []ir.Condition{
		{Methods: []string{"GET", "HEAD"}}, {Path: "/orders/[^/]+"}, {Not: &ir.Condition{Path: ".*%(2[fF]|5[cC]).*"}}, {Peers: []netip.Prefix{netip.MustParsePrefix(from)}},
	}}
}

// ask sends a request from a loopback address and gives the status.
func ask(t *testing.T, from string, port uint32, method, path string, header ...string) int {
	t.Helper()
	c := client()
	c.Transport = &http.Transport{DisableKeepAlives: true, DialContext: (&net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}).DialContext}
	r, err := http.NewRequestWithContext(context.Background(), method, urlOf(port, path), nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	resp, err := c.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	return resp.StatusCode
}

// A real Envoy lets pass what a route's condition says, by method, path and the
// address of the connection, and audits without a trace for the client.
func TestEnvoyJudgesRequests(t *testing.T) {
	t.Parallel()
	dir := ""
	w := newWorld(t, func(o *xds.BootstrapOptions) {
		dir = filepath.Dir(o.ADSSocket)
		o.ALSSocket = filepath.Join(dir, "als.sock")
	})
	w.opts = xds.Options{ALS: xds.ALSCluster, StreamReport: time.Second}
	sink := startSink(t, filepath.Join(dir, "als.sock"))
	port := freePort(t)
	judged, free := route("/orders", "a"), route("/free", "a")
	judged.Access = &ir.Access{Enforced: orders("127.0.0.0/30"), Audited: orders("127.0.0.1/32")}
	w.serve(gateway(port, []ir.Cluster{clusterOf(t, "a", backend(t, "a"))}, judged, free))
	for _, c := range []struct {
		from, method, path string
		header             []string
		status             int
		audit              string // what the access log says that enforcing all would do
	}{
		{"127.0.0.1", "GET", "/orders/7", nil, 200, "allowed"},
		{"127.0.0.1", "HEAD", "/orders/7?x=/a/b", nil, 200, "allowed"},
		{"127.0.0.2", "GET", "/orders/7", nil, 200, "denied"},
		{"127.0.0.2", "GET", "/orders/7", []string{"x-forwarded-for", "127.0.0.1"}, 200, "denied"}, // a header proves nothing
		{"127.0.0.1", "POST", "/orders/7", nil, 403, "denied"},
		{"127.0.0.1", "GET", "/orders", nil, 403, "denied"},
		{"127.0.0.1", "GET", "/orders/7/items", nil, 403, "denied"},
		{"127.0.0.1", "GET", "/orders/../orders/7/items", nil, 403, "denied"},
		{"127.0.0.1", "GET", "/orders/7%2Fitems", nil, 403, "denied"},
		{"127.0.0.9", "GET", "/orders/7", nil, 403, "denied"},
		{"127.0.0.9", "POST", "/free", nil, 200, ""},
	} {
		if got := ask(t, c.from, port, c.method, c.path, c.header...); got != c.status {
			t.Errorf("%s %s from %s: %d, want %d", c.method, c.path, c.from, got, c.status)
		}
		e := sink.next(t).entry
		fields := e.GetCommonProperties().GetMetadata().GetFilterMetadata()[xds.RBACName].GetFields()
		if got := fields["shadow_engine_result"].GetStringValue(); got != c.audit {
			t.Errorf("%s %s from %s: the log says of auditing %q, want %q", c.method, c.path, c.from, got, c.audit)
		}
		if denied := strings.HasPrefix(e.GetResponse().GetResponseCodeDetails(), "rbac_access_denied"); denied != (c.status == 403) {
			t.Errorf("%s %s from %s: details %q", c.method, c.path, c.from, e.GetResponse().GetResponseCodeDetails())
		}
	}
}

// Who calls is what a verified certificate says.
func TestEnvoyJudgesCallers(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	port, ca := freePort(t), newAuthority(t)
	cert, key := ca.issue("shop.example")
	exact, prefix, anybody := route("/exact", "a"), route("/prefix", "a"), route("/anybody", "a")
	for r, caller := range map[*ir.Route]string{&exact: "spiffe://shop/web", &prefix: "spiffe://shop/*", &anybody: "*"} {
		r.Access = &ir.Access{Enforced: &ir.Condition{Callers: []string{caller}}}
	}
	in := secured(gateway(port, []ir.Cluster{clusterOf(t, "a", backend(t, "a"))}, exact, prefix, anybody), secretOf("shop", cert, key))
	in.Secrets = append(in.Secrets, bundleOf("clients", ca.pem))
	in.Listeners[0].Chains[0].TLS.ClientCA = "clients"
	w.serve(in)
	for _, c := range []struct {
		id      string // empty: no certificate
		allowed string
	}{
		{"spiffe://shop/web", "exact prefix anybody"}, {"spiffe://shop/cart", "prefix anybody"}, {"spiffe://other/web", "anybody"}, {"", ""},
	} {
		config := &tls.Config{RootCAs: ca.pool()}
		if c.id != "" {
			certPEM, keyPEM := ca.identify(c.id)
			pair, err := tls.X509KeyPair(certPEM, keyPEM)
			if err != nil {
				t.Fatal(err)
			}
			config.Certificates = []tls.Certificate{pair}
		}
		for _, path := range []string{"exact", "prefix", "anybody"} {
			want := 403
			if strings.Contains(c.allowed, path) {
				want = 200
			}
			if resp, _ := get(t, tlsClient(port, config), "https://shop.example/"+path); resp.StatusCode != want {
				t.Errorf("%q at /%s: %s, want %d", c.id, path, resp.Status, want)
			}
		}
	}
}
