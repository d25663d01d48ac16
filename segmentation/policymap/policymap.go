// Package policymap writes policy into the datapath's tables: first as an Image,
// the tables' content as plain Go values (pure; most of the package), then into
// the kernel's maps by a Writer, so that no flow is ever judged by half of an old
// policy and half of a new one.
//
// It neither loads nor attaches programs (segmentation/datapath) and does not
// decide what policies mean (segmentation.Compile). The agent imports it.
package policymap

import (
	"bytes"
	"cmp"
	"hash/fnv"
	"net/netip"
	"slices"

	"github.com/gabion-io/gabion/segmentation"
	"github.com/gabion-io/gabion/segmentation/bpf"
	"github.com/gabion-io/gabion/workload"
)

// Interface is a workload's interface on this host.
type Interface struct {
	Index    int
	Workload workload.ID
	// Adopt is until when, in nanoseconds since the machine started, TCP flows
	// that were there before the interface was watched may be picked up in their
	// middle.
	Adopt uint64
}

// Image is what the tables are to hold.
type Image struct {
	Endpoints map[uint32]bpf.Endpoint
	Addresses map[bpf.Address]bpf.Peer
	Prefixes  map[bpf.Prefix]bpf.Peer
	Rules     map[bpf.RuleKey]bpf.Rule
	// Refs names the rules by the numbers that the tables have for them.
	Refs map[uint32]segmentation.RuleRef
	// Peers are the identities of the table's peers. Those that no address has yet
	// are there as well.
	Peers []uint32
}

// Render makes the tables' content of compiled policies. Only rules for the
// workloads of the interfaces are written; addresses of all workloads are.
func Render(t *segmentation.Table, w segmentation.World, interfaces []Interface, n *Numbers) *Image {
	img := &Image{
		Endpoints: map[uint32]bpf.Endpoint{}, Addresses: map[bpf.Address]bpf.Peer{},
		Prefixes: map[bpf.Prefix]bpf.Peer{}, Rules: map[bpf.RuleKey]bpf.Rule{},
		Refs: map[uint32]segmentation.RuleRef{},
	}
	local := map[workload.ID]uint32{}
	wanted := map[int]uint32{} // subjects, by their number in the tables
	for _, i := range interfaces {
		local[i.Workload] = n.Workload(i.Workload)
		if s, ok := t.SubjectOf[i.Workload]; ok {
			wanted[s] = n.subject(t.Subjects[s].Key)
		}
	}
	peers := make([]uint32, len(t.Peers))
	for i, p := range t.Peers {
		peers[i] = n.peer(p.Key)
	}
	peers[0] = bpf.Outside
	img.Peers = peers
	lanes := img.rules(t, wanted, peers)
	for _, i := range interfaces {
		e := bpf.Endpoint{Workload: local[i.Workload], Adopt: i.Adopt}
		if s, ok := t.SubjectOf[i.Workload]; ok {
			e.Subject, e.Lanes = wanted[s], lanes[s]
			if t.Subjects[s].Named {
				e.Lanes[segmentation.Egress].Named = 1
			}
		}
		img.Endpoints[uint32(i.Index)] = e
	}
	img.addresses(t, w, local, peers)
	img.own()
	return img
}

// rules writes the entries of the wanted subjects, and returns their lanes.
func (img *Image) rules(t *segmentation.Table, wanted map[int]uint32, peers []uint32) map[int][2]bpf.Lane {
	lanes := map[int][2]bpf.Lane{}
	for s := range wanted {
		lanes[s] = [2]bpf.Lane{}
	}
	used := map[int]*[2][bpf.Shapes]bool{}
	for _, e := range t.Entries {
		subject, ok := wanted[e.Subject]
		if !ok {
			continue
		}
		key := bpf.RuleKey{Subject: subject, Protocol: uint8(e.Protocol)}
		if e.Peer != segmentation.AnyPeer {
			key.Peer = peers[e.Peer]
		}
		value := bpf.Rule{Verdict: uint32(e.Verdict), Rule: img.number(e.Rule)}
		two := lanes[e.Subject]
		lane := &two[e.Direction]
		last := e.Verdict == segmentation.Denied && e.Peer == segmentation.AnyPeer && e.Protocol == segmentation.AnyProtocol
		if e.Verdict == segmentation.Denied {
			lane.Strict = 1
		}
		if last {
			// The end of all looking: the programs need not look for it.
			lane.Closed, lane.Rule = 1, value.Rule
		}
		lanes[e.Subject] = two
		if last {
			continue
		}
		if used[e.Subject] == nil {
			used[e.Subject] = new([2][bpf.Shapes]bool)
		}
		for _, b := range blocks(e) {
			key.Port = b.Port
			key.Way = uint8(e.Direction) | uint8(b.wild)<<1
			img.Rules[key] = value
			used[e.Subject][e.Direction][rank(key)] = true
		}
	}
	for s, shapes := range used {
		two := lanes[s]
		for d := range two {
			setShapes(&two[d], shapes[d])
		}
		lanes[s] = two
	}
	return lanes
}

