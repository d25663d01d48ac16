package xds

import (
	"fmt"
	"regexp"
	"strings"

	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	matcher "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"

	"github.com/gabion-io/gabion/controlplane/ir"
)

// routeMatch says a match, or why Envoy would refuse it.
func routeMatch(in ir.Match) (*routev3.RouteMatch, string) {
	m, problem := pathMatch(in.Path)
	if problem != "" {
		return nil, problem
	}
	if in.Method != "" {
		m.Headers = append(m.Headers, &routev3.HeaderMatcher{
			Name:                 ":method",
			HeaderMatchSpecifier: &routev3.HeaderMatcher_StringMatch{StringMatch: exactly(in.Method)},
		})
	}
	for _, h := range in.Headers {
		value, problem := valueMatch(h)
		if problem != "" {
			return nil, problem
		}
		m.Headers = append(m.Headers, &routev3.HeaderMatcher{
			Name:                 h.Name,
			HeaderMatchSpecifier: &routev3.HeaderMatcher_StringMatch{StringMatch: value},
		})
	}
	for _, q := range in.Query {
		value, problem := valueMatch(q)
		if problem != "" {
			return nil, problem
		}
		m.QueryParameters = append(m.QueryParameters, &routev3.QueryParameterMatcher{
			Name:                         q.Name,
			QueryParameterMatchSpecifier: &routev3.QueryParameterMatcher_StringMatch{StringMatch: value},
		})
	}
	return m, ""
}

func pathMatch(in ir.PathMatch) (*routev3.RouteMatch, string) {
	if !sayable(in.Value) {
		return nil, fmt.Sprintf("path %q holds a line break, a zero byte or broken UTF-8", in.Value)
	}
	switch in.Kind {
	case "exact":
		return &routev3.RouteMatch{PathSpecifier: &routev3.RouteMatch_Path{Path: in.Value}}, ""
	case "prefix", "":
		return prefixMatch(in.Value)
	case "regex":
		if _, err := regexp.Compile(in.Value); err != nil {
			return nil, fmt.Sprintf("path: %v", err)
		}
		return &routev3.RouteMatch{PathSpecifier: &routev3.RouteMatch_SafeRegex{SafeRegex: regex(in.Value)}}, ""
	}
	return nil, fmt.Sprintf("unknown kind of path match %q", in.Kind)
}

// prefixMatch matches whole segments: "/a" matches "/a" and "/a/b", not "/ab".
func prefixMatch(path string) (*routev3.RouteMatch, string) {
	trimmed := strings.TrimRight(path, "/")
	if trimmed == "" {
		return &routev3.RouteMatch{PathSpecifier: &routev3.RouteMatch_Prefix{Prefix: "/"}}, ""
	}
	if !strings.HasPrefix(trimmed, "/") || strings.ContainsAny(trimmed, "?#") {
		return nil, fmt.Sprintf("path prefix %q must begin with / and hold neither ? nor #", path)
	}
	return &routev3.RouteMatch{PathSpecifier: &routev3.RouteMatch_PathSeparatedPrefix{PathSeparatedPrefix: trimmed}}, ""
}

func valueMatch(in ir.ValueMatch) (*matcher.StringMatcher, string) {
	switch {
	case in.Name == "" || !sayable(in.Name) || !sayable(in.Value):
		return nil, fmt.Sprintf("cannot match %q: %q", in.Name, in.Value)
	case !in.Regex:
		return exactly(in.Value), ""
	}
	if _, err := regexp.Compile(in.Value); err != nil {
		return nil, fmt.Sprintf("match of %q: %v", in.Name, err)
	}
	return &matcher.StringMatcher{MatchPattern: &matcher.StringMatcher_SafeRegex{SafeRegex: regex(in.Value)}}, ""
}

// regex is RE2 in Envoy as in Go; it matches whole values.
func regex(expression string) *matcher.RegexMatcher {
	return &matcher.RegexMatcher{Regex: expression}
}
