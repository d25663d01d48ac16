package policymap

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync/atomic"
	"unsafe"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"
)

// Maps are the tables that a Writer writes. All but Control hold maps, by set.
type Maps struct {
	Control   *ebpf.Map
	Endpoints *ebpf.Map
	Addresses *ebpf.Map
	Prefixes  *ebpf.Map
	Rules     *ebpf.Map
	// Inner says how a map within one of them is made.
	Inner func(outer string) *ebpf.MapSpec
}

// Writer is the only one that writes policy. It is for one goroutine.
type Writer struct {
	maps    Maps
	word    *uint64 // generation, and set << 32: shared with the programs
	page    []byte
	now     *Image // what the set in force holds; nil: not known
	set     set    // the maps in force
	most    int
	swapped int
}

// set is the inner maps of one set.
type set struct {
	endpoints, addresses, prefixes, rules *ebpf.Map
	capacity                              map[*ebpf.Map]int
}

func (s *set) close() {
	for _, m := range []*ebpf.Map{s.endpoints, s.addresses, s.prefixes, s.rules} {
		m.Close() // nil is fine
	}
}

// inPlace is up to how many rules are changed one by one.
const inPlace = 2048

// NewWriter shares the control word. What an earlier run wrote stays in force
// until the first Publish.
func NewWriter(m Maps) (*Writer, error) {
	page, err := unix.Mmap(m.Control.FD(), 0, unix.Getpagesize(), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return nil, fmt.Errorf("share control word: %w", err)
	}
	return &Writer{maps: m, page: page, word: (*uint64)(unsafe.Pointer(&page[0])), most: inPlace}, nil
}

// Close leaves the policy in force as it is.
func (w *Writer) Close() error {
	w.set.close()
	return unix.Munmap(w.page)
}

// Generation is how often flows had to be judged again.
func (w *Writer) Generation() uint32 { return uint32(atomic.LoadUint64(w.word)) }

// Swaps counts the Publishes that wrote a whole new set.
func (w *Writer) Swaps() int { return w.swapped }

// Publish puts an image in force: a few changes in place, else as a new set that
// is switched to at once. After it returns no packet is judged by the old one.
func (w *Writer) Publish(img *Image) error {
	if w.now != nil {
		if p, ok := planFor(w.now, img, w.most); ok && w.fits(img) {
			if err := w.change(p, img); err != nil {
				// Half done: only a whole set is sure to be right.
				return w.swap(img)
			}
			w.now = img
			return nil
		}
	}
	return w.swap(img)
}

func (w *Writer) fits(img *Image) bool {
	return len(img.Rules)+len(w.now.Rules) <= w.set.capacity[w.set.rules] &&
		len(img.Addresses)+len(w.now.Addresses) <= w.set.capacity[w.set.addresses] &&
		len(img.Prefixes)+len(w.now.Prefixes) <= w.set.capacity[w.set.prefixes] &&
		len(img.Endpoints)+len(w.now.Endpoints) <= w.set.capacity[w.set.endpoints]
}

// change does a plan's steps.
func (w *Writer) change(p plan, img *Image) error {
	var bad []error
	put := func(m *ebpf.Map, k, v any) { bad = append(bad, m.Put(k, v)) }
	remove := func(m *ebpf.Map, k any) {
		if err := m.Delete(k); err != nil && !errors.Is(err, ebpf.ErrKeyNotExist) {
			bad = append(bad, err)
		}
	}
	for i, e := range p.before {
		put(w.set.endpoints, i, &e)
	}
	for _, k := range slices.Concat(p.add, p.change) {
		v := img.Rules[k]
		put(w.set.rules, &k, &v)
	}
	for _, k := range p.rewrite.put {
		v := img.Addresses[k]
		put(w.set.addresses, &k, &v)
	}
	for _, k := range p.rewrite.remove {
		remove(w.set.addresses, &k)
	}
	for _, i := range p.gone {
		remove(w.set.endpoints, i)
	}
	for _, k := range p.remove {
		remove(w.set.rules, &k)
	}
	for i, e := range p.after {
		put(w.set.endpoints, i, &e)
	}
	w.raise(0)
	return errors.Join(bad...)
}

