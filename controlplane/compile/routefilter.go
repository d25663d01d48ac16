package compile

import (
	"fmt"
	"slices"
	"strings"

	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/gabion-io/gabion/controlplane/api/v1alpha1"
	"github.com/gabion-io/gabion/controlplane/ir"
)

// routeFilters reads a rule's filters into its action. False means that one
// cannot do its work and the rule must answer with an error: the Gateway API
// forbids to pass such requests.
func (c *compiler) routeFilters(k v1alpha1.Key, path string, in []gatewayv1.HTTPRouteFilter, out *rule) bool {
	ok := true
	seen := map[gatewayv1.HTTPRouteFilterType]bool{}
	for i, f := range in {
		at := fmt.Sprintf("%s.filters[%d]", path, i)
		if seen[f.Type] && f.Type != gatewayv1.HTTPRouteFilterRequestMirror {
			c.rep.bad(k, v1alpha1.Accepted, "IncompatibleFilters", at, "%s is given twice: write it once", f.Type)
			ok = false
			continue
		}
		seen[f.Type] = true
		if problem := c.routeFilter(k, at, f, out); problem != "" {
			c.rep.bad(k, v1alpha1.Accepted, reasonUnsupported, at, "%s; the rule answers 500", problem)
			ok = false
		}
	}
	if out.action.Redirect != nil && out.action.Rewrite != nil {
		c.rep.bad(k, v1alpha1.Accepted, "IncompatibleFilters", path+".filters", "RequestRedirect and URLRewrite exclude each other; the rule answers 500")
		ok = false
	}
	return ok
}

// routeFilter returns what is wrong, or "".
func (c *compiler) routeFilter(k v1alpha1.Key, path string, f gatewayv1.HTTPRouteFilter, out *rule) string {
	switch f.Type {
	case gatewayv1.HTTPRouteFilterRequestHeaderModifier:
		return mutation(f.RequestHeaderModifier, "requestHeaderModifier", &out.action.RequestHeaders)
	case gatewayv1.HTTPRouteFilterResponseHeaderModifier:
		return mutation(f.ResponseHeaderModifier, "responseHeaderModifier", &out.action.ResponseHeaders)
	case gatewayv1.HTTPRouteFilterRequestRedirect:
		return redirect(f.RequestRedirect, out)
	case gatewayv1.HTTPRouteFilterURLRewrite:
		return rewrite(f.URLRewrite, out)
	case gatewayv1.HTTPRouteFilterRequestMirror:
		c.mirror(k, path, f.RequestMirror, out)
		return ""
	case gatewayv1.HTTPRouteFilterCORS:
		// Without the headers a browser refuses: leaving it out opens nothing.
		c.rep.bad(k, v1alpha1.Programmed, reasonUnsupported, path, "CORS is not supported and has no effect: let the backend answer it")
		return ""
	}
	return fmt.Sprintf("filter %q is not supported", f.Type)
}

func mutation(f *gatewayv1.HTTPHeaderFilter, field string, out *ir.HeaderMutation) string {
	if f == nil {
		return field + " is missing"
	}
	headers := func(in []gatewayv1.HTTPHeader) (list []ir.Header) {
		for _, h := range in {
			name := strings.ToLower(string(h.Name))
			if !slices.ContainsFunc(list, func(o ir.Header) bool { return o.Name == name }) {
				list = append(list, ir.Header{Name: name, Value: h.Value})
			}
		}
		return list
	}
	out.Set, out.Add = headers(f.Set), headers(f.Add)
	for _, name := range f.Remove {
		out.Remove = append(out.Remove, strings.ToLower(name))
	}
	for _, name := range out.Remove {
		if !headerName.MatchString(name) {
			return fmt.Sprintf("%s: %q is no name of a header", field, name)
		}
	}
	for _, h := range append(slices.Clone(out.Set), out.Add...) {
		if !headerName.MatchString(h.Name) && !strings.HasPrefix(h.Name, ":") {
			return fmt.Sprintf("%s: %q is no name of a header", field, h.Name)
		}
		if h.Name == "host" || strings.HasPrefix(h.Name, ":") {
			return field + " cannot change " + h.Name + ": use a URLRewrite"
		}
		if strings.ContainsAny(h.Value, "\r\n\x00") {
			return field + " has a line break in the value of " + h.Name
		}
	}
	if slices.ContainsFunc(out.Remove, func(n string) bool { return n == "host" || strings.HasPrefix(n, ":") }) {
		return field + " cannot remove host"
	}
	return ""
}

