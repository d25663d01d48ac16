package segment

import (
	"maps"
	"math/rand/v2"
	"net/netip"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/gabion-io/gabion/controlplane/ir"
	"github.com/gabion-io/gabion/segmentation"
	"github.com/gabion-io/gabion/segmentation/verdicttest"
	"github.com/gabion-io/gabion/workload"
)

// holds is what a condition says of a request from an address.
func holds(c *ir.Condition, from netip.Addr, r *segmentation.Request) bool {
	each := func(c ir.Condition) bool { return holds(&c, from, r) }
	switch {
	case c.Never:
		return false
	case len(c.All) > 0:
		return !slices.ContainsFunc(c.All, func(c ir.Condition) bool { return !each(c) })
	case len(c.Any) > 0:
		return slices.ContainsFunc(c.Any, each)
	case c.Not != nil:
		return !each(*c.Not)
	case len(c.Methods) > 0:
		return slices.Contains(c.Methods, r.Method)
	case c.Path != "":
		return regexp.MustCompile("^(?:" + c.Path + ")$").MatchString(r.Path)
	case len(c.Callers) > 0:
		return slices.ContainsFunc(c.Callers, func(want string) bool {
			prefix, open := strings.CutSuffix(want, "*")
			return r.Caller != "" && (open && strings.HasPrefix(r.Caller, prefix) || want == r.Caller)
		})
	case len(c.Peers) > 0:
		return slices.ContainsFunc(c.Peers, func(p netip.Prefix) bool { return p.Contains(from) })
	}
	return true
}

// leading is one route to one endpoint.
func leading(at ...netip.AddrPort) *ir.IR {
	c := ir.Cluster{Name: "c"}
	for _, a := range at {
		c.Endpoints = append(c.Endpoints, ir.Endpoint{Address: a.Addr().String(), Port: uint32(a.Port()), Healthy: true})
	}
	return &ir.IR{
		Clusters: []ir.Cluster{c},
		Listeners: []ir.Listener{{Chains: []ir.FilterChain{{VirtualHosts: []ir.VirtualHost{{Routes: []ir.Route{
			{Backends: []ir.WeightedCluster{{Cluster: "c", Weight: 1}}}, {Direct: &ir.DirectResponse{Status: 200}},
		}}}}}}},
	}
}

func accessOf(in *ir.IR) *ir.Access {
	return in.Listeners[0].Chains[0].VirtualHosts[0].Routes[0].Access
}

// enforcing takes policies of at least a mode as enforced.
func enforcing(policies []segmentation.Policy, least segmentation.Mode) (out []segmentation.Policy) {
	for _, p := range policies {
		if p.Mode >= least {
			p.Mode = segmentation.Enforce
			out = append(out, p)
		}
	}
	return out
}

// What a proxy is told says of every request what the reference says of it.
func TestAccessIsTheReference(t *testing.T) {
	paths := []string{"/", "/orders", "/orders/7", "/orders/7/items", "/static", "/static/a/b", "/static/", "/orders%2F7", "/static/..%5corders"}
	judged, open, closed := 0, 0, 0
	for seed := range uint64(80) {
		d, more := verdicttest.NewDice(seed), rand.New(rand.NewPCG(seed, 1))
		workloads, policies := d.Workloads(), d.Policies()
		addHTTP(policies, more)
		owner, shared := map[netip.Addr]*workload.Workload{}, map[netip.Addr]bool{}
		for _, w := range workloads {
			for _, a := range w.Addresses {
				shared[a.Unmap()] = owner[a.Unmap()] != nil
				owner[a.Unmap()] = w
			}
		}
		for _, at := range slices.SortedFunc(maps.Keys(owner), netip.Addr.Compare) {
			w, port := owner[at], uint16(79+more.IntN(5))
			if shared[at] {
				continue
			}
			a := accessOf(WithAccess(leading(netip.AddrPortFrom(at, port)), Result{Policies: policies, Workloads: workloads}))
			if a == nil {
				continue
			}
			for _, end := range verdicttest.Ends(workloads) {
				from := end.Addr.Unmap()
				if !from.IsValid() || shared[from] || end.Workload != owner[from] {
					continue
				}
				r := &segmentation.Request{Method: []string{"GET", "POST"}[more.IntN(2)], Path: paths[more.IntN(len(paths))],
					Caller: []string{"", "spiffe://a/web", "spiffe://a/web/1", "spiffe://b/web"}[more.IntN(4)]}
				f := segmentation.Flow{Src: end, Dst: segmentation.Endpoint{Workload: w, Addr: at}, Protocol: segmentation.TCP, Port: port, Proxied: true, Request: r}
				for mode, c := range map[segmentation.Mode]*ir.Condition{segmentation.Enforce: a.Enforced, segmentation.Audit: a.Audited} {
					if c == nil {
						continue
					}
					want, rule := segmentation.Judge(enforcing(policies, mode), f, segmentation.Ingress)
					if got := holds(c, from, r); got != (want == segmentation.Allowed) {
						t.Fatalf("seed %d, %s: %s from %s (caller %q) to %s:%d is %v, but %s by %s", seed, mode, r.Method+" "+r.Path, from, r.Caller, w.ID, port, got, want, rule)
					}
					if judged++; want == segmentation.Allowed {
						open++
					} else {
						closed++
					}
				}
			}
		}
	}
	if open < 500 || closed < 500 {
		t.Errorf("of %d requests %d were allowed and %d denied: the test looks at too little", judged, open, closed)
	}
}

