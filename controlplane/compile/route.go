package compile

import (
	"fmt"
	"slices"
	"strconv"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/gabion-io/gabion/controlplane/api/v1alpha1"
	"github.com/gabion-io/gabion/controlplane/ir"
)

// route is an HTTPRoute or a GRPCRoute in one form.
type route struct {
	key       v1alpha1.Key
	hostnames []string // patterns; anyHost when it names none
	rules     []rule
}

// rule is one rule of a route, with everything but what depends on the listener.
type rule struct {
	name     string // its name, or its index
	index    int
	matches  []ir.Match
	action   ir.Route // without Name, FilterKey and Match
	services []v1alpha1.Key
}

// id is how keys and names call a route: HTTPRoutes by namespace and name, others
// with their kind, for the two kinds may share a name.
func (r *route) id() string {
	id := r.key.Namespace + "/" + r.key.Name
	if r.key.Kind == v1alpha1.KindGRPCRoute {
		return "grpc:" + id
	}
	return id
}

// routes reads all routes and attaches them to the listeners they name.
func (c *compiler) routes() {
	for _, r := range c.ix.httpRoutes {
		k := v1alpha1.KeyOf(r)
		out := &route{key: k, hostnames: c.hostPatterns(k, r.Spec.Hostnames)}
		for i, spec := range r.Spec.Rules {
			out.rules = append(out.rules, c.httpRule(k, spec, i))
		}
		if len(r.Spec.Rules) == 0 {
			c.rep.bad(k, v1alpha1.Accepted, ReasonInvalid, "spec.rules", "is empty: write at least one rule")
		}
		c.attach(out, r.Spec.CommonRouteSpec)
	}
	for _, r := range c.ix.grpcRoutes {
		k := v1alpha1.KeyOf(r)
		out := &route{key: k, hostnames: c.hostPatterns(k, r.Spec.Hostnames)}
		for i, spec := range r.Spec.Rules {
			out.rules = append(out.rules, c.grpcRule(k, spec, i))
		}
		c.attach(out, r.Spec.CommonRouteSpec)
	}
}

