// Package tcx is the only code that attaches programs to interfaces: it orders,
// pins, replaces and removes them, and says what a kernel lacks for it. A pinned
// attachment outlives the process that made it; replacing its program happens in
// one step, with no packet between the old and the new.
//
// It does not know what the programs do. Whoever has programs for interfaces
// imports it.
package tcx

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
)

// Hook is a place on an interface, as the kernel names it: on the host's end of a
// workload's interface, ingress is what comes from the workload.
type Hook string

// The two hooks of an interface.
const (
	Ingress Hook = "ingress"
	Egress  Hook = "egress"
)

func (h Hook) attach() ebpf.AttachType {
	if h == Egress {
		return ebpf.AttachTCXEgress
	}
	return ebpf.AttachTCXIngress
}

// Place is where among the programs of a hook one goes. A program that drops or
// redirects ends the chain: what only looks goes first, what judges last.
type Place int

// The places.
const (
	First Place = iota
	Last
)

// Pins is a directory below a BPF file system in which attachments are kept, one
// entry a hook of an interface.
type Pins struct{ Dir string }

// path names a pin by the interface's index, not by its name: a recreated
// interface is another one, whose old pin holds nothing any more.
func (p Pins) path(ifindex int, h Hook) string {
	return filepath.Join(p.Dir, strconv.Itoa(ifindex)+"-"+string(h))
}

// Attach puts a program on a hook and pins it. If there is an attachment of an
// earlier run, its program is replaced where it stands, whatever the place.
func (p Pins) Attach(prog *ebpf.Program, ifindex int, h Hook, place Place) error {
	if there, err := p.replace(prog, ifindex, h); there || err != nil {
		return err
	}
	anchor := link.Tail()
	if place == First {
		anchor = link.Head()
	}
	l, err := link.AttachTCX(link.TCXOptions{Interface: ifindex, Program: prog, Attach: h.attach(), Anchor: anchor})
	if err != nil {
		return fmt.Errorf("attach to %s of interface %d: %w", h, ifindex, err)
	}
	return p.pin(l, ifindex, h)
}

// replace gives an attachment of an earlier run another program, if there is one.
func (p Pins) replace(prog *ebpf.Program, ifindex int, h Hook) (there bool, err error) {
	path := p.path(ifindex, h)
	old, err := link.LoadPinnedLink(path, nil)
	if err != nil {
		return false, nil
	}
	defer old.Close()
	if on(old) == ifindex {
		if err := old.Update(prog); err != nil {
			return true, fmt.Errorf("replace program on interface %d: %w", ifindex, err)
		}
		return true, nil
	}
	// The index was given to a new interface: the pin is a husk.
	if err := old.Unpin(); err != nil {
		return false, fmt.Errorf("remove severed pin %s: %w", path, err)
	}
	return false, nil
}

// pin keeps an attachment, and lets go of it.
func (p Pins) pin(l link.Link, ifindex int, h Hook) error {
	defer l.Close()
	if err := os.MkdirAll(p.Dir, 0o700); err != nil {
		return fmt.Errorf("create pin directory: %w", err)
	}
	if err := l.Pin(p.path(ifindex, h)); err != nil {
		return fmt.Errorf("pin attachment: %w", err)
	}
	return nil
}

// on returns the interface that a link is attached to; 0 when the interface is
// gone, which severs the link.
func on(l link.Link) int {
	info, err := l.Info()
	switch {
	case err != nil:
		return 0
	case info.TCX() != nil:
		return int(info.TCX().Ifindex)
	case info.XDP() != nil:
		return int(info.XDP().Ifindex)
	}
	return 0
}

// Detach takes what is pinned for a hook off it. There may be nothing.
func (p Pins) Detach(ifindex int, h Hook) error {
	return detach(p.path(ifindex, h))
}

