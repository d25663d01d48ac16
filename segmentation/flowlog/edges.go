package flowlog

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"github.com/gabion-io/gabion/segmentation"
	"github.com/gabion-io/gabion/segmentation/bpf"
	"github.com/gabion-io/gabion/workload"
)

// Names turn what the tables hold back into what people know.
type Names struct {
	Workloads map[uint32]*workload.Workload     // of this host, by number
	Addresses map[netip.Addr]*workload.Workload // of every host
	Rules     map[uint32]segmentation.RuleRef
	Boot      time.Time // when the clock of the tables began
	Openers   *Openers  // nil: nobody knows who opens flows
	// Told is the DNS name by which a workload was told an address outside; empty:
	// by none. Nil: nobody knows.
	Told func(workload.ID, netip.Addr) string
}

// BootTime is when the clock of the tables began.
func BootTime(now time.Time) (time.Time, error) {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &ts); err != nil {
		return time.Time{}, fmt.Errorf("read clock: %w", err)
	}
	return now.Add(-time.Duration(ts.Nano())), nil
}

// Sighting is an edge as one end of it was judged.
type Sighting struct {
	segmentation.Edge
	By        workload.ID            // whose hook saw it
	Direction segmentation.Direction // as By sees it
	Verdict   segmentation.Verdict
	Rule      segmentation.RuleRef
	Reason    bpf.Reason // of drops
	Packets   uint64
	Opener    *Opener // nil: not known
}

// Existing says that the flows were there before their packets were looked at.
func (s *Sighting) Existing() bool {
	return s.Verdict != segmentation.Denied && s.Reason == bpf.ReasonEstablished
}

// Why is what a person is told beside the verdict; empty: nothing.
func (s *Sighting) Why() string {
	switch {
	case s.Verdict == segmentation.Denied:
		return s.Reason.String()
	case s.Existing():
		return "seen at start"
	}
	return ""
}

// Sightings names the rows. What is between two workloads of this host appears
// twice, as each of them was judged; Edges has it once. A row whose workload is
// not known any more is left out.
func (n *Names) Sightings(rows []Row) []Sighting {
	out := make([]Sighting, 0, len(rows))
	numbers := make(map[workload.ID]uint32, len(n.Workloads))
	for number, w := range n.Workloads {
		numbers[w.ID] = number
	}
	for i := range rows {
		r := &rows[i]
		own, ok := n.Workloads[r.Workload]
		if !ok {
			continue
		}
		answered := r.Answered
		s := Sighting{By: own.ID, Direction: r.Direction(), Verdict: r.Verdict(), Rule: n.Rules[r.Rule], Reason: r.Reason(), Packets: r.Packets}
		peer := n.end(r.Peer.Addr())
		if n.Told != nil && peer.Workload == nil && r.Direction() == segmentation.Egress {
			if name := n.Told(own.ID, peer.Addr); name != "" {
				peer.Names = []string{name}
			}
		}
		me := ownEnd(own, peer.Addr)
		s.Src, s.Dst = me, peer
		if r.Direction() == segmentation.Ingress {
			s.Src, s.Dst = peer, me
		}
		s.Protocol, s.Port = segmentation.Protocol(r.Protocol), r.Port
		s.Flows, s.Answered, s.Bytes = r.Flows, &answered, r.Bytes
		s.Opener = n.opener(r, own, numbers)
		s.First, s.Last = n.Boot.Add(time.Duration(r.First)), n.Boot.Add(time.Duration(r.Last))
		out = append(out, s)
	}
	slices.SortFunc(out, func(a, b Sighting) int {
		return cmp.Or(a.By.Compare(b.By), a.Src.Addr.Compare(b.Src.Addr), a.Dst.Addr.Compare(b.Dst.Addr),
			cmp.Compare(a.Protocol, b.Protocol), cmp.Compare(a.Port, b.Port), cmp.Compare(a.Verdict, b.Verdict))
	})
	return out
}

// opener is who opened one of a row's flows. The source knows: where flows come in
// from another workload of this host, that one is asked.
func (n *Names) opener(r *Row, own *workload.Workload, numbers map[workload.ID]uint32) *Opener {
	if n.Openers == nil {
		return nil
	}
	p := segmentation.Protocol(r.Protocol)
	if r.Direction() == segmentation.Egress {
		if who, ok := n.Openers.Of(r.Workload, r.Peer.Addr(), p, r.Port); ok {
			return &who
		}
		return nil
	}
	src := n.Addresses[r.Peer.Addr()]
	if src == nil || numbers[src.ID] == 0 {
		return nil
	}
	for _, a := range own.Addresses {
		if who, ok := n.Openers.Of(numbers[src.ID], a.Unmap(), p, r.Port); ok {
			return &who
		}
	}
	return nil
}

// ownEnd is a workload's end of a flow: a row does not keep which of its addresses
// it was, so the first of the peer's family stands for all.
func ownEnd(w *workload.Workload, peer netip.Addr) segmentation.Endpoint {
	for _, a := range w.Addresses {
		if a = a.Unmap(); a.Is4() == peer.Is4() {
			return segmentation.Endpoint{Workload: w, Addr: a}
		}
	}
	return segmentation.At(w)
}

func (n *Names) end(a netip.Addr) segmentation.Endpoint {
	return segmentation.Endpoint{Workload: n.Addresses[a], Addr: a}
}

// Edges keeps of sightings those that passed, each once: as its source was
// judged, where the source is of this host.
func (n *Names) Edges(sightings []Sighting) (out []segmentation.Edge) {
	for i := range sightings {
		s := &sightings[i]
		if s.Verdict == segmentation.Denied {
			continue
		}
		if s.Dst.Workload != nil && s.By == s.Dst.Workload.ID && s.Src.Workload != nil && n.local(s.Src.Workload.ID) && s.Src.Workload.ID != s.By {
			continue
		}
		out = append(out, s.Edge)
	}
	return out
}

func (n *Names) local(id workload.ID) bool {
	for _, w := range n.Workloads {
		if w.ID == id {
			return true
		}
	}
	return false
}
