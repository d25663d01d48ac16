package waf

import (
	"encoding/binary"
	"regexp/syntax"
	"slices"
	"sync"
	"sync/atomic"
	"unicode"
	"unicode/utf8"
)

// dfa answers whether a regular expression matches anywhere in a text, at a few
// nanoseconds a byte however long the text and the expression. It runs the same
// program as the regexp package, and is built as texts need it: a state is the
// set of instructions that are due after a character. It says when it cannot
// answer; then the regexp package must. Safe for concurrent use.
type dfa struct {
	insts   []syntax.Inst
	start   uint32
	seeds   []uint32             // where a match is that begins
	ascii   [utf8.RuneSelf]uint8 // class of a character
	bounds  []rune               // where a run of characters of one class begins
	classes []uint8              // of the run
	sample  []rune               // a character of each class
	end     int                  // the class that stands for the end of the text
	found   *dfaState            // entered upon a match

	mu     sync.Mutex
	states map[string]*dfaState
	bytes  int
	first  atomic.Pointer[dfaState]
	// The set being made: which instructions are in it, and those still to follow.
	in         []uint32 // the round in which an instruction was added
	round      uint32
	todo       []uint32
	due, after []uint32 // room for sets

	credit atomic.Int64 // bytes to be read before it makes no more states
}

// dfaState is what has been read so far, as far as it matters. The instructions
// are those that some match is at which has begun before, reached without asking
// what comes next.
type dfaState struct {
	next  []atomic.Pointer[dfaState] // by class; nil: not known yet
	insts []uint32                   // sorted
	last  rune                       // stands for the kind of the character before; -1: begin of text
}

const (
	dfaBytes = 192 << 10 // what the states of one expression may take
	dfaInsts = 8000      // longer programs are left to the regexp package
	// dfaPrice is how many bytes must be read for each step that is worked out: it
	// takes about as long as reading so many by the nfa. What texts of many searches
	// need is there soon; what comes up once only is not worth it.
	dfaPrice  = 64
	dfaCredit = 400 * dfaPrice // to begin with, and at most: about what fits
	dfaLook   = 64             // states that never looks at
)

// newDFA gives nil for an expression that has too many kinds of characters.
func newDFA(expr string) *dfa {
	tree, err := syntax.Parse(expr, syntax.Perl)
	if err != nil {
		return nil
	}
	prog, err := syntax.Compile(tree.Simplify())
	if err != nil || len(prog.Inst) > dfaInsts {
		return nil
	}
	d := &dfa{insts: prog.Inst, start: uint32(prog.Start), found: &dfaState{}, in: make([]uint32, len(prog.Inst)), round: 1}
	if !d.classify() {
		return nil
	}
	d.credit.Store(dfaCredit)
	d.states = map[string]*dfaState{}
	d.seeds = d.close(nil, d.start)
	if d.first.Store(d.found); !d.matched(d.seeds) {
		d.first.Store(d.state(nil, -1))
	}
	return d
}

// classify sorts characters into classes that no instruction tells apart.
func (d *dfa) classify() bool {
	var sets []*syntax.Inst // that differ
	known := map[string]bool{}
	cuts := map[rune]bool{0: true, '\n': true, '\n' + 1: true, '0': true, '9' + 1: true, 'A': true, 'Z' + 1: true, '_': true, '_' + 1: true, 'a': true, 'z' + 1: true}
	for i := range d.insts {
		in := &d.insts[i]
		switch in.Op {
		case syntax.InstRune, syntax.InstRune1:
		case syntax.InstRuneAny, syntax.InstRuneAnyNotNL:
			continue // told apart by the cut at the newline
		default:
			continue
		}
		key := string(in.Rune)
		if syntax.Flags(in.Arg)&syntax.FoldCase != 0 {
			key += "\x00fold"
		}
		if known[key] {
			continue
		}
		known[key] = true
		sets = append(sets, in)
		if len(in.Rune) == 1 {
			cuts[in.Rune[0]], cuts[in.Rune[0]+1] = true, true
			for r := unicode.SimpleFold(in.Rune[0]); r != in.Rune[0]; r = unicode.SimpleFold(r) {
				cuts[r], cuts[r+1] = true, true
			}
			continue
		}
		for j := 0; j+1 < len(in.Rune); j += 2 {
			cuts[in.Rune[j]], cuts[in.Rune[j+1]+1] = true, true
		}
	}
	for r := range cuts {
		d.bounds = append(d.bounds, r)
	}
	slices.Sort(d.bounds)
	ids := map[string]uint8{}
	for _, r := range d.bounds {
		signature := make([]byte, 0, len(sets)+2)
		for _, in := range sets {
			signature = append(signature, bit(in.MatchRune(r)))
		}
		signature = append(signature, bit(r == '\n'), bit(syntax.IsWordChar(r)))
		id, ok := ids[string(signature)]
		if !ok {
			if len(ids) == 250 {
				return false
			}
			id = uint8(len(ids))
			ids[string(signature)] = id
			d.sample = append(d.sample, r)
		}
		d.classes = append(d.classes, id)
	}
	d.end = len(d.sample)
	for c := range rune(utf8.RuneSelf) {
		d.ascii[c] = d.class(c)
	}
	return true
}

