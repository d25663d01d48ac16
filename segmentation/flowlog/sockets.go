package flowlog

import (
	"github.com/cilium/ebpf"

	"github.com/gabion-io/gabion/segmentation/bpf"
)

// Sockets says which process connected a socket. It is for one goroutine.
type Sockets struct {
	m     *ebpf.Map
	known map[uint64]Opener // by cookie: none is used twice
}

// maxKnown sockets are remembered: what is asked is asked often of the same one.
const maxKnown = 8192

// NewSockets reads a map that the programs write; Close closes it.
func NewSockets(m *ebpf.Map) *Sockets { return &Sockets{m: m, known: map[uint64]Opener{}} }

// Of says who connected the socket with a cookie, if that was seen.
func (s *Sockets) Of(cookie uint64) (Opener, bool) {
	if o, ok := s.known[cookie]; ok {
		return o, o.PID != 0
	}
	var p bpf.Process
	var o Opener
	if err := s.m.Lookup(cookie, &p); err == nil {
		o = openerOf(&p)
	}
	if len(s.known) >= maxKnown {
		clear(s.known)
	}
	s.known[cookie] = o
	return o, o.PID != 0
}

// Close lets go of the map.
func (s *Sockets) Close() error { return s.m.Close() }
