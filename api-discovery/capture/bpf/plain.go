package bpf

// What plain.h has, for who reads the ring of plaintext. Sizes and order are those of
// the programs (a test compares them).

// Functions of a library, as their probes' cookies say it (enum function). Of Go, the
// upper half is the hash of the type *net.TCPConn.
const (
	Reads    = 0
	Writes   = 1
	Extended = 2
)

// ConnKey is a connection of a library: where the library has it, in which process.
type ConnKey struct {
	Conn    uint64
	Process uint32
	_       uint32
}

// TLSSide is one direction of a connection.
type TLSSide struct {
	Seq, Skipped, Budget uint32
	_                    uint32
}

// States of a connection.
const (
	TLSFresh = iota
	TLSFollowed
	TLSIgnored
)

// Conn is a connection of a library.
type Conn struct {
	ID         uint64
	Socket     uint64
	Cookie     uint64
	Local      Address
	Remote     Address
	LocalPort  uint16
	RemotePort uint16
	State      uint8
	Client     uint8
	Last       uint8
	_          uint8
	Sides      [2]TLSSide
	Turn       uint32
	_          uint32
}

// PlainSize is the size of a Plain in the ring; Length bytes follow.
const PlainSize = 96

// Plain is some plaintext of one direction of a connection, or its end.
type Plain struct {
	ID         uint64
	Time       uint64 // nanoseconds of the monotonic clock
	Cookie     uint64 // of the socket; 0: not known
	Conn       uint64 // see ConnKey
	Local      Address
	Remote     Address
	LocalPort  uint16
	RemotePort uint16
	Process    uint32 // of the host
	Thread     uint32
	Seq        uint32
	Length     uint32
	Skipped    uint32
	Other      uint32 // at the end: how far the other direction came
	Written    uint8  // by the process; else it read this
	Client     uint8  // it is of the direction that has the requests
	Ended      uint8
	_          uint8
}

// What the programs at libraries count, in order.
const (
	TLSConns = iota
	TLSPieces
	TLSBytes
	TLSSkipped
	TLSLost
	TLSLostBytes
	TLSFull
	TLSOthers
	TLSUnreadable
	TLSLate
	TLSCounters
)
