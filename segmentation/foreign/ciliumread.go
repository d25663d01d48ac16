package foreign

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"github.com/gabion-io/gabion/segmentation"
	"github.com/gabion-io/gabion/workload"
)

// cilium reads a CiliumNetworkPolicy.
func (r *reader) cilium(text []byte) (p segmentation.Policy, err error) {
	var o struct {
		Spec json.RawMessage `json:"spec"`
	}
	if err := yaml.Unmarshal(text, &o); err != nil {
		return p, err
	}
	var s struct {
		Description      string                `json:"description"`
		EndpointSelector *metav1.LabelSelector `json:"endpointSelector"`
		Ingress          []json.RawMessage     `json:"ingress"`
		IngressDeny      []json.RawMessage     `json:"ingressDeny"`
		Egress           []json.RawMessage     `json:"egress"`
		EgressDeny       []json.RawMessage     `json:"egressDeny"`
	}
	if err := strict(o.Spec, &s); err != nil {
		return p, fmt.Errorf("spec: %w", err)
	}
	if s.EndpointSelector == nil {
		return p, fmt.Errorf("spec: it has no endpointSelector")
	}
	selection, ok := r.ciliumSelection("endpointSelector", s.EndpointSelector)
	if !ok || selection.Namespace != r.id.Namespace {
		return p, fmt.Errorf("spec.endpointSelector: it must select by labels in its own namespace")
	}
	p.Subject = selection
	p.Ingress = r.ciliumRules(segmentation.Ingress, s.Ingress, s.IngressDeny)
	p.Egress = r.ciliumRules(segmentation.Egress, s.Egress, s.EgressDeny)
	return p, nil
}

func (r *reader) ciliumRules(d segmentation.Direction, allow, deny []json.RawMessage) (out segmentation.Rules) {
	out.Governed = len(allow)+len(deny) > 0
	for i, raw := range deny {
		rules, ok := r.ciliumRule(d, fmt.Sprintf("%sDeny[%d]", d, i), raw)
		if !ok {
			r.lost(fmt.Sprintf("%sDeny[%d]", d, i), "cannot be said: nothing is allowed in this direction instead")
			return segmentation.Rules{Governed: true, List: []segmentation.Rule{{Deny: true}}}
		}
		for _, rule := range rules {
			rule.Deny = true
			out.List = append(out.List, rule)
		}
	}
	for i, raw := range allow {
		rules, _ := r.ciliumRule(d, fmt.Sprintf("%s[%d]", d, i), raw)
		out.List = append(out.List, rules...)
	}
	return out
}

// ciliumRule reads a rule; false: not all of it can be said, and it is left out.
func (r *reader) ciliumRule(d segmentation.Direction, path string, raw json.RawMessage) (out []segmentation.Rule, all bool) {
	var c ciliumRule
	if err := strict(raw, &c); err != nil {
		r.lost(path, "%v: the rule is left out", err)
		return nil, false
	}
	peers, all, everybody := r.ciliumPeers(d, path, &c)
	if len(peers) == 0 && !everybody {
		if len(c.ToPorts) == 0 || !all || c.named() {
			return nil, all
		}
		// Without peers but with ports, everybody is meant.
	}
	if everybody {
		peers = nil
	}
	if len(c.ToPorts) == 0 {
		return []segmentation.Rule{{Peers: peers}}, all
	}
	for i, ports := range c.ToPorts {
		rule := segmentation.Rule{Peers: peers}
		for _, port := range ports.Ports {
			p, ok := ciliumPortOf(port)
			if !ok {
				r.lost(fmt.Sprintf("%s.toPorts[%d]", path, i), "%q is no port: it is left out", port.Port)
				all = false
				continue
			}
			rule.Ports = append(rule.Ports, p)
		}
		if ports.Rules != nil {
			for k, h := range ports.Rules.HTTP {
				http, ok := ciliumHTTPOf(h)
				if !ok {
					r.lost(fmt.Sprintf("%s.toPorts[%d].rules.http[%d]", path, i, k), "is no path template or list of methods: it is left out")
					all = false
					continue
				}
				rule.HTTP = append(rule.HTTP, http)
			}
			if len(rule.HTTP) == 0 {
				continue
			}
		}
		if len(rule.Ports) > 0 {
			out = append(out, rule)
		}
	}
	return out, all
}

// named says whether a rule names peers at all.
func (c *ciliumRule) named() bool {
	return c.FromEndpoints != nil || c.ToEndpoints != nil || c.FromEntities != nil || c.ToEntities != nil || c.FromCIDR != nil || c.ToCIDR != nil ||
		c.FromCIDRSet != nil || c.ToCIDRSet != nil || c.ToFQDNs != nil
}

