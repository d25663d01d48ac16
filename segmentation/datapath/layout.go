package datapath

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/cilium/ebpf"

	"github.com/gabion-io/gabion/segmentation/bpf"
)

// layout is raised when what maps hold changes its form: the maps that have the form
// of now are used on, beside new ones for the others.
const layout = 5

// layoutDir is where the maps of a layout are pinned.
func layoutDir(dir string, n int) string { return filepath.Join(dir, "v"+strconv.Itoa(n)) }

// formed is the layout in which a map got the form that it has: from that one on it
// is used on. Policy is always written anew, with the word that says what of it counts;
// who goes straight to whom is found out anew.
func formed(name string) int {
	switch name {
	case "control", "endpoints", "addresses", "prefixes", "rules", "neighbours", "shares":
		return layout
	case "fragments", "sockets":
		return 5
	case "half_open":
		return 3
	}
	return 2
}

// inherit makes the maps of this layout from those of the last one before it, if
// there are any and none of ours yet: both have the same flows and counts from then
// on, whichever's programs are on an interface. It is done when one directory gets its
// name; until then nothing has happened.
func inherit(dir string, spec *ebpf.CollectionSpec) error {
	own := layoutDir(dir, layout)
	if _, err := os.Stat(own); err == nil {
		return nil
	}
	all, err := layouts(dir)
	if err != nil {
		return err
	}
	last := 0
	for _, n := range all {
		if n < layout {
			last = max(last, n)
		}
	}
	if last == 0 {
		return nil
	}
	next := filepath.Join(dir, "next")
	if err := os.RemoveAll(next); err != nil {
		return fmt.Errorf("remove what was begun: %w", err)
	}
	if err := os.MkdirAll(next, 0o700); err != nil {
		return fmt.Errorf("create pin directory: %w", err)
	}
	if err := inheritMaps(layoutDir(dir, last), next, last, spec); err != nil {
		return err
	}
	if err := inheritControl(layoutDir(dir, last), next, spec); err != nil {
		return err
	}
	if err := os.Rename(next, own); err != nil {
		return fmt.Errorf("take over maps of an earlier layout: %w", err)
	}
	return nil
}

// layouts are those that have maps in a directory.
func layouts(dir string) (out []int, err error) {
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("look for pinned maps: %w", err)
	}
	for _, e := range entries {
		text, ok := strings.CutPrefix(e.Name(), "v")
		if n, err := strconv.Atoi(text); ok && err == nil {
			out = append(out, n)
		}
	}
	return out, nil
}

// inheritMaps pins those maps once more that have the form of now. What would be wrong
// about another table of flows goes with this one: how many each workload has, and
// whose connections were looked for.
func inheritMaps(from, to string, last int, spec *ebpf.CollectionSpec) error {
	for name, m := range spec.Maps {
		if m.Pinning != ebpf.PinByName || formed(name) > last {
			continue
		}
		with := []string{name}
		if name == "usages" || name == "groups" {
			with = append(with, "established")
		}
		fit := true
		for _, one := range with {
			same, err := fits(filepath.Join(from, one), spec.Maps[one])
			if err != nil {
				return err
			}
			fit = fit && same
		}
		if !fit {
			continue
		}
		if err := pinAgain(filepath.Join(from, name), filepath.Join(to, name)); err != nil {
			return fmt.Errorf("take over map %s: %w", name, err)
		}
	}
	return nil
}

// fits says whether a pinned map is there and made as it would be now: other limits
// may have been wanted then.
func fits(pin string, spec *ebpf.MapSpec) (bool, error) {
	m, err := ebpf.LoadPinnedMap(pin, nil)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	} else if err != nil {
		return false, fmt.Errorf("open pinned map: %w", err)
	}
	defer m.Close()
	return spec.Compatible(m) == nil, nil
}

func pinAgain(from, to string) error {
	m, err := ebpf.LoadPinnedMap(from, nil)
	if err != nil {
		return err
	}
	defer m.Close()
	again, err := m.Clone() // one that knows of its pin would move it
	if err != nil {
		return err
	}
	defer again.Close()
	return again.Pin(to)
}

// inheritControl makes the control word, whose form only ever grows at its end. Flows
// are counted where they were, and those that were approved by an earlier policy are
// judged again by the next one.
func inheritControl(from, to string, spec *ebpf.CollectionSpec) error {
	was, err := ebpf.LoadPinnedMap(filepath.Join(from, "control"), nil)
	if err != nil {
		return fmt.Errorf("open pinned map: %w", err)
	}
	defer was.Close()
	words, err := was.LookupBytes(uint32(0))
	if err != nil {
		return fmt.Errorf("read control word of an earlier layout: %w", err)
	}
	fresh := spec.Maps["control"].Copy()
	fresh.Pinning = ebpf.PinNone
	m, err := ebpf.NewMap(fresh)
	if err != nil {
		return fmt.Errorf("make control word: %w", err)
	}
	defer m.Close()
	words = append(words, make([]byte, fresh.ValueSize)...)
	var c bpf.Control
	if _, err := binary.Decode(words, binary.NativeEndian, &c); err != nil {
		return fmt.Errorf("read control word of an earlier layout: %w", err)
	}
	c.Reading, c.Direct = 0, 0 // that was said to the earlier programs
	if err := m.Put(uint32(0), &c); err != nil {
		return fmt.Errorf("write control word: %w", err)
	}
	if err := m.Pin(filepath.Join(to, "control")); err != nil {
		return fmt.Errorf("pin control word: %w", err)
	}
	return nil
}

// disown removes the pins of other layouts. Programs that still use their maps keep
// them until others take their place.
func disown(dir string) error {
	all, err := layouts(dir)
	if err != nil {
		return err
	}
	bad := []error{os.RemoveAll(filepath.Join(dir, "next"))}
	for _, n := range all {
		if n != layout {
			bad = append(bad, os.RemoveAll(layoutDir(dir, n)))
		}
	}
	if err := errors.Join(bad...); err != nil {
		return fmt.Errorf("remove pinned maps of another layout: %w", err)
	}
	return nil
}
