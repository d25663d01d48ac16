package xds

import (
	"fmt"
	"regexp"
	"strings"
	"time"

	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	routev3 "github.com/envoyproxy/go-control-plane/envoy/config/route/v3"
	matcher "github.com/envoyproxy/go-control-plane/envoy/type/matcher/v3"
	typev3 "github.com/envoyproxy/go-control-plane/envoy/type/v3"

	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/gabion-io/gabion/controlplane/ir"
)

// forward sends the request to the route's backends. Without a backend that has
// weight the answer is 500, as the Gateway API has it.
func (t *translation) forward(r *ir.Route, m *routev3.Route) string {
	action := &routev3.RouteAction{
		ClusterNotFoundResponseCode: routev3.RouteAction_INTERNAL_SERVER_ERROR,
		// Off unless the route says so: Envoy's 15 s would cut event streams. The
		// listener bounds how long a request may take to arrive and a stream to idle.
		Timeout:     duration(0),
		RetryPolicy: retry(r),
	}
	// Nothing of a body is kept for a retry: requests with one are not retried.
	// Envoy would keep it in the buffer that the filters of the stream share, and
	// one of them that let a first part pass and then waits would send it twice.
	// ext_proc has a buffer of its own, and needs the room the route gives it.
	if m.RequestBodyBufferLimit == nil {
		m.RequestBodyBufferLimit = wrapperspb.UInt64(0)
	}
	if r.Timeout != nil && !r.Streaming {
		action.Timeout = duration(*r.Timeout)
	}
	some, problem := t.backendsOf(r, action)
	if problem != "" {
		return problem
	}
	if !some {
		m.Action = direct(500, "")
		return ""
	}
	if r.Rewrite != nil {
		if problem := rewrite(r, action); problem != "" {
			return problem
		}
	}
	for _, mirror := range r.Mirrors {
		action.RequestMirrorPolicies = append(action.RequestMirrorPolicies, &routev3.RouteAction_RequestMirrorPolicy{
			Cluster: mirror.Cluster,
			RuntimeFraction: &core.RuntimeFractionalPercent{DefaultValue: &typev3.FractionalPercent{
				Numerator:   uint32(min(max(mirror.Percent, 0), 100) * 10_000),
				Denominator: typev3.FractionalPercent_MILLION,
			}},
		})
	}
	m.Action = &routev3.Route_Route{Route: action}
	return ""
}

// backendsOf chooses the target; false when no backend has weight.
func (t *translation) backendsOf(r *ir.Route, action *routev3.RouteAction) (bool, string) {
	weighted := &routev3.WeightedCluster{}
	for _, b := range r.Backends {
		if b.Weight == 0 {
			continue
		}
		w := &routev3.WeightedCluster_ClusterWeight{Name: b.Cluster, Weight: u32(b.Weight)}
		var problem string
		if w.RequestHeadersToAdd, w.RequestHeadersToRemove, problem = headerMutation(b.RequestHeaders); problem != "" {
			return false, fmt.Sprintf("request headers of backend %q: %s", b.Cluster, problem)
		}
		if w.ResponseHeadersToAdd, w.ResponseHeadersToRemove, problem = headerMutation(b.ResponseHeaders); problem != "" {
			return false, fmt.Sprintf("response headers of backend %q: %s", b.Cluster, problem)
		}
		weighted.Clusters = append(weighted.Clusters, w)
	}
	switch {
	case len(weighted.Clusters) == 0:
		return false, ""
	case len(weighted.Clusters) == 1 && plain(weighted.Clusters[0]):
		action.ClusterSpecifier = &routev3.RouteAction_Cluster{Cluster: weighted.Clusters[0].GetName()}
	default:
		action.ClusterSpecifier = &routev3.RouteAction_WeightedClusters{WeightedClusters: weighted}
	}
	return true, ""
}

func plain(w *routev3.WeightedCluster_ClusterWeight) bool {
	return len(w.GetRequestHeadersToAdd())+len(w.GetRequestHeadersToRemove())+
		len(w.GetResponseHeadersToAdd())+len(w.GetResponseHeadersToRemove()) == 0
}

// safeRetries are failures before the backend has seen anything of the request,
// such as a kept connection that it was just closing: trying again repeats nothing.
const safeRetries = "connect-failure,refused-stream,reset-before-request"