func detach(path string) error {
	l, err := link.LoadPinnedLink(path, nil)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	} else if err != nil {
		return fmt.Errorf("open pin %s: %w", path, err)
	}
	defer l.Close()
	// A link can be held open elsewhere: removing its pin alone would leave the
	// program where it is.
	if on(l) != 0 {
		if d, ok := l.(interface{ Detach() error }); ok {
			if err := d.Detach(); err != nil {
				return fmt.Errorf("detach %s: %w", path, err)
			}
		}
	}
	if err := l.Unpin(); err != nil {
		return fmt.Errorf("remove pin %s: %w", path, err)
	}
	return nil
}

// Attached lists the interfaces that have a live attachment on both hooks, and
// removes pins whose interface is gone.
func (p Pins) Attached() ([]int, error) { return p.with(link.Link.Unpin, Ingress, Egress) }

// Live lists the interfaces that have a live attachment on each of some hooks, and
// changes nothing: for who is not the one that attaches.
func (p Pins) Live(hooks ...Hook) ([]int, error) {
	return p.with(func(link.Link) error { return nil }, hooks...)
}

// with is Live, and does something with pins whose interface is gone.
func (p Pins) with(gone func(link.Link) error, hooks ...Hook) (out []int, err error) {
	found := map[int]int{}
	err = p.each(func(ifindex int, path string) error {
		l, err := link.LoadPinnedLink(path, nil)
		if err != nil {
			return fmt.Errorf("open pin %s: %w", path, err)
		}
		defer l.Close()
		if on(l) != ifindex {
			return gone(l)
		}
		for _, h := range hooks {
			if path == p.path(ifindex, h) {
				found[ifindex]++
			}
		}
		return nil
	})
	for ifindex, n := range found {
		if n == len(hooks) {
			out = append(out, ifindex)
		}
	}
	slices.Sort(out)
	return out, err
}

// DetachAll removes every attachment below the directory, and the directory.
func (p Pins) DetachAll() error {
	err := p.each(func(_ int, path string) error { return detach(path) })
	if rm := os.Remove(p.Dir); rm != nil && !errors.Is(rm, fs.ErrNotExist) && err == nil {
		return fmt.Errorf("remove pin directory: %w", rm)
	}
	return err
}

func (p Pins) each(do func(ifindex int, path string) error) error {
	entries, err := os.ReadDir(p.Dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("list pins: %w", err)
	}
	var bad []error
	for _, e := range entries {
		number, _, ok := strings.Cut(e.Name(), "-")
		ifindex, err := strconv.Atoi(number)
		if !ok || err != nil {
			continue // not ours
		}
		bad = append(bad, do(ifindex, filepath.Join(p.Dir, e.Name())))
	}
	return errors.Join(bad...)
}

// Others counts the programs on a hook that are not pinned here.
func (p Pins) Others(ifindex int, h Hook) (int, error) {
	q, err := link.QueryPrograms(link.QueryOptions{Target: ifindex, Attach: h.attach()})
	if err != nil {
		return 0, fmt.Errorf("list programs on interface %d: %w", ifindex, err)
	}
	if p.Has(ifindex, h) {
		return len(q.Programs) - 1, nil
	}
	return len(q.Programs), nil
}

// Has says whether something is pinned here for a hook.
func (p Pins) Has(ifindex int, h Hook) bool {
	l, err := link.LoadPinnedLink(p.path(ifindex, h), nil)
	if err != nil {
		return false
	}
	defer l.Close()
	return on(l) == ifindex
}

// Behind counts the programs on a hook that come after the one that is pinned here;
// all of them if none is.
func (p Pins) Behind(ifindex int, h Hook) (int, error) {
	q, err := link.QueryPrograms(link.QueryOptions{Target: ifindex, Attach: h.attach()})
	if err != nil {
		return 0, fmt.Errorf("list programs on interface %d: %w", ifindex, err)
	}
	l, err := link.LoadPinnedLink(p.path(ifindex, h), nil)
	if err != nil {
		return len(q.Programs), nil
	}
	defer l.Close()
	info, err := l.Info()
	if err != nil {
		return 0, fmt.Errorf("read pin on interface %d: %w", ifindex, err)
	}
	for i, one := range q.Programs {
		if one.ID == info.Program {
			return len(q.Programs) - i - 1, nil
		}
	}
	return len(q.Programs), nil
}
