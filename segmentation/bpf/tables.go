package bpf

import (
	"encoding/binary"
	"net/netip"
	"structs"
)

// Address is an IPv6 address, or an IPv4 one mapped into it, in network order.
type Address [16]byte

// AddressOf is how the programs write an address.
func AddressOf(a netip.Addr) Address { return a.Unmap().As16() }

// Addr is AddressOf backwards.
func (a Address) Addr() netip.Addr { return netip.AddrFrom16(a).Unmap() }

// Prefix is a key of the trie: of an IPv4 prefix the length counts from the
// mapped address's begin.
type Prefix struct {
	_       structs.HostLayout
	Length  uint32
	Address Address
}

// PrefixOf is how the programs write a prefix.
func PrefixOf(p netip.Prefix) Prefix {
	bits := p.Bits()
	if p.Addr().Is4() {
		bits += 96
	}
	return Prefix{Length: uint32(bits), Address: AddressOf(p.Masked().Addr())}
}

// Control is the one word that says which tables count.
type Control struct {
	_          structs.HostLayout
	Generation uint32
	Set        uint32
	Flows      uint32     // how often rows were read
	Reading    uint32     // until when names are read, in units of 2^28 ns
	Direct     uint32     // until when shortcuts hold, in seconds
	Secret     [10]uint32 // of the hash of half-open flows and of fragments
}

// Shapes of a rule's key.
const (
	ShapeAnyPeer     = 0x80
	ShapeAnyProtocol = 17
	Shapes           = 36
)

// Lane is one direction of an endpoint.
type Lane struct {
	_      structs.HostLayout
	Closed uint8
	Strict uint8
	Count  uint8
	Named  uint8
	Shapes [Shapes]uint8
	Rule   uint32 // which denies what no other is about, if it is closed
}

// Governed says whether any policy is about the direction.
func (l *Lane) Governed() bool { return l.Count > 0 || l.Closed != 0 }

// Endpoint is an interface of a workload.
type Endpoint struct {
	_        structs.HostLayout
	Workload uint32
	Subject  uint32
	Adopt    uint64
	Lanes    [2]Lane    // by segmentation.Direction
	Own      [2]Address // an IPv4 and an IPv6 address of the workload, or zero; there may be more
}

// Outside is the identity of addresses that no prefix holds.
const Outside = 1

// Peer is what an address stands for.
type Peer struct {
	_        structs.HostLayout
	Identity uint32
	Workload uint32
}

// RuleKey is a row of policy. Way is the direction and, shifted by one, the low
// bits of the port that are wild.
type RuleKey struct {
	_        structs.HostLayout
	Subject  uint32
	Peer     uint32
	Port     uint16
	Protocol uint8
	Way      uint8
}

// Void is the verdict of a rule that does not count any more; a void Peer has the
// identity 0.
const Void = 255

// Edit is what edit_table is given. Value is a Rule or a Peer, low half first.
type Edit struct {
	_     structs.HostLayout
	Table uint32 // 0: rules, 1: addresses
	Set   uint32
	Key   [16]byte
	Value uint64
}

// Rule is what becomes of the flows that a key matches.
type Rule struct {
	_       structs.HostLayout
	Verdict uint32
	Rule    uint32
}

// FlowKey is the same for both directions of a flow.
type FlowKey struct {
	_        structs.HostLayout
	Ends     [2]Address
	Ports    [2]uint16
	Protocol uint8
	_        [3]uint8
}

// FlowKeyOf is how the programs write a flow, and which of its ends the first is.
func FlowKeyOf(one, other netip.AddrPort, protocol uint8) (k FlowKey, end uint8) {
	k = FlowKey{
		Ends:  [2]Address{AddressOf(one.Addr()), AddressOf(other.Addr())},
		Ports: [2]uint16{one.Port(), other.Port()}, Protocol: protocol,
	}
	// The halves are compared as the machine reads them.
	for _, half := range []int{0, 8} {
		a, b := binary.NativeEndian.Uint64(k.Ends[0][half:]), binary.NativeEndian.Uint64(k.Ends[1][half:])
		if a != b {
			return k.ordered(a < b)
		}
	}
	return k.ordered(k.Ports[0] <= k.Ports[1])
}

