package segment

import (
	"fmt"
	"net/netip"
	"slices"

	"github.com/gabion-io/gabion/controlplane/api/v1alpha1"
	"github.com/gabion-io/gabion/segmentation"
	"github.com/gabion-io/gabion/workload"
)

// Reasons of conditions.
const (
	reasonInvalid  = "Invalid"
	reasonNoEffect = "NoEffect"
	reasonNoProxy  = "NoProxy"
	reasonShared   = "AddressShared"
)

// bad reports what is wrong with the resource being read.
func (c *compiler) bad(typ, reason, path, format string, args ...any) {
	status := "False"
	if typ == v1alpha1.Conflicted {
		status = "True"
	}
	c.out.Conditions = append(c.out.Conditions, v1alpha1.Condition{
		Kind: c.at.Kind, Namespace: c.at.Namespace, Name: c.at.Name,
		Type: typ, Status: status, Reason: reason, Message: fmt.Sprintf(format, args...), Path: path,
	})
}

// sharedAddresses reports workloads that claim one address: only one can be who
// sends from there.
func (c *compiler) sharedAddresses() {
	owner := map[netip.Addr]*workload.Workload{}
	for _, w := range c.out.Workloads {
		for i, a := range w.Addresses {
			if o := owner[a]; o != nil && o != w {
				c.at = v1alpha1.Key{Kind: v1alpha1.KindWorkload, Namespace: w.ID.Namespace, Name: w.ID.Name}
				c.bad(v1alpha1.Conflicted, reasonShared, fmt.Sprintf("spec.addresses[%d]", i),
					"Workload %s has the address %s too: an address belongs to one workload", o.ID, a)
				continue
			}
			owner[a] = w
		}
	}
}

// idle reports selectors that pick nothing: a rule that can do nothing is never
// silent.
func (c *compiler) idle() {
	picked := map[string]bool{}
	picks := func(s *segmentation.Selection) bool {
		key := s.String()
		found, known := picked[key]
		if !known {
			for _, w := range c.out.Workloads {
				if s.Matches(w.Identity()) {
					found = true
					break
				}
			}
			picked[key] = found
		}
		return found
	}
	for i := range c.out.Policies {
		p := &c.out.Policies[i]
		c.at = keyOf(p.Name)
		if !picks(&p.Subject) {
			c.bad(v1alpha1.Programmed, reasonNoEffect, subjectPath(p), "no workload is selected (%s): the policy does nothing yet", &p.Subject)
		}
		for _, d := range []segmentation.Direction{segmentation.Ingress, segmentation.Egress} {
			list := p.In(d).List
			for n := range list {
				for k := range list[n].Peers {
					if s := list[n].Peers[k].Workloads; s != nil && !picks(s) {
						c.bad(v1alpha1.Programmed, reasonNoEffect, fmt.Sprintf("spec.%s[%d].%s[%d]", d, n, preposition(d), k),
							"no workload is meant (%s): the peer does nothing yet", s)
					}
				}
			}
		}
	}
}

// needProxy reports HTTP rules where no proxy stands in the path to some selected
// workload.
func (c *compiler) needProxy() {
	for i := range c.out.Policies {
		p := &c.out.Policies[i]
		c.at = keyOf(p.Name)
		for _, d := range []segmentation.Direction{segmentation.Ingress, segmentation.Egress} {
			for n := range p.In(d).List {
				r := &p.In(d).List[n]
				if len(r.HTTP) == 0 || d == segmentation.Ingress && c.allRouted(p, r) {
					continue
				}
				what := "the port stays closed"
				if p.Mode != segmentation.Enforce {
					what = "enforced, the port would be closed"
				}
				c.bad(v1alpha1.Programmed, reasonNoProxy, fmt.Sprintf("spec.%s[%d].http", d, n),
					"no proxy that could tell requests apart is in the path: %s", what)
			}
		}
	}
}

// needLink reports rules by name for workloads that are processes of a host: what these
// look up crosses no interface of theirs, and is not seen.
func (c *compiler) needLink() {
	for i := range c.out.Policies {
		p := &c.out.Policies[i]
		at := slices.IndexFunc(c.out.Workloads, func(w *workload.Workload) bool { return c.groups[w.ID] && p.Subject.Matches(w.Identity()) })
		if at < 0 {
			continue
		}
		c.at = keyOf(p.Name)
		for n := range p.Egress.List {
			for k, peer := range p.Egress.List[n].Peers {
				if peer.Name != nil {
					c.bad(v1alpha1.Programmed, reasonNoEffect, fmt.Sprintf("spec.egress[%d].to[%d].dnsName", n, k),
						"Workload %s is processes of its host (spec.cgroup), and what they look up is not seen: the name means the addresses written with it, and what other workloads of the host are told",
						c.out.Workloads[at].ID)
				}
			}
		}
	}
}

// allRouted says whether routes lead to every workload that a policy selects, at a
// port that its rule is about.
func (c *compiler) allRouted(p *segmentation.Policy, r *segmentation.Rule) bool {
	if len(c.options.Routed) == 0 {
		return false
	}
	for _, w := range c.out.Workloads {
		if p.Subject.Matches(w.Identity()) && !c.routed(w, r) {
			return false
		}
	}
	return true
}

func (c *compiler) routed(w *workload.Workload, r *segmentation.Rule) bool {
	for at := range c.options.Routed {
		if slices.ContainsFunc(w.Addresses, func(a netip.Addr) bool { return a.Unmap() == at.Addr() }) && reaches(r, w, at.Port()) {
			return true
		}
	}
	return false
}

func keyOf(n segmentation.PolicyName) v1alpha1.Key {
	return v1alpha1.Key{Kind: n.Kind, Namespace: n.Namespace, Name: n.Name}
}

func subjectPath(p *segmentation.Policy) string {
	if p.Name.Kind == v1alpha1.KindNetworkPolicy {
		return "spec.podSelector"
	}
	return "spec.selector"
}

func preposition(d segmentation.Direction) string {
	if d == segmentation.Egress {
		return "to"
	}
	return "from"
}
