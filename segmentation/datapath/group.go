package datapath

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
)

// Group is the key under which policymap writes a workload that is a cgroup of this
// host: the highest bit tells it from an interface's index.
func Group(workload uint32) int { return int(workload | 1<<31) }

// Groups say which cgroups of this host are workloads. It is for one goroutine.
type Groups struct {
	d    *Datapath
	root string
	now  map[uint64]uint32
}

// groupHooks judge packets of the sockets of processes.
var groupHooks = []hook{
	{"from_group", ebpf.AttachCGroupInetEgress},
	{"to_group", ebpf.AttachCGroupInetIngress},
}

// Groups takes over those of an earlier run. Root is where the v2 hierarchy is.
func (d *Datapath) Groups(root string) (*Groups, error) {
	g := &Groups{d: d, root: root, now: map[uint64]uint32{}}
	var id uint64
	var key uint32
	all := d.Map("groups").Iterate()
	for all.Next(&id, &key) {
		g.now[id] = key
	}
	if err := all.Err(); err != nil {
		return nil, fmt.Errorf("read cgroups: %w", err)
	}
	return g, nil
}

// Known says which cgroups, by their ids, are which workloads' at the moment.
func (g *Groups) Known() map[uint64]uint32 { return g.now }

// Keep forgets all cgroups but some. It must be done before policy for the others'
// workloads is taken away.
func (g *Groups) Keep(want map[uint64]uint32) error {
	gone := false
	for id, key := range g.now {
		if want[id] == key {
			continue
		}
		if err := g.d.Map("groups").Delete(id); err != nil && !errors.Is(err, ebpf.ErrKeyNotExist) {
			return fmt.Errorf("forget cgroup %d: %w", id, err)
		}
		delete(g.now, id)
		gone = true
	}
	if !gone {
		return nil
	}
	// What was there may be read still: nothing else may be written in its place.
	if err := g.d.wait(); err != nil {
		return err
	}
	if len(g.now) == 0 {
		return g.d.detachHooks("groups")
	}
	return nil
}

// Set says which cgroups are workloads, and then puts the programs in place that judge
// them, or replaces those of an earlier run: so they never meet one that they do not
// know. Policy must be published before: a cgroup without is closed. Once in place they
// stay while there is any such cgroup.
func (g *Groups) Set(want map[uint64]uint32) error {
	if err := g.Keep(want); err != nil || len(want) == 0 {
		return err
	}
	for id, key := range want {
		if g.now[id] == key {
			continue
		}
		if err := g.d.Map("groups").Put(id, key); err != nil {
			return fmt.Errorf("make cgroup %d a workload: %w", id, err)
		}
		g.now[id] = key
	}
	return g.d.attachHooks("groups", g.root, groupHooks)
}

// hook is a program and where on a cgroup it goes.
type hook struct {
	program string
	attach  ebpf.AttachType
}

// attachHooks puts programs on a cgroup and pins them in a directory.
func (d *Datapath) attachHooks(name, cgroup string, hooks []hook) error {
	dir := filepath.Join(d.dir, name)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("create pin directory: %w", err)
	}
	for _, h := range hooks {
		if err := attachHook(filepath.Join(dir, h.program), cgroup, d.Program(h.program), h.attach); err != nil {
			return fmt.Errorf("attach %s to %s: %w", h.program, cgroup, err)
		}
	}
	return nil
}

func attachHook(pin, cgroup string, prog *ebpf.Program, at ebpf.AttachType) error {
	if old, err := link.LoadPinnedLink(pin, nil); err == nil {
		err := errors.Join(old.Update(prog), old.Close())
		if err == nil {
			return nil
		}
		// Its cgroup is gone: the pin is a husk.
		if err := os.Remove(pin); err != nil {
			return err
		}
	}
	l, err := link.AttachCgroup(link.CgroupOptions{Path: cgroup, Attach: at, Program: prog})
	if err != nil {
		return err
	}
	defer l.Close()
	return l.Pin(pin)
}

func (d *Datapath) detachHooks(name string) error { return detachHooks(filepath.Join(d.dir, name)) }

// detachHooks takes what is pinned in a directory off its cgroup: a link that is held
// open elsewhere would outlive its pin.
func detachHooks(dir string) error {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	bad := []error{err}
	for _, e := range entries {
		pin := filepath.Join(dir, e.Name())
		l, err := link.LoadPinnedLink(pin, nil)
		if err != nil {
			bad = append(bad, fmt.Errorf("open pin %s: %w", pin, err))
			continue
		}
		if one, ok := l.(interface{ Detach() error }); ok {
			one.Detach() // of a cgroup that is gone it is detached already
		}
		bad = append(bad, l.Unpin(), l.Close())
	}
	return errors.Join(append(bad, os.Remove(dir))...)
}
