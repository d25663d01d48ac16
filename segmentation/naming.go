package segmentation

import (
	"net/netip"
	"slices"
	"strings"
)

// naming tells the classes of addresses apart, and finds the one that an address
// belongs to when it is known by other names.
type naming struct {
	cidrs  []*CIDR
	means  []*Peer              // by name, each once, in the order of their keys
	number map[string]int       // of classes, by key
	fixed  map[netip.Prefix]int // single addresses that are there whatever their names, with their class
}

// workloadKey begins the keys of classes of workloads.
const workloadKey = "workload "

// key tells classes apart; kind is what they are beside addresses.
func (n *naming) key(kind string, p peerClass) string {
	var parts []string
	if kind != "" {
		parts = append(parts, kind)
	}
	for _, cidr := range n.cidrs {
		if cidr.holds(p.prefix) {
			parts = append(parts, "in "+(&Peer{CIDR: cidr}).String())
		}
	}
	for _, m := range n.means {
		if m.matchesClass(p) {
			parts = append(parts, m.key())
		}
	}
	if len(parts) == 0 {
		return "outside"
	}
	return strings.Join(parts, "; ")
}

// unused are the classes of each name for addresses that no rule mentions
// otherwise: they are made before there is such an address, so that the first one
// changes one entry, not the table.
func (n *naming) unused() (out []peerClass) {
	for _, m := range n.means {
		for _, all := range []netip.Addr{netip.IPv4Unspecified(), netip.IPv6Unspecified()} {
			// The pattern itself stands for the names that it means: a star is in none.
			out = append(out, peerClass{prefix: netip.PrefixFrom(all, 0), names: []string{m.Name.Pattern}})
		}
	}
	return out
}

// Means says whether some rule is about a name.
func (t *Table) Means(name string) bool {
	return t.naming != nil && slices.ContainsFunc(t.naming.means, func(p *Peer) bool { return p.Name.Matches(name) })
}

// PeerNamed gives an address its peer for the names it is known by now, in place of
// those that the table was compiled with: AnyPeer if it is to have none of its own
// and be what its prefixes say. Not ok: there is no such class yet, and the table
// must be compiled again.
func (t *Table) PeerNamed(a netip.Addr, names []string) (peer int, ok bool) {
	if t.naming == nil {
		return AnyPeer, true
	}
	a = a.Unmap()
	class := peerClass{prefix: netip.PrefixFrom(a, a.BitLen()), names: names}
	fixed, is := t.naming.fixed[class.prefix]
	if is && strings.HasPrefix(t.Peers[fixed].Key, workloadKey) {
		return fixed, true // names never pick a workload
	}
	named := slices.ContainsFunc(t.naming.means, func(p *Peer) bool { return p.matchesClass(class) })
	if !named && !is {
		return AnyPeer, true
	}
	peer, ok = t.naming.number[t.naming.key("", class)]
	return peer, ok
}
