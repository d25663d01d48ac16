package segmentation

import (
	"net/netip"
	"sort"

	"github.com/gabion-io/gabion/workload"
)

// Table is policies resolved for the workloads and names there are, so flat that
// a datapath can look it up: an address gives a peer, the interface a subject,
// and both with direction, protocol and port a verdict. It means what Evaluate
// means.
type Table struct {
	// Subjects are classes of workloads that are governed alike; SubjectOf says
	// which one a workload is in. A workload that is not in it is governed by
	// nothing.
	Subjects  []Subject
	SubjectOf map[workload.ID]int
	// Peers are classes of addresses that rules treat alike. Peer 0 is every
	// address that no prefix holds.
	Peers []PeerClass
	// Prefixes give addresses their peer: the longest that holds an address
	// counts. They are sorted, IPv4 first.
	Prefixes []PrefixPeer
	// Entries are sorted by subject, direction, peer, protocol and first port.
	Entries []Entry
	naming  *naming
}

// Subject is a class of workloads. Key is the same in every Table that knows the
// class, so that numbers can be kept from one to the next.
type Subject struct {
	Key string
	// Governed says in which directions there are entries; in others everything
	// is allowed, by no policy.
	Governed [2]bool // by Direction
	// Named says that an egress rule is about a DNS name: what such a workload is
	// told by a name service must be known before it has it.
	Named bool
}

// PeerClass is a class of addresses, with a key like a Subject's.
type PeerClass struct{ Key string }

// PrefixPeer gives addresses their peer.
type PrefixPeer struct {
	Prefix netip.Prefix
	Peer   int
}

// AnyPeer stands in an Entry for every peer of which there is no entry of this
// subject and direction at all.
const AnyPeer = -1

// Entry is one decision. Of one subject, direction and peer the entries are
// complete: the one of the flow's protocol whose ports hold the flow's port, else
// the one of AnyProtocol, which is always there and always of all ports. Those of
// one protocol do not overlap.
type Entry struct {
	Subject   int
	Direction Direction
	Peer      int // AnyPeer, or an index of Table.Peers
	Protocol  Protocol
	From, To  uint16
	Verdict   Verdict
	Rule      RuleRef
}

// PeerOf returns the class of an address.
func (t *Table) PeerOf(a netip.Addr) int {
	a = a.Unmap()
	best, bits := 0, -1
	for _, p := range t.Prefixes {
		if p.Prefix.Bits() > bits && p.Prefix.Contains(a) {
			best, bits = p.Peer, p.Prefix.Bits()
		}
	}
	return best
}

// Judge looks a flow up, as a datapath would; the answer is that of the function
// Judge.
func (t *Table) Judge(f Flow, d Direction) (Verdict, RuleRef) {
	subject, peer := f.sides(d)
	if subject.Workload == nil {
		return Allowed, RuleRef{}
	}
	s, known := t.SubjectOf[subject.Workload.ID]
	if !known || !t.Subjects[s].Governed[d] {
		return Allowed, RuleRef{}
	}
	entries := t.of(s, d, t.PeerOf(peer.Addr))
	if len(entries) == 0 {
		entries = t.of(s, d, AnyPeer)
	}
	var found Entry
	for _, e := range entries {
		switch {
		case e.Protocol == AnyProtocol:
			found = e
		case e.Protocol == f.Protocol.Normal() && e.From <= f.Port && f.Port <= e.To:
			return e.Verdict, e.Rule
		}
	}
	return found.Verdict, found.Rule
}

// of returns the entries of one subject, direction and peer.
func (t *Table) of(subject int, d Direction, peer int) []Entry {
	at := Entry{Subject: subject, Direction: d, Peer: peer}
	from := sort.Search(len(t.Entries), func(i int) bool { return compareCells(t.Entries[i], at) >= 0 })
	to := from
	for to < len(t.Entries) && compareCells(t.Entries[to], at) == 0 {
		to++
	}
	return t.Entries[from:to]
}

// PortBlock is the ports whose first Bits bits are those of Port.
type PortBlock struct {
	Port uint16
	Bits int // 16: one port; 0: all
}

// PortBlocks cuts a range of ports into the fewest blocks, for a datapath that
// matches ports by mask.
func PortBlocks(from, to uint16) []PortBlock {
	var out []PortBlock
	for at, end := uint32(from), uint32(to); at <= end; {
		size := uint32(1)
		bits := 16
		for at&(size<<1-1) == 0 && at+size<<1-1 <= end && bits > 0 {
			size, bits = size<<1, bits-1
		}
		out = append(out, PortBlock{uint16(at), bits})
		at += size
	}
	return out
}
