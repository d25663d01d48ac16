package ads_test

import (
	"strings"
	"testing"

	"github.com/gabion-io/gabion/controlplane/ir"
	"github.com/gabion-io/gabion/controlplane/xds"
)

func TestEnvoy(t *testing.T) {
	t.Parallel()
	for _, mode := range []struct {
		name string
		sotw bool
	}{{"delta", false}, {"sotw", true}} {
		t.Run(mode.name, func(t *testing.T) {
			w := newWorld(t, func(o *xds.BootstrapOptions) { o.SotW = mode.sotw })
			t.Run("routing", func(t *testing.T) { testRouting(t, w) })
		})
	}
}

func testRouting(t *testing.T, w *world) {
	w.t = t
	a, b := backend(t, "a"), backend(t, "b")
	port := freePort(t)
	routes := []ir.Route{
		with(route("/weights", "a"), func(r *ir.Route) {
			r.Backends = []ir.WeightedCluster{{Cluster: "a", Weight: 3}, {Cluster: "b", Weight: 1}}
		}),
		with(route("/gone", "a"), func(r *ir.Route) {
			r.Redirect = &ir.Redirect{Scheme: "https", Host: "other.example", HasPrefix: true, PrefixRewrite: "/new", Status: 301}
		}),
		with(route("/strip", "a"), func(r *ir.Route) { r.Rewrite = &ir.Rewrite{HasPrefix: true, PrefixRewrite: "/"} }),
		with(route("/swap", "a"), func(r *ir.Route) {
			r.Rewrite = &ir.Rewrite{Host: "inner.example", HasPrefix: true, PrefixRewrite: "/deep/er"}
		}),
		with(route("/whole", "a"), func(r *ir.Route) { r.Rewrite = &ir.Rewrite{Path: "/only"} }),
		with(route("/headers", "a"), func(r *ir.Route) {
			r.RequestHeaders = ir.HeaderMutation{Set: []ir.Header{{Name: "x-test", Value: "100%"}}, Add: []ir.Header{{Name: "x-test", Value: "two"}}}
			r.ResponseHeaders = ir.HeaderMutation{Set: []ir.Header{{Name: "x-added", Value: "yes"}}, Remove: []string{"x-backend"}}
		}),
		with(route("/direct", "a"), func(r *ir.Route) { r.Direct = &ir.DirectResponse{Status: 418, Body: "teapot"} }),
		with(route("/nothing", "a"), func(r *ir.Route) { r.Backends = nil }),
		with(route("/b", "b"), func(r *ir.Route) {}),
		with(route("/", "a"), func(r *ir.Route) { r.Match.Method = "GET" }),
	}
	w.serve(gateway(port, []ir.Cluster{clusterOf(t, "a", a), clusterOf(t, "b", b)}, routes...))
	c := client()

	seen := map[string]int{}
	for range 80 {
		resp, _ := get(t, c, urlOf(port, "/weights"))
		seen[resp.Header.Get("X-Backend")]++
	}
	if seen["a"] <= seen["b"] || seen["b"] == 0 {
		t.Errorf("weights 3:1 gave %v", seen)
	}
	for _, want := range []struct{ path, status, header, value string }{
		{"/x?q=1", "200", "X-Got-Path", "/x?q=1"},
		{"/x", "200", "X-Backend", "a"},
		{"/b", "200", "X-Backend", "b"},
		{"/b/c", "200", "X-Backend", "b"},
		{"/bc", "200", "X-Backend", "a"},
		{"/gone/x?y=1", "301", "Location", "https://other.example/new/x?y=1"},
		{"/strip", "200", "X-Got-Path", "/"},
		{"/strip/a/b?c", "200", "X-Got-Path", "/a/b?c"},
		{"/swap/a?b=c", "200", "X-Got-Path", "/deep/er/a?b=c"},
		{"/swap", "200", "X-Got-Host", "inner.example"},
		{"/whole/a?b=c", "200", "X-Got-Path", "/only?b=c"},
		{"/headers", "200", "X-Got-Header", "100%,two"},
		{"/headers", "200", "X-Added", "yes"},
		{"/headers", "200", "X-Backend", ""},
		{"/direct", "418", "", ""},
		{"/nothing", "500", "", ""},
		{"//x/../b//c", "200", "X-Got-Path", "/b/c"},
	} {
		resp, _ := get(t, c, urlOf(port, want.path))
		if !strings.HasPrefix(resp.Status, want.status) {
			t.Errorf("%s: status %s, want %s", want.path, resp.Status, want.status)
		}
		if want.header != "" && resp.Header.Get(want.header) != want.value {
			t.Errorf("%s: %s is %q, want %q", want.path, want.header, resp.Header.Get(want.header), want.value)
		}
		if resp.Header.Get("X-Request-Id") == "" {
			t.Errorf("%s: no x-request-id", want.path)
		}
		if got := resp.Header.Get("Server"); got != "" {
			t.Errorf("%s: a server header was added: %q", want.path, got)
		}
	}
}

func with(r ir.Route, change func(*ir.Route)) ir.Route {
	change(&r)
	return r
}
