package verdicttest

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"github.com/gabion-io/gabion/segmentation"
	"github.com/gabion-io/gabion/workload"
)

// policy reads: shop/cart enforces for app=cart
func (p *parser) policy(text string) error {
	name, rest, _ := strings.Cut(text, " ")
	id, err := workload.ParseID(name)
	if err != nil {
		return err
	}
	p.policies = slices.Clone(p.policies)
	at := slices.IndexFunc(p.policies, func(o segmentation.Policy) bool { return o.Name.ID == id })
	if rest == "is gone" {
		if at < 0 {
			return fmt.Errorf("there is no policy %s", id)
		}
		p.policies, p.current = slices.Delete(p.policies, at, at+1), -1
		return nil
	}
	word, subject, ok := strings.Cut(rest, " for ")
	mode, known := map[string]segmentation.Mode{"enforces": segmentation.Enforce, "audits": segmentation.Audit, "observes": segmentation.Observe}[word]
	if !ok || !known {
		return fmt.Errorf("a policy reads: policy NAMESPACE/NAME enforces (audits, observes) for SELECTOR")
	}
	peer, err := parsePeer(subject, id.Namespace)
	if err != nil || peer.Workloads == nil {
		return fmt.Errorf("%q selects no workloads (%v)", subject, err)
	}
	policy := segmentation.Policy{Name: segmentation.PolicyName{Kind: "SegmentationPolicy", ID: id}, Mode: mode, Subject: *peer.Workloads}
	if at >= 0 {
		p.policies[at], p.current = policy, at
		return nil
	}
	p.policies, p.current = append(p.policies, policy), len(p.policies)
	return nil
}

// rule reads: [denies] from PEER or PEER on PORTS when REQUESTS
func (p *parser) rule(direction, text string) error {
	if len(p.policies) == 0 || p.current < 0 {
		return fmt.Errorf("a rule stands below its policy")
	}
	policy := &p.policies[p.current]
	rules := &policy.Ingress
	preposition := "from "
	if direction == "egress" {
		rules, preposition = &policy.Egress, "to "
	}
	rules.Governed = true
	var r segmentation.Rule
	text, r.Deny = strings.CutPrefix(text, "denies ")
	text, ok := strings.CutPrefix(text, preposition)
	if !ok {
		return fmt.Errorf("an %s rule reads: %s [denies] %sPEER on PORTS", direction, direction, preposition)
	}
	text, when, _ := strings.Cut(text, " when ")
	text, ports, _ := strings.Cut(text, " on ")
	if text == "nobody" {
		return nil
	}
	var err error
	if text != "anybody" {
		for _, one := range strings.Split(text, " or ") {
			peer, err := parsePeer(one, policy.Name.Namespace)
			if err != nil {
				return err
			}
			r.Peers = append(r.Peers, peer)
		}
	}
	for _, one := range splitList(ports) {
		n, err := parsePorts(one)
		if err != nil {
			return err
		}
		r.Ports = append(r.Ports, n)
	}
	if when != "" {
		r.HTTP = []segmentation.HTTPRule{parseHTTP(when)}
	}
	rules.List = append(slices.Clip(rules.List), r)
	return err
}

func parseHTTP(text string) (h segmentation.HTTPRule) {
	text, callers, _ := strings.Cut(text, " by ")
	methods, path, _ := strings.Cut(text, " ")
	if methods != "any" {
		h.Methods = splitList(methods)
	}
	h.Path, h.Callers = segmentation.PathTemplate(path), splitList(callers)
	return h
}

func parsePeer(text, namespace string) (segmentation.Peer, error) {
	if name, ok := strings.CutPrefix(text, "name "); ok {
		pattern, list, _ := strings.Cut(name, " at ")
		addresses, err := parseAddresses(strings.ReplaceAll(list, " and ", ","))
		return segmentation.Peer{Name: &segmentation.Name{Pattern: pattern, Addresses: addresses}}, err
	}
	head, except, _ := strings.Cut(text, " except ")
	if prefix, err := parsePrefix(head); err == nil {
		c := &segmentation.CIDR{Prefix: prefix}
		for _, e := range splitList(strings.ReplaceAll(except, " and ", ",")) {
			prefix, err := parsePrefix(e)
			if err != nil {
				return segmentation.Peer{}, err
			}
			c.Except = append(c.Except, prefix)
		}
		return segmentation.Peer{CIDR: c}, nil
	}
	s, err := parseSelection(text, namespace)
	return segmentation.Peer{Workloads: s}, err
}

func parsePrefix(text string) (netip.Prefix, error) {
	if a, err := netip.ParseAddr(text); err == nil {
		return netip.PrefixFrom(a, a.BitLen()), nil
	}
	return netip.ParsePrefix(text)
}

// parseSelection reads: [namespace NAME | namespaces SELECTOR with | every namespace] [SELECTOR] [named PATTERN]
func parseSelection(text, namespace string) (*segmentation.Selection, error) {
	s := &segmentation.Selection{Namespace: namespace}
	var err error
	if rest, ok := strings.CutPrefix(text, "namespaces "); ok {
		selector, rest, _ := strings.Cut(rest, " with ")
		s.Namespace = ""
		if s.Namespaces, err = workload.ParseSelector(selector); err != nil {
			return nil, err
		}
		text = rest
	} else if rest, ok := strings.CutPrefix(text, "namespace "); ok {
		s.Namespace, text, _ = strings.Cut(rest, " ")
	} else if rest, ok := strings.CutPrefix(text, "every namespace"); ok {
		s.Namespace, text = "", strings.TrimSpace(rest)
	}
	text, names, _ := strings.Cut(" "+text, " named ")
	s.Names = splitList(names)
	text = strings.TrimSpace(text)
	if text == "any workload" {
		text = ""
	}
	s.Labels, err = workload.ParseSelector(text)
	return s, err
}

// parsePorts reads: TCP, TCP 80, TCP 8000-8100, TCP http
func parsePorts(text string) (n segmentation.Ports, err error) {
	protocol, port, _ := strings.Cut(text, " ")
	if protocol != "any" {
		if n.Protocol, err = segmentation.ParseProtocol(protocol); err != nil {
			return n, err
		}
	}
	if port == "" {
		return n, nil
	}
	from, to, ranged := strings.Cut(port, "-")
	first, err := strconv.ParseUint(from, 10, 16)
	if err != nil {
		n.Name = port
		return n, nil
	}
	last := first
	if ranged {
		if last, err = strconv.ParseUint(to, 10, 16); err != nil {
			return n, fmt.Errorf("%q is no range of ports", port)
		}
	}
	n.From, n.To = uint16(first), uint16(last)
	return n, nil
}
