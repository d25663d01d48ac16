package compile

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/gabion-io/gabion/controlplane/api/v1alpha1"
	"github.com/gabion-io/gabion/controlplane/source"
)

// Explanation says which policies govern one route rule on one listener and
// what each field ends up as.
type Explanation struct {
	Listener string       `json:"listener"` // "default/web/http"
	Route    v1alpha1.Key `json:"route"`
	Rule     string       `json:"rule"`          // name or index
	Key      string       `json:"key"`           // in the filter's table
	Policies []Governing  `json:"policies"`      // least specific first; none: nothing is inspected
	Fields   []Field      `json:"fields"`        // of what WAFPolicies come to
	API      []Field      `json:"api,omitempty"` // of what APIPolicies come to
}

// Governing is a policy that applies, and by what.
type Governing struct {
	Policy v1alpha1.Key `json:"policy"`
	Level  string       `json:"level"` // root, namespace, gateway, listener, service, route, rule
}

// Field is one field of the effective policy.
type Field struct {
	Path   string          `json:"path"` // "requestBody.limit"
	Value  json.RawMessage `json:"value"`
	From   string          `json:"from"`             // "WAFPolicy default/shop" or "built-in default"
	Locked string          `json:"locked,omitempty"` // the policy that locks it
	Others []Overridden    `json:"others,omitempty"` // who also spoke, most specific first
}

// Overridden is a value that did not win, and why.
type Overridden struct {
	Policy v1alpha1.Key    `json:"policy"`
	Value  json.RawMessage `json:"value"`
	Why    string          `json:"why"` // "less specific", "older", "locked"
}

// boundRule is a route's rule on a listener with what governs it.
type boundRule struct {
	listener string
	key      string
	route    v1alpha1.Key
	rule     string
	waf      mergedWAF
	api      mergedAPI
}

// Explain says which WAFPolicies and APIPolicies govern a route's rules and why, on every
// listener the route is attached to. Route is "namespace/name", or "name" in the
// root namespace, with a kind before it ("GRPCRoute shop/api") where two kinds
// share the name. An empty rule means all of them.
func Explain(set source.Set, o Options, route, rule string) ([]Explanation, error) {
	o.Check = nil
	c := newCompiler(set, o)
	c.run()
	known := false
	var out []Explanation
	seen := map[[2]string]bool{} // a listener with two addresses is one
	for _, r := range c.allRoutes {
		known = known || named(r.key, route, c.o.RootNamespace)
	}
	for _, b := range c.bound {
		at := [2]string{b.listener, b.key}
		if !named(b.route, route, c.o.RootNamespace) || (rule != "" && rule != b.rule) || seen[at] {
			continue
		}
		seen[at] = true
		e := Explanation{Listener: b.listener, Route: b.route, Rule: b.rule, Key: b.key}
		for _, g := range b.waf.stack {
			e.Policies = append(e.Policies, Governing{g.policy.key, g.level.String()})
		}
		if len(e.Policies) > 0 {
			e.Fields = b.waf.fields
		}
		for _, g := range b.api.stack {
			e.Policies = append(e.Policies, Governing{g.policy.key, g.level.String()})
			e.API = b.api.fields
		}
		out = append(out, e)
	}
	switch {
	case !known:
		return nil, fmt.Errorf("explain %q: there is no such route: see gabion get httproute", route)
	case len(out) == 0 && rule != "":
		return nil, fmt.Errorf("explain %q: it has no rule %q on any listener: rules go by name, or by place from 0", route, rule)
	case len(out) == 0:
		return nil, fmt.Errorf("explain %q: no listener serves it: see its conditions with gabion get", route)
	}
	return out, nil
}

func named(k v1alpha1.Key, text, root string) bool {
	if kind, rest, ok := strings.Cut(text, " "); ok {
		if kind != k.Kind {
			return false
		}
		text = rest
	}
	if !strings.Contains(text, "/") {
		text = root + "/" + text
	}
	return text == k.Namespace+"/"+k.Name
}
