package foreign

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"sigs.k8s.io/yaml"

	"github.com/gabion-io/gabion/segmentation"
	"github.com/gabion-io/gabion/workload"
)

// istio reads an AuthorizationPolicy.
func (r *reader) istio(text []byte) (p segmentation.Policy, err error) {
	var o struct {
		Spec json.RawMessage `json:"spec"`
	}
	if err := yaml.Unmarshal(text, &o); err != nil {
		return p, err
	}
	var s struct {
		Selector *istioSelector    `json:"selector"`
		Action   string            `json:"action"`
		Rules    []json.RawMessage `json:"rules"`
	}
	if o.Spec == nil {
		o.Spec = json.RawMessage("{}")
	}
	if err := strict(o.Spec, &s); err != nil {
		return p, fmt.Errorf("spec: %w", err)
	}
	deny := s.Action == istioDeny
	if !deny && s.Action != istioAllow && s.Action != "" {
		return p, fmt.Errorf("spec.action: %s neither allows nor denies", s.Action)
	}
	p.Subject.Namespace, p.Ingress.Governed = r.id.Namespace, true
	if s.Selector != nil {
		p.Subject.Labels = workload.MatchLabels(s.Selector.MatchLabels)
	}
	if deny {
		r.lost("action", "what a DENY policy does not deny is open in Istio if nothing else selects the workload; here only what other policies allow is")
	}
	for i, raw := range s.Rules {
		rules, all := r.istioRule(fmt.Sprintf("rules[%d]", i), raw)
		if deny && !all {
			r.lost(fmt.Sprintf("rules[%d]", i), "cannot be said: nothing is allowed in instead")
			rules = []segmentation.Rule{{}}
		}
		for _, rule := range rules {
			rule.Deny = deny
			p.Ingress.List = append(p.Ingress.List, rule)
		}
	}
	return p, nil
}

// istioRule reads a rule; false: not all of it can be said, and it is left out.
func (r *reader) istioRule(path string, raw json.RawMessage) (out []segmentation.Rule, all bool) {
	var rule istioRule
	if err := strict(raw, &rule); err != nil {
		r.lost(path, "%v: the rule is left out", err)
		return nil, false
	}
	all = true
	from, to := rule.From, rule.To
	if len(from) == 0 {
		from = []istioFrom{{}}
	}
	if len(to) == 0 {
		to = []istioTo{{}}
	}
	for _, f := range from {
		for _, t := range to {
			one, why := istioOne(&f.Source, &t.Operation)
			if why != "" {
				r.lost(path, "%s: it is left out", why)
				all = false
				continue
			}
			out = append(out, one)
		}
	}
	return out, all
}

// istioOne reads one source and one operation; why: it cannot be said.
func istioOne(s *istioSource, o *istioOperation) (out segmentation.Rule, why string) {
	switch {
	case len(s.Namespaces) > 0 && len(s.IPBlocks)+len(s.NotIPBlocks) > 0:
		return out, "a source by namespace and by address at once"
	case len(s.NotIPBlocks) > 0 && len(s.IPBlocks) == 0:
		s.IPBlocks = []string{"0.0.0.0/0", "::/0"}
	}
	for _, n := range s.Namespaces {
		if strings.Contains(n, "*") {
			return out, "a pattern of namespaces"
		}
		out.Peers = append(out.Peers, segmentation.Peer{Workloads: &segmentation.Selection{Namespace: n}})
	}
	for _, b := range s.IPBlocks {
		c, ok := cidrOf(b, s.NotIPBlocks)
		if !ok {
			return out, "a source that is no block of addresses"
		}
		out.Peers = append(out.Peers, segmentation.Peer{CIDR: c})
	}
	for _, p := range o.Ports {
		n, err := strconv.ParseUint(p, 10, 16)
		if err != nil || n == 0 {
			return out, "a port that is no number"
		}
		out.Ports = append(out.Ports, segmentation.Ports{Protocol: segmentation.TCP, From: uint16(n), To: uint16(n)})
	}
	if len(out.Ports) == 0 {
		out.Ports = []segmentation.Ports{{Protocol: segmentation.TCP}}
	}
	var callers []string
	for _, p := range s.Principals {
		if strings.Contains(strings.TrimSuffix(p, "*"), "*") {
			return out, "a pattern of principals that is no prefix"
		}
		callers = append(callers, spiffe+p)
	}
	if len(callers)+len(o.Methods)+len(o.Paths) == 0 {
		return out, ""
	}
	paths := o.Paths
	if len(paths) == 0 {
		paths = []string{""}
	}
	for _, p := range paths {
		t, ok := istioTemplate(p)
		if !ok || slices.ContainsFunc(o.Methods, func(m string) bool { return strings.Contains(m, "*") }) {
			return out, "a path or method that is no template"
		}
		out.HTTP = append(out.HTTP, segmentation.HTTPRule{Methods: o.Methods, Path: t, Callers: callers})
	}
	return out, ""
}

// istioTemplate reads a path: exact, with {*} and {**}, or a prefix that ends in /*.
func istioTemplate(p string) (segmentation.PathTemplate, bool) {
	if p == "" || p == "*" {
		return "", true
	}
	parts := strings.Split(p, "/")
	for i, s := range parts {
		switch {
		case s == "{*}":
			parts[i] = "{any}"
		case s == "{**}" && i == len(parts)-1:
			parts[i] = "**"
		case strings.ContainsAny(s, "*{}"):
			return "", false
		}
	}
	t := segmentation.PathTemplate(strings.Join(parts, "/"))
	return t, t.Check() == ""
}
