package foreign

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/gabion-io/gabion/segmentation"
	"github.com/gabion-io/gabion/workload"
)

// What is used of security.istio.io/v1.
type (
	istioPolicy struct {
		metav1.TypeMeta `json:",inline"`
		Metadata        meta      `json:"metadata"`
		Spec            istioSpec `json:"spec"`
	}
	istioSpec struct {
		Selector *istioSelector `json:"selector,omitempty"`
		Action   string         `json:"action,omitempty"`
		Rules    []istioRule    `json:"rules,omitempty"`
	}
	istioSelector struct {
		MatchLabels map[string]string `json:"matchLabels,omitempty"`
	}
	istioRule struct {
		From []istioFrom `json:"from,omitempty"`
		To   []istioTo   `json:"to,omitempty"`
	}
	istioFrom struct {
		Source istioSource `json:"source"`
	}
	istioTo struct {
		Operation istioOperation `json:"operation"`
	}
	istioSource struct {
		Principals  []string `json:"principals,omitempty"`
		Namespaces  []string `json:"namespaces,omitempty"`
		IPBlocks    []string `json:"ipBlocks,omitempty"`
		NotIPBlocks []string `json:"notIpBlocks,omitempty"`
	}
	istioOperation struct {
		Ports   []string `json:"ports,omitempty"`
		Methods []string `json:"methods,omitempty"`
		Paths   []string `json:"paths,omitempty"`
	}
)

const (
	istioAPI     = "security.istio.io/v1"
	istioKind    = "AuthorizationPolicy"
	istioAllow   = "ALLOW"
	istioDeny    = "DENY"
	spiffe       = "spiffe://"
	trustDomain  = "cluster.local" // Istio's default
	maxPortsList = 64              // Istio knows no ranges
)

// istio writes AuthorizationPolicies: one of what is allowed in, one of what is
// denied.
func (x *exporter) istio(s subject) any {
	if x.policy.Egress.Governed {
		x.lost("egress", "AuthorizationPolicy judges who comes in: what goes out stays as it is")
	}
	if !x.policy.Ingress.Governed {
		return []any{}
	}
	x.lost("ingress", "AuthorizationPolicy judges TCP: UDP, SCTP and ICMP stay as they are")
	selector := x.istioSelector(&s)
	var allow, deny []istioRule
	for n := range x.policy.Ingress.List {
		r := &x.policy.Ingress.List[n]
		if r.Deny {
			deny = append(deny, x.istioRules(n, r)...)
		} else if !s.closed {
			allow = append(allow, x.istioRules(n, r)...)
		}
	}
	write := func(name, action string, rules []istioRule) any {
		return &istioPolicy{TypeMeta: metav1.TypeMeta{APIVersion: istioAPI, Kind: istioKind}, Metadata: meta{Name: name, Namespace: s.name.Namespace}, Spec: istioSpec{Selector: selector, Action: action, Rules: rules}}
	}
	out := []any{write(s.name.Name, istioAllow, allow)}
	if len(deny) > 0 {
		out = append(out, write(s.name.Name+"-deny", istioDeny, deny))
	}
	return out
}

// istioSelector selects by equal labels; what is more closes the subject.
func (x *exporter) istioSelector(s *subject) *istioSelector {
	labels := map[string]string{}
	for _, r := range s.labels.Requirements {
		if before, twice := labels[r.Label]; r.Operator != workload.In || len(r.Values) != 1 || twice && before != r.Values[0] {
			x.lost("selector", "AuthorizationPolicy selects by equal labels only (not %s): all that the others select are closed, and nothing is opened for them", r)
			s.closed = true
			continue
		}
		labels[r.Label] = r.Values[0]
	}
	if len(labels) == 0 {
		return nil
	}
	return &istioSelector{labels}
}

// istioRules writes a rule. An allow says less where it must, a deny more.
func (x *exporter) istioRules(n int, r *segmentation.Rule) (out []istioRule) {
	ports, some := x.istioPorts(n, r)
	if !some {
		return nil
	}
	sources, some := x.istioSources(n, r)
	if !some {
		return nil
	}
	if len(r.HTTP) == 0 {
		rule := istioRule{From: sources}
		if len(ports) > 0 {
			rule.To = []istioTo{{istioOperation{Ports: ports}}}
		}
		return []istioRule{rule}
	}
	for i, h := range r.HTTP {
		from, some := x.istioCallers(fmt.Sprintf("ingress[%d].http[%d]", n, i), sources, h.Callers, r.Deny)
		if !some {
			continue
		}
		rule := istioRule{From: from}
		if op := (istioOperation{Ports: ports, Methods: h.Methods, Paths: istioPaths(h.Path)}); len(op.Ports)+len(op.Methods)+len(op.Paths) > 0 {
			rule.To = []istioTo{{op}}
		}
		out = append(out, rule)
	}
	return out
}

func istioPaths(t segmentation.PathTemplate) []string {
	if t == "" {
		return nil
	}
	parts := strings.Split(string(t), "/")
	for i, p := range parts {
		switch {
		case p == "**":
			parts[i] = "{**}"
		case strings.HasPrefix(p, "{"):
			parts[i] = "{*}"
		}
	}
	path := strings.Join(parts, "/")
	if above, deep := strings.CutSuffix(path, "/{**}"); deep && above != "" {
		return []string{above, path}
	}
	return []string{path}
}

