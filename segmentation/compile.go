package segmentation

import (
	"cmp"
	"iter"
	"net/netip"
	"slices"

	"github.com/gabion-io/gabion/workload"
)

// World is what policies are resolved against.
type World struct {
	Workloads []*workload.Workload
	// Names are the addresses that DNS names are known to have, beside those
	// that rules keep. They change more often than all else: Table.PeerNamed.
	Names map[string][]netip.Addr
	// Proxied says whether a proxy judges a workload's HTTP in a direction; nil:
	// none does.
	Proxied func(*workload.Workload, Direction) bool
}

// Compile resolves policies. Equal input gives an equal Table, whatever the order
// of workloads; the order of policies matters as much as in Evaluate: only for
// which rule is named.
func Compile(policies []Policy, w World) *Table {
	c := &compiler{policies: policies, world: w, table: &Table{SubjectOf: map[workload.ID]int{}}}
	c.byName = slices.ContainsFunc(policies, func(p Policy) bool { return p.usesNames() })
	c.peers()
	c.index = newPeerIndex(c.classes)
	c.subjects()
	slices.SortFunc(c.table.Entries, compareEntries)
	return c.table
}

type compiler struct {
	policies []Policy
	world    World
	byName   bool // some selection picks by name: then a name tells workloads apart
	table    *Table
	classes  []peerClass // beside table.Peers
	index    *peerIndex
}

// peerClass is what rules can see of the addresses in it.
type peerClass struct {
	workload *workload.Workload // one of them; nil: outside
	prefix   netip.Prefix       // one of theirs
	names    []string
}

// usesNames says whether any selection picks workloads by name.
func (p *Policy) usesNames() bool {
	if len(p.Subject.Names) > 0 {
		return true
	}
	for peer := range p.peers() {
		if peer.Workloads != nil && len(peer.Workloads.Names) > 0 {
			return true
		}
	}
	return false
}

// peers yields the peers of all rules.
func (p *Policy) peers() iter.Seq[*Peer] {
	return func(yield func(*Peer) bool) {
		for _, list := range [][]Rule{p.Ingress.List, p.Egress.List} {
			for i := range list {
				for n := range list[i].Peers {
					if !yield(&list[i].Peers[n]) {
						return
					}
				}
			}
		}
	}
}

func compareCells(a, b Entry) int {
	return cmp.Or(cmp.Compare(a.Subject, b.Subject), cmp.Compare(a.Direction, b.Direction), cmp.Compare(a.Peer, b.Peer))
}

func compareEntries(a, b Entry) int {
	return cmp.Or(compareCells(a, b), cmp.Compare(a.Protocol, b.Protocol), cmp.Compare(a.From, b.From))
}

// peers makes the classes of addresses: workloads by identity and the CIDRs they
// are in; every prefix that a rule mentions by the CIDRs it is in; every address
// of a name by the rules' names that mean it too.
func (c *compiler) peers() {
	cidrs, names := c.mentioned()
	prefixes := map[netip.Prefix]peerClass{}
	for _, cidr := range cidrs {
		for _, p := range append([]netip.Prefix{cidr.Prefix}, cidr.Except...) {
			prefixes[p.Masked()] = peerClass{prefix: p.Masked()}
		}
	}
	fixed := map[netip.Prefix]int{}
	for p := range prefixes {
		if p.IsSingleIP() {
			fixed[p] = 0
		}
	}
	for a, list := range names {
		p := netip.PrefixFrom(a, a.BitLen())
		prefixes[p] = peerClass{prefix: p, names: list}
	}
	for _, w := range c.world.Workloads {
		for _, a := range w.Addresses {
			a = a.Unmap()
			p := netip.PrefixFrom(a, a.BitLen())
			prefixes[p] = peerClass{workload: w, prefix: p}
			fixed[p] = 0
		}
	}
	c.table.naming = &naming{cidrs: cidrs, means: c.means(), number: map[string]int{"outside": 0}, fixed: fixed}
	c.table.Peers, c.classes = []PeerClass{{"outside"}}, []peerClass{{}}
	order := make([]netip.Prefix, 0, len(prefixes))
	for p := range prefixes {
		order = append(order, p)
	}
	slices.SortFunc(order, func(a, b netip.Prefix) int {
		return cmp.Or(a.Addr().Compare(b.Addr()), cmp.Compare(a.Bits(), b.Bits()))
	})
	for _, p := range order {
		n := c.classOf(prefixes[p])
		c.table.Prefixes = append(c.table.Prefixes, PrefixPeer{p, n})
		if _, is := fixed[p]; is {
			fixed[p] = n
		}
	}
	for _, class := range c.table.naming.unused() {
		c.classOf(class)
	}
}

