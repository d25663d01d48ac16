package compile

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strings"

	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/gabion-io/gabion/controlplane/api/v1alpha1"
	"github.com/gabion-io/gabion/controlplane/ir"
)

// httpMatches reads a rule's matches. One that cannot be used is dropped with a
// condition; a rule left without any matches nothing.
func (c *compiler) httpMatches(k v1alpha1.Key, path string, in []gatewayv1.HTTPRouteMatch) []ir.Match {
	if len(in) == 0 {
		return []ir.Match{{Path: ir.PathMatch{Kind: "prefix", Value: "/"}}}
	}
	var out []ir.Match
	for i, m := range in {
		match, at, problem := httpMatch(m)
		if problem != "" {
			at = strings.TrimSuffix(fmt.Sprintf("%s.matches[%d].%s", path, i, at), ".")
			c.rep.bad(k, v1alpha1.Accepted, ReasonInvalid, at, "%s; the match is left out", problem)
			continue
		}
		out = append(out, match)
	}
	return out
}

// httpMatch returns where and what is wrong when it cannot be used.
func httpMatch(m gatewayv1.HTTPRouteMatch) (out ir.Match, at, problem string) {
	if out.Path, problem = pathMatch(m.Path); problem != "" {
		return out, "path", problem
	}
	if m.Method != nil {
		out.Method = string(*m.Method)
	}
	for i, h := range m.Headers {
		v := ir.ValueMatch{Name: strings.ToLower(string(h.Name)), Value: h.Value, Regex: h.Type != nil && *h.Type == gatewayv1.HeaderMatchRegularExpression}
		if problem := addValue(&out.Headers, v, h.Type == nil || *h.Type == gatewayv1.HeaderMatchExact || v.Regex); problem != "" {
			return out, fmt.Sprintf("headers[%d]", i), problem
		}
	}
	for i, q := range m.QueryParams {
		v := ir.ValueMatch{Name: string(q.Name), Value: q.Value, Regex: q.Type != nil && *q.Type == gatewayv1.QueryParamMatchRegularExpression}
		if problem := addValue(&out.Query, v, q.Type == nil || *q.Type == gatewayv1.QueryParamMatchExact || v.Regex); problem != "" {
			return out, fmt.Sprintf("queryParams[%d]", i), problem
		}
	}
	return out, "", ""
}

// addValue adds a header or query match; of several with one name the first
// holds, as the Gateway API wants it.
func addValue(list *[]ir.ValueMatch, v ir.ValueMatch, known bool) string {
	if !known {
		return "type is neither Exact nor RegularExpression"
	}
	if !headerName.MatchString(v.Name) {
		return fmt.Sprintf("%q is no name of a header or parameter", v.Name)
	}
	if v.Regex {
		if _, err := regexp.Compile(v.Value); err != nil {
			return fmt.Sprintf("%q is no regular expression (RE2): %v", v.Value, err)
		}
	}
	if !slices.ContainsFunc(*list, func(o ir.ValueMatch) bool { return o.Name == v.Name }) {
		*list = append(*list, v)
	}
	return ""
}

// headerName is RFC 9110's token.
var headerName = regexp.MustCompile("^[A-Za-z0-9!#$%&'*+.^_`|~-]+$")

func pathMatch(m *gatewayv1.HTTPPathMatch) (ir.PathMatch, string) {
	kind, value := gatewayv1.PathMatchPathPrefix, "/"
	if m != nil {
		if m.Type != nil {
			kind = *m.Type
		}
		if m.Value != nil {
			value = *m.Value
		}
	}
	if kind == gatewayv1.PathMatchRegularExpression {
		if _, err := regexp.Compile(value); err != nil {
			return ir.PathMatch{}, fmt.Sprintf("%q is no regular expression (RE2): %v", value, err)
		}
		return ir.PathMatch{Kind: "regex", Value: value}, ""
	}
	if !strings.HasPrefix(value, "/") {
		return ir.PathMatch{}, fmt.Sprintf("%q does not begin with /", value)
	}
	for _, part := range []string{"//", "/./", "/../", "%2f", "%2F", "#", "?"} {
		if strings.Contains(value, part) {
			return ir.PathMatch{}, fmt.Sprintf("%q contains %s, which no path has when it is matched", value, part)
		}
	}
	switch kind {
	case gatewayv1.PathMatchExact:
		return ir.PathMatch{Kind: "exact", Value: value}, ""
	case gatewayv1.PathMatchPathPrefix:
		if trimmed := strings.TrimRight(value, "/"); trimmed != "" {
			value = trimmed
		} else {
			value = "/"
		}
		return ir.PathMatch{Kind: "prefix", Value: value}, ""
	}
	return ir.PathMatch{}, fmt.Sprintf("type %q is none of Exact, PathPrefix, RegularExpression", kind)
}

// candidate is a route entry of a virtual host with what orders it.
type candidate struct {
	host  string
	route *route
	rule  int
	match int
	entry ir.Route
}

// precede is the Gateway API's precedence: host, path, method, headers, query,
// then the older route, then the order in which it is written. A regular
// expression stands between an exact path and a prefix.
func (c *compiler) precede(a, b candidate) int {
	kind := func(m ir.Match) int { return slices.Index([]string{"exact", "regex", "prefix"}, m.Path.Kind) }
	method := func(m ir.Match) int {
		if m.Method != "" {
			return 0
		}
		return 1
	}
	x, y := a.entry.Match, b.entry.Match
	return cmp.Or(
		cmp.Compare(specificity(b.host), specificity(a.host)),
		cmp.Compare(kind(x), kind(y)),
		cmp.Compare(len(y.Path.Value), len(x.Path.Value)),
		cmp.Compare(method(x), method(y)),
		cmp.Compare(len(y.Headers), len(x.Headers)),
		cmp.Compare(len(y.Query), len(x.Query)),
		c.ix.older(a.route.key, b.route.key),
		cmp.Compare(a.rule, b.rule),
		cmp.Compare(a.match, b.match),
	)
}
