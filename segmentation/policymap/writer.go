package policymap

import (
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"unsafe"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"

	"github.com/gabion-io/gabion/segmentation/bpf"
)

// Maps are the tables that a Writer writes. All but Control hold maps, by set.
type Maps struct {
	Control   *ebpf.Map
	Endpoints *ebpf.Map
	Addresses *ebpf.Map
	Prefixes  *ebpf.Map
	Rules     *ebpf.Map
	Edit      *ebpf.Program // edit_table
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
	void    int // entries of the set that are void
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

// ErrNotInPlace says that a whole image must be published.
var ErrNotInPlace = errors.New("the tables have no room for it, or nothing was published yet")

// Rename changes what one address stands for in the image in force; 0: nothing of
// its own, it is what its prefixes say. When it returns, every flow is judged by it.
func (w *Writer) Rename(a netip.Addr, identity uint32) error {
	k := bpf.AddressOf(a)
	if w.now == nil || len(w.now.Addresses)+w.void >= w.set.capacity[w.set.addresses] {
		return ErrNotInPlace
	}
	was, there := w.now.Addresses[k]
	next := bpf.Peer{Identity: identity, Workload: was.Workload}
	if next == was {
		return nil
	}
	if err := w.editAddress(k, next); err != nil {
		return err
	}
	if identity != 0 {
		w.now.Addresses[k] = next
	} else if there {
		delete(w.now.Addresses, k)
		w.void++
	}
	w.raise(0)
	return nil
}

func (w *Writer) fits(img *Image) bool {
	return len(img.Rules)+len(w.now.Rules)+w.void <= w.set.capacity[w.set.rules] &&
		len(img.Addresses)+len(w.now.Addresses)+w.void <= w.set.capacity[w.set.addresses]
}

// change does a plan's steps.
func (w *Writer) change(p plan, img *Image) error {
	if len(p.before) > 0 {
		if err := w.renewEndpoints(merge(w.now.Endpoints, p.before)); err != nil {
			return err
		}
	}
	var bad []error
	for _, k := range slices.Concat(p.add, p.change) {
		bad = append(bad, w.editRule(k, img.Rules[k]))
	}
	for _, k := range p.rewrite.put {
		bad = append(bad, w.editAddress(k, img.Addresses[k]))
	}
	for _, k := range p.rewrite.remove {
		bad = append(bad, w.editAddress(k, bpf.Peer{}))
	}
	for _, k := range p.remove {
		bad = append(bad, w.editRule(k, bpf.Rule{Verdict: bpf.Void}))
	}
	w.void += len(p.remove) + len(p.rewrite.remove)
	if err := errors.Join(bad...); err != nil {
		return err
	}
	if len(p.after)+len(p.gone) > 0 {
		return w.renewEndpoints(img.Endpoints)
	}
	w.raise(0)
	return nil
}

func merge(a, b map[uint32]bpf.Endpoint) map[uint32]bpf.Endpoint {
	out := maps.Clone(a)
	maps.Copy(out, b)
	return out
}

func (w *Writer) editRule(k bpf.RuleKey, v bpf.Rule) error {
	e := bpf.Edit{Table: 0, Value: uint64(v.Rule)<<32 | uint64(v.Verdict)}
	if _, err := binary.Encode(e.Key[:], binary.NativeEndian, &k); err != nil {
		return fmt.Errorf("write rule key: %w", err)
	}
	return w.edit(e)
}

func (w *Writer) editAddress(k bpf.Address, v bpf.Peer) error {
	return w.edit(bpf.Edit{Table: 1, Key: k, Value: uint64(v.Workload)<<32 | uint64(v.Identity)})
}

// edit has a program change one entry, because only a program can do that in one
// write.
func (w *Writer) edit(e bpf.Edit) error {
	e.Set = w.inForce()
	b := make([]byte, 14, 64)
	b, err := binary.Append(b, binary.NativeEndian, &e)
	if err != nil {
		return fmt.Errorf("write edit: %w", err)
	}
	answer, err := w.maps.Edit.Run(&ebpf.RunOptions{Data: b})
	if err != nil {
		return fmt.Errorf("edit table: %w", err)
	}
	if answer != 0 {
		return fmt.Errorf("edit table %d: it is full", e.Table)
	}
	return nil
}

func (w *Writer) inForce() uint32 { return uint32(atomic.LoadUint64(w.word)>>32) & 1 }

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

// swap fills a new set and switches to it.
func (w *Writer) swap(img *Image) error {
	fresh, err := w.fill(img)
	if err != nil {
		return fmt.Errorf("fill tables: %w", err)
	}
	if err := w.switchTo(&fresh); err != nil {
		fresh.close()
		return err
	}
	w.set.close()
	w.set, w.now, w.void = fresh, img, 0
	w.swapped++
	return nil
}

// renewEndpoints switches to a set that differs in its endpoints only.
func (w *Writer) renewEndpoints(all map[uint32]bpf.Endpoint) error {
	fresh := w.set
	var err error
	if fresh.endpoints, err = w.table("endpoints", len(all)); err != nil {
		return err
	}
	if err = putAll(fresh.endpoints, all); err == nil {
		err = w.switchTo(&fresh)
	}
	if err != nil {
		fresh.endpoints.Close()
		return err
	}
	w.set.endpoints.Close()
	w.set = fresh
	return nil
}

// switchTo puts tables in the place that is not in force, and that in force. When
// it returns no program reads the old ones any more.
func (w *Writer) switchTo(s *set) error {
	current := w.inForce()
	if err := w.together(s, func(p pair) error { return p.outer.Put(1-current, p.inner) }); err != nil {
		return fmt.Errorf("put tables in place: %w", err)
	}
	w.raise(1)
	// Writing to a map of maps returns when no program runs any more that began
	// before.
	if err := w.maps.Rules.Put(uint32(2), s.rules); err != nil {
		return fmt.Errorf("wait for programs: %w", err)
	}
	err := w.together(s, func(p pair) error { return p.outer.Delete(current) })
	if err != nil && !errors.Is(err, ebpf.ErrKeyNotExist) {
		return fmt.Errorf("remove old tables: %w", err)
	}
	return nil
}

// together does the same with every table. Each waits for the programs that run,
// and together they wait once.
func (w *Writer) together(s *set, do func(pair) error) error {
	var all sync.WaitGroup
	bad := make([]error, 4)
	for i, p := range w.pairs(s) {
		all.Go(func() { bad[i] = do(p) })
	}
	all.Wait()
	return errors.Join(bad...)
}

type pair struct{ outer, inner *ebpf.Map }

func (w *Writer) pairs(s *set) []pair {
	return []pair{{w.maps.Endpoints, s.endpoints}, {w.maps.Addresses, s.addresses}, {w.maps.Prefixes, s.prefixes}, {w.maps.Rules, s.rules}}
}

// table makes an inner map, with room for changes in place.
func (w *Writer) table(outer string, entries int) (*ebpf.Map, error) {
	spec := w.maps.Inner(outer)
	spec.MaxEntries = uint32(max(64, entries))
	if outer == "rules" || outer == "addresses" {
		spec.MaxEntries = uint32(entries + entries/4 + inPlace)
	}
	m, err := ebpf.NewMap(spec)
	if err != nil {
		return nil, fmt.Errorf("make table of %s: %w", outer, err)
	}
	return m, nil
}

// fill makes inner maps and writes an image into them.
func (w *Writer) fill(img *Image) (s set, err error) {
	s.capacity = map[*ebpf.Map]int{}
	table := func(outer string, entries int) (m *ebpf.Map) {
		if err == nil {
			m, err = w.table(outer, entries)
		}
		if err == nil {
			s.capacity[m] = int(m.MaxEntries())
		}
		return m
	}
	s.endpoints = table("endpoints", len(img.Endpoints))
	s.addresses = table("addresses", len(img.Addresses))
	s.prefixes = table("prefixes", len(img.Prefixes))
	s.rules = table("rules", len(img.Rules))
	if err == nil {
		err = errors.Join(putAll(s.endpoints, img.Endpoints), putAll(s.addresses, img.Addresses),
			putAll(s.rules, img.Rules), putEach(s.prefixes, img.Prefixes))
	}
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
