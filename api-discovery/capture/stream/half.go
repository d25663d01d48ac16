package stream

import (
	"slices"
	"time"
)

// reader takes the bytes of one direction in order.
type reader interface {
	// data begins where a segment began.
	data(b []byte, at time.Time)
	// gap says that bytes are missing: how many, modulo 2^32.
	gap(n uint32)
	end()
	weight() int
}

// half puts one direction of a connection in order.
type half struct {
	began   bool
	next    uint32
	skipped uint32
	waiting []piece // by sequence, all beyond next
	bytes   int
	fin     bool
	finAt   uint32
	ended   bool
}

// piece is a segment before its time.
type piece struct {
	seq  uint32
	at   time.Time
	data []byte
}

// before compares sequence numbers (RFC 9293, 3.4).
func before(a, b uint32) bool { return int32(a-b) < 0 }

// behind is how far back a segment may lie and still be taken for a repetition
// when it says that something was skipped.
const behind = 1 << 20

func (h *half) add(s *Segment, n *Counters, to reader) {
	if h.ended {
		return
	}
	if !h.began {
		h.began, h.next, h.skipped = true, s.Seq, s.Skipped
	}
	if s.Skipped != h.skipped {
		h.skipped = s.Skipped
		if ahead := s.Seq - h.next; ahead != 0 && ahead < 1<<32-behind {
			h.jump(s.Seq, n, to)
		}
	}
	if s.FIN && !h.fin {
		h.fin, h.finAt = true, s.Seq+uint32(len(s.Data))
	}
	switch {
	case len(s.Data) == 0:
	case before(h.next, s.Seq):
		h.keep(s, n)
		if len(h.waiting) > maxPieces || h.bytes > maxWaiting {
			h.jump(h.waiting[0].seq, n, to)
		}
	default:
		h.deliver(s.Seq, s.Data, s.Time, n, to)
	}
	h.drain(n, to)
	if h.fin && !before(h.next, h.finAt) {
		h.ended = true
		to.end()
	}
}

// keep holds a copy of a segment until what is missing before it came.
func (h *half) keep(s *Segment, n *Counters) {
	i, found := slices.BinarySearchFunc(h.waiting, s.Seq, func(p piece, seq uint32) int { return int(int32(p.seq - seq)) })
	if found {
		n.Retransmitted++
		if len(h.waiting[i].data) >= len(s.Data) {
			return
		}
		h.bytes += len(s.Data) - len(h.waiting[i].data)
		h.waiting[i].data = slices.Clone(s.Data)
		return
	}
	n.Reordered++
	h.waiting = slices.Insert(h.waiting, i, piece{s.Seq, s.Time, slices.Clone(s.Data)})
	h.bytes += len(s.Data)
}

// deliver hands on what is new of some bytes; they do not begin beyond next.
func (h *half) deliver(seq uint32, b []byte, at time.Time, n *Counters, to reader) {
	known := h.next - seq
	if known >= uint32(len(b)) {
		n.Retransmitted++
		return
	}
	b = b[known:]
	h.next += uint32(len(b))
	to.data(b, at)
}

// drain delivers what waited for what came.
func (h *half) drain(n *Counters, to reader) {
	for len(h.waiting) > 0 && !before(h.next, h.waiting[0].seq) {
		p := h.waiting[0]
		h.waiting = h.waiting[1:]
		h.bytes -= len(p.data)
		h.deliver(p.seq, p.data, p.at, n, to)
	}
}

// jump goes to a sequence number, past what is missing.
func (h *half) jump(seq uint32, n *Counters, to reader) {
	for len(h.waiting) > 0 && before(h.waiting[0].seq, seq) {
		h.hole(h.waiting[0].seq, n, to)
		h.drain(n, to)
	}
	if before(h.next, seq) || seq-h.next < 1<<32-behind {
		h.hole(seq, n, to)
	}
}

func (h *half) hole(seq uint32, n *Counters, to reader) {
	missing := seq - h.next
	if missing == 0 {
		return
	}
	n.Gaps++
	n.GapBytes += uint64(missing)
	h.next = seq
	to.gap(missing)
}
