package compile

import (
	"fmt"
	"regexp"
	"strings"

	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/gabion-io/gabion/controlplane/api/v1alpha1"
	"github.com/gabion-io/gabion/controlplane/ir"
)

func (c *compiler) grpcRule(k v1alpha1.Key, spec gatewayv1.GRPCRouteRule, i int) rule {
	path := fmt.Sprintf("spec.rules[%d]", i)
	out := rule{name: c.ruleName(k, spec.Name, i), index: i, matches: c.grpcMatches(k, path, spec.Matches)}
	out.action.Resource, out.action.Streaming = refOf(k), true
	filters := make([]gatewayv1.HTTPRouteFilter, len(spec.Filters))
	for n, f := range spec.Filters {
		filters[n] = grpcFilter(f)
	}
	refs := make([]gatewayv1.HTTPBackendRef, len(spec.BackendRefs))
	for n, b := range spec.BackendRefs {
		refs[n].BackendRef = b.BackendRef
		for _, f := range b.Filters {
			refs[n].Filters = append(refs[n].Filters, grpcFilter(f))
		}
	}
	ok := c.routeFilters(k, path, filters, &out)
	if spec.SessionPersistence != nil {
		c.rep.bad(k, v1alpha1.Programmed, reasonUnsupported, path+".sessionPersistence", "is not supported and has no effect")
	}
	if ok {
		out.action.Backends, out.services = c.backends(k, path, refs, true)
	}
	if len(out.action.Backends) == 0 {
		out.fail()
	}
	return out
}

// grpcFilter says a GRPCRoute's filter in an HTTPRoute's words.
func grpcFilter(f gatewayv1.GRPCRouteFilter) gatewayv1.HTTPRouteFilter {
	return gatewayv1.HTTPRouteFilter{
		Type:                   gatewayv1.HTTPRouteFilterType(f.Type),
		RequestHeaderModifier:  f.RequestHeaderModifier,
		ResponseHeaderModifier: f.ResponseHeaderModifier,
		RequestMirror:          f.RequestMirror,
		ExtensionRef:           f.ExtensionRef,
	}
}

func (c *compiler) grpcMatches(k v1alpha1.Key, path string, in []gatewayv1.GRPCRouteMatch) []ir.Match {
	if len(in) == 0 {
		return []ir.Match{{Path: ir.PathMatch{Kind: "prefix", Value: "/"}}}
	}
	var out []ir.Match
	for i, m := range in {
		at := fmt.Sprintf("%s.matches[%d]", path, i)
		match, problem := grpcMatch(m)
		if problem != "" {
			c.rep.bad(k, v1alpha1.Accepted, ReasonInvalid, at, "%s; the match is left out", problem)
			continue
		}
		out = append(out, match)
	}
	return out
}

func grpcMatch(m gatewayv1.GRPCRouteMatch) (out ir.Match, problem string) {
	if out.Path, problem = grpcPath(m.Method); problem != "" {
		return out, "method " + problem
	}
	for _, h := range m.Headers {
		v := ir.ValueMatch{Name: strings.ToLower(string(h.Name)), Value: h.Value, Regex: h.Type != nil && *h.Type == gatewayv1.GRPCHeaderMatchRegularExpression}
		if problem := addValue(&out.Headers, v, h.Type == nil || *h.Type == gatewayv1.GRPCHeaderMatchExact || v.Regex); problem != "" {
			return out, "header " + problem
		}
	}
	return out, ""
}

// grpcPath is the path that a gRPC method has in HTTP: /service/method.
func grpcPath(m *gatewayv1.GRPCMethodMatch) (ir.PathMatch, string) {
	service, method := "", ""
	if m != nil && m.Service != nil {
		service = *m.Service
	}
	if m != nil && m.Method != nil {
		method = *m.Method
	}
	if service == "" && method == "" {
		return ir.PathMatch{Kind: "prefix", Value: "/"}, ""
	}
	if m.Type != nil && *m.Type == gatewayv1.GRPCMethodMatchRegularExpression {
		return grpcRegex(service, method)
	}
	if strings.Contains(service+method, "/") {
		return ir.PathMatch{}, "contains a /: name service and method apart"
	}
	switch {
	case method == "":
		return ir.PathMatch{Kind: "prefix", Value: "/" + service}, ""
	case service == "":
		return ir.PathMatch{Kind: "regex", Value: "/[^/]+/" + regexp.QuoteMeta(method)}, ""
	}
	return ir.PathMatch{Kind: "exact", Value: "/" + service + "/" + method}, ""
}

func grpcRegex(service, method string) (ir.PathMatch, string) {
	value := ""
	for _, part := range []string{service, method} {
		if part == "" {
			part = "[^/]+"
		}
		// Each by itself: joined, one's mistake could be mended by the other.
		if _, err := regexp.Compile(part); err != nil {
			return ir.PathMatch{}, fmt.Sprintf("%q is no regular expression (RE2): %v", part, err)
		}
		value += "/(?:" + part + ")"
	}
	return ir.PathMatch{Kind: "regex", Value: value}, ""
}
