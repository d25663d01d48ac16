package foreign

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/gabion-io/gabion/segmentation"
	"github.com/gabion-io/gabion/workload"
)

// What is used of cilium.io/v2; field names are those of its CustomResourceDefinition.
type (
	ciliumPolicy struct {
		metav1.TypeMeta `json:",inline"`
		Metadata        meta       `json:"metadata"`
		Spec            ciliumSpec `json:"spec"`
	}
	meta struct {
		Name        string            `json:"name"`
		Namespace   string            `json:"namespace,omitempty"`
		Labels      map[string]string `json:"labels,omitempty"`
		Annotations map[string]string `json:"annotations,omitempty"`
	}
	ciliumSpec struct {
		Description      string                `json:"description,omitempty"`
		EndpointSelector *metav1.LabelSelector `json:"endpointSelector"`
		Ingress          []ciliumRule          `json:"ingress,omitempty"`
		IngressDeny      []ciliumRule          `json:"ingressDeny,omitempty"`
		Egress           []ciliumRule          `json:"egress,omitempty"`
		EgressDeny       []ciliumRule          `json:"egressDeny,omitempty"`
	}
	ciliumRule struct {
		FromEndpoints []metav1.LabelSelector `json:"fromEndpoints,omitempty"`
		ToEndpoints   []metav1.LabelSelector `json:"toEndpoints,omitempty"`
		FromEntities  []string               `json:"fromEntities,omitempty"`
		ToEntities    []string               `json:"toEntities,omitempty"`
		FromCIDR      []string               `json:"fromCIDR,omitempty"`
		ToCIDR        []string               `json:"toCIDR,omitempty"`
		FromCIDRSet   []ciliumCIDR           `json:"fromCIDRSet,omitempty"`
		ToCIDRSet     []ciliumCIDR           `json:"toCIDRSet,omitempty"`
		ToFQDNs       []ciliumName           `json:"toFQDNs,omitempty"`
		ToPorts       []ciliumPorts          `json:"toPorts,omitempty"`
	}
	ciliumCIDR struct {
		CIDR   string   `json:"cidr"`
		Except []string `json:"except,omitempty"`
	}
	ciliumName struct {
		MatchName    string `json:"matchName,omitempty"`
		MatchPattern string `json:"matchPattern,omitempty"`
	}
	ciliumPorts struct {
		Ports []ciliumPort `json:"ports"`
		Rules *ciliumL7    `json:"rules,omitempty"`
	}
	ciliumPort struct {
		Port     string `json:"port"`
		EndPort  int32  `json:"endPort,omitempty"`
		Protocol string `json:"protocol,omitempty"`
	}
	ciliumL7 struct {
		HTTP []ciliumHTTP `json:"http"`
	}
	ciliumHTTP struct {
		Method string `json:"method,omitempty"`
		Path   string `json:"path,omitempty"`
	}
)

// Labels by which Cilium knows an endpoint's namespace, and its labels.
const (
	ciliumAPI        = "cilium.io/v2"
	ciliumKind       = "CiliumNetworkPolicy"
	ciliumSpace      = "k8s:io.kubernetes.pod.namespace"
	ciliumSpaceLabel = "k8s:io.cilium.k8s.namespace.labels."
	// nobody is a label that nothing carries: a direction is governed only by a rule
	// in it, and an empty rule is read in two ways.
	nobody = "gabion.io/nobody"
)

// cilium writes a CiliumNetworkPolicy, whose CIDR rules mean no workloads.
func (x *exporter) cilium(s subject) any {
	o := &ciliumPolicy{TypeMeta: metav1.TypeMeta{APIVersion: ciliumAPI, Kind: ciliumKind}, Metadata: meta{Name: s.name.Name, Namespace: s.name.Namespace}}
	o.Spec.EndpointSelector = labelSelector(s.labels)
	o.Spec.Ingress, o.Spec.IngressDeny = x.ciliumSide(segmentation.Ingress, s)
	o.Spec.Egress, o.Spec.EgressDeny = x.ciliumSide(segmentation.Egress, s)
	return o
}