// addHTTP lets more rules tell requests apart.
func addHTTP(policies []segmentation.Policy, more *rand.Rand) {
	for i := range policies {
		for n := range policies[i].Ingress.List {
			r := &policies[i].Ingress.List[n]
			if more.IntN(2) == 0 {
				continue
			}
			h := segmentation.HTTPRule{}
			if more.IntN(2) == 0 {
				h.Methods = []string{"GET"}
			}
			if more.IntN(2) == 0 {
				h.Path = []segmentation.PathTemplate{"/orders/{id}", "/static/**", "/", "/**", "/orders/{id}/items"}[more.IntN(5)]
			}
			if more.IntN(3) == 0 {
				h.Callers = [][]string{{"spiffe://a/*"}, {"spiffe://a/web"}, {"*"}}[more.IntN(3)]
			}
			r.HTTP = append(r.HTTP, h)
		}
	}
}

const shop = `
apiVersion: gabion.io/v1alpha1
kind: Workload
metadata: {name: web, namespace: shop, labels: {app: web}}
spec: {addresses: [10.0.0.1]}
---
apiVersion: gabion.io/v1alpha1
kind: Workload
metadata: {name: cart, namespace: shop, labels: {app: cart}}
spec: {addresses: [10.0.0.2]}
---
apiVersion: gabion.io/v1alpha1
kind: Workload
metadata: {name: cart-2, namespace: shop, labels: {app: cart}}
spec: {addresses: [10.0.0.3]}
---
apiVersion: gabion.io/v1alpha1
kind: SegmentationPolicy
metadata: {name: cart, namespace: shop}
spec:
  mode: MODE
  selector: {matchLabels: {app: cart}}
  ingress:
  - from: [{selector: {matchLabels: {app: web}}}]
    ports: [{port: 8080}]
    http: [{methods: [GET], path: "/orders/{id}"}]
  - {from: [{cidr: 10.1.0.0/16, except: [10.1.9.0/24]}], ports: [{port: 9090}]}
`

func TestAccess(t *testing.T) {
	compiled := func(mode string) Result {
		return Compile(read(t, strings.ReplaceAll(shop, "MODE", mode)), Options{})
	}
	get := ir.Condition{All: []ir.Condition{
		{Peers: []netip.Prefix{netip.MustParsePrefix("10.0.0.1/32")}},
		{All: []ir.Condition{{Methods: []string{"GET"}}, {Path: "/orders/[^/]+"}, {Not: &ir.Condition{Path: hidden}}}},
	}}
	both := []netip.AddrPort{netip.MustParseAddrPort("10.0.0.2:8080"), netip.MustParseAddrPort("10.0.0.3:8080")}
	for _, c := range []struct {
		name, mode string
		at         []netip.AddrPort
		want       *ir.Access
	}{
		{"enforced, at both alike", "enforce", both, &ir.Access{Enforced: &get}},
		{"audited", "audit", both, &ir.Access{Audited: &get}},
		{"observed", "observe", both, nil},
		{"another port", "enforce", []netip.AddrPort{netip.MustParseAddrPort("10.0.0.2:9090")}, nil},
		{"another workload", "enforce", []netip.AddrPort{netip.MustParseAddrPort("10.0.0.1:8080")}, nil},
		{"nobody's address", "enforce", []netip.AddrPort{netip.MustParseAddrPort("10.0.0.9:8080")}, nil},
	} {
		in := leading(c.at...)
		if d := cmp.Diff(c.want, accessOf(WithAccess(in, compiled(c.mode))), cmp.Comparer(func(a, b netip.Prefix) bool { return a == b })); d != "" {
			t.Errorf("%s: %s", c.name, d)
		}
		if accessOf(in) != nil {
			t.Errorf("%s: what was given has changed", c.name)
		}
	}
}

// A rule that tells requests apart is told of until routes lead to all that its
// policy selects, at its port.
func TestRoutesAnswerTheCondition(t *testing.T) {
	for _, c := range []struct {
		at   []string
		told bool
	}{
		{nil, true}, {[]string{"10.0.0.2:8080"}, true}, {[]string{"10.0.0.2:8080", "10.0.0.3:9090"}, true}, {[]string{"10.0.0.2:8080", "10.0.0.3:8080"}, false},
	} {
		var at []netip.AddrPort
		for _, text := range c.at {
			at = append(at, netip.MustParseAddrPort(text))
		}
		r := Compile(read(t, strings.ReplaceAll(shop, "MODE", "enforce")), Options{Routed: Routed(leading(at...))})
		if told := strings.Contains(conditions(r.Conditions), reasonNoProxy); told != c.told {
			t.Errorf("routes to %v: %s", c.at, conditions(r.Conditions))
		}
	}
}
