package segment

import (
	"net/netip"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/gabion-io/gabion/controlplane/api/v1alpha1"
	"github.com/gabion-io/gabion/segmentation"
	"github.com/gabion-io/gabion/workload"
)

// workload reads a Workload, which was validated.
func (c *compiler) workload(o *v1alpha1.Workload) *workload.Workload {
	w := &workload.Workload{
		ID: workload.ID{Namespace: o.Namespace, Name: o.Name}, Labels: o.Labels, NamespaceLabels: c.spaces[o.Namespace],
		Account: o.Spec.ServiceAccount, Node: o.Spec.Node,
	}
	for _, a := range o.Spec.Addresses {
		if addr, err := netip.ParseAddr(a); err == nil {
			w.Addresses = append(w.Addresses, addr.Unmap())
		}
	}
	for _, p := range o.Spec.Ports {
		protocol := segmentation.TCP
		if p.Protocol != "" {
			protocol, _ = segmentation.ParseProtocol(p.Protocol)
		}
		w.Ports = append(w.Ports, workload.Port{Name: p.Name, Protocol: uint8(protocol), Number: uint16(p.Port)})
	}
	return w
}

// policy reads a SegmentationPolicy, which was validated.
func (c *compiler) policy(o *v1alpha1.SegmentationPolicy) segmentation.Policy {
	mode, _ := segmentation.ParseMode(o.Spec.Mode) // empty: observe
	p := segmentation.Policy{
		Name: segmentation.PolicyName{Kind: v1alpha1.KindSegmentation, ID: workload.ID{Namespace: o.Namespace, Name: o.Name}},
		Mode: mode, Subject: c.subject(o),
		Ingress: segmentation.Rules{Governed: o.Spec.Ingress != nil}, Egress: segmentation.Rules{Governed: o.Spec.Egress != nil},
	}
	for _, r := range o.Spec.Ingress {
		p.Ingress.List = append(p.Ingress.List, rule(r, r.From, o.Namespace))
	}
	for _, r := range o.Spec.Egress {
		p.Egress.List = append(p.Egress.List, rule(r, r.To, o.Namespace))
	}
	return p
}

// subject is what a policy selects: in its own namespace, unless it is in the
// root one and says otherwise.
func (c *compiler) subject(o *v1alpha1.SegmentationPolicy) segmentation.Selection {
	root := o.Namespace == c.options.RootNamespace
	s := segmentation.Selection{Namespace: o.Namespace}
	if sel := o.Spec.Selector; sel != nil {
		s.Labels, s.Names = labels(&sel.LabelSelector), sel.Names
	}
	switch {
	case o.Spec.NamespaceSelector != nil && root:
		s.Namespace, s.Namespaces = "", labels(o.Spec.NamespaceSelector)
	case o.Spec.NamespaceSelector != nil:
		c.bad(v1alpha1.Accepted, reasonInvalid, "spec.namespaceSelector",
			"only a policy of the namespace %s may select in others: this one selects in %s", c.options.RootNamespace, o.Namespace)
	case o.Spec.Selector == nil && root:
		s.Namespace = ""
	}
	return s
}

func rule(r v1alpha1.SegmentationRule, peers []v1alpha1.SegmentationPeer, namespace string) segmentation.Rule {
	out := segmentation.Rule{Deny: r.Action == "deny"}
	for _, p := range peers {
		out.Peers = append(out.Peers, peer(p, namespace))
	}
	for _, p := range r.Ports {
		out.Ports = append(out.Ports, ports(p.Protocol, p.Port, p.EndPort))
	}
	for _, h := range r.HTTP {
		out.HTTP = append(out.HTTP, segmentation.HTTPRule{Methods: h.Methods, Path: segmentation.PathTemplate(h.Path), Callers: h.Callers})
	}
	return out
}

func peer(p v1alpha1.SegmentationPeer, namespace string) segmentation.Peer {
	switch {
	case p.CIDR != "":
		return segmentation.Peer{CIDR: prefixes(p.CIDR, p.Except)}
	case p.DNSName != "":
		n := &segmentation.Name{Pattern: p.DNSName}
		for _, a := range p.Addresses {
			if addr, err := netip.ParseAddr(a); err == nil {
				n.Addresses = append(n.Addresses, addr.Unmap())
			}
		}
		return segmentation.Peer{Name: n}
	}
	s := &segmentation.Selection{Namespace: namespace}
	if p.Namespace != "" {
		s.Namespace = p.Namespace
	}
	if p.NamespaceSelector != nil {
		s.Namespace, s.Namespaces = "", labels(p.NamespaceSelector)
	}
	if p.Selector != nil {
		s.Labels, s.Names = labels(&p.Selector.LabelSelector), p.Selector.Names
	}
	return segmentation.Peer{Workloads: s}
}

func prefixes(cidr string, except []string) *segmentation.CIDR {
	whole, err := v1alpha1.ParsePrefix(cidr)
	if err != nil {
		return nil
	}
	c := &segmentation.CIDR{Prefix: whole}
	for _, e := range except {
		if part, err := v1alpha1.ParsePrefix(e); err == nil {
			c.Except = append(c.Except, part)
		}
	}
	return c
}

func ports(protocol string, port *intstr.IntOrString, end *int32) segmentation.Ports {
	p := segmentation.Ports{Protocol: segmentation.TCP}
	if protocol != "" {
		p.Protocol, _ = segmentation.ParseProtocol(protocol)
	}
	switch {
	case port == nil:
	case port.Type == intstr.String:
		p.Name = port.StrVal
	case end != nil:
		p.From, p.To = uint16(port.IntVal), uint16(*end)
	default:
		p.From, p.To = uint16(port.IntVal), uint16(port.IntVal)
	}
	return p
}

func labels(s *metav1.LabelSelector) workload.Selector {
	out := workload.MatchLabels(s.MatchLabels)
	for _, e := range s.MatchExpressions {
		out.Requirements = append(out.Requirements, workload.Requirement{
			Label: e.Key, Operator: workload.Operator(e.Operator), Values: slices.Clone(e.Values),
		})
	}
	return out
}
