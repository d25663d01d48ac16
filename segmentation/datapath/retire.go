package datapath

import (
	"errors"
	"fmt"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"

	"github.com/gabion-io/gabion/segmentation/bpf"
)

// quiet is how long, in seconds, a workload that is gone is remembered after its last
// packet that mattered: longer than its half-open flows live.
const quiet = 180

// Retire forgets what workloads that are gone have used of what all share; numbers are
// never given again, and the tables have room for some thousands. What nobody can be
// using goes: such a workload has no established flow, and opened none for a while. The
// programs must be off its interfaces.
func (d *Datapath) Retire(here func(workload uint32) bool) error {
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &now); err != nil {
		return fmt.Errorf("read clock: %w", err)
	}
	since := uint64(max(now.Sec-quiet, 0))
	return errors.Join(
		retire(d.Map("usages"), func(workload uint32, u bpf.Usage) bool {
			return !here(workload) && u.Established == 0 && u.Second <= since && u.Refill/1e9 <= since
		}),
		retire(d.Map("shares"), func(workload uint32, _ bpf.Share) bool { return !here(workload) }),
		retireKeys(d.Map("fragments"), func(workload uint32) bool { return !here(workload) }),
		// What was lost is a total that somebody reads.
		retire(d.Map("askings"), func(workload uint32, a bpf.Asking) bool {
			return !here(workload) && a.Lost == 0 && a.Refill/1e9 <= since
		}),
	)
}

// retire removes those entries of a table by workload that are done with.
func retire[V any](m *ebpf.Map, done func(uint32, V) bool) error {
	var gone []uint32
	err := bpf.Each(m, func(workload uint32, v V) {
		if done(workload, v) {
			gone = append(gone, workload)
		}
	})
	if err != nil {
		return fmt.Errorf("read what workloads use: %w", err)
	}
	return remove(m, gone)
}

// retireKeys is retire for a table whose values are large, and not looked at.
func retireKeys(m *ebpf.Map, done func(uint32) bool) error {
	var gone []uint32
	var workload uint32
	err := m.NextKey(nil, &workload)
	for ; err == nil; err = m.NextKey(workload, &workload) {
		if done(workload) {
			gone = append(gone, workload)
		}
	}
	if !errors.Is(err, ebpf.ErrKeyNotExist) {
		return fmt.Errorf("read which workloads have a place: %w", err)
	}
	return remove(m, gone)
}

func remove(m *ebpf.Map, workloads []uint32) error {
	for _, k := range workloads {
		if err := m.Delete(k); err != nil && !errors.Is(err, ebpf.ErrKeyNotExist) {
			return fmt.Errorf("forget workload %d: %w", k, err)
		}
	}
	return nil
}
