// Package flowlog reads what the datapath's programs have counted and sampled:
// rows of flows and drops, exact and in batches; events of a few of them; totals
// by reason; who opened a socket.
//
// It turns numbers back into names, and decides nothing. The agent imports it.
package flowlog

import (
	"fmt"
	"sync/atomic"
	"unsafe"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"

	"github.com/gabion-io/gabion/segmentation"
	"github.com/gabion-io/gabion/segmentation/bpf"
)

// Maps are what a Reader reads.
type Maps struct {
	Control  *ebpf.Map
	Flows    *ebpf.Map
	Drops    *ebpf.Map
	Counters *ebpf.Map
	Events   *ebpf.Map
	Sockets  *ebpf.Map
	// Inner says how a map within Flows or Drops is made.
	Inner func(outer string) *ebpf.MapSpec
}

// Row is what one workload's flows with one peer have come to since the last
// Drain.
type Row struct {
	bpf.TallyKey
	bpf.Tally
}

// Direction is seen from the row's workload.
func (r *Row) Direction() segmentation.Direction { return segmentation.Direction(r.Way & 1) }

// Verdict is what became of the row's flows.
func (r *Row) Verdict() segmentation.Verdict { return segmentation.Verdict(r.Way >> 1 & 3) }

// Reason is why packets were dropped; in rows of flows that pass it is
// bpf.ReasonEstablished where they were there before their packets were looked at.
func (r *Row) Reason() bpf.Reason { return bpf.Reason(r.Way >> 3) }

// Reader reads; it is for one goroutine.
type Reader struct {
	maps Maps
	page []byte
	slot *uint32 // how often rows were read; its low bit says which tables are written to: shared with the programs
}

// NewReader shares the control word.
func NewReader(m Maps) (*Reader, error) {
	page, err := unix.Mmap(m.Control.FD(), 0, unix.Getpagesize(), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return nil, fmt.Errorf("share control word: %w", err)
	}
	at := unsafe.Offsetof(bpf.Control{}.Flows)
	return &Reader{maps: m, page: page, slot: (*uint32)(unsafe.Pointer(&page[at]))}, nil
}

// Close lets go. Counting goes on.
func (r *Reader) Close() error { return unix.Munmap(r.page) }

// Drain reads all rows. Programs count into one of two tables: the other one is
// emptied, the programs are sent there, and when none can be at work in the first
// any more it is read. So no count is lost, nor taken twice. The rows stay in the
// kernel until Done, for Left to find if nobody comes to say it.
func (r *Reader) Drain() ([]Row, error) {
	full := r.written()
	if err := r.clear(1 - full); err != nil {
		return nil, err
	}
	atomic.AddUint32(r.slot, 1)
	// Writing to a map of maps returns when no program runs any more that began
	// before.
	spare, err := ebpf.NewMap(smallest(r.maps.Inner("flows")))
	if err != nil {
		return nil, fmt.Errorf("make table: %w", err)
	}
	defer spare.Close()
	if err := r.maps.Flows.Put(uint32(2), spare); err != nil {
		return nil, fmt.Errorf("wait for programs: %w", err)
	}
	return r.rows(full)
}

// Left returns the rows that an earlier reader has drained and died with.
func (r *Reader) Left() ([]Row, error) { return r.rows(1 - r.written()) }

// Done says that what Drain or Left returned is safe elsewhere.
func (r *Reader) Done() error { return r.clear(1 - r.written()) }

// written is the place of the tables that programs count into.
func (r *Reader) written() uint32 { return atomic.LoadUint32(r.slot) & 1 }

func (r *Reader) clear(place uint32) error {
	for _, name := range []string{"flows", "drops"} {
		if err := r.renew(name, place); err != nil {
			return err
		}
	}
	return nil
}

func (r *Reader) rows(place uint32) (rows []Row, err error) {
	for _, outer := range []*ebpf.Map{r.maps.Flows, r.maps.Drops} {
		if rows, err = read(rows, outer, place); err != nil {
			return nil, err
		}
	}
	return rows, nil
}

func smallest(s *ebpf.MapSpec) *ebpf.MapSpec {
	s.MaxEntries = 1
	return s
}

// renew puts an empty table in a place that no program looks at.
func (r *Reader) renew(name string, place uint32) error {
	outer := r.maps.Flows
	if name == "drops" {
		outer = r.maps.Drops
	}
	inner, err := ebpf.NewMap(r.maps.Inner(name))
	if err != nil {
		return fmt.Errorf("make table of %s: %w", name, err)
	}
	defer inner.Close()
	if err := outer.Put(place, inner); err != nil {
		return fmt.Errorf("put table of %s in place: %w", name, err)
	}
	return nil
}

func read(rows []Row, outer *ebpf.Map, place uint32) ([]Row, error) {
	var inner *ebpf.Map
	if err := outer.Lookup(place, &inner); err != nil {
		return nil, fmt.Errorf("open table: %w", err)
	}
	defer inner.Close()
	err := bpf.Each(inner, func(k bpf.TallyKey, v bpf.Tally) {
		row := Row{k, v}
		if row.Verdict() == segmentation.Denied {
			row.Packets = row.Flows // counted once
		}
		rows = append(rows, row)
	})
	if err != nil {
		return nil, fmt.Errorf("read rows: %w", err)
	}
	return rows, nil
}

// Counters returns how many packets met each reason since the maps were made.
func (r *Reader) Counters() ([bpf.Reasons]uint64, error) {
	var out [bpf.Reasons]uint64
	for i := range out {
		var each []uint64
		if err := r.maps.Counters.Lookup(uint32(i), &each); err != nil {
			return out, fmt.Errorf("read counters: %w", err)
		}
		for _, n := range each {
			out[i] += n
		}
	}
	return out, nil
}
