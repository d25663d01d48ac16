package learn

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/gabion-io/gabion/segmentation"
)

// rule writes the rule that allows a bundle, and no more.
func (p *proposer) rule(d segmentation.Direction, bundle []*relation) segmentation.Rule {
	var r segmentation.Rule
	var addrs []netip.Addr
	names := map[string]*segmentation.Selection{}
	for _, rel := range bundle {
		peer := rel.dst
		if d == segmentation.Ingress {
			peer = rel.src
		}
		switch {
		case peer < 0 && d == segmentation.Egress && p.externals[^peer].name != "":
			x := p.externals[^peer]
			r.Peers = []segmentation.Peer{{Name: &segmentation.Name{Pattern: x.name, Addresses: slices.Clone(x.addrs)}}}
		case peer < 0:
			addrs = append(addrs, p.externals[^peer].addrs...)
		default:
			s := p.groups[peer].selection
			if s.Labels.Empty() && len(s.Names) == 1 && names[s.Namespace] != nil {
				if !slices.Contains(names[s.Namespace].Names, s.Names[0]) {
					names[s.Namespace].Names = append(names[s.Namespace].Names, s.Names[0])
				}
				break
			}
			if at := slices.IndexFunc(r.Peers, func(o segmentation.Peer) bool { return o.Workloads.String() == s.String() }); at < 0 {
				s.Names = slices.Clone(s.Names)
				r.Peers = append(r.Peers, segmentation.Peer{Workloads: &s})
				if s.Labels.Empty() && len(s.Names) == 1 {
					names[s.Namespace] = &s
				}
			}
		}
		r.Ports = append(r.Ports, p.ports(rel))
	}
	for _, s := range names {
		slices.Sort(s.Names)
	}
	r.Peers = append(r.Peers, addressPeers(d, addrs)...)
	slices.SortFunc(r.Ports, func(a, b segmentation.Ports) int { return strings.Compare(a.String(), b.String()) })
	r.Ports = slices.Compact(r.Ports)
	return r
}

func addressPeers(d segmentation.Direction, addrs []netip.Addr) (out []segmentation.Peer) {
	if d == segmentation.Ingress && public(addrs) {
		for _, all := range []string{"0.0.0.0/0", "::/0"} {
			prefix := netip.MustParsePrefix(all)
			if slices.ContainsFunc(addrs, func(a netip.Addr) bool { return prefix.Addr().Is4() == a.Is4() }) {
				out = append(out, segmentation.Peer{CIDR: &segmentation.CIDR{Prefix: prefix}})
			}
		}
		return out
	}
	for _, prefix := range narrow(addrs) {
		out = append(out, segmentation.Peer{CIDR: &segmentation.CIDR{Prefix: prefix}})
	}
	return out
}

// ports names the port where every workload of the target does.
func (p *proposer) ports(r *relation) segmentation.Ports {
	out := segmentation.Ports{Protocol: r.protocol}
	if r.protocol.HasPorts() {
		out.From, out.To = r.port, r.port
	}
	if r.dst < 0 {
		return out
	}
	name := ""
	for i, m := range p.groups[r.dst].members {
		here := ""
		same := 0
		for _, port := range p.workloads[m].Ports {
			if segmentation.Protocol(port.Protocol) == r.protocol && port.Number == r.port {
				here = port.Name
			}
		}
		for _, port := range p.workloads[m].Ports {
			if port.Name == here && segmentation.Protocol(port.Protocol) == r.protocol {
				same++
			}
		}
		if here == "" || same != 1 || i > 0 && here != name {
			return out
		}
		name = here
	}
	return segmentation.Ports{Protocol: r.protocol, Name: name}
}

// fewFlows is up to how many flows a relation is rare.
const fewFlows = 3