func bit(b bool) byte {
	if b {
		return 1
	}
	return 0
}

// classAt gives the class of the character that text begins with, and its size.
func (d *dfa) classAt(text string) (class, size int) {
	if c := text[0]; c < utf8.RuneSelf {
		return int(d.ascii[c]), 1
	}
	r, size := utf8.DecodeRuneInString(text)
	return int(d.class(r)), size
}

func (d *dfa) class(r rune) uint8 {
	i, found := slices.BinarySearch(d.bounds, r)
	if !found {
		i--
	}
	return d.classes[i]
}

// matches says whether the expression matches in text; ok is false when it gave
// up.
func (d *dfa) matches(text string) (match, ok bool) {
	s, ok := d.read(d.first.Load(), text)
	if !ok || s == d.found {
		return ok, ok
	}
	return d.ends(s), true
}

// matchesAny is matches for all values of a kind, in ASCII, of which at least so
// many bytes are needed. What they all begin with is read once; of very many the
// rest is not read if nothing that could be made of the same characters matches. ok
// is false when one of them cannot be answered and none matches before.
func (d *dfa) matchesAny(k *kind, least int) (match, ok bool) {
	begin := k.begin()
	from, ok := d.read(d.first.Load(), begin)
	if !ok || from == d.found {
		return ok, ok
	}
	if len(k.values) >= manyAlike && d.never(from, k.rest, k.most) {
		return false, true
	}
	for _, text := range k.values {
		if len(text) < least {
			continue
		}
		s, ok := d.read(from, text[len(begin):])
		if !ok {
			return false, false
		}
		if s == d.found || d.ends(s) {
			return true, true
		}
	}
	return false, true
}

// never says that no text matches that goes on behind s with at most so many
// characters, all of them in ASCII and in set. It looks at few states only.
func (d *dfa) never(s *dfaState, set asciiSet, most int) bool {
	var classes []int
	for c := range utf8.RuneSelf {
		if class := int(d.ascii[c]); set.has(byte(c)) && !slices.Contains(classes, class) {
			classes = append(classes, class)
		}
	}
	known := []*dfaState{s}
	for from := 0; most >= 0 && from < len(known); most-- {
		round := known[from:]
		from = len(known)
		for _, s := range round {
			if s == d.found || d.ends(s) {
				return false
			}
			for _, class := range classes {
				next := s.next[class].Load()
				if next == nil {
					if next = d.buy(s, class); next == nil {
						return false
					}
				}
				if slices.Contains(known, next) {
					continue
				}
				if len(known) == dfaLook {
					return false
				}
				known = append(known, next)
			}
		}
	}
	return true
}

// begin gives a place before which no match in text begins; ok is false when it gave
// up.
func (d *dfa) begin(text string) (at int, ok bool) {
	s := d.first.Load()
	for i := 0; i < len(text) && s != d.found; {
		class, size := d.classAt(text[i:])
		next := s.next[class].Load()
		if next == nil {
			if next = d.buy(s, class); next == nil {
				return 0, false
			}
		}
		if s, i = next, i+size; s != d.found && len(s.insts) == 0 {
			at = i
		}
	}
	return at, true
}

// asciiSet is a set of characters within ASCII.
type asciiSet [2]uint64

func (a *asciiSet) add(c byte)      { a[c/64] |= 1 << (c % 64) }
func (a *asciiSet) has(c byte) bool { return a[c/64]&(1<<(c%64)) != 0 }

// read gives the state behind a text that is read from s on; ok is false when it
// gave up.
func (d *dfa) read(s *dfaState, text string) (after *dfaState, ok bool) {
	if s == d.found {
		return s, true
	}
	for i := 0; i < len(text); {
		class, size := int(d.ascii[text[i]&0x7f]), 1
		if text[i] >= utf8.RuneSelf {
			class, size = d.classAt(text[i:])
		}
		i += size
		next := s.next[class].Load()
		if next == nil {
			if next = d.buy(s, class); next == nil {
				d.earn(len(text))
				return nil, false
			}
		}
		if next == d.found {
			return next, true
		}
		s = next
	}
	d.earn(len(text))
	return s, true
}

// earn counts what was read, by this automaton or in its place.
func (d *dfa) earn(bytes int) {
	if had := d.credit.Load(); had < dfaCredit {
		d.credit.Store(min(had+int64(bytes), dfaCredit)) // about: another may count at the same time
	}
}