func (r *reader) ciliumPeers(d segmentation.Direction, path string, c *ciliumRule) (peers []segmentation.Peer, all, everybody bool) {
	all = true
	endpoints, entities, cidrs, sets := c.FromEndpoints, c.FromEntities, c.FromCIDR, c.FromCIDRSet
	if d == segmentation.Egress {
		endpoints, entities, cidrs, sets = c.ToEndpoints, c.ToEntities, c.ToCIDR, c.ToCIDRSet
	}
	for i := range endpoints {
		if slices.ContainsFunc(endpoints[i].MatchExpressions, func(e metav1.LabelSelectorRequirement) bool { return e.Key == nobody }) {
			continue
		}
		s, ok := r.ciliumSelection(path, &endpoints[i])
		if all = all && ok; ok {
			peers = append(peers, segmentation.Peer{Workloads: &s})
		}
	}
	for _, e := range entities {
		switch e {
		case "all":
			everybody = true
		case "cluster":
			r.lost(path, "entity cluster means hosts too: only workloads of every namespace are meant")
			peers = append(peers, segmentation.Peer{Workloads: &segmentation.Selection{}})
			all = false
		default:
			r.lost(path, "entity %s has no counterpart: it is left out", e)
			all = false
		}
	}
	for _, text := range cidrs {
		sets = append(sets, ciliumCIDR{CIDR: text})
	}
	for _, set := range sets {
		c, ok := cidrOf(set.CIDR, set.Except)
		if all = all && ok; ok {
			peers = append(peers, segmentation.Peer{CIDR: c})
		}
	}
	if len(sets) > 0 {
		r.lost(path, "addresses mean workloads too, where Cilium's do not: workloads within are allowed by them")
		all = false
	}
	for _, n := range c.ToFQDNs {
		if n.MatchName == "" {
			// A star means part of one label, and **. any number of labels.
			below, deep := strings.CutPrefix(n.MatchPattern, "**.")
			if !deep || strings.Contains(below, "*") {
				r.lost(path, "%s means one label, here it would mean every depth: it is left out", n.MatchPattern)
				all = false
				continue
			}
			n.MatchPattern = "*." + below
		}
		peers = append(peers, segmentation.Peer{Name: &segmentation.Name{Pattern: strings.ToLower(n.MatchName + n.MatchPattern)}})
	}
	return peers, all, everybody
}

func cidrOf(text string, except []string) (*segmentation.CIDR, bool) {
	p, ok := prefixOf(text)
	out := &segmentation.CIDR{Prefix: p}
	for _, e := range except {
		x, good := prefixOf(e)
		ok = ok && good
		out.Except = append(out.Except, x)
	}
	return out, ok
}

// ciliumSelection reads an endpoint selector: its namespace labels, and the rest.
func (r *reader) ciliumSelection(path string, s *metav1.LabelSelector) (segmentation.Selection, bool) {
	out := segmentation.Selection{Namespace: r.id.Namespace}
	for _, q := range selectorOf(s).Requirements {
		key := q.Label
		if source, rest, has := strings.Cut(key, ":"); has && !strings.Contains(source, "/") {
			if source != "k8s" && source != "any" {
				r.lost(path, "labels of %s are not known here: the peer is left out", source)
				return out, false
			}
			key = rest
		}
		switch {
		case key == strings.TrimPrefix(ciliumSpace, "k8s:"):
			out.Namespace = ""
			q.Label = workload.NamespaceName
			if q.Operator == workload.In && len(q.Values) == 1 && out.Namespaces.Empty() {
				out.Namespace = q.Values[0]
			} else if q.Operator != workload.Exists {
				out.Namespaces.Requirements = append(out.Namespaces.Requirements, q)
			}
		case strings.HasPrefix("k8s:"+key, ciliumSpaceLabel):
			if out.Namespace == r.id.Namespace {
				out.Namespace = ""
			}
			q.Label = strings.TrimPrefix("k8s:"+key, ciliumSpaceLabel)
			out.Namespaces.Requirements = append(out.Namespaces.Requirements, q)
		default:
			q.Label = key
			out.Labels.Requirements = append(out.Labels.Requirements, q)
		}
	}
	return out, true
}

func ciliumPortOf(c ciliumPort) (segmentation.Ports, bool) {
	p := segmentation.Ports{}
	if c.Protocol != "" && c.Protocol != "ANY" {
		protocol, err := segmentation.ParseProtocol(c.Protocol)
		if err != nil || !protocol.HasPorts() {
			return p, false
		}
		p.Protocol = protocol
	}
	n, err := strconv.ParseUint(c.Port, 10, 16)
	switch {
	case c.Port == "" || c.EndPort < 0 || c.EndPort > 65535 || c.EndPort > 0 && uint64(c.EndPort) < n:
		return p, false
	case err != nil:
		p.Name = c.Port
	default:
		p.From, p.To = uint16(n), max(uint16(n), uint16(c.EndPort))
	}
	return p, true
}

func ciliumHTTPOf(h ciliumHTTP) (segmentation.HTTPRule, bool) {
	out := segmentation.HTTPRule{}
	if h.Method != "" {
		for _, m := range strings.Split(h.Method, "|") {
			if m == "" || strings.ToUpper(m) != m || strings.ContainsAny(m, `.*+?()[]{}^$\`) {
				return out, false
			}
			out.Methods = append(out.Methods, m)
		}
	}
	t, ok := regexpTemplate(h.Path)
	out.Path = t
	return out, ok
}
