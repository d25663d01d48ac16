package waf

import (
	"cmp"
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

	left atomic.Int32 // searches to give up before it rests; below 0: how long it has
}

// dfaState is what has been read so far, as far as it matters. The instructions
// are those reached without asking what comes next.
type dfaState struct {
	next  []atomic.Pointer[dfaState] // by class; nil: not known yet
	insts []uint32                   // sorted
	last  rune                       // stands for the kind of the character before; -1: begin of text
}

const (
	dfaBytes    = 192 << 10 // what the states of one expression may take
	dfaInsts    = 6000      // longer programs are left to the regexp package
	dfaPatience = 2000      // states a search may add, besides one for every eight bytes
	dfaGiveUps  = 16
	dfaRest     = 4096 // searches that are left to the regexp package then
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
	d := &dfa{insts: prog.Inst, found: &dfaState{}, in: make([]uint32, len(prog.Inst)), round: 1}
	if !d.classify() {
		return nil
	}
	d.left.Store(dfaGiveUps)
	d.states = map[string]*dfaState{}
	d.first.Store(d.state(d.close(nil, uint32(prog.Start)), -1))
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

func (d *dfa) class(r rune) uint8 {
	i, found := slices.BinarySearch(d.bounds, r)
	if !found {
		i--
	}
	return d.classes[i]
}

// rests says that nothing is tried for a while, because searches had to be given up.
// Not for ever: a few texts of one client would make all others slow.
func (d *dfa) rests() bool {
	if d.left.Load() > 0 {
		return false
	}
	if d.left.Add(-1) > -dfaRest {
		return true
	}
	d.left.Store(1)
	return false
}

// matches says whether the expression matches in text; ok is false when it gave
// up.
func (d *dfa) matches(text string) (match, ok bool) {
	if d.rests() {
		return false, false
	}
	s, ok := d.read(d.first.Load(), text)
	if !ok || s == d.found {
		return ok, ok
	}
	return d.ends(s), true
}

// matchesAny is matches for texts that all begin so, which is read once: in
// ASCII. ok is false when one of them cannot be answered and none matches before.
func (d *dfa) matchesAny(begin string, texts []string, least int) (match, ok bool) {
	if d.rests() {
		return false, false
	}
	from, ok := d.read(d.first.Load(), begin)
	if !ok || from == d.found {
		return ok, ok
	}
	for _, text := range texts {
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

// read gives the state behind a text that is read from s on; ok is false when it
// gave up.
func (d *dfa) read(s *dfaState, text string) (after *dfaState, ok bool) {
	if s == d.found {
		return s, true
	}
	built := 0
	for i := 0; i < len(text); {
		var class uint8
		if c := text[i]; c < utf8.RuneSelf {
			class = d.ascii[c]
			i++
		} else {
			r, n := utf8.DecodeRuneInString(text[i:])
			class = d.class(r)
			i += n
		}
		next := s.next[class].Load()
		if next == nil {
			if built++; built > dfaPatience+i/8 {
				d.left.Add(-1)
				return nil, false
			}
			next = d.step(s, int(class))
		}
		if next == d.found {
			return next, true
		}
		s = next
	}
	return s, true
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
	// A match may begin anywhere.
	for _, pc := range d.first.Load().insts {
		after = d.insert(after, pc)
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

// state gives the state of a set. When there are too many all are forgotten;
// searches under way keep theirs. d.mu is held.
func (d *dfa) state(set []uint32, last rune) *dfaState {
	for _, pc := range set {
		if d.insts[pc].Op == syntax.InstMatch {
			return d.found
		}
	}
	switch { // only the kind of the last character matters
	case last < 0 || last == '\n':
	case syntax.IsWordChar(last):
		last = 'a'
	default:
		last = ' '
	}
	slices.SortFunc(set, cmp.Compare[uint32])
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
		d.first.Store(&dfaState{next: make([]atomic.Pointer[dfaState], d.end+1), insts: d.first.Load().insts, last: -1})
	}
	s := &dfaState{next: make([]atomic.Pointer[dfaState], d.end+1), insts: slices.Clone(set), last: last}
	d.states[string(key)] = s
	return s
}
