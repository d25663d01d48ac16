package server

import (
	"cmp"
	"context"
	"fmt"
	"net"
	"regexp"
	"slices"
	"strings"

	"github.com/danielgtaylor/huma/v2"

	"github.com/gabion-io/gabion/controlplane/api/v1alpha1"
	"github.com/gabion-io/gabion/controlplane/compile"
	"github.com/gabion-io/gabion/controlplane/ingest"
	"github.com/gabion-io/gabion/controlplane/ir"
	"github.com/gabion-io/gabion/controlplane/reconcile"
)

// Explanation says what governs the asked traffic.
type Explanation struct {
	Asked string         `json:"asked"`
	Rules []GovernedRule `json:"rules" doc:"one for each route rule and listener"`
	// Filters are not of this route alone: what values are known is shared.
	Filters []ingest.Effort `json:"filters,omitempty" doc:"what the running filters last said about the work of their engines, over all routes"`
}

// GovernedRule is a route rule, the policies that govern it, and what of them
// can do nothing or is wrong.
type GovernedRule struct {
	compile.Explanation
	Conditions []v1alpha1.Condition `json:"conditions,omitempty" doc:"of the governing policies and the route"`
}

type explainInput struct {
	Route  string `query:"route" maxLength:"512" doc:"namespace/name or name of a route"`
	Rule   string `query:"rule" maxLength:"253" doc:"name or index of one of its rules"`
	Host   string `query:"host" maxLength:"253" doc:"with path, instead of a route: which traffic"`
	Path   string `query:"path" maxLength:"8192" doc:"with host"`
	Method string `query:"method" maxLength:"32" default:"GET"`
}

func (a *api) explain(ctx context.Context, in *explainInput) (*bodyOf[Explanation], error) {
	state, err := a.state(ctx)
	if err != nil {
		return nil, err
	}
	route, rule, asked := in.Route, in.Rule, in.Route
	switch {
	case in.Route != "" && in.Host != "", in.Route == "" && in.Host == "":
		return nil, huma.Error422UnprocessableEntity("name either a route, or a host and path")
	case in.Host != "":
		asked = fmt.Sprintf("%s %s%s", in.Method, in.Host, cmp.Or(in.Path, "/"))
		r, ok := findRoute(state.Compiled.IR, in.Host, cmp.Or(in.Path, "/"), in.Method)
		if !ok {
			return nil, fmt.Errorf("no route serves %s: %w", asked, ErrNotFound)
		}
		route, rule = r.Resource.String(), ruleOf(r.Name)
	}
	found, err := compile.Explain(state.Set, a.Live.CompileOptions(), route, rule)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", err, ErrNotFound)
	}
	out := Explanation{Asked: asked, Rules: []GovernedRule{}}
	for _, e := range found {
		out.Rules = append(out.Rules, GovernedRule{e, governing(state, e)})
	}
	if a.Efforts != nil {
		out.Filters = a.Efforts.Efforts()
	}
	return &bodyOf[Explanation]{out}, nil
}

// governing collects the conditions a reader of the explanation should know.
func governing(state *reconcile.State, e compile.Explanation) []v1alpha1.Condition {
	var of []v1alpha1.Condition
	for _, c := range state.Conditions {
		policy := slices.ContainsFunc(e.Policies, func(g compile.Governing) bool { return g.Policy == c.Key() })
		isRoute := c.Key() == e.Route
		if c.Bad() && (policy || isRoute) {
			of = append(of, c)
		}
	}
	return of
}

// ruleOf takes the rule out of a compiled route's name, namespace/name/rule/match.
func ruleOf(name string) string {
	parts := strings.Split(name, "/")
	if len(parts) < 4 {
		return ""
	}
	return parts[2]
}

// findRoute follows a request the way Envoy would, without headers and query:
// listener by listener, the most specific host, then the first route that matches.
func findRoute(in *ir.IR, host, path, method string) (ir.Route, bool) {
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	path, _, _ = strings.Cut(path, "?")
	for _, l := range in.Listeners {
		for _, chain := range l.Chains {
			vh, ok := findHost(chain.VirtualHosts, strings.ToLower(host))
			if !ok {
				continue
			}
			for _, r := range vh.Routes {
				if matches(r.Match, path, method) {
					return r, true
				}
			}
		}
	}
	return ir.Route{}, false
}

// findHost: exact before the longest wildcard before "*".
func findHost(hosts []ir.VirtualHost, host string) (best ir.VirtualHost, ok bool) {
	rank := -1
	for _, vh := range hosts {
		for _, d := range vh.Domains {
			r := hostRank(strings.ToLower(d), host)
			if r > rank {
				rank, best, ok = r, vh, true
			}
		}
	}
	return best, ok
}

func hostRank(domain, host string) int {
	if d, port, err := net.SplitHostPort(domain); err == nil && port != "" {
		domain = d
	}
	switch {
	case domain == host:
		return 1 << 16
	case domain == "*":
		return 0
	case strings.HasPrefix(domain, "*") && strings.HasSuffix(host, domain[1:]) && len(host) > len(domain)-1:
		return len(domain)
	}
	return -1
}

func matches(m ir.Match, path, method string) bool {
	if m.Method != "" && !strings.EqualFold(m.Method, method) {
		return false
	}
	if len(m.Headers) > 0 || len(m.Query) > 0 { // the question has none
		return false
	}
	switch m.Path.Kind {
	case "exact":
		return path == m.Path.Value
	case "regex":
		re, err := regexp.Compile("^(?:" + m.Path.Value + ")$")
		return err == nil && re.MatchString(path)
	}
	prefix := strings.TrimSuffix(m.Path.Value, "/")
	return path == prefix || strings.HasPrefix(path, prefix+"/")
}
