package datapath

import (
	"fmt"
	"net/netip"
	"sync/atomic"
	"time"
	"unsafe"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"

	"github.com/gabion-io/gabion/segmentation/bpf"
)

// Shortcuts tell the programs how to hand packets straight to a workload's
// interface. They hold until a moment that must be put off again and again: when
// nobody does, packets take the way through the host's stack. It is for one
// goroutine.
type Shortcuts struct {
	d    *Datapath
	page []byte
	word *uint32 // until when, in seconds: shared with the programs
	now  map[bpf.Address]bpf.Neighbour
}

// Shortcuts takes over those of an earlier run.
func (d *Datapath) Shortcuts() (*Shortcuts, error) {
	page, err := unix.Mmap(d.Map("control").FD(), 0, unix.Getpagesize(), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return nil, fmt.Errorf("share control word: %w", err)
	}
	at := unsafe.Offsetof(bpf.Control{}.Direct)
	s := &Shortcuts{d: d, page: page, word: (*uint32)(unsafe.Pointer(&page[at])), now: map[bpf.Address]bpf.Neighbour{}}
	var k bpf.Address
	var v bpf.Neighbour
	all := d.Map("neighbours").Iterate()
	for all.Next(&k, &v) {
		s.now[k] = v
	}
	if err := all.Err(); err != nil {
		s.Close()
		return nil, fmt.Errorf("read shortcuts: %w", err)
	}
	return s, nil
}

// Close ends them: the programs go the long way.
func (s *Shortcuts) Close() error {
	atomic.StoreUint32(s.word, 0)
	return unix.Munmap(s.page)
}

// Set says which there are. If that is a change none holds afterwards, until Keep: an
// entry is only written when no program can be reading it, or a packet could be sent
// where another one's entry says.
func (s *Shortcuts) Set(want map[netip.Addr]bpf.Neighbour) error {
	next := make(map[bpf.Address]bpf.Neighbour, len(want))
	same := len(want) == len(s.now)
	for a, n := range want {
		k := bpf.AddressOf(a)
		next[k] = n
		same = same && s.now[k] == n
	}
	if same {
		return nil
	}
	atomic.StoreUint32(s.word, 0)
	if err := s.d.wait(); err != nil {
		return err
	}
	table := s.d.Map("neighbours")
	for k := range s.now {
		if _, stays := next[k]; !stays {
			if err := table.Delete(k); err != nil {
				return fmt.Errorf("remove shortcut: %w", err)
			}
			delete(s.now, k)
		}
	}
	for k, n := range next {
		if err := table.Put(k, &n); err != nil {
			return fmt.Errorf("write shortcut to %s: %w", k.Addr(), err)
		}
		s.now[k] = n
	}
	return nil
}

// Keep says until when they hold, by the programs' clock (CLOCK_MONOTONIC).
func (s *Shortcuts) Keep(until uint64) error {
	atomic.StoreUint32(s.word, uint32(time.Duration(until)/time.Second))
	return nil
}

// wait returns when no program runs any more that began before: writing to a map of
// maps does.
func (d *Datapath) wait() error {
	spec := d.inner("flows")
	spec.MaxEntries = 1
	spare, err := ebpf.NewMap(spec)
	if err != nil {
		return fmt.Errorf("make table: %w", err)
	}
	defer spare.Close()
	if err := d.Map("flows").Put(uint32(2), spare); err != nil {
		return fmt.Errorf("wait for programs: %w", err)
	}
	return nil
}
