package risk

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"maps"
	"slices"
	"strings"

	"github.com/gabion-io/gabion/internal/exchange"
)

// ownersMark begins what is stored, with the version of the form.
const ownersMark = "gabion owners 1\n"

// LiveBounds are the bounds of an Owners that lives as long as a control plane:
// some 20 MB in memory, 3 MB stored.
func LiveBounds() Bounds { return Bounds{Places: 5_000, Objects: 100_000, Callers: 20_000} }

// Bounds of an Owners: beyond them nothing new is taken, and it is counted.
type Bounds struct{ Places, Objects, Callers int }

// Encode is what is known as bytes: keyed hashes and counts. Equal knowledge gives
// equal bytes. Which objects a caller asked for last is not among it.
func (w *Owners) Encode() []byte {
	w.mu.Lock()
	defer w.mu.Unlock()
	keys := slices.DeleteFunc(slices.Sorted(maps.Keys(w.places)), func(key string) bool { return !storable(key) })
	b := binary.AppendUvarint(nil, uint64(len(keys)))
	for _, key := range keys {
		p := w.places[key]
		b = binary.AppendUvarint(b, uint64(len(key)))
		b = append(b, key...)
		b = binary.AppendUvarint(b, uint64(len(p.objects)))
		for _, id := range slices.Sorted(maps.Keys(p.objects)) {
			for _, n := range []uint64{id, p.objects[id].first, p.objects[id].second} {
				b = binary.LittleEndian.AppendUint64(b, n)
			}
		}
		b = binary.AppendUvarint(b, uint64(len(p.callers)))
		for _, hash := range slices.Sorted(maps.Keys(p.callers)) {
			b = binary.LittleEndian.AppendUint64(b, hash)
			b = binary.AppendUvarint(b, p.callers[hash].distinct)
			b = binary.AppendUvarint(b, p.callers[hash].refused)
		}
	}
	out := binary.LittleEndian.AppendUint32([]byte(ownersMark), crc32.ChecksumIEEE(b))
	return append(out, b...)
}

// storable: a text goes to disk only where a masked path would show it, too.
func storable(key string) bool {
	_, path, _ := strings.Cut(key, " /")
	for _, s := range strings.Split(path, "/") {
		if !strings.Contains(s, "{}") && exchange.MaskSegment(s) != s {
			return false
		}
	}
	return true
}

// Merge adds what another one knew, as Encode wrote it. To merge the same twice
// changes nothing, so that two control planes may merge each other's.
func (w *Owners) Merge(state []byte) error {
	head := len(ownersMark) + 4
	if len(state) < head || string(state[:len(ownersMark)]) != ownersMark {
		return errors.New("read owners: not their state, or of another version")
	}
	r := ownersReader{b: state[head:]}
	if binary.LittleEndian.Uint32(state[len(ownersMark):]) != crc32.ChecksumIEEE(r.b) {
		return errors.New("read owners: damaged")
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for range r.count(3) {
		w.mergePlace(&r)
	}
	if r.bad || len(r.b) > 0 {
		return fmt.Errorf("read owners: damaged, %d bytes before the end", len(r.b))
	}
	return nil
}

func (w *Owners) mergePlace(r *ownersReader) {
	key := string(r.take(r.count(1)))
	p := w.place(key)
	for range r.count(24) {
		id, first, second := r.hash(), r.hash(), r.hash()
		if p == nil || r.bad {
			continue
		}
		x := p.objects[id]
		if x == nil {
			if w.objects >= w.bounds.Objects {
				continue // not counted: the same comes again and again
			}
			w.objects++
			x = &object{first: first}
			p.objects[id] = x
		}
		for _, caller := range []uint64{first, second} {
			if caller != 0 && caller != x.first {
				x.second = cmp.Or(x.second, caller)
			}
		}
	}
	for range r.count(10) {
		hash, distinct, refused := r.hash(), r.number(), r.number()
		if p == nil || r.bad {
			continue
		}
		c := p.callers[hash]
		if c == nil {
			if w.callers >= w.bounds.Callers {
				continue // not counted: the same comes again and again
			}
			w.callers++
			c = &walker{}
			p.callers[hash] = c
		}
		c.distinct, c.refused = max(c.distinct, distinct), max(c.refused, refused)
	}
}

// ownersReader reads what Encode wrote, or anything else without harm.
type ownersReader struct {
	b   []byte
	bad bool
}

func (r *ownersReader) number() uint64 {
	n, size := binary.Uvarint(r.b)
	if size <= 0 {
		r.bad, r.b = true, nil
		return 0
	}
	r.b = r.b[size:]
	return n
}

// count is how many things of at least size bytes follow: never more than fit.
func (r *ownersReader) count(size int) int {
	n := r.number()
	if n > uint64(len(r.b)/size) {
		r.bad, r.b = true, nil
		return 0
	}
	return int(n)
}

func (r *ownersReader) take(n int) []byte {
	if n > len(r.b) {
		r.bad, r.b = true, nil
		return nil
	}
	out := r.b[:n]
	r.b = r.b[n:]
	return out
}

func (r *ownersReader) hash() uint64 {
	b := r.take(8)
	if b == nil {
		return 0
	}
	return binary.LittleEndian.Uint64(b)
}
