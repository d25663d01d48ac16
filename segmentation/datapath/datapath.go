// Package datapath loads the programs and their maps into the kernel, keeps them
// there while no agent runs, and puts the programs on the interfaces of workloads.
// What the maps hold is written by segmentation/policymap and read by
// segmentation/flowlog; only internal/tcx touches interfaces.
//
// It knows nothing of policies, and is for Linux with root only. The agent
// imports it.
package datapath

import (
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/rlimit"

	"github.com/gabion-io/gabion/internal/tcx"
	"github.com/gabion-io/gabion/segmentation/bpf"
	"github.com/gabion-io/gabion/segmentation/flowlog"
	"github.com/gabion-io/gabion/segmentation/nametap"
	"github.com/gabion-io/gabion/segmentation/policymap"
)

// Datapath is loaded programs with their maps.
type Datapath struct {
	dir  string
	pins tcx.Pins
	spec *ebpf.CollectionSpec
	all  *ebpf.Collection
	new  bool
}

// Open loads the programs. Maps that are pinned below dir, on a BPF file system,
// are used on, with all they hold; others are made and pinned. Of maps of an earlier
// layout those are used on whose form is still the same.
func Open(dir string, limits Limits) (*Datapath, error) {
	if err := rlimit.RemoveMemlock(); err != nil {
		return nil, fmt.Errorf("raise limit of locked memory: %w", err)
	}
	spec, err := bpf.LoadDatapath()
	if err != nil {
		return nil, fmt.Errorf("read programs: %w", err)
	}
	if err := configure(spec, limits.withDefaults()); err != nil {
		return nil, err
	}
	d := &Datapath{dir: dir, pins: links(dir), spec: spec}
	if err := inherit(dir, spec); err != nil {
		return nil, err
	}
	maps := layoutDir(dir, layout)
	if _, err := os.Stat(filepath.Join(maps, "established")); errors.Is(err, fs.ErrNotExist) {
		d.new = true
	}
	if err := os.MkdirAll(maps, 0o700); err != nil {
		return nil, fmt.Errorf("create pin directory: %w", err)
	}
	d.all, err = ebpf.NewCollectionWithOptions(spec, ebpf.CollectionOptions{Maps: ebpf.MapOptions{PinPath: maps}})
	switch {
	case errors.Is(err, ebpf.ErrMapIncompatible):
		return nil, fmt.Errorf("use pinned maps in %s (they were made with other limits; gabion-agent detach removes them): %w", maps, err)
	case err != nil:
		return nil, fmt.Errorf("load programs: %w", err)
	}
	for _, name := range []string{"flows", "drops"} {
		if err := d.tables(name); err != nil {
			d.Close()
			return nil, err
		}
	}
	if err := errors.Join(d.secret(), disown(dir)); err != nil {
		d.Close()
		return nil, err
	}
	return d, nil
}

// configure sets sizes and limits, and pins every map that must outlive us.
func configure(spec *ebpf.CollectionSpec, l Limits) error {
	spec.Maps["established"].MaxEntries = uint32(l.Flows)
	sets := l.halfOpenSets()
	spec.Maps["half_open"].MaxEntries = sets
	if err := spec.Variables["half_open_mask"].Set(sets - 1); err != nil {
		return fmt.Errorf("set number of half-open flows: %w", err)
	}
	for name, m := range spec.Maps {
		if name[0] == '.' {
			continue // constants
		}
		m.Pinning = ebpf.PinByName
		// Loading must never write into a map that is in use.
		m.Contents = nil
	}
	for name, value := range l.constants() {
		if err := spec.Variables[name].Set(value); err != nil {
			return fmt.Errorf("set %s: %w", name, err)
		}
	}
	return nil
}

// tables makes the inner maps that are missing, so that what the programs count
// has a place.
func (d *Datapath) tables(name string) error {
	outer := d.all.Maps[name]
	for place := range uint32(2) {
		var there *ebpf.Map
		if err := outer.Lookup(place, &there); err == nil {
			there.Close()
			continue
		}
		inner, err := ebpf.NewMap(d.inner(name))
		if err != nil {
			return fmt.Errorf("make table of %s: %w", name, err)
		}
		err = outer.Put(place, inner)
		inner.Close()
		if err != nil {
			return fmt.Errorf("put table of %s in place: %w", name, err)
		}
	}
	return nil
}

// secret draws the secret of the hash of half-open flows and of fragments, once for maps
// that are new: no program is on an interface that could use them without.
func (d *Datapath) secret() error {
	var c bpf.Control
	if err := d.Map("control").Lookup(uint32(0), &c); err != nil {
		return fmt.Errorf("read control word: %w", err)
	}
	if c.Secret != [len(c.Secret)]uint32{} {
		return nil
	}
	var b [4 * len(c.Secret)]byte
	rand.Read(b[:]) // never fails
	for i := range c.Secret {
		c.Secret[i] = binary.NativeEndian.Uint32(b[4*i:])
	}
	if err := d.Map("control").Put(uint32(0), &c); err != nil {
		return fmt.Errorf("write secret: %w", err)
	}
	return nil
}

