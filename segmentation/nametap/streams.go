package nametap

import (
	"encoding/binary"
	"net/netip"
)

// Streams follow what name services send over TCP, from the first byte of each
// connection on. Only so is it known where a message begins: who asks has a say in how
// the answers are cut into segments (by its window, and by the largest segment that it
// takes), and could have one begin within a message, with what it had itself put there.
//
// It is for one goroutine at a time.
type Streams struct {
	next map[uint32]map[stream]uint32 // by workload: the sequence number that the next message begins with
}

// stream is a connection of a workload.
type stream struct {
	client netip.AddrPort
	server netip.Addr
}

// maxStreams bounds the connections of one workload that are followed. One more takes
// the place of any other, whose answers do not count then.
const maxStreams = 256

// NewStreams begins with none: what is sent on connections from before is not read.
func NewStreams() *Streams { return &Streams{next: map[uint32]map[stream]uint32{}} }

// Payloads are those of a message, but of what a service sends over TCP only what comes
// next on a connection of which all was read before. Where something is missing, or is
// no whole message, nothing that comes later on it is read.
func (s *Streams) Payloads(m *Message) [][]byte {
	list := m.Payloads() // of every message: it completes the sum
	if m.Protocol != tcp || m.Outbound != 0 {
		return list
	}
	b, ok := m.segment()
	if !ok {
		return nil
	}
	const syn = 0x02 // RFC 9293, 3.1
	of := s.next[m.Workload]
	key, at := stream{m.Client(), m.Server()}, binary.BigEndian.Uint32(b[4:])
	if b[13]&syn != 0 {
		s.begin(m.Workload, key, at+1)
		return nil
	}
	next, known := of[key]
	size := uint32(0)
	for _, p := range list {
		size += 2 + uint32(len(p))
	}
	switch {
	case !known || int32(at-next) < 0: // nothing is known of it, or it comes again
		return nil
	case at != next || size == 0:
		delete(of, key)
		return nil
	}
	of[key] = next + size
	return list
}

func (s *Streams) begin(workload uint32, key stream, first uint32) {
	of := s.next[workload]
	if of == nil {
		of = map[stream]uint32{}
		s.next[workload] = of
	}
	if _, again := of[key]; !again && len(of) >= maxStreams {
		for other := range of {
			delete(of, other)
			break
		}
	}
	of[key] = first
}

// Forget drops the connections of workloads that are not among those of now.
func (s *Streams) Forget(known func(workload uint32) bool) {
	for n := range s.next {
		if !known(n) {
			delete(s.next, n)
		}
	}
}