func (x *exporter) ciliumSide(d segmentation.Direction, s subject) (allow, deny []ciliumRule) {
	if !x.policy.In(d).Governed {
		return nil, nil
	}
	for n, r := range x.policy.In(d).List {
		switch {
		case r.Deny && ciliumDenies(&r): // of a closed subject too: others count on it
			if len(r.HTTP) > 0 {
				x.lost(pathOf(d, n)+".http", "Cilium denies no requests: the whole port is denied")
			}
			r.HTTP = nil
			deny = append(deny, x.ciliumRules(d, n, r, s)...)
		case r.Deny:
			x.lost(pathOf(d, n), "denies what Cilium cannot (addresses of workloads, names, protocols without ports): what it may take from is left out instead")
		case s.closed:
		default:
			if r, some := x.narrowed(d, n, ciliumDenies); some {
				allow = append(allow, x.ciliumRules(d, n, r, s)...)
			}
		}
	}
	if len(allow) == 0 {
		none := ciliumRule{}
		none.peers(d, []metav1.LabelSelector{{MatchExpressions: []metav1.LabelSelectorRequirement{{Key: nobody, Operator: metav1.LabelSelectorOpExists}}}})
		allow = []ciliumRule{none}
	}
	return allow, deny
}

// ciliumDenies says whether Cilium denies just what a rule denies, or more.
func ciliumDenies(r *segmentation.Rule) bool {
	for i := range r.Peers {
		if w := r.Peers[i].Workloads; w == nil || !writable(w) {
			return false
		}
	}
	for _, p := range r.Ports {
		if !p.Protocol.HasPorts() {
			return false
		}
	}
	return true
}

func (r *ciliumRule) peers(d segmentation.Direction, list []metav1.LabelSelector) {
	if d == segmentation.Ingress {
		r.FromEndpoints = list
	} else {
		r.ToEndpoints = list
	}
}

// ciliumRules writes a rule as one for each kind of peer.
func (x *exporter) ciliumRules(d segmentation.Direction, n int, r segmentation.Rule, s subject) (out []ciliumRule) {
	ports, some := x.ciliumPorts(d, n, &r)
	if !some {
		return nil
	}
	if len(r.Peers) == 0 {
		all := ciliumRule{ToPorts: ports}
		if d == segmentation.Ingress {
			all.FromEntities = []string{"all"}
		} else {
			all.ToEntities = []string{"all"}
		}
		return []ciliumRule{all}
	}
	endpoints, blocks, names := ciliumRule{ToPorts: ports}, ciliumRule{ToPorts: ports}, ciliumRule{ToPorts: ports}
	var list []metav1.LabelSelector
	var cidrs []ciliumCIDR
	for i := range r.Peers {
		switch p := &r.Peers[i]; {
		case p.Workloads != nil && !writable(p.Workloads):
			x.lost(pathOf(d, n), "workloads cannot be meant by name, nor by what is no label (%s): the peer is left out", p)
		case p.Workloads != nil:
			list = append(list, ciliumPeer(p.Workloads, s.name.Namespace))
		case p.CIDR != nil:
			x.lost(pathOf(d, n), "Cilium's addresses mean no workloads: those within %s are not allowed by it", p)
			cidrs = append(cidrs, ciliumBlock(p.CIDR)...)
		case p.Name != nil && d == segmentation.Egress:
			names.ToFQDNs = append(names.ToFQDNs, x.ciliumName(pathOf(d, n), p.Name))
			for _, a := range x.outside(p.Name) {
				cidrs = append(cidrs, ciliumCIDR{CIDR: a.String()})
			}
		}
	}
	if len(list) > 0 {
		endpoints.peers(d, list)
		out = append(out, endpoints)
	}
	if len(cidrs) > 0 {
		if d == segmentation.Ingress {
			blocks.FromCIDRSet = cidrs
		} else {
			blocks.ToCIDRSet = cidrs
		}
		out = append(out, blocks)
	}
	if len(names.ToFQDNs) > 0 {
		out = append(out, names)
	}
	return out
}

func ciliumBlock(c *segmentation.CIDR) []ciliumCIDR {
	prefix, except, some := block(c)
	if !some {
		return nil
	}
	to := ciliumCIDR{CIDR: prefix.String()}
	for _, e := range except {
		to.Except = append(to.Except, e.String())
	}
	return []ciliumCIDR{to}
}