// rare says why a relation is rare; empty: it is not. Rare is learned, and said.
func (p *proposer) rare(r *relation) string {
	switch {
	case r.answered <= fewFlows && r.answered < r.flows:
		return plural(int(r.answered), "flow") + " answered only"
	case r.flows <= fewFlows:
		return plural(int(r.flows), "flow") + " only"
	case r.seen.count() == 1 && p.windows.count > 2:
		return "in one window of time only"
	case r.src >= 0 && len(r.sources) == 1 && len(p.groups[r.src].members) > 2:
		return fmt.Sprintf("by one of %d workloads only", len(p.groups[r.src].members))
	}
	return ""
}

func plural(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

func (p *proposer) evidence(d segmentation.Direction, bundle []*relation, r *segmentation.Rule) Evidence {
	e := Evidence{What: p.what(d, bundle, r)}
	var at []int64
	var windows seen
	sources := map[int32]bool{}
	first, last, answered := bundle[0].first, bundle[0].last, uint64(0)
	for _, rel := range bundle {
		answered += rel.answered
		e.Edges += len(rel.edges)
		e.Flows += rel.flows
		e.Bytes += rel.bytes
		first, last = min(first, rel.first), max(last, rel.last)
		windows.join(rel.seen)
		for s := range rel.sources {
			sources[s] = true
		}
		for _, n := range rel.edges {
			if len(at) < 512 {
				for _, s := range p.spans(n) {
					at = append(at, s.first, s.last)
				}
			}
			for _, name := range p.edges[n].processes {
				if i, found := slices.BinarySearch(e.Processes, name); !found && len(e.Processes) < 8 {
					e.Processes = slices.Insert(e.Processes, i, name)
				}
			}
			if len(e.Examples) < 3 {
				e.Examples = append(e.Examples, p.example(n))
			}
		}
		if why := p.rare(rel); why != "" && len(bundle) == 1 || why != "" && answered <= fewFlows {
			e.Rare = why
		}
	}
	if len(bundle) > 1 && answered > fewFlows && p.allRare(bundle) {
		e.Rare = "each only rarely seen"
	}
	e.First, e.Last, e.Windows, e.Sources = instant(first), instant(last), windows.count(), len(sources)
	if e.Windows*4 < p.windows.count {
		e.Period = period(at, e.Flows)
	}
	return e
}

func (p *proposer) allRare(bundle []*relation) bool {
	return !slices.ContainsFunc(bundle, func(r *relation) bool { return p.rare(r) == "" })
}

func (p *proposer) example(n int32) string {
	e := &p.edges[n]
	text := fmt.Sprintf("%s → %s %s", endText(p.endpoint(e.src)), endText(p.endpoint(e.dst)), e.protocol)
	if e.protocol.HasPorts() {
		text += fmt.Sprintf(" %d", e.port)
	}
	return text
}

// what recognises traffic of a kind.
func (p *proposer) what(d segmentation.Direction, bundle []*relation, r *segmentation.Rule) string {
	rel := bundle[0]
	service := func(port uint16, protocols ...segmentation.Protocol) bool {
		return !slices.ContainsFunc(bundle, func(r *relation) bool { return r.port != port || !slices.Contains(protocols, r.protocol) })
	}
	switch {
	case service(53, segmentation.UDP, segmentation.TCP):
		return "DNS"
	case service(123, segmentation.UDP):
		return "time (NTP)"
	case service(67, segmentation.UDP), service(547, segmentation.UDP):
		return "DHCP"
	case d == segmentation.Ingress && rel.src < 0 && len(r.Peers) > 0 && r.Peers[0].CIDR != nil && r.Peers[0].CIDR.Prefix.Bits() == 0:
		return "the public"
	case d == segmentation.Ingress && rel.src < 0 && p.node(bundle):
		return "the node: health checks"
	}
	return ""
}

// node says whether callers look like the host's own agent: a private address that
// comes back to many groups.
func (p *proposer) node(bundle []*relation) bool {
	return !slices.ContainsFunc(bundle, func(r *relation) bool {
		x := p.externals[^r.src]
		return len(x.addrs) != 1 || !x.addrs[0].IsPrivate() || len(p.callers[r.src]) < 3 || r.seen.count() < 3
	})
}

func (w windows) duration() time.Duration { return time.Duration(w.length) }
