package xds

import (
	"fmt"
	"net/netip"
	"regexp"
	"strings"

	"google.golang.org/protobuf/types/known/anypb"

	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	rbac "github.com/envoyproxy/go-control-plane/envoy/config/rbac/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	rbacFilter "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/rbac/v3"
	hcm "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/network/http_connection_manager/v3"
	matcher "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"

	"github.com/gabion-io/gabion/controlplane/ir"
)

// RBACName is Envoy's filter for who may send what, and the namespace of the
// metadata in which it leaves what it found, for access logs.
const RBACName = "envoy.filters.http.rbac"

// accessFilter is Envoy's RBAC, by what routes say. It judges before gabion's own
// filter: what may not be sent need not be inspected. On a listener where no route
// says anything it is not there.
type accessFilter struct{}

func (accessFilter) entry(l *ir.Listener) *hcm.HttpFilter {
	for c := range l.Chains {
		for h := range l.Chains[c].VirtualHosts {
			for _, r := range l.Chains[c].VirtualHosts[h].Routes {
				if r.Access != nil {
					return &hcm.HttpFilter{Name: RBACName, ConfigType: &hcm.HttpFilter_TypedConfig{TypedConfig: packed(&rbacFilter.RBAC{})}}
				}
			}
		}
	}
	return nil
}

func (accessFilter) override(_ *ir.Listener, r *ir.Route) *anypb.Any {
	if r.Access == nil {
		return nil // the listener's has no rules: everything passes
	}
	rules, problem := allowing(r.Access.Enforced)
	if problem != "" {
		rules = nothing()
	}
	audited, _ := allowing(r.Access.Audited)
	return packed(&rbacFilter.RBACPerRoute{Rbac: &rbacFilter.RBAC{Rules: rules, ShadowRules: audited}})
}

// accessProblems says what cannot be said of a route's access: enforced, it lets
// nothing through; audited, it is not looked at.
func accessProblems(r *ir.Route) (enforced, audited string) {
	if r.Access == nil {
		return "", ""
	}
	if _, enforced = allowing(r.Access.Enforced); enforced != "" {
		enforced = "enforced access: " + enforced
	}
	if _, audited = allowing(r.Access.Audited); audited != "" {
		audited = "audited access: " + audited
	}
	return enforced, audited
}

// allowing lets through what a condition says; nil where there is none, or where
// it cannot be said.
func allowing(c *ir.Condition) (*rbac.RBAC, string) {
	if c == nil {
		return nil, ""
	}
	p, problem := principal(c)
	if problem != "" {
		return nil, problem
	}
	return policy(p), ""
}

func nothing() *rbac.RBAC { return policy(never()) }

func policy(p *rbac.Principal) *rbac.RBAC {
	return &rbac.RBAC{
		Action: rbac.RBAC_ALLOW,
		Policies: map[string]*rbac.Policy{"segmentation": {
			Permissions: []*rbac.Permission{{Rule: &rbac.Permission_Any{Any: true}}},
			Principals:  []*rbac.Principal{p},
		}},
	}
}

// principal says a condition. Envoy's principals, unlike its permissions, know both
// who asks and what is asked for.
func principal(c *ir.Condition) (*rbac.Principal, string) {
	switch {
	case c.Never:
		return never(), ""
	case len(c.All) > 0:
		set, problem := principals(c.All)
		return &rbac.Principal{Identifier: &rbac.Principal_AndIds{AndIds: set}}, problem
	case len(c.Any) > 0:
		set, problem := principals(c.Any)
		return &rbac.Principal{Identifier: &rbac.Principal_OrIds{OrIds: set}}, problem
	case c.Not != nil:
		p, problem := principal(c.Not)
		return &rbac.Principal{Identifier: &rbac.Principal_NotId{NotId: p}}, problem
	case len(c.Methods) > 0:
		return methods(c.Methods)
	case c.Path != "":
		if _, err := regexp.Compile(c.Path); err != nil || !sayable(c.Path) {
			return nil, fmt.Sprintf("path %q cannot be matched", c.Path)
		}
		return &rbac.Principal{Identifier: &rbac.Principal_UrlPath{UrlPath: &matcher.PathMatcher{
			Rule: &matcher.PathMatcher_Path{Path: &matcher.StringMatcher{MatchPattern: &matcher.StringMatcher_SafeRegex{SafeRegex: regex(c.Path)}}},
		}}}, ""
	case len(c.Callers) > 0:
		return callers(c.Callers)
	case len(c.Peers) > 0:
		return peers(c.Peers), ""
	}
	return anybody(), ""
}

func anybody() *rbac.Principal { return &rbac.Principal{Identifier: &rbac.Principal_Any{Any: true}} }
func never() *rbac.Principal {
	return &rbac.Principal{Identifier: &rbac.Principal_NotId{NotId: anybody()}}
}

func principals(list []ir.Condition) (*rbac.Principal_Set, string) {
	out := &rbac.Principal_Set{}
	for i := range list {
		p, problem := principal(&list[i])
		if problem != "" {
			return nil, problem
		}
		out.Ids = append(out.Ids, p)
	}
	return out, ""
}

func oneOf(list []*rbac.Principal) *rbac.Principal {
	if len(list) == 1 {
		return list[0]
	}
	return &rbac.Principal{Identifier: &rbac.Principal_OrIds{OrIds: &rbac.Principal_Set{Ids: list}}}
}

func methods(list []string) (*rbac.Principal, string) {
	var out []*rbac.Principal
	for _, m := range list {
		if m == "" || !sayable(m) {
			return nil, fmt.Sprintf("method %q cannot be matched", m)
		}
		out = append(out, &rbac.Principal{Identifier: &rbac.Principal_Header{Header: &routev3.HeaderMatcher{
			Name: ":method", HeaderMatchSpecifier: &routev3.HeaderMatcher_StringMatch{StringMatch: exactly(m)},
		}}})
	}
	return oneOf(out), ""
}

// callers are matched with the URI names of the client's certificate, which the
// listener has verified.
func callers(list []string) (*rbac.Principal, string) {
	var out []*rbac.Principal
	for _, c := range list {
		if c == "" || !sayable(c) {
			return nil, fmt.Sprintf("caller %q cannot be matched", c)
		}
		name := exactly(c)
		if prefix, open := strings.CutSuffix(c, "*"); open {
			name = &matcher.StringMatcher{MatchPattern: &matcher.StringMatcher_Prefix{Prefix: prefix}}
			if prefix == "" {
				// Anybody who has a certificate: to Envoy no name at all would also mean
				// whoever has none, where the listener does not demand one.
				name = &matcher.StringMatcher{MatchPattern: &matcher.StringMatcher_SafeRegex{SafeRegex: regex(".+")}}
			}
		}
		out = append(out, &rbac.Principal{Identifier: &rbac.Principal_Authenticated_{Authenticated: &rbac.Principal_Authenticated{PrincipalName: name}}})
	}
	return oneOf(out), ""
}

// peers are matched with the address of the connection: headers can claim others.
func peers(list []netip.Prefix) *rbac.Principal {
	var out []*rbac.Principal
	for _, p := range list {
		out = append(out, &rbac.Principal{Identifier: &rbac.Principal_DirectRemoteIp{DirectRemoteIp: &core.CidrRange{
			AddressPrefix: p.Addr().String(), PrefixLen: u32(uint32(p.Bits())),
		}}})
	}
	return oneOf(out)
}
