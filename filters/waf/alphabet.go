package waf

import (
	"math/bits"
	"regexp/syntax"
	"sync/atomic"
	"unicode/utf8"
)

// alphabet is a set of classes of bytes: what a value is made of, or what one
// step of a regular expression can read. Letters are one class for both cases,
// everything outside ASCII is one class, so that 64 suffice.
type alphabet uint64

const (
	anyAlphabet      alphabet = 1<<64 - 1
	never                     = 1 << 30 // no string of this alphabet matches
	alphabetMemo              = 256     // answers kept per pattern
	walksBeforeNeeds          = 32
)

// classOf gives the class of an ASCII byte.
func classOf(c byte) uint {
	switch {
	case c >= 'a' && c <= 'z':
		return uint(c - 'a')
	case c >= 'A' && c <= 'Z':
		return uint(c - 'A')
	case c >= '0' && c <= '9':
		return 26
	case c == ' ':
		return 27
	case c == '\n':
		return 28
	case c == '\t' || c == '\r' || c == '\v' || c == '\f':
		return 29
	case c < ' ' || c == 0x7f:
		return 30
	case c < '0': // the punctuation before the digits, 15
		return 31 + uint(c-'!')
	case c < 'A': // 7
		return 46 + uint(c-':')
	case c < 'a': // 6
		return 53 + uint(c-'[')
	default: // 4
		return 59 + uint(c-'{')
	}
}

const highClass alphabet = 1 << 63

// classes is classOf for all bytes; a value of package level because it is a
// table, never written after.
var classes = func() (t [256]alphabet) {
	for c := range t {
		if c >= utf8.RuneSelf {
			t[c] = highClass
		} else {
			t[c] = 1 << classOf(byte(c))
		}
	}
	return t
}()

// alphabetOf says what s is made of.
func alphabetOf(s string) alphabet {
	var a alphabet
	for i := range len(s) {
		a |= classes[s[i]]
	}
	return a
}

// reach answers how long a string of a given alphabet must be for a regular
// expression to match it. It walks the same program that the regexp package
// runs, taking every assertion (line ends, word borders) as met: so it can only
// err towards "could match".
type reach struct {
	steps []step
	start uint32
	memo  [alphabetMemo]atomic.Pointer[answer]
	walks atomic.Uint32
	needs atomic.Uint64 // classes in every match, once known
}

// lacks says that a lacks a class that is in every match.
func (r *reach) lacks(a alphabet) bool { return alphabet(r.needs.Load())&^a != 0 }

// learnNeeds finds out what every match has: without it there is none. It takes
// as long as 64 answers, so patterns that are asked often have it done.
func (r *reach) learnNeeds() {
	var needs alphabet
	for c := range 64 {
		if one := alphabet(1) << c; r.walk(anyAlphabet&^one) == never {
			needs |= one
		}
	}
	r.needs.Store(uint64(needs))
}

type step struct {
	op       syntax.InstOp
	out, arg uint32
	reads    alphabet
}

type answer struct {
	of     alphabet
	length int // in characters; never
}

// newReach compiles what regexp.Compile compiles for expr.
func newReach(expr string) (*reach, error) {
	tree, err := syntax.Parse(expr, syntax.Perl)
	if err != nil {
		return nil, err
	}
	prog, err := syntax.Compile(tree.Simplify())
	if err != nil {
		return nil, err
	}
	r := &reach{start: uint32(prog.Start), steps: make([]step, len(prog.Inst))}
	for i := range prog.Inst {
		in := &prog.Inst[i]
		r.steps[i] = step{op: in.Op, out: in.Out, arg: in.Arg, reads: reads(in)}
	}
	return r, nil
}

func reads(in *syntax.Inst) alphabet {
	switch in.Op {
	case syntax.InstRuneAny:
		return anyAlphabet
	case syntax.InstRuneAnyNotNL:
		return anyAlphabet &^ classes['\n']
	case syntax.InstRune, syntax.InstRune1:
	default:
		return 0
	}
	var a alphabet
	for c := range rune(utf8.RuneSelf) {
		if in.MatchRune(c) {
			a |= classes[c]
		}
	}
	// One character given with (?i) may fold to one outside ASCII.
	if syntax.Flags(in.Arg)&syntax.FoldCase != 0 {
		a |= highClass
	}
	for _, r := range in.Rune {
		if r >= utf8.RuneSelf {
			a |= highClass
		}
	}
	return a
}

// shortest gives the least number of characters of a that match, or never.
func (r *reach) shortest(a alphabet) int {
	h := uint64(a) * 0x9e3779b97f4a7c15
	at := h >> (64 - bits.TrailingZeros(alphabetMemo))
	slot := &r.memo[at]
	for i := range uint64(memoWays) {
		m := r.memo[at^i].Load()
		if m == nil {
			slot = &r.memo[at^i]
			break
		}
		if m.of == a {
			return m.length
		}
	}
	if r.walks.Add(1) == walksBeforeNeeds {
		r.learnNeeds()
	}
	n := r.walk(a)
	slot.Store(&answer{of: a, length: n})
	return n
}

// walk is a breadth-first search by characters read.
func (r *reach) walk(a alphabet) int {
	seen := make([]bool, len(r.steps))
	now, next := make([]uint32, 0, 64), make([]uint32, 0, 64)
	now = append(now, r.start)
	for length := 0; len(now) > 0; length++ {
		for len(now) > 0 {
			i := now[len(now)-1]
			now = now[:len(now)-1]
			if seen[i] {
				continue
			}
			seen[i] = true
			s := &r.steps[i]
			switch s.op {
			case syntax.InstMatch:
				return length
			case syntax.InstAlt, syntax.InstAltMatch:
				now = append(now, s.arg, s.out)
			case syntax.InstCapture, syntax.InstNop, syntax.InstEmptyWidth:
				now = append(now, s.out)
			case syntax.InstFail:
			default:
				if s.reads&a != 0 {
					next = append(next, s.out)
				}
			}
		}
		now, next = next, now
	}
	return never
}
