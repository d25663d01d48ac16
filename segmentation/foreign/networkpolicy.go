package foreign

import (
	v1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/gabion-io/gabion/segmentation"
	"github.com/gabion-io/gabion/workload"
)

// networkPolicy writes Kubernetes' own kind: allows only, TCP, UDP and SCTP.
func (x *exporter) networkPolicy(s subject) *networkingv1.NetworkPolicy {
	o := &networkingv1.NetworkPolicy{TypeMeta: metav1.TypeMeta{APIVersion: "networking.k8s.io/v1", Kind: "NetworkPolicy"}}
	o.Namespace, o.Name = s.name.Namespace, s.name.Name
	o.Spec.PodSelector = *labelSelector(s.labels)
	for _, d := range []segmentation.Direction{segmentation.Ingress, segmentation.Egress} {
		if !x.policy.In(d).Governed {
			continue
		}
		if d == segmentation.Ingress {
			o.Spec.PolicyTypes = append(o.Spec.PolicyTypes, networkingv1.PolicyTypeIngress)
		} else {
			o.Spec.PolicyTypes = append(o.Spec.PolicyTypes, networkingv1.PolicyTypeEgress)
		}
		for n := range x.policy.In(d).List {
			peers, ports, some := x.npRule(d, n, s)
			switch {
			case !some:
			case d == segmentation.Ingress:
				o.Spec.Ingress = append(o.Spec.Ingress, networkingv1.NetworkPolicyIngressRule{From: peers, Ports: ports})
			default:
				o.Spec.Egress = append(o.Spec.Egress, networkingv1.NetworkPolicyEgressRule{To: peers, Ports: ports})
			}
		}
	}
	return o
}

// npRule writes a rule; false: nothing of it can be said.
func (x *exporter) npRule(d segmentation.Direction, n int, s subject) (peers []networkingv1.NetworkPolicyPeer, ports []networkingv1.NetworkPolicyPort, some bool) {
	r := x.policy.In(d).List[n]
	switch {
	case s.closed:
		return nil, nil, false
	case r.Deny:
		x.lost(pathOf(d, n), "denies, which NetworkPolicy cannot: what it may take from is left out instead")
		return nil, nil, false
	case len(r.HTTP) > 0:
		x.lost(pathOf(d, n)+".http", "NetworkPolicy knows no requests: the rule is left out")
		return nil, nil, false
	}
	r, some = x.narrowed(d, n, func(*segmentation.Rule) bool { return false })
	if !some {
		return nil, nil, false
	}
	for i := range r.Peers {
		peers = append(peers, x.npPeers(d, n, &r.Peers[i], s.name.Namespace)...)
	}
	for _, p := range r.Ports {
		ports = append(ports, x.npPorts(d, n, p)...)
	}
	for _, p := range r.Ports {
		if p.Protocol == segmentation.AnyProtocol && whole(p) {
			ports, r.Ports = nil, nil
			break
		}
	}
	return peers, ports, (len(peers) > 0 || len(r.Peers) == 0) && (len(ports) > 0 || len(r.Ports) == 0)
}

func (x *exporter) npPeers(d segmentation.Direction, n int, p *segmentation.Peer, namespace string) (out []networkingv1.NetworkPolicyPeer) {
	path := pathOf(d, n)
	switch {
	case p.Workloads != nil && !writable(p.Workloads):
		x.lost(path, "workloads cannot be meant by name, nor by what is no label (%s): the peer is left out", p)
	case p.Workloads != nil:
		to := networkingv1.NetworkPolicyPeer{PodSelector: labelSelector(p.Workloads.Labels)}
		if p.Workloads.Namespace != namespace || !p.Workloads.Namespaces.Empty() {
			to.NamespaceSelector = labelSelector(spaceSelector(p.Workloads))
		}
		return []networkingv1.NetworkPolicyPeer{to}
	case p.CIDR != nil:
		prefix, except, some := block(p.CIDR)
		if !some {
			return nil
		}
		b := &networkingv1.IPBlock{CIDR: prefix.String()}
		for _, e := range except {
			b.Except = append(b.Except, e.String())
		}
		return []networkingv1.NetworkPolicyPeer{{IPBlock: b}}
	case p.Name != nil && d == segmentation.Egress:
		return x.npName(path, p.Name)
	}
	return nil
}

func (x *exporter) npName(path string, name *segmentation.Name) (out []networkingv1.NetworkPolicyPeer) {
	addrs := x.outside(name)
	x.lost(path, "NetworkPolicy knows no names: %s is written as the addresses it is known to have (%d)", name.Pattern, len(addrs))
	for _, a := range addrs {
		out = append(out, networkingv1.NetworkPolicyPeer{IPBlock: &networkingv1.IPBlock{CIDR: a.String()}})
	}
	return out
}

// npPorts writes ports; none: they cannot be said.
func (x *exporter) npPorts(d segmentation.Direction, n int, p segmentation.Ports) (out []networkingv1.NetworkPolicyPort) {
	protocols := []segmentation.Protocol{p.Protocol}
	if p.Protocol == segmentation.AnyProtocol {
		if whole(p) {
			return nil // the rule names no ports then
		}
		protocols = []segmentation.Protocol{segmentation.TCP, segmentation.UDP, segmentation.SCTP}
	}
	for _, protocol := range protocols {
		if !protocol.HasPorts() {
			x.lost(pathOf(d, n), "NetworkPolicy knows TCP, UDP and SCTP only: %s is left out", protocol)
			continue
		}
		name := v1.Protocol(protocol.String())
		to := networkingv1.NetworkPolicyPort{Protocol: &name}
		switch from, end := span(p); {
		case p.Name != "":
			port := intstr.FromString(p.Name)
			to.Port = &port
		case whole(p):
		default:
			port := intstr.FromInt32(int32(max(from, 1)))
			to.Port = &port
			if last := int32(end); last > port.IntVal {
				to.EndPort = &last
			}
			if end == 0 {
				continue
			}
		}
		out = append(out, to)
	}
	return out
}

// spaceSelector picks the namespaces of a selection.
func spaceSelector(s *segmentation.Selection) workload.Selector {
	out := workload.Selector{Requirements: append([]workload.Requirement{}, s.Namespaces.Requirements...)}
	if s.Namespace != "" {
		out.Requirements = append(out.Requirements, workload.Requirement{Label: workload.NamespaceName, Operator: workload.In, Values: []string{s.Namespace}})
	}
	return out
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