func (x *exporter) ciliumName(path string, n *segmentation.Name) ciliumName {
	x.lost(path, "Cilium learns the addresses of %s from DNS answers it sees: a rule with rules.dns towards the name service must be there", n.Pattern)
	if strings.HasPrefix(n.Pattern, "*") {
		x.lost(path, "%s means one label only in Cilium, not every depth", n.Pattern)
		return ciliumName{MatchPattern: n.Pattern}
	}
	return ciliumName{MatchName: n.Pattern}
}

// ciliumPeer selects workloads of a namespace, or of namespaces.
func ciliumPeer(s *segmentation.Selection, namespace string) metav1.LabelSelector {
	labels := workload.Selector{Requirements: append([]workload.Requirement{}, s.Labels.Requirements...)}
	for _, r := range spaceSelector(s).Requirements {
		if r.Label == workload.NamespaceName {
			if s.Namespaces.Empty() && s.Namespace == namespace {
				continue // an endpoint is sought in the policy's own namespace
			}
			r.Label = ciliumSpace
		} else {
			r.Label = ciliumSpaceLabel + r.Label
		}
		labels.Requirements = append(labels.Requirements, r)
	}
	if s.Namespace == "" {
		labels.Requirements = append(labels.Requirements, workload.Requirement{Label: ciliumSpace, Operator: workload.Exists})
	}
	return *labelSelector(labels)
}

// ciliumPorts writes a rule's ports and requests; false: nothing of them can be
// said.
func (x *exporter) ciliumPorts(d segmentation.Direction, n int, r *segmentation.Rule) (out []ciliumPorts, some bool) {
	path := pathOf(d, n)
	if len(r.Ports) == 0 && len(r.HTTP) == 0 {
		return nil, true
	}
	to := ciliumPorts{}
	for _, p := range r.Ports {
		switch from, end := span(p); {
		case p.Protocol == segmentation.AnyProtocol && whole(p) && len(r.HTTP) == 0:
			return nil, true
		case p.Protocol != segmentation.AnyProtocol && !p.Protocol.HasPorts():
			x.lost(path, "Cilium allows %s by its types only: it is left out", p.Protocol)
		case len(r.HTTP) > 0 && (p.Protocol != segmentation.TCP || p.Name == "" && from != end):
			x.lost(path, "requests are told apart on single TCP ports only: %s is left out", p)
		case p.Name != "":
			to.Ports = append(to.Ports, ciliumPort{Port: p.Name, Protocol: ciliumProtocol(p.Protocol)})
		case end == 0:
		default:
			port := ciliumPort{Port: strconv.Itoa(int(max(from, 1))), Protocol: ciliumProtocol(p.Protocol)}
			if end > max(from, 1) {
				port.EndPort = int32(end)
			}
			to.Ports = append(to.Ports, port)
		}
	}
	if len(r.HTTP) > 0 {
		to.Rules = &ciliumL7{HTTP: x.ciliumHTTP(path, r.HTTP)}
		if len(r.Ports) == 0 {
			x.lost(path, "requests are told apart on named ports only: the rule is left out")
		}
		if len(to.Rules.HTTP) == 0 {
			return nil, false
		}
	}
	return []ciliumPorts{to}, len(to.Ports) > 0
}

func ciliumProtocol(p segmentation.Protocol) string {
	if p == segmentation.AnyProtocol {
		return "ANY"
	}
	return p.String()
}

func (x *exporter) ciliumHTTP(path string, list []segmentation.HTTPRule) (out []ciliumHTTP) {
	for i, h := range list {
		if len(h.Callers) > 0 {
			x.lost(fmt.Sprintf("%s.http[%d].callers", path, i), "Cilium's requests know no callers: left out")
			continue
		}
		to := ciliumHTTP{Path: templateRegexp(h.Path)}
		var methods []string
		for _, m := range h.Methods {
			methods = append(methods, regexp.QuoteMeta(m))
		}
		to.Method = strings.Join(methods, "|")
		out = append(out, to)
	}
	return out
}