// classOf is the number of a class, which is made if there is none like it.
func (c *compiler) classOf(class peerClass) int {
	key := ""
	if class.workload != nil {
		key = workloadKey + c.identityKey(class.workload)
	}
	key = c.table.naming.key(key, class)
	n, known := c.table.naming.number[key]
	if !known {
		n = len(c.classes)
		c.table.naming.number[key] = n
		c.classes = append(c.classes, class)
		c.table.Peers = append(c.table.Peers, PeerClass{key})
	}
	return n
}

// means lists the names of all rules, each once.
func (c *compiler) means() []*Peer {
	all := map[string]*Peer{}
	for i := range c.policies {
		for peer := range c.policies[i].peers() {
			if peer.Name != nil {
				all[peer.key()] = peer
			}
		}
	}
	out := make([]*Peer, 0, len(all))
	for _, key := range sortedKeys(all) {
		out = append(out, all[key])
	}
	return out
}

// mentioned collects the CIDRs of all rules, each once, and the addresses of all
// names that some rule means.
func (c *compiler) mentioned() ([]*CIDR, map[netip.Addr][]string) {
	cidrs := map[string]*CIDR{}
	byAddr := map[netip.Addr]map[string]bool{}
	add := func(a netip.Addr, name string) {
		a = a.Unmap()
		if byAddr[a] == nil {
			byAddr[a] = map[string]bool{}
		}
		byAddr[a][name] = true
	}
	for i := range c.policies {
		for peer := range c.policies[i].peers() {
			switch {
			case peer.CIDR != nil:
				cidrs[peer.String()] = peer.CIDR
			case peer.Name != nil:
				for _, a := range peer.Name.Addresses {
					add(a, "")
				}
				for name, list := range c.world.Names {
					if !peer.Name.Matches(name) {
						continue
					}
					for _, a := range list {
						add(a, name)
					}
				}
			}
		}
	}
	names := map[netip.Addr][]string{}
	for a, set := range byAddr {
		names[a] = sortedKeys(set)
	}
	list := make([]*CIDR, 0, len(cidrs))
	for _, key := range sortedKeys(cidrs) {
		list = append(list, cidrs[key])
	}
	return list, names
}

func sortedKeys[V any](m map[string]V) []string {
	out := make([]string, 0, len(m))
	for k := range m {
		out = append(out, k)
	}
	slices.Sort(out)
	return out
}

func (c *compiler) identityKey(w *workload.Workload) string {
	i := w.Identity()
	if !c.byName {
		i.Name = ""
	}
	return i.Key()
}

// holds says whether all of a prefix is meant. No prefix is half inside: all that
// rules mention are classes of their own.
func (c *CIDR) holds(p netip.Prefix) bool {
	return covers(c.Prefix, p) && !slices.ContainsFunc(c.Except, func(e netip.Prefix) bool { return covers(e, p) })
}

func covers(outer, inner netip.Prefix) bool {
	return inner.IsValid() && outer.Bits() <= inner.Bits() && outer.Contains(inner.Addr())
}

// matchesClass says whether a peer means the addresses of a class.
func (p *Peer) matchesClass(c peerClass) bool {
	switch {
	case p.Workloads != nil:
		return c.workload != nil && p.Workloads.Matches(c.workload.Identity())
	case p.CIDR != nil:
		return p.CIDR.holds(c.prefix)
	case p.Name != nil && c.workload == nil && c.prefix.IsValid():
		return slices.ContainsFunc(c.names, p.Name.Matches) || c.prefix.IsSingleIP() && slices.Contains(p.Name.Addresses, c.prefix.Addr())
	}
	return false
}
