package datapath

import (
	"fmt"
	"time"

	"github.com/gabion-io/gabion/segmentation/bpf"
)

// Limits bound what workloads can use of what all share, and for how long. Zero is
// the default.
type Limits struct {
	Flows       int // established ones, in all
	HalfOpen    int // in all, at least; old ones make room
	PerWorkload int // established flows of one workload
	OpenRate    int // new flows of one workload that are remembered, a second

	// How long an established flow may be silent.
	TCP, UDP, Other time.Duration
}

func (l Limits) withDefaults() Limits {
	return Limits{
		Flows:       or(l.Flows, 131072),
		HalfOpen:    or(l.HalfOpen, 65536),
		PerWorkload: or(l.PerWorkload, or(l.Flows, 131072)/4),
		OpenRate:    or(l.OpenRate, or(l.HalfOpen, 65536)/8),
		TCP:         or(l.TCP, 6*time.Hour),
		UDP:         or(l.UDP, 3*time.Minute),
		Other:       or(l.Other, time.Minute),
	}
}

func or[T int | time.Duration](v, instead T) T {
	if v == 0 {
		return instead
	}
	return v
}

// halfOpenSets is in how many sets half-open flows are: a power of two.
func (l Limits) halfOpenSets() uint32 {
	sets := uint32(1)
	for int(sets)*bpf.HalfOpenWays < l.HalfOpen {
		sets *= 2
	}
	return sets
}

// constants are the limits as the programs know them.
func (l Limits) constants() map[string]uint64 {
	return map[string]uint64{
		"limit_established": uint64(l.PerWorkload),
		"limit_opened":      uint64(l.OpenRate),
		"timeout_tcp":       uint64(l.TCP / time.Second),
		"timeout_udp":       uint64(l.UDP / time.Second),
		"timeout_other":     uint64(l.Other / time.Second),
	}
}

// Room is how many rows there is a place for until they are read: in all, and of one
// workload.
type Room struct{ All, Each int }

// Rooms are those of rows of flows, and of drops.
func (d *Datapath) Rooms() (flows, drops Room, err error) {
	for name, r := range map[string]*Room{"flows": &flows, "drops": &drops} {
		var each uint32
		if err := d.spec.Variables["limit_"+name].Get(&each); err != nil {
			return flows, drops, fmt.Errorf("read how many %s of a workload are counted: %w", name, err)
		}
		*r = Room{All: int(d.inner(name).MaxEntries), Each: int(each)}
	}
	return flows, drops, nil
}
