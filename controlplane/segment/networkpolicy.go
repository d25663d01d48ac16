package segment

import (
	"fmt"
	"slices"

	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/gabion-io/gabion/controlplane/api/v1alpha1"
	"github.com/gabion-io/gabion/segmentation"
	"github.com/gabion-io/gabion/workload"
)

// networkPolicy reads Kubernetes' own kind as it is: always enforced, since it
// knows no mode. What the API server would refuse allows nothing, with a
// condition.
func (c *compiler) networkPolicy(o *networkingv1.NetworkPolicy) segmentation.Policy {
	namespace := o.Namespace
	if namespace == "" {
		namespace = v1alpha1.DefaultNamespace
	}
	p := segmentation.Policy{
		Name: segmentation.PolicyName{Kind: v1alpha1.KindNetworkPolicy, ID: workload.ID{Namespace: namespace, Name: o.Name}},
		Mode: segmentation.Enforce, Subject: segmentation.Selection{Namespace: namespace, Labels: labels(&o.Spec.PodSelector)},
	}
	c.sound("spec.podSelector", p.Subject.Labels)
	types := o.Spec.PolicyTypes
	// What the API server fills in.
	p.Ingress.Governed = len(types) == 0 || slices.Contains(types, networkingv1.PolicyTypeIngress)
	p.Egress.Governed = len(types) == 0 && len(o.Spec.Egress) > 0 || slices.Contains(types, networkingv1.PolicyTypeEgress)
	for i, r := range o.Spec.Ingress {
		p.Ingress.List = append(p.Ingress.List, c.npRule(fmt.Sprintf("spec.ingress[%d]", i), "from", namespace, r.From, r.Ports))
	}
	for i, r := range o.Spec.Egress {
		p.Egress.List = append(p.Egress.List, c.npRule(fmt.Sprintf("spec.egress[%d]", i), "to", namespace, r.To, r.Ports))
	}
	for d, unused := range map[string]bool{"ingress": !p.Ingress.Governed && len(o.Spec.Ingress) > 0, "egress": !p.Egress.Governed && len(o.Spec.Egress) > 0} {
		if unused {
			c.bad(v1alpha1.Programmed, reasonNoEffect, "spec."+d, "has no effect: policyTypes leaves this direction out")
		}
	}
	return p
}

// npRule reads one rule. Parts that are invalid are left out; if that leaves a
// list empty that was not, the rule must not come to mean everybody.
func (c *compiler) npRule(path, word, namespace string, peers []networkingv1.NetworkPolicyPeer, ports []networkingv1.NetworkPolicyPort) segmentation.Rule {
	var r segmentation.Rule
	for i, p := range peers {
		r.Peers = append(r.Peers, c.npPeer(fmt.Sprintf("%s.%s[%d]", path, word, i), namespace, p))
	}
	for i, p := range ports {
		if n, ok := c.npPort(fmt.Sprintf("%s.ports[%d]", path, i), p); ok {
			r.Ports = append(r.Ports, n)
		}
	}
	if len(ports) > 0 && len(r.Ports) == 0 {
		r.Peers, r.Ports = []segmentation.Peer{{}}, nil // nobody
	}
	return r
}

// npPeer reads a peer; an invalid one means nobody.
func (c *compiler) npPeer(path, namespace string, p networkingv1.NetworkPolicyPeer) segmentation.Peer {
	switch {
	case p.IPBlock != nil && (p.PodSelector != nil || p.NamespaceSelector != nil):
		c.bad(v1alpha1.Accepted, reasonInvalid, path, "is of several kinds: ipBlock stands alone; the peer means nobody")
	case p.IPBlock != nil:
		cidr := prefixes(p.IPBlock.CIDR, p.IPBlock.Except)
		if cidr == nil || len(cidr.Except) != len(p.IPBlock.Except) {
			c.bad(v1alpha1.Accepted, reasonInvalid, path+".ipBlock", "is no prefix, or one of except is none; the peer means nobody")
			return segmentation.Peer{}
		}
		return segmentation.Peer{CIDR: cidr}
	case p.PodSelector == nil && p.NamespaceSelector == nil:
		c.bad(v1alpha1.Accepted, reasonInvalid, path, "names nobody: write podSelector, namespaceSelector or ipBlock")
	default:
		s := &segmentation.Selection{Namespace: namespace}
		if p.NamespaceSelector != nil {
			s.Namespace, s.Namespaces = "", labels(p.NamespaceSelector)
		}
		if p.PodSelector != nil {
			s.Labels = labels(p.PodSelector)
		}
		c.sound(path, s.Namespaces)
		c.sound(path, s.Labels)
		return segmentation.Peer{Workloads: s}
	}
	return segmentation.Peer{}
}

func (c *compiler) npPort(path string, p networkingv1.NetworkPolicyPort) (segmentation.Ports, bool) {
	protocol := ""
	if p.Protocol != nil {
		protocol = string(*p.Protocol)
	}
	_, err := segmentation.ParseProtocol(protocol)
	switch {
	case protocol != "" && err != nil:
		c.bad(v1alpha1.Accepted, reasonInvalid, path+".protocol", "%v", err)
		return segmentation.Ports{}, false
	case p.EndPort != nil && (p.Port == nil || p.Port.Type == intstr.String || *p.EndPort < p.Port.IntVal || *p.EndPort > 65535),
		p.Port != nil && p.Port.Type == intstr.Int && (p.Port.IntVal < 1 || p.Port.IntVal > 65535):
		c.bad(v1alpha1.Accepted, reasonInvalid, path, "is no range of ports from 1 to 65535; it means no port")
		return segmentation.Ports{}, false
	}
	return ports(protocol, p.Port, p.EndPort), true
}

// sound reports a selector that picks nothing because it is invalid.
func (c *compiler) sound(path string, s workload.Selector) {
	if err := s.Check(); err != nil {
		c.bad(v1alpha1.Accepted, reasonInvalid, path, "%v: it picks nothing", err)
	}
}