// block is ports that one key stands for.
type block struct {
	Port uint16
	wild int
}

// blocks are the keys' ports of an entry: one for all of a protocol's ports, or
// of every protocol; else the fewest blocks that make up the range.
func blocks(e segmentation.Entry) []block {
	if e.Protocol == segmentation.AnyProtocol {
		return []block{{0, bpf.ShapeAnyProtocol}}
	}
	var out []block
	for _, b := range segmentation.PortBlocks(e.From, e.To) {
		out = append(out, block{b.Port, 16 - b.Bits})
	}
	return out
}

// rank orders keys by how specific they are; it is the order in which the
// programs look, so that the first match is the right one.
func rank(k bpf.RuleKey) int {
	wild := int(k.Way >> 1)
	if k.Peer == 0 {
		return bpf.Shapes/2 + wild
	}
	return wild
}

// setShapes lists the shapes in use in the order of their ranks.
func setShapes(l *bpf.Lane, used [bpf.Shapes]bool) {
	l.Count, l.Shapes = 0, [bpf.Shapes]uint8{}
	for r, yes := range used {
		if !yes {
			continue
		}
		l.Shapes[l.Count] = uint8(r)
		if r >= bpf.Shapes/2 {
			l.Shapes[l.Count] = bpf.ShapeAnyPeer | uint8(r-bpf.Shapes/2)
		}
		l.Count++
	}
}

// number gives a rule its number: the same for the same rule, on any host and in
// any run, so that what was counted under an old policy can still be named.
func (img *Image) number(r segmentation.RuleRef) uint32 {
	if r == (segmentation.RuleRef{}) {
		return 0
	}
	h := fnv.New32a()
	h.Write([]byte(r.String()))
	n := max(h.Sum32(), 1)
	img.Refs[n] = r
	return n
}

// addresses writes who is behind which address.
func (img *Image) addresses(t *segmentation.Table, w segmentation.World, local map[workload.ID]uint32, peers []uint32) {
	owner := map[netip.Addr]uint32{}
	for _, one := range w.Workloads {
		if n := local[one.ID]; n != 0 {
			for _, a := range one.Addresses {
				owner[a.Unmap()] = n
			}
		}
	}
	ipv4 := netip.PrefixFrom(netip.IPv4Unspecified(), 0)
	mapped := netip.AddrFrom16(netip.IPv4Unspecified().As16())
	for _, p := range t.Prefixes {
		if p.Prefix.Addr().Is6() && p.Prefix.Contains(mapped) {
			// The trie has IPv4 inside IPv6, where a rule about all of IPv6 must not
			// reach it.
			img.Prefixes[bpf.PrefixOf(ipv4)] = bpf.Peer{Identity: bpf.Outside}
		}
	}
	for _, p := range t.Prefixes {
		peer := bpf.Peer{Identity: peers[p.Peer]}
		if !p.Prefix.IsSingleIP() {
			img.Prefixes[bpf.PrefixOf(p.Prefix)] = peer
			continue
		}
		peer.Workload = owner[p.Prefix.Addr()]
		img.Addresses[bpf.AddressOf(p.Prefix.Addr())] = peer
	}
}

// own gives each endpoint the first of its workload's addresses of each family, which
// most of its packets come from: the programs need not look them up.
func (img *Image) own() {
	first := map[uint32][2]bpf.Address{}
	for a, p := range img.Addresses {
		if p.Workload == 0 {
			continue
		}
		two := first[p.Workload]
		mine := &two[0]
		if a.Addr().Is6() {
			mine = &two[1]
		}
		if *mine == (bpf.Address{}) || bytes.Compare(a[:], mine[:]) < 0 {
			*mine = a
		}
		first[p.Workload] = two
	}
	for i, e := range img.Endpoints {
		e.Own = first[e.Workload]
		img.Endpoints[i] = e
	}
}

// byRank sorts keys, the most specific first.
func byRank(keys []bpf.RuleKey) {
	slices.SortFunc(keys, func(a, b bpf.RuleKey) int {
		return cmp.Or(cmp.Compare(rank(a), rank(b)), cmp.Compare(a.Subject, b.Subject),
			cmp.Compare(a.Peer, b.Peer), cmp.Compare(a.Way, b.Way), cmp.Compare(a.Protocol, b.Protocol), cmp.Compare(a.Port, b.Port))
	})
}
