package learn

import (
	"bytes"
	"compress/flate"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"slices"
)

// wire goes over state in one of two directions: the same walk writes it and
// reads it, so that the two cannot differ. What is read may be anything: lists
// grow no faster than the input shrinks, and the first thing wrong ends it.
type wire struct {
	writing bool
	b       []byte            // written so far, or left to read
	known   map[string]uint64 // writing: texts that were written, by number
	texts   []string          // reading: the same, in order
	judged  *place            // writing: where the walk is; nil: nothing is judged
	stray   bool              // writing: in what proves nothing
	depth   int
	version int // of the form
	err     error
}

// What stands before compressed state: a mark with the version of the form, the
// length of what follows when it is unpacked, and its checksum. The first version
// said nothing of sensitive data outside of bodies, and nothing of weak tokens.
const (
	stateMark    = "gabion operations 2\n"
	firstMark    = "gabion operations 1\n"
	stateVersion = 2
	stateLimit   = 1 << 30 // bytes unpacked
)

var (
	errStateForm  = errors.New("not the state of a learner, or of another version")
	errStateBroke = errors.New("damaged")
)

// pack is what goes to disk.
func (w *wire) pack() []byte {
	var out bytes.Buffer
	out.WriteString(stateMark)
	var head [8]byte
	binary.LittleEndian.PutUint32(head[:4], uint32(len(w.b)))
	binary.LittleEndian.PutUint32(head[4:], crc32.ChecksumIEEE(w.b))
	out.Write(head[:])
	z, _ := flate.NewWriter(&out, flate.BestSpeed) // the level is right, and memory does not fail
	_, _ = z.Write(w.b)
	_ = z.Close()
	return out.Bytes()
}

// unpack is pack's other way.
func unpack(b []byte) (*wire, error) {
	version := stateVersion
	rest, ok := bytes.CutPrefix(b, []byte(stateMark))
	if !ok {
		version = 1
		rest, ok = bytes.CutPrefix(b, []byte(firstMark))
	}
	if !ok || len(rest) < 8 {
		return nil, errStateForm
	}
	size, sum := binary.LittleEndian.Uint32(rest[:4]), binary.LittleEndian.Uint32(rest[4:8])
	if size > stateLimit || int64(size) > 1100*int64(len(rest)) { // flate packs no better
		return nil, fmt.Errorf("%w: it says %d bytes", errStateBroke, size)
	}
	z := flate.NewReader(bytes.NewReader(rest[8:]))
	plain, err := io.ReadAll(io.LimitReader(z, int64(size)+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("%w: %w", errStateBroke, err)
	case len(plain) != int(size), crc32.ChecksumIEEE(plain) != sum:
		return nil, fmt.Errorf("%w: the checksum differs", errStateBroke)
	}
	return &wire{b: plain, version: version}, nil
}

func (w *wire) fail(what string) {
	if w.err == nil {
		w.err = fmt.Errorf("%w: %s", errStateBroke, what)
	}
	w.b = nil
}

func (w *wire) uint(p *uint64) {
	if w.writing {
		w.b = binary.AppendUvarint(w.b, *p)
		return
	}
	v, n := binary.Uvarint(w.b)
	if n <= 0 {
		w.fail("a number is cut off")
		return
	}
	*p, w.b = v, w.b[n:]
}

func (w *wire) int(p *int64) {
	u := uint64(*p)<<1 ^ uint64(*p>>63)
	w.uint(&u)
	*p = int64(u>>1) ^ -int64(u&1)
}

// number goes over any other integer.
func number[N ~int16 | ~int32 | ~uint8 | ~uint32 | ~uint64](w *wire, p *N) {
	v := int64(*p)
	w.int(&v)
	if *p = N(v); int64(*p) != v {
		w.fail("a number is too large")
	}
}

// hash goes over bits that are no number.
func (w *wire) hash(p *uint64) {
	if w.writing {
		w.b = binary.LittleEndian.AppendUint64(w.b, *p)
		return
	}
	if len(w.b) < 8 {
		w.fail("a hash is cut off")
		return
	}
	*p, w.b = binary.LittleEndian.Uint64(w.b), w.b[8:]
}

// flags goes over several booleans at once.
func (w *wire) flags(list ...*bool) {
	var bits uint64
	for i, p := range list {
		if *p {
			bits |= 1 << i
		}
	}
	w.uint(&bits)
	for i, p := range list {
		*p = bits>>i&1 != 0
	}
}

// text goes over a text; one that came before is its number.
func (w *wire) text(p *string) {
	if w.writing {
		if n, ok := w.known[*p]; ok {
			w.b = binary.AppendUvarint(w.b, n)
			return
		}
		w.known[*p] = uint64(len(w.known)) + 1
		w.b = binary.AppendUvarint(append(w.b, 0), uint64(len(*p)))
		w.b = append(w.b, *p...)
		return
	}
	var n uint64
	w.uint(&n)
	if n > 0 {
		if n > uint64(len(w.texts)) {
			w.fail("a text is missing")
			return
		}
		*p = w.texts[n-1]
		return
	}
	w.uint(&n)
	if n > uint64(len(w.b)) {
		w.fail("a text is cut off")
		return
	}
	*p, w.b = string(w.b[:n]), w.b[n:]
	w.texts = append(w.texts, *p)
}

// list goes over the items of a list that is in order.
func list[T any](w *wire, s *[]T, order func(a, b *T) int, each func(*T)) {
	n := uint64(len(*s))
	w.uint(&n)
	if w.writing {
		for i := range *s {
			each(&(*s)[i])
		}
		return
	}
	*s = nil
	if n > uint64(len(w.b)) { // an item takes a byte at least
		w.fail("a list is cut off")
		return
	}
	for i := 0; i < int(n) && w.err == nil; i++ {
		var item T
		each(&item)
		*s = append(*s, item)
		if i > 0 && order != nil && order(&(*s)[i-1], &(*s)[i]) >= 0 {
			w.fail("a list is out of order")
		}
	}
	*s = slices.Clip(*s)
}

// below goes one level down; what nests deeper than any exchange can is broken.
func (w *wire) below(step func()) {
	if w.depth++; w.depth > 200 {
		w.fail("it nests too deep")
		return
	}
	step()
	w.depth--
}

// sortRead brings a list into order that was stored by name, in the order of
// another version maybe.
func sortRead[T any](w *wire, s []T, order func(a, b T) int) {
	if w.writing {
		return
	}
	slices.SortFunc(s, order)
	for i := 1; i < len(s); i++ {
		if order(s[i-1], s[i]) == 0 {
			w.fail("a list holds something twice")
		}
	}
}