// pathChange reads a path modifier. A prefix can be replaced only where every
// match is by prefix.
func pathChange(m *gatewayv1.HTTPPathModifier, matches []ir.Match) (full, prefix string, hasPrefix bool, problem string) {
	if m == nil {
		return "", "", false, ""
	}
	switch m.Type {
	case gatewayv1.FullPathHTTPPathModifier:
		if m.ReplaceFullPath == nil || !strings.HasPrefix(*m.ReplaceFullPath, "/") {
			return "", "", false, "path.replaceFullPath must begin with /"
		}
		return *m.ReplaceFullPath, "", false, ""
	case gatewayv1.PrefixMatchHTTPPathModifier:
		if slices.ContainsFunc(matches, func(m ir.Match) bool { return m.Path.Kind != "prefix" }) {
			return "", "", false, "path.replacePrefixMatch needs every match of the rule to be by PathPrefix"
		}
		if m.ReplacePrefixMatch == nil {
			return "", "", false, "path.replacePrefixMatch is missing"
		}
		return "", *m.ReplacePrefixMatch, true, ""
	}
	return "", "", false, fmt.Sprintf("path.type %q is not known", m.Type)
}

func redirect(f *gatewayv1.HTTPRequestRedirectFilter, out *rule) (problem string) {
	if f == nil {
		return "requestRedirect is missing"
	}
	r := &ir.Redirect{Status: 302}
	if f.Scheme != nil {
		if r.Scheme = *f.Scheme; r.Scheme != "http" && r.Scheme != "https" {
			return fmt.Sprintf("scheme %q is neither http nor https", r.Scheme)
		}
	}
	if f.Hostname != nil {
		if r.Host = hostOrAny(string(*f.Hostname)); !validHost(r.Host) || strings.HasPrefix(r.Host, "*") {
			return fmt.Sprintf("hostname %q is no host", *f.Hostname)
		}
	}
	if f.Port != nil {
		r.Port = uint32(*f.Port)
	}
	if f.StatusCode != nil {
		if !slices.Contains([]int{301, 302, 303, 307, 308}, *f.StatusCode) {
			return fmt.Sprintf("status %d is no redirect: 301, 302, 303, 307 or 308", *f.StatusCode)
		}
		r.Status = uint32(*f.StatusCode)
	}
	if r.Path, r.PrefixRewrite, r.HasPrefix, problem = pathChange(f.Path, out.matches); problem != "" {
		return problem
	}
	out.action.Redirect = r
	return ""
}

func rewrite(f *gatewayv1.HTTPURLRewriteFilter, out *rule) (problem string) {
	if f == nil {
		return "urlRewrite is missing"
	}
	r := &ir.Rewrite{}
	if f.Hostname != nil {
		if r.Host = hostOrAny(string(*f.Hostname)); !validHost(r.Host) || strings.HasPrefix(r.Host, "*") {
			return fmt.Sprintf("hostname %q is no host", *f.Hostname)
		}
	}
	if r.Path, r.PrefixRewrite, r.HasPrefix, problem = pathChange(f.Path, out.matches); problem != "" {
		return problem
	}
	out.action.Rewrite = r
	return ""
}

// mirror adds a copy of the traffic. Without its backend the traffic itself
// still flows.
func (c *compiler) mirror(k v1alpha1.Key, path string, f *gatewayv1.HTTPRequestMirrorFilter, out *rule) {
	if f == nil {
		c.rep.bad(k, v1alpha1.Accepted, ReasonInvalid, path, "requestMirror is missing")
		return
	}
	m := ir.Mirror{Percent: 100}
	switch {
	case f.Percent != nil && f.Fraction != nil:
		c.rep.bad(k, v1alpha1.Accepted, ReasonInvalid, path, "percent and fraction exclude each other: nothing is mirrored")
		return
	case f.Percent != nil:
		m.Percent = float64(*f.Percent)
	case f.Fraction != nil:
		denominator := int32(100)
		if f.Fraction.Denominator != nil {
			denominator = *f.Fraction.Denominator
		}
		if denominator <= 0 {
			c.rep.bad(k, v1alpha1.Accepted, ReasonInvalid, path+".requestMirror.fraction", "the denominator must be above 0: nothing is mirrored")
			return
		}
		m.Percent = 100 * float64(f.Fraction.Numerator) / float64(denominator)
	}
	if m.Percent < 0 || m.Percent > 100 {
		c.rep.bad(k, v1alpha1.Accepted, ReasonInvalid, path+".requestMirror", "%v %% is out of range: nothing is mirrored", m.Percent)
		return
	}
	cluster, _, ok := c.backend(k, path+".requestMirror.backendRef", f.BackendRef, out.action.Streaming)
	if ok {
		m.Cluster = cluster
		out.action.Mirrors = append(out.action.Mirrors, m)
	}
}
