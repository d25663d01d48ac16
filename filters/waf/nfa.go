package waf

import (
	"encoding/binary"
	"math/bits"
	"regexp/syntax"
	"sync"
	"sync/atomic"
)

// nfa answers what the dfa answers whose program it runs, in a time that no text can
// stretch: it makes no states, but keeps every place in the expression that has been
// reached as a bit. Where a text leads a dfa from one new state to the next, this is
// several times faster than the regexp package. Safe for concurrent use.
//
// A place is an instruction that reads a character. What comes between two places
// depends on the assertions that hold between two characters, so for each that can
// be there is a table of its own, made when it is needed.
type nfa struct {
	d       *dfa
	place   []int32    // by instruction; -1: it reads nothing
	reader  []uint32   // by place
	reads   [][]uint64 // by class of characters: the places that read it
	kinds   []uint8    // by class, and of the end: what assertions see of it
	matters syntax.EmptyOp
	holds   [textKinds][textKinds]syntax.EmptyOp // between characters of two kinds; of what matters
	mu      sync.Mutex
	ways    [64]atomic.Pointer[ways] // by what holds
}

// ways is where each place leads to while certain assertions hold.
type ways struct {
	first  [][]placeMask // by class: places where a match may begin, which read it
	empty  bool          // the expression matches between any two characters
	ends   []uint64      // places behind which it matches
	on     []uint64      // places that lead to the one after
	more   []uint64      // places that lead to others
	others []int32       // by place: which of lists
	lists  [][]placeMask
}

// placeMask is some of 64 places in a row.
type placeMask struct {
	word int
	mask uint64
}

const (
	textEdge = iota // the begin or the end of the text
	textLine        // a line's end
	textWord
	textOther
	textKinds

	nfaWords = (dfaInsts + 63) / 64
	// nfaMasks bounds the lists of an expression, in masks.
	nfaMasks = 16 << 10
)

func newNFA(d *dfa) *nfa {
	n := &nfa{d: d, place: make([]int32, len(d.insts)), kinds: make([]uint8, d.end+1)}
	for pc := range d.insts {
		n.place[pc] = -1
		switch in := &d.insts[pc]; in.Op {
		case syntax.InstRune, syntax.InstRune1, syntax.InstRuneAny, syntax.InstRuneAnyNotNL:
			n.place[pc] = int32(len(n.reader))
			n.reader = append(n.reader, uint32(pc))
		case syntax.InstEmptyWidth:
			n.matters |= syntax.EmptyOp(in.Arg)
		}
	}
	for class, r := range d.sample {
		set := n.set()
		for at, pc := range n.reader {
			if d.insts[pc].MatchRune(r) {
				set[at/64] |= 1 << (at % 64)
			}
		}
		n.reads = append(n.reads, set)
		switch {
		case r == '\n':
			n.kinds[class] = textLine
		case syntax.IsWordChar(r):
			n.kinds[class] = textWord
		default:
			n.kinds[class] = textOther
		}
	}
	for before, a := range textSamples {
		for after, b := range textSamples {
			n.holds[before][after] = syntax.EmptyOpContext(a, b) & n.matters
		}
	}
	return n
}

// textSamples has a character of each kind.
var textSamples = [textKinds]rune{textEdge: -1, textLine: '\n', textWord: 'a', textOther: ' '}

func (n *nfa) set() []uint64 { return make([]uint64, (len(n.reader)+63)/64) }

// matches answers whether the expression matches anywhere in text; ok is false where
// the expression is too large.
func (n *nfa) matches(text string) (match, ok bool) {
	_, match, ok = n.find(text)
	return match, ok
}