// istioPorts lists ports; none: all. False: the rule is about no TCP port, or, for
// an allow, about ports that cannot be said.
func (x *exporter) istioPorts(n int, r *segmentation.Rule) (out []string, some bool) {
	if len(r.Ports) == 0 {
		return nil, true
	}
	path := fmt.Sprintf("ingress[%d]", n)
	for _, p := range r.Ports {
		if n := x.number(p); p.Name != "" && n > 0 {
			p = segmentation.Ports{Protocol: segmentation.TCP, From: n, To: n}
		}
		from, to := span(p)
		switch {
		case p.Protocol != segmentation.TCP && p.Protocol != segmentation.AnyProtocol:
		case whole(p):
			return nil, true
		case (p.Name != "" || to-from >= maxPortsList) && r.Deny:
			x.lost(path, "%s cannot be said: every port is denied", p)
			return nil, true
		case p.Name != "" || to-from >= maxPortsList:
			x.lost(path, "%s cannot be said, only numbers, one by one: it is left out", p)
		default:
			for port := int(max(from, 1)); port <= int(to); port++ {
				out = append(out, strconv.Itoa(port))
			}
		}
	}
	return out, len(out) > 0
}

// number is the TCP port that a name means at every workload that the policy
// selects, of those that are known; 0: there is no such one.
func (x *exporter) number(p segmentation.Ports) (number uint16) {
	for _, w := range x.workloads {
		if p.Protocol != segmentation.TCP || !x.policy.Subject.Matches(w.Identity()) {
			continue
		}
		on := p.On(w)
		if len(on) != 1 || number != 0 && on[0].From != number {
			return 0
		}
		number = on[0].From
	}
	return number
}

// istioSources lists who is meant; none: anybody. False: nobody that can be said.
func (x *exporter) istioSources(n int, r *segmentation.Rule) (out []istioFrom, some bool) {
	if len(r.Peers) == 0 {
		return nil, true
	}
	path := fmt.Sprintf("ingress[%d]", n)
	for i := range r.Peers {
		p := &r.Peers[i]
		switch {
		case p.CIDR != nil:
			if prefix, except, some := block(p.CIDR); some {
				s := istioSource{IPBlocks: []string{prefix.String()}}
				for _, e := range except {
					s.NotIPBlocks = append(s.NotIPBlocks, e.String())
				}
				out = append(out, istioFrom{s})
			}
		case p.Workloads == nil:
		case p.Workloads.Namespace != "" && p.Workloads.Namespaces.Empty() && p.Workloads.Labels.Empty() && len(p.Workloads.Names) == 0:
			out = append(out, istioFrom{istioSource{Namespaces: []string{p.Workloads.Namespace}}})
		case r.Deny:
			x.lost(path, "sources are no labels in Istio (%s): everybody is denied", p)
			return nil, true
		default:
			if accounts := x.accounts(p.Workloads); len(accounts) > 0 {
				x.lost(path, "sources are no labels in Istio: %s is told by its service accounts (%d)", p, len(accounts))
				out = append(out, istioFrom{istioSource{Principals: accounts}})
			} else {
				x.lost(path, "sources are no labels in Istio, and no service account is known that only %s has: the peer is left out", p)
			}
		}
	}
	return out, len(out) > 0
}

// accounts lists the principals that nobody has but workloads of a selection.
func (x *exporter) accounts(s *segmentation.Selection) []string {
	only := map[string]bool{}
	for _, w := range x.workloads {
		p := principal(w)
		if p == "" {
			continue
		}
		before, known := only[p]
		only[p] = (before || !known) && s.Matches(w.Identity())
	}
	maps.DeleteFunc(only, func(_ string, all bool) bool { return !all })
	return slices.Sorted(maps.Keys(only))
}

func principal(w *workload.Workload) string {
	if id, ok := strings.CutPrefix(w.Account, spiffe); ok {
		return id
	}
	if w.Account == "" || strings.Contains(w.Account, "/") {
		return ""
	}
	return fmt.Sprintf("%s/ns/%s/sa/%s", trustDomain, w.ID.Namespace, w.Account)
}

// istioCallers adds whom requests must come from to who is meant.
func (x *exporter) istioCallers(path string, sources []istioFrom, callers []string, deny bool) ([]istioFrom, bool) {
	if len(callers) == 0 {
		return sources, true
	}
	var principals []string
	for _, c := range callers {
		if id, ok := strings.CutPrefix(c, spiffe); ok && id != "" {
			principals = append(principals, id)
			continue
		}
		x.lost(path+".callers", "%q is no SPIFFE ID, which is what Istio knows callers by", c)
		if deny {
			return sources, true
		}
	}
	if len(sources) == 0 && len(principals) > 0 {
		return []istioFrom{{istioSource{Principals: principals}}}, true
	}
	var out []istioFrom
	for _, s := range sources {
		if len(s.Source.Principals) > 0 {
			s.Source.Principals = slices.DeleteFunc(slices.Clone(s.Source.Principals), func(p string) bool { return !oneOf(p, principals) })
		} else {
			s.Source.Principals = principals
		}
		if len(s.Source.Principals) > 0 {
			out = append(out, s)
		}
	}
	return out, len(out) > 0
}

func oneOf(p string, patterns []string) bool {
	h := segmentation.HTTPRule{Callers: patterns}
	return h.Matches(&segmentation.Request{Caller: p}, false)
}