// buy works out what follows s upon a class; nil: that would be one too many.
func (d *dfa) buy(s *dfaState, class int) *dfaState {
	if d.credit.Add(-dfaPrice) < 0 {
		d.credit.Add(dfaPrice)
		return nil
	}
	return d.step(s, class)
}

// ends says that the expression matches where the text ends.
func (d *dfa) ends(s *dfaState) bool {
	next := s.next[d.end].Load()
	if next == nil {
		next = d.step(s, d.end)
	}
	return next == d.found
}

// step works out what follows s upon a class.
func (d *dfa) step(s *dfaState, class int) *dfaState {
	d.mu.Lock()
	defer d.mu.Unlock()
	r := rune(-1)
	if class != d.end {
		r = d.sample[class]
	}
	next := d.advance(s, r)
	s.next[class].Store(next)
	return next
}

// advance passes the assertions that hold between the last character and r,
// then reads r. d.mu is held.
func (d *dfa) advance(s *dfaState, r rune) *dfaState {
	holds := syntax.EmptyOpContext(s.last, r)
	d.empty()
	due := d.due[:0]
	for _, pc := range d.seeds { // a match may begin anywhere
		due = d.insert(due, pc)
	}
	for _, pc := range s.insts {
		due = d.insert(due, pc)
	}
	for i := 0; i < len(due); i++ {
		if in := &d.insts[due[i]]; in.Op == syntax.InstEmptyWidth && syntax.EmptyOp(in.Arg)&^holds == 0 {
			due = d.close(due, in.Out)
		}
	}
	d.due = due
	d.empty()
	after := d.after[:0]
	for _, pc := range due {
		in := &d.insts[pc]
		switch in.Op {
		case syntax.InstMatch:
			return d.found
		case syntax.InstRune, syntax.InstRune1, syntax.InstRuneAny, syntax.InstRuneAnyNotNL:
			if r >= 0 && in.MatchRune(r) {
				after = d.close(after, in.Out)
			}
		}
	}
	if r < 0 {
		return d.first.Load() // the text has ended without a match
	}
	d.after = after
	return d.state(after, r)
}

// empty begins another set of instructions.
func (d *dfa) empty() {
	if d.round++; d.round == 0 {
		clear(d.in)
		d.round = 1
	}
}

// close adds pc to the set that was begun last, and what follows from it without
// reading or asking.
func (d *dfa) close(set []uint32, pc uint32) []uint32 {
	d.todo = append(d.todo[:0], pc)
	for len(d.todo) > 0 {
		pc := d.todo[len(d.todo)-1]
		d.todo = d.todo[:len(d.todo)-1]
		switch in := &d.insts[pc]; in.Op {
		case syntax.InstFail:
		case syntax.InstAlt, syntax.InstAltMatch, syntax.InstCapture, syntax.InstNop:
			if d.in[pc] == d.round {
				continue
			}
			d.in[pc] = d.round
			if d.todo = append(d.todo, in.Out); in.Op == syntax.InstAlt || in.Op == syntax.InstAltMatch {
				d.todo = append(d.todo, in.Arg)
			}
		default:
			set = d.insert(set, pc)
		}
	}
	return set
}

// insert appends pc unless it is there. State sorts.
func (d *dfa) insert(set []uint32, pc uint32) []uint32 {
	if d.in[pc] == d.round {
		return set
	}
	d.in[pc] = d.round
	return append(set, pc)
}

// matched says that the expression matches with what was read.
func (d *dfa) matched(set []uint32) bool {
	return slices.ContainsFunc(set, func(pc uint32) bool { return d.insts[pc].Op == syntax.InstMatch })
}

// state gives the state of a set. When there are too many all are forgotten;
// searches under way keep theirs. d.mu is held.
func (d *dfa) state(set []uint32, last rune) *dfaState {
	if d.matched(set) {
		return d.found
	}
	switch { // only the kind of the last character matters
	case last < 0 || last == '\n':
	case syntax.IsWordChar(last):
		last = 'a'
	default:
		last = ' '
	}
	slices.Sort(set)
	key := make([]byte, 0, 4*len(set)+4)
	key = binary.LittleEndian.AppendUint32(key, uint32(last))
	for _, pc := range set {
		key = binary.LittleEndian.AppendUint32(key, pc)
	}
	if s := d.states[string(key)]; s != nil {
		return s
	}
	size := 8*(d.end+1) + 8*len(set) + 160
	if d.bytes += size; d.bytes > dfaBytes && d.first.Load() != nil {
		d.states, d.bytes = map[string]*dfaState{}, size
		d.first.Store(&dfaState{next: make([]atomic.Pointer[dfaState], d.end+1), last: -1})
	}
	s := &dfaState{next: make([]atomic.Pointer[dfaState], d.end+1), insts: slices.Clone(set), last: last}
	d.states[string(key)] = s
	return s
}
