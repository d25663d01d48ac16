package segmentation

import "time"

// Edge is flows folded: who talked to whom, over what, how often, since when.
type Edge struct {
	Src, Dst Endpoint
	Protocol Protocol
	Port     uint16
	Flows    uint64 // attempts
	// Answered counts the flows whose other end spoke; nil: nobody counted.
	Answered  *uint64
	Bytes     uint64
	First     time.Time // begin of the first flow
	Last      time.Time // begin of the last one
	Processes []string  // that opened flows, where known
}

// Flow is one flow of the edge.
func (e *Edge) Flow() Flow {
	return Flow{Src: e.Src, Dst: e.Dst, Protocol: e.Protocol, Port: e.Port}
}
