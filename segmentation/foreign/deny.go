package foreign

import (
	"net/netip"
	"slices"

	"github.com/gabion-io/gabion/segmentation"
	"github.com/gabion-io/gabion/workload"
)

// narrowed is an allow rule as far as no deny rule of any policy may take from it.
// says tells of a deny rule whether the format says it itself.
func (x *exporter) narrowed(d segmentation.Direction, n int, says func(*segmentation.Rule) bool) (segmentation.Rule, bool) {
	r := x.policy.In(d).List[n]
	r.Peers = slices.Clone(r.Peers)
	for i := range x.policies {
		q := &x.policies[i]
		if !q.In(d).Governed || !mayMeet(&q.Subject, &x.policy.Subject) {
			continue
		}
		for k := range q.In(d).List {
			deny := &q.In(d).List[k]
			if !deny.Deny || says(deny) || !portsMayMeet(r.Ports, deny.Ports) || !peersMayMeet(r.Peers, deny.Peers) {
				continue
			}
			if only(deny.Peers, isCIDR) && only(r.Peers, isCIDR) {
				r.Peers = without(r.Peers, deny.Peers)
				x.lost(pathOf(d, n), "what %s %s denies is taken out of its addresses, on every port", q.Name, pathOf(d, k))
				if len(r.Peers) > 0 {
					continue
				}
			}
			x.lost(pathOf(d, n), "is left out: %s %s denies some of it, which cannot be said", q.Name, pathOf(d, k))
			return r, false
		}
	}
	return r, true
}

func isCIDR(p *segmentation.Peer) bool { return p.CIDR != nil }

func only(peers []segmentation.Peer, is func(*segmentation.Peer) bool) bool {
	for i := range peers {
		if !is(&peers[i]) {
			return false
		}
	}
	return len(peers) > 0
}

// without takes prefixes out of prefixes.
func without(allow, deny []segmentation.Peer) (out []segmentation.Peer) {
	for _, a := range allow {
		c := &segmentation.CIDR{Prefix: a.CIDR.Prefix, Except: slices.Clone(a.CIDR.Except)}
		gone := false
		for _, d := range deny {
			p := d.CIDR.Prefix
			if !p.Overlaps(c.Prefix) {
				continue
			}
			gone = gone || p.Bits() <= c.Prefix.Bits()
			c.Except = append(c.Except, p)
		}
		if !gone {
			out = append(out, segmentation.Peer{CIDR: c})
		}
	}
	return out
}

// mayMeet says whether some workload could be picked by both; it errs on yes.
func mayMeet(a, b *segmentation.Selection) bool {
	if a.Namespace != "" && b.Namespace != "" && a.Namespace != b.Namespace {
		return false
	}
	return !apart(a.Labels, b.Labels)
}

// apart says whether no labels satisfy both selectors.
func apart(a, b workload.Selector) bool {
	for _, x := range a.Requirements {
		for _, y := range b.Requirements {
			if x.Label == y.Label && (contradict(x, y) || contradict(y, x)) {
				return true
			}
		}
	}
	return false
}

func contradict(x, y workload.Requirement) bool {
	switch x.Operator {
	case workload.In:
		both := func(v string) bool { return slices.Contains(y.Values, v) }
		return y.Operator == workload.DoesNotExist || y.Operator == workload.In && !slices.ContainsFunc(x.Values, both)
	case workload.Exists:
		return y.Operator == workload.DoesNotExist
	}
	return false
}

func peersMayMeet(a, b []segmentation.Peer) bool {
	if len(a) == 0 || len(b) == 0 {
		return true
	}
	for i := range a {
		for k := range b {
			if peerMayMeet(&a[i], &b[k]) {
				return true
			}
		}
	}
	return false
}

func peerMayMeet(a, b *segmentation.Peer) bool {
	switch {
	case a.Workloads != nil && b.Workloads != nil:
		return mayMeet(a.Workloads, b.Workloads)
	case a.Workloads != nil && b.Name != nil, a.Name != nil && b.Workloads != nil:
		return false // a name never means a workload
	case a.CIDR != nil && b.CIDR != nil:
		return a.CIDR.Prefix.Overlaps(b.CIDR.Prefix)
	}
	return true
}

func portsMayMeet(a, b []segmentation.Ports) bool {
	if len(a) == 0 || len(b) == 0 {
		return true
	}
	for _, p := range a {
		for _, q := range b {
			if p.Protocol != segmentation.AnyProtocol && q.Protocol != segmentation.AnyProtocol && p.Protocol != q.Protocol {
				continue
			}
			low, high := span(p)
			from, to := span(q)
			if p.Name != "" || q.Name != "" || low <= to && from <= high {
				return true
			}
		}
	}
	return false
}

// span is a range without the short form of "all".
func span(p segmentation.Ports) (uint16, uint16) {
	if p.From == 0 && p.To == 0 {
		return 0, 65535
	}
	return p.From, max(p.From, p.To)
}

// whole says whether every port of the protocol is meant.
func whole(p segmentation.Ports) bool {
	from, to := span(p)
	return p.Name == "" && from == 0 && to == 65535
}

// block is a CIDR as other systems want it: what it excepts lies within. False: it
// means nobody.
func block(c *segmentation.CIDR) (prefix netip.Prefix, except []netip.Prefix, some bool) {
	prefix = c.Prefix.Masked()
	for _, e := range c.Except {
		e = e.Masked()
		switch {
		case !e.Overlaps(prefix):
		case e.Bits() <= prefix.Bits():
			return prefix, nil, false
		default:
			except = append(except, e)
		}
	}
	return prefix, except, true
}