// find gives with the answer a place before which no match in text begins.
func (n *nfa) find(text string) (begin int, match, ok bool) {
	var room [2][nfaWords + 1]uint64
	now, next := &room[0], &room[1]
	var live, touched [(nfaWords + 64) / 64]uint64 // which words of now are not 0, and of next
	var known [textKinds][textKinds]*ways
	last, idle := uint8(textEdge), true // idle: nothing is live
	for i := 0; ; {
		class, from := n.d.end, i
		if i < len(text) {
			var size int
			class, size = n.d.classAt(text[i:])
			i += size
		}
		kind := n.kinds[class]
		w := known[last][kind]
		if w == nil {
			if w = n.way(n.holds[last][kind]); w == nil {
				return begin, false, false
			}
			known[last][kind] = w
		}
		if w.empty {
			return begin, true, true
		}
		if last = kind; idle && class != n.d.end {
			if begin = from; len(w.first[class]) == 0 {
				continue
			}
			idle = false
		}
		list := int32(-1)
		for l := range live {
			for words := live[l]; words != 0; words &= words - 1 {
				at := l*64 + bits.TrailingZeros64(words)
				set := now[at]
				now[at] = 0
				if set&w.ends[at] != 0 {
					return begin, true, true
				}
				if on := set & w.on[at]; on != 0 {
					next[at] |= on << 1
					touched[at/64] |= 1 << (at % 64)
					if on>>63 != 0 {
						next[at+1] |= 1
						touched[(at+1)/64] |= 1 << ((at + 1) % 64)
					}
				}
				for more := set & w.more[at]; more != 0; more &= more - 1 {
					before := list
					if list = w.others[at*64+bits.TrailingZeros64(more)]; list == before {
						continue // places in a row often lead to the same ones
					}
					for _, m := range w.lists[list] {
						next[m.word] |= m.mask
						touched[m.word/64] |= 1 << (m.word % 64)
					}
				}
			}
		}
		if class == n.d.end {
			return begin, false, true
		}
		reads := n.reads[class]
		idle = true
		for l := range touched {
			live[l] = 0
			for words := touched[l]; words != 0; words &= words - 1 {
				at := l*64 + bits.TrailingZeros64(words)
				if next[at] &= reads[at]; next[at] != 0 {
					live[l] |= words & -words
					idle = false
				}
			}
			touched[l] = 0
		}
		if idle {
			begin = from
		}
		for _, m := range w.first[class] {
			next[m.word] |= m.mask
			live[m.word/64] |= 1 << (m.word % 64)
			idle = false
		}
		now, next = next, now
	}
}

// way gives the ways while those assertions hold; nil when there are too many.
func (n *nfa) way(holds syntax.EmptyOp) *ways {
	if w := n.ways[holds].Load(); w != nil {
		if w.others == nil {
			return nil
		}
		return w
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	w := n.ways[holds].Load() // whoever held the lock may have made them
	if w == nil {
		w = n.newWays(holds)
		n.ways[holds].Store(w)
	}
	if w.others == nil {
		return nil
	}
	return w
}

// newWays makes them, without others when there are too many.
func (n *nfa) newWays(holds syntax.EmptyOp) *ways {
	c := closer{n: n, holds: holds, seen: make([]bool, len(n.d.insts))}
	w := &ways{ends: n.set(), on: n.set(), more: n.set()}
	first, match := c.close(n.d.start)
	w.empty = match
	for class := range n.reads {
		w.first = append(w.first, masksOf(first, n.reads[class]))
	}
	others, known, masks := make([]int32, len(n.reader)), map[string]int32{}, 0
	for at, pc := range n.reader {
		bit := uint64(1) << (at % 64)
		to, match := c.close(n.d.insts[pc].Out)
		if match {
			w.ends[at/64] |= bit
		}
		if after := at + 1; after < len(n.reader) && to[after/64]&(1<<(after%64)) != 0 {
			w.on[at/64] |= bit
			to[after/64] &^= 1 << (after % 64)
		}
		list := masksOf(to, nil)
		if len(list) == 0 {
			continue
		}
		w.more[at/64] |= bit
		var key []byte
		for _, m := range list {
			key = binary.LittleEndian.AppendUint64(binary.LittleEndian.AppendUint32(key, uint32(m.word)), m.mask)
		}
		id, again := known[string(key)]
		if !again {
			if masks += len(list); masks > nfaMasks {
				return w
			}
			id = int32(len(w.lists))
			known[string(key)] = id
			w.lists = append(w.lists, list)
		}
		others[at] = id
	}
	w.others = others
	return w
}

// masksOf lists what is in both sets; nil holds all places.
func masksOf(set, and []uint64) (out []placeMask) {
	for word, mask := range set {
		if and != nil {
			mask &= and[word]
		}
		if mask != 0 {
			out = append(out, placeMask{word, mask})
		}
	}
	return out
}

// closer finds what follows an instruction without reading.
type closer struct {
	n     *nfa
	holds syntax.EmptyOp
	seen  []bool
	todo  []uint32
}

// close gives the places reached from pc on, and whether the expression matches
// there.
func (c *closer) close(pc uint32) (to []uint64, match bool) {
	to = c.n.set()
	clear(c.seen)
	c.todo = append(c.todo[:0], pc)
	for len(c.todo) > 0 {
		pc := c.todo[len(c.todo)-1]
		c.todo = c.todo[:len(c.todo)-1]
		if c.seen[pc] {
			continue
		}
		c.seen[pc] = true
		switch in := &c.n.d.insts[pc]; in.Op {
		case syntax.InstMatch:
			match = true
		case syntax.InstFail:
		case syntax.InstAlt, syntax.InstAltMatch:
			c.todo = append(c.todo, in.Out, in.Arg)
		case syntax.InstCapture, syntax.InstNop:
			c.todo = append(c.todo, in.Out)
		case syntax.InstEmptyWidth:
			if syntax.EmptyOp(in.Arg)&^c.holds == 0 {
				c.todo = append(c.todo, in.Out)
			}
		default:
			at := c.n.place[pc]
			to[at/64] |= 1 << (at % 64)
		}
	}
	return to, match
}
