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

// Resource writes a policy as the resource that means it. reason, if not nil,
// gives each rule the text for people.
func Resource(p segmentation.Policy, reason func(segmentation.Direction, int) string) *v1alpha1.SegmentationPolicy {
	o := &v1alpha1.SegmentationPolicy{}
	o.APIVersion, o.Kind = v1alpha1.APIVersion, v1alpha1.KindSegmentation
	o.Namespace, o.Name = p.Name.Namespace, p.Name.Name
	o.Spec.Mode = p.Mode.String()
	if p.Subject.Namespace == "" {
		o.Spec.NamespaceSelector = labelSelector(p.Subject.Namespaces)
	}
	// Always there: without it a policy of the root namespace would mean all.
	o.Spec.Selector = &v1alpha1.WorkloadSelector{LabelSelector: *labelSelector(p.Subject.Labels), Names: p.Subject.Names}
	o.Spec.Ingress = rules(p, segmentation.Ingress, reason)
	o.Spec.Egress = rules(p, segmentation.Egress, reason)
	return o
}

func rules(p segmentation.Policy, d segmentation.Direction, reason func(segmentation.Direction, int) string) []v1alpha1.SegmentationRule {
	in := p.In(d)
	if !in.Governed {
		return nil
	}
	out := []v1alpha1.SegmentationRule{}
	for i, r := range in.List {
		var to v1alpha1.SegmentationRule
		if r.Deny {
			to.Action = "deny"
		}
		if reason != nil {
			to.Reason = reason(d, i)
		}
		var peers []v1alpha1.SegmentationPeer
		for _, p1 := range r.Peers {
			peers = append(peers, writePeer(p1, p.Name.Namespace))
		}
		if d == segmentation.Ingress {
			to.From = peers
		} else {
			to.To = peers
		}
		for _, n := range r.Ports {
			to.Ports = append(to.Ports, writePorts(n)...)
		}
		for _, h := range r.HTTP {
			to.HTTP = append(to.HTTP, v1alpha1.HTTPOperation{Methods: h.Methods, Path: string(h.Path), Callers: h.Callers})
		}
		out = append(out, to)
	}
	return out
}

func writePeer(p segmentation.Peer, namespace string) (out v1alpha1.SegmentationPeer) {
	switch {
	case p.CIDR != nil:
		out.CIDR = writePrefix(p.CIDR.Prefix)
		for _, e := range p.CIDR.Except {
			out.Except = append(out.Except, writePrefix(e))
		}
	case p.Name != nil:
		out.DNSName = p.Name.Pattern
		for _, a := range p.Name.Addresses {
			out.Addresses = append(out.Addresses, a.String())
		}
	case p.Workloads != nil:
		s := p.Workloads
		switch {
		case s.Namespace != "" && !s.Namespaces.Empty():
			both := append(slices.Clone(s.Namespaces.Requirements), workload.Requirement{Label: workload.NamespaceName, Operator: workload.In, Values: []string{s.Namespace}})
			out.NamespaceSelector = labelSelector(workload.Selector{Requirements: both})
		case s.Namespace == "":
			out.NamespaceSelector = labelSelector(s.Namespaces)
		case s.Namespace != namespace:
			out.Namespace = s.Namespace
		}
		if !s.Labels.Empty() || len(s.Names) > 0 || s.Namespace == namespace {
			out.Selector = &v1alpha1.WorkloadSelector{LabelSelector: *labelSelector(s.Labels), Names: s.Names}
		}
	}
	return out
}

func writePrefix(p netip.Prefix) string {
	if p.IsSingleIP() {
		return p.Addr().String()
	}
	return p.String()
}

// writePorts writes a range; ports of any protocol are written for each that has
// ports, and ICMP.
func writePorts(p segmentation.Ports) []v1alpha1.SegmentationPort {
	if p.Protocol == segmentation.AnyProtocol {
		var out []v1alpha1.SegmentationPort
		for _, protocol := range []segmentation.Protocol{segmentation.TCP, segmentation.UDP, segmentation.SCTP, segmentation.ICMP} {
			p.Protocol = protocol
			if protocol.HasPorts() || p.Name == "" {
				out = append(out, writePorts(p)...)
			}
		}
		return out
	}
	to := v1alpha1.SegmentationPort{Protocol: p.Protocol.String()}
	switch {
	case p.Name != "":
		name := intstr.FromString(p.Name)
		to.Port = &name
	case p.From == 0 && (p.To == 0 || p.To == 65535):
	default:
		from := intstr.FromInt32(int32(p.From))
		to.Port = &from
		if end := int32(p.To); p.To > p.From {
			to.EndPort = &end
		}
	}
	return []v1alpha1.SegmentationPort{to}
}

// labelSelector writes equalities as matchLabels, the rest as expressions.
func labelSelector(s workload.Selector) *metav1.LabelSelector {
	equal, rest := s.Split()
	out := &metav1.LabelSelector{MatchLabels: equal}
	for _, r := range rest {
		out.MatchExpressions = append(out.MatchExpressions, metav1.LabelSelectorRequirement{
			Key: r.Label, Operator: metav1.LabelSelectorOperator(r.Operator), Values: r.Values,
		})
	}
	return out
}
