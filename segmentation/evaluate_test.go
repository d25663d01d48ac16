package segmentation

import (
	"net/netip"
	"testing"

	"github.com/gabion-io/gabion/workload"
)

func labelled(name string, labels workload.Labels, addr string) *workload.Workload {
	return &workload.Workload{ID: workload.ID{Namespace: "shop", Name: name}, Labels: labels, Addresses: []netip.Addr{netip.MustParseAddr(addr)}}
}

func app(name string) *Selection {
	return &Selection{Namespace: "shop", Labels: workload.MatchLabels(workload.Labels{"app": name})}
}

func named(name string) PolicyName {
	return PolicyName{"SegmentationPolicy", workload.ID{Namespace: "shop", Name: name}}
}

// Modes together, as one table: the enforced set decides, audit only adds.
func TestModesTogether(t *testing.T) {
	web, cart := labelled("web", workload.Labels{"app": "web"}, "10.0.0.1"), labelled("cart", workload.Labels{"app": "cart"}, "10.0.0.2")
	src, dst := Between(web, cart)
	flow := Flow{Src: src, Dst: dst, Protocol: TCP, Port: 80}
	allow := func(name string, m Mode) Policy {
		return Policy{Name: named(name), Mode: m, Subject: *app("cart"), Ingress: Rules{true, []Rule{{Peers: []Peer{{Workloads: app("web")}}}}}}
	}
	deny := func(name string, m Mode) Policy {
		p := allow(name, m)
		p.Ingress.List[0].Deny = true
		return p
	}
	closed := func(name string, m Mode) Policy {
		return Policy{Name: named(name), Mode: m, Subject: *app("cart"), Ingress: Rules{Governed: true}}
	}
	for _, c := range []struct {
		name     string
		policies []Policy
		want     Verdict
		rule     string
	}{
		{"nothing selects", nil, Allowed, "no policy"},
		{"observe takes no part", []Policy{closed("a", Observe)}, Allowed, "no policy"},
		{"audit alone is no default deny, it records", []Policy{closed("a", Audit)}, Audited, "SegmentationPolicy shop/a default deny (ingress)"},
		{"enforce denies by default", []Policy{closed("a", Enforce)}, Denied, "SegmentationPolicy shop/a default deny (ingress)"},
		{"an allow in audit opens nothing", []Policy{closed("a", Enforce), allow("b", Audit)}, Denied, "SegmentationPolicy shop/a default deny (ingress)"},
		{"an allow in observe opens nothing", []Policy{closed("a", Enforce), allow("b", Observe)}, Denied, "SegmentationPolicy shop/a default deny (ingress)"},
		{"one allow is enough", []Policy{closed("a", Enforce), allow("b", Enforce)}, Allowed, "SegmentationPolicy shop/b ingress[0]"},
		{"an enforced allow satisfies audit too", []Policy{allow("a", Enforce), closed("b", Audit)}, Allowed, "SegmentationPolicy shop/a ingress[0]"},
		{"a deny beats an allow", []Policy{allow("a", Enforce), deny("b", Enforce)}, Denied, "SegmentationPolicy shop/b ingress[0]"},
		{"an audited deny is recorded", []Policy{allow("a", Enforce), deny("b", Audit)}, Audited, "SegmentationPolicy shop/b ingress[0]"},
		{"an audited allow answers an audited default deny", []Policy{closed("a", Audit), allow("b", Audit)}, Allowed, "no policy"},
	} {
		if v, rule := Evaluate(c.policies, flow); v != c.want || rule.String() != c.rule {
			t.Errorf("%s: %s by %s, want %s by %s", c.name, v, rule, c.want, c.rule)
		}
	}
}

func TestGlob(t *testing.T) {
	for _, c := range []struct {
		pattern, text string
		want          bool
	}{
		{"web", "web", true}, {"web", "web-1", false}, {"web-*", "web-1", true}, {"web-*", "web-", true}, {"*", "", true},
		{"*-db", "x-db", true}, {"a*b*c", "aXbYc", true}, {"a*b*c", "acb", false}, {"a*a", "a", false}, {"**", "x", true},
	} {
		if glob(c.pattern, c.text) != c.want {
			t.Errorf("glob(%q, %q) is %v", c.pattern, c.text, !c.want)
		}
	}
}

func TestPathTemplate(t *testing.T) {
	for _, c := range []struct {
		template PathTemplate
		path     string
		want     bool
	}{
		{"", "/x", true}, {"/orders", "/orders", true}, {"/orders", "/orders/", false}, {"/orders/{id}", "/orders/7", true},
		{"/orders/{id}", "/orders/", false}, {"/orders/{id}", "/orders/7/items", false}, {"/static/**", "/static/a/b", true},
		{"/static/**", "/static", true}, {"/static/**", "/statics", false}, {"/**", "/", true},
	} {
		if c.template.Matches(c.path) != c.want || c.template.Check() != "" {
			t.Errorf("%q matches %q: %v; %s", c.template, c.path, !c.want, c.template.Check())
		}
	}
	for _, bad := range []PathTemplate{"orders", "/a/**/b", "/a*", "/a{b}c", "/a?b", "/{}"} {
		if bad.Check() == "" {
			t.Errorf("%q passes", bad)
		}
	}
}

func TestName(t *testing.T) {
	exact, below := Name{Pattern: "api.example.com"}, Name{Pattern: "*.example.com"}
	for name, want := range map[string][2]bool{
		"api.example.com": {true, true}, "API.Example.com.": {true, true}, "a.b.example.com": {false, true},
		"example.com": {false, false}, ".example.com": {false, false}, "api.example.org": {false, false}, "": {false, false},
	} {
		if exact.Matches(name) != want[0] || below.Matches(name) != want[1] {
			t.Errorf("%q: %v, %v", name, exact.Matches(name), below.Matches(name))
		}
	}
}
