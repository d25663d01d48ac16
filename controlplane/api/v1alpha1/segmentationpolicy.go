package v1alpha1

import (
	"fmt"
	"net/netip"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/gabion-io/gabion/segmentation"
)

// SegmentationPolicy says what the workloads it selects may do on the network. In
// a direction that it has rules for, even none, they are default-deny once it is
// enforced. It selects in its own namespace; in the root namespace it may select
// in others with namespaceSelector.
type SegmentationPolicy struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`
	Spec              SegmentationPolicySpec `json:"spec"`
}

// SegmentationPolicySpec is what a SegmentationPolicy says.
type SegmentationPolicySpec struct {
	Mode string `json:"mode,omitempty"` // observe (the default), audit, enforce
	// Selector picks workloads; nil: all of the namespace, and in the root
	// namespace without namespaceSelector all there are.
	Selector          *WorkloadSelector     `json:"selector,omitempty"`
	NamespaceSelector *metav1.LabelSelector `json:"namespaceSelector,omitempty"` // only in the root namespace
	// A direction that is left out is not governed; an empty list governs it, and
	// allows nothing.
	Ingress []SegmentationRule `json:"ingress,omitzero"`
	Egress  []SegmentationRule `json:"egress,omitzero"`
}

// WorkloadSelector picks workloads by labels and, where labels do not tell them
// apart, by name.
type WorkloadSelector struct {
	metav1.LabelSelector `json:",inline"`
	Names                []string `json:"names,omitempty"` // one must match; * stands for any text
}

// SegmentationRule allows or denies some flows.
type SegmentationRule struct {
	Action string             `json:"action,omitempty"` // allow (the default), deny
	From   []SegmentationPeer `json:"from,omitempty"`   // of ingress; none: anybody
	To     []SegmentationPeer `json:"to,omitempty"`     // of egress; none: anybody
	Ports  []SegmentationPort `json:"ports,omitempty"`  // none: every protocol and port
	HTTP   []HTTPOperation    `json:"http,omitempty"`   // none: no look at requests
	Reason string             `json:"reason,omitempty"` // for people
}

// SegmentationPeer is workloads (selector, namespace, namespaceSelector), or
// addresses (cidr), or a name outside (dnsName).
type SegmentationPeer struct {
	Selector          *WorkloadSelector     `json:"selector,omitempty"`
	Namespace         string                `json:"namespace,omitempty"` // empty: the policy's own
	NamespaceSelector *metav1.LabelSelector `json:"namespaceSelector,omitempty"`
	CIDR              string                `json:"cidr,omitempty"` // or one address
	Except            []string              `json:"except,omitempty"`
	DNSName           string                `json:"dnsName,omitempty"`   // or *.example.com
	Addresses         []string              `json:"addresses,omitempty"` // of dnsName, open without a look at DNS
}

// SegmentationPort is a port, a range, a port by name, or all of a protocol.
type SegmentationPort struct {
	Protocol string              `json:"protocol,omitempty"` // TCP (the default), UDP, SCTP, ICMP, a number
	Port     *intstr.IntOrString `json:"port,omitempty"`     // none: every port
	EndPort  *int32              `json:"endPort,omitempty"`
}

// HTTPOperation picks requests; an empty part picks all.
type HTTPOperation struct {
	Methods []string `json:"methods,omitempty"`
	Path    string   `json:"path,omitempty"`    // a template: /orders/{id}, /static/**
	Callers []string `json:"callers,omitempty"` // SPIFFE IDs; a * at the end stands for the rest
}

func (p *SegmentationPolicy) validate(f *findings) {
	s := p.Spec
	if s.Mode != "" {
		if _, err := segmentation.ParseMode(s.Mode); err != nil {
			f.add("mode", "%q is not one of observe, audit, enforce", s.Mode)
		}
	}
	s.Selector.validate(f, "selector")
	labelSelector(f, "namespaceSelector", s.NamespaceSelector)
	if s.Ingress == nil && s.Egress == nil {
		f.add("", "governs no direction: write ingress, egress or both; an empty list allows nothing")
	}
	for i, r := range s.Ingress {
		path := fmt.Sprintf("ingress[%d]", i)
		if len(r.To) > 0 {
			f.add(path+".to", "has no meaning in ingress: write from")
		}
		r.validate(f, path, path+".from", r.From)
		for n, peer := range r.From {
			if peer.DNSName != "" {
				f.add(fmt.Sprintf("%s.from[%d].dnsName", path, n), "has no meaning in ingress: who comes in has an address, no name; write cidr")
			}
		}
	}
	for i, r := range s.Egress {
		path := fmt.Sprintf("egress[%d]", i)
		if len(r.From) > 0 {
			f.add(path+".from", "has no meaning in egress: write to")
		}
		r.validate(f, path, path+".to", r.To)
	}
}

func (r *SegmentationRule) validate(f *findings, path, peers string, list []SegmentationPeer) {
	if r.Action != "" {
		f.oneOf(path+".action", &r.Action, "allow", "deny")
	}
	for i := range list {
		list[i].validate(f, fmt.Sprintf("%s[%d]", peers, i))
	}
	for i := range r.Ports {
		r.Ports[i].validate(f, fmt.Sprintf("%s.ports[%d]", path, i))
	}
	for i, h := range r.HTTP {
		at := fmt.Sprintf("%s.http[%d]", path, i)
		if why := segmentation.PathTemplate(h.Path).Check(); why != "" {
			f.add(at+".path", "%q %s", h.Path, why)
		}
		for n, m := range h.Methods {
			if m == "" || m != strings.ToUpper(m) {
				f.add(fmt.Sprintf("%s.methods[%d]", at, n), "%q is no method: methods are upper case, such as GET", m)
			}
		}
	}
}

// validate checks that a peer is of one kind, and that its parts are sound.
func (p *SegmentationPeer) validate(f *findings, path string) {
	workloads := p.Selector != nil || p.Namespace != "" || p.NamespaceSelector != nil
	switch {
	case workloads && (p.CIDR != "" || p.DNSName != ""), p.CIDR != "" && p.DNSName != "":
		f.add(path, "is of several kinds: write one peer for workloads, one for a cidr, one for a dnsName")
	case !workloads && p.CIDR == "" && p.DNSName == "":
		f.add(path, "names nobody: write selector, namespace, namespaceSelector, cidr or dnsName")
	}
	if p.Namespace != "" && p.NamespaceSelector != nil {
		f.add(path+".namespace", "cannot stand beside namespaceSelector: remove one")
	}
	if p.Namespace != "" && !dnsLabel.MatchString(p.Namespace) {
		f.add(path+".namespace", "%q is no name of a namespace", p.Namespace)
	}
	p.Selector.validate(f, path+".selector")
	labelSelector(f, path+".namespaceSelector", p.NamespaceSelector)
	cidr(f, path, p.CIDR, p.Except)
	if len(p.Addresses) > 0 && p.DNSName == "" {
		f.add(path+".addresses", "belongs to a dnsName: write cidr for an address alone")
	}
	if p.DNSName != "" && !segmentation.IsDNSName(strings.TrimPrefix(p.DNSName, "*.")) {
		f.add(path+".dnsName", "%q is no DNS name: lower case, without a dot at its end; *. stands for everything below", p.DNSName)
	}
	for i, a := range p.Addresses {
		if _, err := netip.ParseAddr(a); err != nil {
			f.add(fmt.Sprintf("%s.addresses[%d]", path, i), "%q is no IP address", a)
		}
	}
}

// cidr checks a prefix and what it leaves out.
func cidr(f *findings, path, text string, except []string) {
	if text == "" {
		if len(except) > 0 {
			f.add(path+".except", "belongs to a cidr")
		}
		return
	}
	whole, err := ParsePrefix(text)
	if err != nil {
		f.add(path+".cidr", "%v", err)
		return
	}
	for i, e := range except {
		at := fmt.Sprintf("%s.except[%d]", path, i)
		switch part, err := ParsePrefix(e); {
		case err != nil:
			f.add(at, "%v", err)
		case part.Bits() <= whole.Bits() || !whole.Contains(part.Addr()):
			f.add(at, "%s is no part of %s", e, text)
		}
	}
}

// ParsePrefix reads a prefix, or one address.
func ParsePrefix(text string) (netip.Prefix, error) {
	if a, err := netip.ParseAddr(text); err == nil && a.Zone() == "" {
		return netip.PrefixFrom(a.Unmap(), a.Unmap().BitLen()), nil
	}
	p, err := netip.ParsePrefix(text)
	if err != nil || p.Addr().Is4In6() {
		return netip.Prefix{}, fmt.Errorf("%q is no address or prefix: write one like 10.0.0.0/8 or fd00::/64", text)
	}
	return p.Masked(), nil
}

func (p *SegmentationPort) validate(f *findings, path string) {
	protocol := segmentation.TCP
	if p.Protocol != "" {
		var err error
		if protocol, err = segmentation.ParseProtocol(p.Protocol); err != nil {
			f.add(path+".protocol", "%q is not one of TCP, UDP, SCTP, ICMP, or a number from 1 to 255", p.Protocol)
			return
		}
	}
	switch {
	case p.Port == nil && p.EndPort != nil:
		f.add(path+".endPort", "needs a port to begin at")
	case p.Port == nil:
	case !protocol.HasPorts():
		f.add(path+".port", "%s has no ports: remove it", protocol)
	case p.Port.Type == intstr.String && p.EndPort != nil:
		f.add(path+".endPort", "cannot follow a port by name")
	case p.Port.Type == intstr.String && !portName(p.Port.StrVal):
		f.add(path+".port", "%q is no name of a port: at most 15 lower-case letters, digits and -, with a letter", p.Port.StrVal)
	case p.Port.Type == intstr.Int && (p.Port.IntVal < 1 || p.Port.IntVal > 65535):
		f.add(path+".port", "%d is out of range: 1 to 65535", p.Port.IntVal)
	case p.EndPort != nil && (*p.EndPort < p.Port.IntVal || *p.EndPort > 65535):
		f.add(path+".endPort", "%d is out of range: %d to 65535", *p.EndPort, p.Port.IntVal)
	}
}

func portName(s string) bool {
	return len(s) <= 15 && dnsLabel.MatchString(s) && strings.ContainsAny(s, "abcdefghijklmnopqrstuvwxyz")
}

func (s *WorkloadSelector) validate(f *findings, path string) {
	if s == nil {
		return
	}
	labelSelector(f, path, &s.LabelSelector)
	for i, n := range s.Names {
		if n == "" || strings.ContainsAny(n, " /") {
			f.add(fmt.Sprintf("%s.names[%d]", path, i), "%q is no pattern of a workload's name", n)
		}
	}
}

func labelSelector(f *findings, path string, s *metav1.LabelSelector) {
	if s == nil {
		return
	}
	for i, e := range s.MatchExpressions {
		at := fmt.Sprintf("%s.matchExpressions[%d]", path, i)
		if e.Key == "" {
			f.add(at+".key", "is missing: name a label")
		}
		switch op := string(e.Operator); op {
		case "In", "NotIn":
			if len(e.Values) == 0 {
				f.add(at+".values", "is empty: %s needs values", op)
			}
		case "Exists", "DoesNotExist":
			if len(e.Values) > 0 {
				f.add(at+".values", "has no meaning with %s: remove it", op)
			}
		default:
			f.add(at+".operator", "%q is not one of In, NotIn, Exists, DoesNotExist", op)
		}
	}
}
