package datapath

import (
	"fmt"
	"path/filepath"
	"time"

	"github.com/cilium/ebpf"

	"github.com/gabion-io/gabion/internal/tcx"
	"github.com/gabion-io/gabion/segmentation/bpf"
)

// ByNumber is the key under which policymap writes a workload for the prefilter, beside
// those of its interfaces: the prefilter knows of a workload no more than its number.
func ByNumber(workload uint32) int { return int(workload | 3<<30) }

// uplinks is where the prefilter is pinned.
func uplinks(dir string) tcx.Pins { return tcx.Pins{Dir: filepath.Join(dir, "uplinks")} }

// AttachUplink puts the prefilter on an uplink of the host, or replaces that of an
// earlier run.
func (d *Datapath) AttachUplink(ifindex int) error {
	return uplinks(d.dir).AttachXDP(d.Program("prefilter"), ifindex)
}

// DetachUplink takes the prefilter off an uplink.
func (d *Datapath) DetachUplink(ifindex int) error { return uplinks(d.dir).Detach(ifindex, tcx.XDP) }

// Uplinks lists those that have the prefilter, and removes pins whose uplink is gone.
func (d *Datapath) Uplinks() ([]int, error) { return uplinks(d.dir).AttachedXDP() }

// Uplinks lists those of the datapath whose pins are below a directory, and only looks.
func Uplinks(dir string) ([]int, error) { return uplinks(dir).Live(tcx.XDP) }

// Interfaces lists the workloads' interfaces that the programs of the datapath are on
// whose pins are below a directory, and only looks.
func Interfaces(dir string) ([]int, error) { return links(dir).Live(tcx.Ingress, tcx.Egress) }

// BeforeUplink counts the programs of others that see an uplink's packets after the
// prefilter and before their receivers' hooks.
func (d *Datapath) BeforeUplink(ifindex int) (int, error) {
	return uplinks(d.dir).Others(ifindex, tcx.Ingress)
}

// Straight says until when, by the programs' clock (CLOCK_MONOTONIC), nothing on this
// host changes the addresses of a packet between an uplink and its receiver's hook.
func (d *Datapath) Straight(until uint64) error {
	p := bpf.Prefilter{Straight: uint32(time.Duration(until) / time.Second)}
	if err := d.Map("prefilters").Put(uint32(0), &p); err != nil {
		return fmt.Errorf("tell the prefilter: %w", err)
	}
	return nil
}

// Prefiltered counts the packets that were dropped on uplinks, of the datapath whose
// pins are below a directory.
func Prefiltered(dir string) (n uint64, err error) {
	m, err := ebpf.LoadPinnedMap(filepath.Join(layoutDir(dir, layout), "prefiltered"), &ebpf.LoadPinOptions{ReadOnly: true})
	if err != nil {
		return 0, fmt.Errorf("open count of what was dropped on uplinks: %w", err)
	}
	defer m.Close()
	var each []uint64
	if err := m.Lookup(uint32(0), &each); err != nil {
		return 0, fmt.Errorf("read count of what was dropped on uplinks: %w", err)
	}
	for _, one := range each {
		n += one
	}
	return n, nil
}
