package xds

import (
	"strings"

	"google.golang.org/protobuf/types/known/wrapperspb"

	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"

	"github.com/gabion-io/gabion/controlplane/ir"
)

// routeConfigName is the RDS name of one filter chain's routes.
func routeConfigName(l *ir.Listener, c *ir.FilterChain) string {
	if c.Name == "" {
		return l.Name
	}
	return l.Name + "#" + c.Name
}

// routes adds the route configuration of one filter chain.
func (t *translation) routes(l *ir.Listener, c *ir.FilterChain) {
	name := routeConfigName(l, c)
	m := &routev3.RouteConfiguration{
		Name:                     name,
		IgnorePortInHostMatching: true, // Gateway API: hosts match without port
		ValidateClusters:         wrapperspb.Bool(false),
	}
	causes := []ir.Ref{l.Resource}
	domains := map[string]string{}
	largest := 0
	for _, h := range c.VirtualHosts {
		host := &routev3.VirtualHost{Name: h.Name}
		for _, d := range h.Domains {
			if other, taken := domains[strings.ToLower(d)]; taken {
				t.out.problem(l.Resource, "host "+h.Name, "domain %q belongs to host %q already", d, other)
				continue
			}
			domains[strings.ToLower(d)] = h.Name
			host.Domains = append(host.Domains, d)
		}
		for i := range h.Routes {
			r := &h.Routes[i]
			route, problem := t.route(l, r)
			if problem != "" {
				t.out.problem(r.Resource, "route "+r.Name, "%s", problem)
			}
			if route == nil {
				continue
			}
			if problem := invalid(route); problem != "" {
				t.out.problem(r.Resource, "route "+r.Name, "%s", problem)
				continue
			}
			host.Routes = append(host.Routes, route)
			causes = append(causes, r.Resource)
			if r.Direct != nil {
				largest = max(largest, len(r.Direct.Body))
			}
		}
		if len(host.Domains) == 0 {
			continue
		}
		if problem := invalid(host); problem != "" {
			t.out.problem(l.Resource, "host "+h.Name, "%s", problem)
			continue
		}
		m.VirtualHosts = append(m.VirtualHosts, host)
	}
	if largest > 4096 { // Envoy's default
		m.MaxDirectResponseBodySizeBytes = u32(uint32(largest))
	}
	t.out.add(RouteType, name, m, causes...)
}

// route says one route. One that can be matched but not followed answers 500:
// left out, its requests would fall to a wider route with another policy.
func (t *translation) route(l *ir.Listener, r *ir.Route) (*routev3.Route, string) {
	match, problem := routeMatch(r.Match)
	if problem != "" {
		return nil, problem
	}
	m := &routev3.Route{
		Name: r.Name, Match: match, TypedPerFilterConfig: t.overrides(l, r),
		RequestBodyBufferLimit: gabionFilter{t.options}.requestBufferLimit(l),
	}
	enforced, audited := accessProblems(r)
	problem = t.follow(r, m)
	if problem == "" {
		problem = enforced
	}
	if problem == "" {
		problem = invalid(m)
	}
	if problem != "" {
		return &routev3.Route{
			Name: r.Name, Match: match, TypedPerFilterConfig: m.TypedPerFilterConfig, Action: direct(500, ""),
		}, problem
	}
	return m, audited
}

// follow fills in what happens to a matched request.
func (t *translation) follow(r *ir.Route, m *routev3.Route) string {
	if problem := mutations(r, m); problem != "" {
		return problem
	}
	switch {
	case r.Redirect != nil:
		action, problem := redirect(r)
		m.Action = &routev3.Route_Redirect{Redirect: action}
		return problem
	case r.Direct != nil:
		m.Action = direct(r.Direct.Status, r.Direct.Body)
		return ""
	}
	return t.forward(r, m)
}

// mutations fills the route's header changes. Backends' own are set where the
// backend is chosen.
func mutations(r *ir.Route, m *routev3.Route) (problem string) {
	if m.RequestHeadersToAdd, m.RequestHeadersToRemove, problem = headerMutation(r.RequestHeaders); problem != "" {
		return "request headers: " + problem
	}
	if m.ResponseHeadersToAdd, m.ResponseHeadersToRemove, problem = headerMutation(r.ResponseHeaders); problem != "" {
		return "response headers: " + problem
	}
	return ""
}

func direct(status uint32, body string) *routev3.Route_DirectResponse {
	action := &routev3.DirectResponseAction{Status: status}
	if body != "" {
		action.Body = &core.DataSource{Specifier: &core.DataSource_InlineString{InlineString: body}}
	}
	return &routev3.Route_DirectResponse{DirectResponse: action}
}