// inner is how a map within a map is made.
func (d *Datapath) inner(outer string) *ebpf.MapSpec {
	return d.spec.Maps[outer].InnerMap.Copy()
}

// New says that the table of flows was made by Open, and knows of none: also where the
// programs of an earlier run, with another table, are still on interfaces.
func (d *Datapath) New() bool { return d.new }

// Grouped says whether programs that judge processes are in place.
func (d *Datapath) Grouped() bool {
	_, err := os.Stat(filepath.Join(d.dir, "groups"))
	return err == nil
}

// Tables are the maps that policy is written to.
func (d *Datapath) Tables() policymap.Maps {
	m := d.all.Maps
	return policymap.Maps{
		Control: m["control"], Endpoints: m["endpoints"], Addresses: m["addresses"],
		Prefixes: m["prefixes"], Rules: m["rules"], Edit: d.Program("edit_table"), Inner: d.inner,
	}
}

// Logs are the maps that the programs count into.
func (d *Datapath) Logs() flowlog.Maps {
	m := d.all.Maps
	return flowlog.Maps{
		Control: m["control"], Flows: m["flows"], Drops: m["drops"], Counters: m["counters"],
		Events: m["events"], Sockets: m["sockets"], Inner: d.inner,
	}
}

// Names are the maps by which what workloads ask name services is read.
func (d *Datapath) Names() nametap.Maps {
	m := d.all.Maps
	return nametap.Maps{Names: m["names"], Askings: m["askings"], Control: m["control"]}
}

// Ends are the addresses that established flows were opened to.
func (d *Datapath) Ends() (map[netip.Addr]bool, error) {
	out := map[netip.Addr]bool{}
	err := bpf.Each(d.Map("established"), func(k bpf.FlowKey, f bpf.Flow) {
		out[k.Ends[1-f.Initiator&1].Addr()] = true
	})
	if err != nil {
		return nil, fmt.Errorf("read flows: %w", err)
	}
	return out, nil
}

// Map returns one of the maps by the name it has in the source.
func (d *Datapath) Map(name string) *ebpf.Map { return d.all.Maps[name] }

// Program returns one of the programs by the name it has in the source.
func (d *Datapath) Program(name string) *ebpf.Program { return d.all.Programs[name] }

// Attach puts the programs on a workload's interface, or replaces those of an
// earlier run. Policy for the interface must be published before: an interface
// without is closed.
func (d *Datapath) Attach(ifindex int) error {
	if err := d.pins.Attach(d.Program("to_workload"), ifindex, tcx.Egress, tcx.Last); err != nil {
		return err
	}
	return d.pins.Attach(d.Program("from_workload"), ifindex, tcx.Ingress, tcx.Last)
}

// Detach takes the programs off an interface.
func (d *Datapath) Detach(ifindex int) error {
	return errors.Join(d.pins.Detach(ifindex, tcx.Ingress), d.pins.Detach(ifindex, tcx.Egress))
}

// links is where the programs on the workloads' interfaces are pinned.
func links(dir string) tcx.Pins { return tcx.Pins{Dir: filepath.Join(dir, "links")} }

// Attached lists the interfaces that the programs are on, and removes pins of others.
func (d *Datapath) Attached() ([]int, error) { return d.pins.Attached() }

// Others counts the programs that a shortcut would pass by: foreign ones on the way
// to an interface's workload, and those behind ours on the way from it.
func (d *Datapath) Others(ifindex int) (int, error) {
	to, err := d.pins.Others(ifindex, tcx.Egress)
	if err != nil {
		return 0, err
	}
	from, err := d.pins.Behind(ifindex, tcx.Ingress)
	return to + from, err
}

// Sweep folds what established flows have counted into the rows that flowlog
// reads, and removes flows on which nobody spoke for long. It answers how many.
func (d *Datapath) Sweep() (int, error) {
	n, err := d.Program("sweep_flows").Run(&ebpf.RunOptions{Data: make([]byte, 64)})
	if err != nil {
		return 0, fmt.Errorf("sweep flows: %w", err)
	}
	return int(n), nil
}

// Close lets go. What is attached and pinned stays in force.
func (d *Datapath) Close() { d.all.Close() }

// Remove takes everything out of the kernel: programs off all interfaces, maps.
// It needs no loaded programs.
func Remove(dir string) error {
	err := errors.Join(uplinks(dir).DetachAll(), links(dir).DetachAll(),
		detachHooks(filepath.Join(dir, "sockets")), detachHooks(filepath.Join(dir, "groups")))
	if rm := os.RemoveAll(dir); rm != nil && !errors.Is(rm, fs.ErrNotExist) {
		err = errors.Join(err, fmt.Errorf("remove pinned maps: %w", rm))
	}
	return err
}

// Left says whether an earlier run has left programs on interfaces or cgroups.
func Left(dir string) bool {
	_, links := os.Stat(filepath.Join(dir, "links"))
	_, groups := os.Stat(filepath.Join(dir, "groups"))
	return !errors.Is(links, fs.ErrNotExist) || !errors.Is(groups, fs.ErrNotExist)
}
