package bpf

import (
	"net/netip"
	"structs"
)

// Address is an IPv6 address, or an IPv4 one mapped into it, in network order.
type Address [16]byte

// AddressOf is how the programs write an address.
func AddressOf(a netip.Addr) Address { return a.Unmap().As16() }

// Addr is AddressOf backwards.
func (a Address) Addr() netip.Addr { return netip.AddrFrom16(a).Unmap() }

// Key is the same for both directions of a connection: the lesser end first.
type Key struct {
	_     structs.HostLayout
	Ends  [2]Address
	Ports [2]uint16
	_     uint32
}

// Stream is a connection on which a request was seen.
type Stream struct {
	_        structs.HostLayout
	ID       uint64
	Sides    [2]Side
	State    uint8
	Client   uint8
	Last     uint8
	Finished uint8
	Turn     uint32
}

// Ignored is the state of a stream of which nothing is told any more.
const Ignored = 1

// Side is one direction of a stream.
type Side struct {
	_       structs.HostLayout
	Ifindex uint32
	Budget  uint32
	Skipped uint32
	_       uint32
}

// Segment is a record's head; Length bytes of payload follow it.
type Segment struct {
	_        structs.HostLayout
	ID       uint64
	Time     uint64 // nanoseconds of the monotonic clock
	Cookie   uint64
	From, To Address
	FromPort uint16
	ToPort   uint16
	Ifindex  uint32
	Seq      uint32
	Length   uint32
	Skipped  uint32
	Flags    uint8 // of TCP
	Outbound uint8
	Client   uint8
	_        uint8
}

// SegmentSize is the length of a Segment in bytes.
const SegmentSize = 80

// Flags of TCP (RFC 9293, 3.1).
const (
	FIN = 0x01
	RST = 0x04
)

// Counter is an index into the map of counters.
type Counter int

// Counters.
const (
	Streams Counter = iota
	Segments
	Bytes
	Skipped
	Lost
	LostBytes
	Full
	Counters
)