// hostPatterns reads a route's host names. One that cannot be used is left out;
// a route whose every name is such serves no host.
func (c *compiler) hostPatterns(k v1alpha1.Key, hostnames []gatewayv1.Hostname) []string {
	if len(hostnames) == 0 {
		return []string{anyHost}
	}
	var out []string
	for i, h := range hostnames {
		if host := hostOrAny(string(h)); host != anyHost && validHost(host) {
			out = append(out, host)
		} else {
			c.rep.bad(k, v1alpha1.Accepted, ReasonInvalid, fmt.Sprintf("spec.hostnames[%d]", i), "%q is no host: write shop.example.com or *.example.com", h)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// ruleName is a rule's name, or its index. A name that looks like another rule's
// index, or is taken, would make two keys one.
func (c *compiler) ruleName(k v1alpha1.Key, name *gatewayv1.SectionName, i int) string {
	if name == nil || *name == "" {
		return strconv.Itoa(i)
	}
	path := fmt.Sprintf("spec.rules[%d].name", i)
	if _, err := strconv.Atoi(string(*name)); err == nil {
		c.rep.bad(k, v1alpha1.Accepted, ReasonInvalid, path, "%q is a number, which names a rule by its place: use a word", *name)
		return strconv.Itoa(i)
	}
	taken := [2]string{k.String(), string(*name)}
	if c.ruleNames[taken] {
		c.rep.bad(k, v1alpha1.Accepted, ReasonInvalid, path, "%q is the name of an earlier rule: give each its own", *name)
		return strconv.Itoa(i)
	}
	c.ruleNames[taken] = true
	return string(*name)
}

// attach puts a route on every listener that its parentRefs name and that
// allows it.
func (c *compiler) attach(r *route, spec gatewayv1.CommonRouteSpec) {
	if spec.UseDefaultGateways != "" {
		c.rep.bad(r.key, v1alpha1.Programmed, reasonUnsupported, "spec.useDefaultGateways", "is not supported and has no effect: name the Gateway in parentRefs")
	}
	if len(spec.ParentRefs) == 0 {
		c.rep.bad(r.key, v1alpha1.Accepted, "NoMatchingParent", "spec.parentRefs", "is empty: name the Gateway that is to serve the route")
	}
	c.allRoutes = append(c.allRoutes, r)
	for i, ref := range spec.ParentRefs {
		path := fmt.Sprintf("spec.parentRefs[%d]", i)
		if reason, message := c.attachTo(r, ref); reason != "" {
			c.rep.bad(r.key, v1alpha1.Accepted, reason, path, "%s", message)
		}
	}
}

// attachTo returns a reason and message when no listener took the route.
func (c *compiler) attachTo(r *route, ref gatewayv1.ParentReference) (reason, message string) {
	if (ref.Kind != nil && *ref.Kind != v1alpha1.KindGateway) || (ref.Group != nil && *ref.Group != v1alpha1.GatewayGroup) {
		return reasonUnsupported, "only a Gateway can be a parent"
	}
	k := v1alpha1.Key{Kind: v1alpha1.KindGateway, Namespace: r.key.Namespace, Name: string(ref.Name)}
	if ref.Namespace != nil {
		k.Namespace = string(*ref.Namespace)
	}
	if !c.ix.has(k) {
		return "NoMatchingParent", k.String() + " does not exist"
	}
	reason, message = "NoMatchingParent", k.String()+" has no usable listener that the reference names"
	attached := false
	for _, l := range c.listeners {
		if l.key() != k || (ref.SectionName != nil && *ref.SectionName != l.spec.Name) || (ref.Port != nil && *ref.Port != l.spec.Port) {
			continue
		}
		if !c.allows(l, r.key) {
			if !attached {
				reason, message = "NotAllowedByListeners", fmt.Sprintf("listener %s does not allow it: see its allowedRoutes", l.name())
			}
			continue
		}
		hosts := commonHosts(l.hostname, r.hostnames)
		if len(hosts) == 0 {
			if !attached {
				reason, message = "NoMatchingListenerHostname", fmt.Sprintf("listener %s serves %s, which none of the route's hostnames match", l.name(), l.hostname)
			}
			continue
		}
		attached = true
		reason, message = "", ""
		l.take(r, hosts)
	}
	return reason, message
}

// take attaches a route once, whatever number of its references meet here.
func (l *gatewayListener) take(r *route, hosts []string) {
	if !slices.ContainsFunc(l.routes, func(a attachedRoute) bool { return a.route == r }) {
		l.routes = append(l.routes, attachedRoute{r, hosts})
	}
}

func commonHosts(listener string, route []string) []string {
	var out []string
	for _, h := range route {
		if both := intersect(listener, h); both != "" {
			out = append(out, both)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// allows is the listener's side of attaching: namespaces and kinds.
func (c *compiler) allows(l *gatewayListener, k v1alpha1.Key) bool {
	from, selector := gatewayv1.NamespacesFromSame, (*metav1.LabelSelector)(nil)
	if a := l.spec.AllowedRoutes; a != nil {
		if len(a.Kinds) > 0 && !slices.ContainsFunc(a.Kinds, func(g gatewayv1.RouteGroupKind) bool {
			return string(g.Kind) == k.Kind && (g.Group == nil || *g.Group == v1alpha1.GatewayGroup)
		}) {
			return false
		}
		if a.Namespaces != nil && a.Namespaces.From != nil {
			from, selector = *a.Namespaces.From, a.Namespaces.Selector
		}
	}
	switch from {
	case gatewayv1.NamespacesFromAll:
		return true
	case gatewayv1.NamespacesFromSame:
		return k.Namespace == l.gateway.Namespace
	case gatewayv1.NamespacesFromSelector:
		s, err := metav1.LabelSelectorAsSelector(selector)
		if err != nil {
			c.rep.bad(l.key(), v1alpha1.Programmed, ReasonInvalid, l.path+".allowedRoutes.namespaces.selector", "cannot be used: %v", err)
			return false
		}
		return s.Matches(labels.Set(c.ix.namespaceLabels(k.Namespace)))
	}
	return false
}

// namespaceLabels always hold the namespace's name, as in a cluster.
func (ix *index) namespaceLabels(name string) map[string]string {
	out := map[string]string{"kubernetes.io/metadata.name": name}
	for label, value := range ix.namespaces[name] {
		out[label] = value
	}
	return out
}