func retry(r *ir.Route) *routev3.RetryPolicy {
	p := &routev3.RetryPolicy{RetryOn: safeRetries, NumRetries: u32(2)}
	if r.BackendTimeout != nil {
		p.PerTryTimeout = durationOrDefault(*r.BackendTimeout)
	}
	if r.Retry == nil {
		return p
	}
	p.NumRetries = u32(r.Retry.Attempts)
	if len(r.Retry.On) > 0 {
		p.RetryOn += ",retriable-status-codes"
		p.RetriableStatusCodes = r.Retry.On
	}
	if r.Retry.Backoff > 0 {
		p.RetryBackOff = &routev3.RetryPolicy_RetryBackOff{
			BaseInterval: duration(max(r.Retry.Backoff, time.Millisecond)),
			MaxInterval:  duration(10 * max(r.Retry.Backoff, time.Millisecond)),
		}
	}
	return p
}

func redirect(r *ir.Route) (*routev3.RedirectAction, string) {
	in := r.Redirect
	out := &routev3.RedirectAction{HostRedirect: in.Host, PortRedirect: in.Port}
	if !sayable(in.Host) || !sayable(in.Path) || !sayable(in.PrefixRewrite) {
		return nil, "the redirect holds a line break, a zero byte or broken UTF-8"
	}
	if in.Scheme != "" {
		out.SchemeRewriteSpecifier = &routev3.RedirectAction_SchemeRedirect{SchemeRedirect: in.Scheme}
	}
	switch in.Status {
	case 0, 302:
		out.ResponseCode = routev3.RedirectAction_FOUND
	case 301:
		out.ResponseCode = routev3.RedirectAction_MOVED_PERMANENTLY
	case 303:
		out.ResponseCode = routev3.RedirectAction_SEE_OTHER
	case 307:
		out.ResponseCode = routev3.RedirectAction_TEMPORARY_REDIRECT
	case 308:
		out.ResponseCode = routev3.RedirectAction_PERMANENT_REDIRECT
	default:
		return nil, fmt.Sprintf("status %d is no redirect", in.Status)
	}
	switch {
	case in.HasPrefix:
		substitution, problem := prefixRewrite(r.Match.Path, in.PrefixRewrite)
		if problem != "" {
			return nil, problem
		}
		out.PathRewriteSpecifier = &routev3.RedirectAction_RegexRewrite{RegexRewrite: substitution}
	case in.Path != "":
		out.PathRewriteSpecifier = &routev3.RedirectAction_PathRedirect{PathRedirect: in.Path}
	}
	return out, ""
}

// rewrite changes host and path of the forwarded request; the query stays.
func rewrite(r *ir.Route, action *routev3.RouteAction) string {
	in := r.Rewrite
	if !sayable(in.Host) || !sayable(in.Path) || !sayable(in.PrefixRewrite) {
		return "the rewrite holds a line break, a zero byte or broken UTF-8"
	}
	if in.Host != "" {
		action.HostRewriteSpecifier = &routev3.RouteAction_HostRewriteLiteral{HostRewriteLiteral: in.Host}
		action.AppendXForwardedHost = true
	}
	switch {
	case in.HasPrefix:
		substitution, problem := prefixRewrite(r.Match.Path, in.PrefixRewrite)
		if problem != "" {
			return problem
		}
		action.RegexRewrite = substitution
	case in.Path != "":
		action.RegexRewrite = &matcher.RegexMatchAndSubstitute{
			Pattern: regex("^.*$"), Substitution: literal(in.Path),
		}
	}
	return ""
}

// prefixRewrite replaces the matched whole segments and leaves exactly one slash
// where the rest of the path begins, which Envoy's own prefix_rewrite does not.
func prefixRewrite(match ir.PathMatch, replacement string) (*matcher.RegexMatchAndSubstitute, string) {
	if match.Kind != "prefix" && match.Kind != "" {
		return nil, "only a prefix match has a prefix to replace"
	}
	prefix := strings.TrimRight(match.Value, "/")
	replacement = strings.TrimRight(replacement, "/")
	if replacement != "" && !strings.HasPrefix(replacement, "/") {
		return nil, fmt.Sprintf("the replacement %q must begin with /", replacement)
	}
	if replacement == "" || prefix == "" { // "/a" and "/a/b" become "/" and "/b"; "/b" becomes "/x/b"
		return &matcher.RegexMatchAndSubstitute{
			Pattern: regex("^" + regexp.QuoteMeta(prefix) + "/*"), Substitution: literal(replacement + "/"),
		}, ""
	}
	return &matcher.RegexMatchAndSubstitute{
		Pattern: regex("^" + regexp.QuoteMeta(prefix)), Substitution: literal(replacement),
	}, ""
}

// literal keeps a substitution from referring to groups.
func literal(s string) string { return strings.ReplaceAll(s, `\`, `\\`) }