func (k FlowKey) ordered(lower bool) (FlowKey, uint8) {
	if lower {
		return k, 0
	}
	k.Ends[0], k.Ends[1] = k.Ends[1], k.Ends[0]
	k.Ports[0], k.Ports[1] = k.Ports[1], k.Ports[0]
	return k, 1
}

// Adopted is a flow that was there before its packets were looked at, as one of its
// ends has it.
type Adopted struct {
	_         structs.HostLayout
	Key       FlowKey
	Cookie    uint64 // of the end's socket
	Ifindex   uint32
	Me        uint8 // which end of the key is the workload's
	Initiator uint8 // which one opened it
	_         [2]uint8
}

// What becomes of an Adopted one.
const (
	AdoptKnown  = iota // it was there already
	AdoptTaken         // allowed, or audited
	AdoptDenied        // it will be cut
	AdoptFull          // no room: judged by its next packet
)

// Flow is what is remembered of one.
type Flow struct {
	_          structs.HostLayout
	Last       uint64
	Packets    [2]uint64
	Bytes      [2]uint64
	Workload   [2]uint32
	Generation [2]uint32
	Verdict    [2]uint8
	Initiator  uint8
	Closed     uint8
	Spoken     [2]uint8
	Finished   [2]uint8
}

// HalfOpenWays is how many flows a HalfOpenSet holds.
const HalfOpenWays = 8

// HalfOpenSet is flows that are not established whose hashes begin alike.
type HalfOpenSet struct {
	_    structs.HostLayout
	Lock uint32
	Tags [HalfOpenWays]uint32 // 0: nobody has the place
	Seen [HalfOpenWays]uint16
	_    uint32
	Of   [HalfOpenWays]struct {
		Key  FlowKey
		Flow Flow
	}
}

// TallyKey and Tally are a row of counts.
type TallyKey struct {
	_        structs.HostLayout
	Peer     Address
	Workload uint32
	Port     uint16
	Protocol uint8
	Way      uint8 // direction, verdict << 1, Reason << 3; ReasonEstablished of flows that were there before
}

// Tally is what a row has counted. Times are nanoseconds since the machine started.
type Tally struct {
	_        structs.HostLayout
	Flows    uint64
	Answered uint64
	Packets  uint64 // 0 of drops: as many as flows
	Bytes    uint64
	First    uint64
	Last     uint64
	Rule     uint32
	Identity uint32
}

// Event is one sample of a new flow or a drop.
type Event struct {
	_         structs.HostLayout
	Time      uint64
	Count     uint64
	Cookie    uint64
	From, To  Address
	Workload  uint32
	Rule      uint32
	Length    uint32
	FromPort  uint16
	ToPort    uint16
	Protocol  uint8
	Direction uint8
	Verdict   uint8
	Reason    Reason
	_         uint32
}

// Usage is what one workload uses of what all share.
type Usage struct {
	_           structs.HostLayout
	Established uint64
	Second      uint64
	Opened      uint64
	Events      uint64
	Refill      uint64
}

// Share is what one workload has of the rows, since they were read.
type Share struct {
	_    structs.HostLayout
	Read uint32
	Rows [2]uint32 // of flows, of drops
}

// Prefilter is what the program on uplinks is told.
type Prefilter struct {
	_        structs.HostLayout
	Straight uint32 // until when nothing translates addresses, in seconds
}

// Neighbour is where a local workload is.
type Neighbour struct {
	_        structs.HostLayout
	Workload uint32
	Ifindex  uint32
	To       [6]byte // the workload's own interface
	From     [6]byte // the host's end of it
	MTU      uint32  // of both
}

// GroupDepth is how deep below the v2 root a cgroup may be that is a workload.
const GroupDepth = 16

// Process is who opened a socket.
type Process struct {
	_       structs.HostLayout
	Cgroup  uint64
	PID     uint32
	UID     uint32
	Command [16]byte
}

// Message is the head of what one workload asked a name service or was told by it;
// the frame follows.
type Message struct {
	_        structs.HostLayout
	Time     uint64 // of the programs' clock
	From, To Address
	Workload uint32
	Ifindex  uint32
	Length   uint32 // of the frame
	L4       uint32 // where the transport's header begins in it
	FromPort uint16
	ToPort   uint16
	Protocol uint8
	Version  uint8
	Outbound uint8
	Held     uint8
}

// Asking is what one workload has had copied of its messages.
type Asking struct {
	_      structs.HostLayout
	Tokens uint64
	Refill uint64
	Lost   uint64
}