// raise makes every flow be judged again, and switches the set if asked to.
func (w *Writer) raise(flip uint64) {
	for {
		old := atomic.LoadUint64(w.word)
		next := old&^0xffffffff | uint64(uint32(old)+1)
		if atomic.CompareAndSwapUint64(w.word, old, next^flip<<32) {
			return
		}
	}
}

// swap fills the set that is not in force and switches to it.
func (w *Writer) swap(img *Image) error {
	fresh, err := w.fill(img)
	if err != nil {
		return fmt.Errorf("fill tables: %w", err)
	}
	current := uint32(atomic.LoadUint64(w.word)>>32) & 1
	other := 1 - current
	for _, pair := range w.pairs(&fresh) {
		if err := pair.outer.Put(other, pair.inner); err != nil {
			fresh.close()
			return fmt.Errorf("put tables in place: %w", err)
		}
	}
	w.raise(1)
	// Writing to a map of maps returns when no program runs any more that began
	// before: from here on nobody reads the old set.
	if err := w.maps.Rules.Put(uint32(2), fresh.rules); err != nil {
		return fmt.Errorf("wait for programs: %w", err)
	}
	for _, pair := range w.pairs(&fresh) {
		if err := pair.outer.Delete(current); err != nil && !errors.Is(err, ebpf.ErrKeyNotExist) {
			return fmt.Errorf("remove old tables: %w", err)
		}
	}
	w.set.close()
	w.set, w.now = fresh, img
	w.swapped++
	return nil
}

type pair struct{ outer, inner *ebpf.Map }

func (w *Writer) pairs(s *set) []pair {
	return []pair{{w.maps.Endpoints, s.endpoints}, {w.maps.Addresses, s.addresses}, {w.maps.Prefixes, s.prefixes}, {w.maps.Rules, s.rules}}
}

// fill makes inner maps and writes an image into them.
func (w *Writer) fill(img *Image) (s set, err error) {
	s.capacity = map[*ebpf.Map]int{}
	table := func(outer string, entries int) *ebpf.Map {
		if err != nil {
			return nil
		}
		spec := w.maps.Inner(outer)
		// Room for changes in place.
		spec.MaxEntries = uint32(max(256, entries+entries/4+inPlace))
		var m *ebpf.Map
		if m, err = ebpf.NewMap(spec); err == nil {
			s.capacity[m] = int(spec.MaxEntries)
		}
		return m
	}
	s.endpoints = table("endpoints", len(img.Endpoints))
	s.addresses = table("addresses", len(img.Addresses))
	s.prefixes = table("prefixes", len(img.Prefixes))
	s.rules = table("rules", len(img.Rules))
	if err != nil {
		s.close()
		return s, err
	}
	err = errors.Join(putAll(s.endpoints, img.Endpoints), putAll(s.addresses, img.Addresses),
		putAll(s.rules, img.Rules), putEach(s.prefixes, img.Prefixes))
	if err != nil {
		s.close()
	}
	return s, err
}

// putAll writes many entries with few system calls.
func putAll[K comparable, V any](m *ebpf.Map, all map[K]V) error {
	const batch = 4096
	keys, values := make([]K, 0, batch), make([]V, 0, batch)
	flush := func() error {
		if len(keys) == 0 {
			return nil
		}
		if _, err := m.BatchUpdate(keys, values, nil); err != nil {
			return fmt.Errorf("write %d entries: %w", len(keys), err)
		}
		keys, values = keys[:0], values[:0]
		return nil
	}
	for k, v := range all {
		keys, values = append(keys, k), append(values, v)
		if len(keys) == batch {
			if err := flush(); err != nil {
				return err
			}
		}
	}
	return flush()
}

func putEach[K comparable, V any](m *ebpf.Map, all map[K]V) error {
	for k, v := range maps.All(all) {
		if err := m.Put(&k, &v); err != nil {
			return fmt.Errorf("write entry: %w", err)
		}
	}
	return nil
}
