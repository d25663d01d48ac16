package waf

import (
	"regexp/syntax"
	"strings"
	"unicode/utf8"
)

// literals are strings of which one must be in every ASCII text that a regular
// expression matches, in lower case; nil when there are none to be had.
type literals []literal

type literal struct {
	text  string
	grams []uint16
}

const (
	maxLiterals = 192
	maxExact    = 48
	gramBits    = 1 << 16
)

// grams is the set of pairs and triples of bytes in a text, ASCII letters in
// lower case, by hash: what is not in it is not in the text.
//
// Short texts use a corner of the set, so that it need not all be cleared.
type grams struct {
	bits  [gramBits / 64]uint64
	shift uint // of a hash
	// table has the words that were looked for; then triples were not. nil: none were.
	table *wordTable
	found []uint64 // words of the table
}

// fewGrams is the length from which a text uses the whole set.
const fewGrams = 2048

func lowerByte(c byte) byte {
	if c >= 'A' && c <= 'Z' {
		return c + 'a' - 'A'
	}
	return c
}

func pair(a, b byte) uint16 {
	return uint16((uint32(a)<<8 | uint32(b)) * 0x9e3779b1 >> 16)
}

func triple(a, b, c byte) uint16 {
	return uint16((uint32(a)<<16 | uint32(b)<<8 | uint32(c) | 1<<24) * 0x85ebca6b >> 16)
}

func (g *grams) add(h uint16)      { h >>= g.shift; g.bits[h/64] |= 1 << (h % 64) }
func (g *grams) has(h uint16) bool { h >>= g.shift; return g.bits[h/64]&(1<<(h%64)) != 0 }

// read reads a text, a long one for the words of a table if there is one.
func (g *grams) read(text string, table *wordTable) {
	if g.shift, g.table = 0, nil; len(text) < fewGrams {
		g.shift = 4
	}
	clear(g.bits[:len(g.bits)>>g.shift])
	if table != nil && len(text) >= exactText {
		g.lookFor(table)
	}
	g.more(text)
}

// readAll reads several texts.
func (g *grams) readAll(texts []string, table *wordTable) {
	g.shift = 0
	clear(g.bits[:])
	g.lookFor(table)
	for _, text := range texts {
		g.more(text)
	}
}

// lookFor has what is read from now on read for words.
func (g *grams) lookFor(table *wordTable) {
	g.table = table
	if words := (table.size + 63) / 64; cap(g.found) < words {
		g.found = make([]uint64, words)
	} else {
		g.found = g.found[:words]
		clear(g.found)
	}
}

func (g *grams) more(text string) {
	if g.table != nil {
		for i := 1; i < len(text); i++ {
			g.add(pair(lowered[text[i-1]], lowered[text[i]]))
		}
		g.table.find(text, g.found)
		return
	}
	var a, b byte
	for i := range len(text) {
		c := lowered[text[i]]
		if i > 0 {
			g.add(pair(b, c))
		}
		if i > 1 {
			g.add(triple(a, b, c))
		}
		a, b = b, c
	}
}

func gramsOf(literal string) (out []uint16) {
	if len(literal) == 2 {
		return []uint16{pair(literal[0], literal[1])}
	}
	for i := 2; i < len(literal); i++ {
		out = append(out, triple(literal[i-2], literal[i-1], literal[i]))
	}
	return out
}

// mayHold says that one of the literals may be in the text g was read from. ids are
// their numbers in the table of words.
func (l literals) mayHold(g *grams, ids []int32) bool {
next:
	for i := range l {
		if g.table != nil && ids[i] >= 0 {
			if id := ids[i]; g.found[id/64]&(1<<(id%64)) != 0 {
				return true
			}
			continue
		}
		for _, h := range l[i].grams {
			if !g.has(h) {
				continue next
			}
		}
		return true
	}
	return false
}

func newLiterals(expr string) literals {
	tree, err := syntax.Parse(expr, syntax.Perl)
	if err != nil {
		return nil
	}
	var out literals
	for _, s := range required(tree) {
		out = append(out, literal{s, gramsOf(s)})
	}
	return out
}

// required gives strings of at least two bytes, one of which is in every match.
func required(re *syntax.Regexp) []string {
	if set := usable(exact(re)); set != nil {
		return set
	}
	switch re.Op {
	case syntax.OpCapture, syntax.OpPlus:
		return required(re.Sub[0])
	case syntax.OpRepeat:
		if re.Min > 0 {
			return required(re.Sub[0])
		}
	case syntax.OpAlternate:
		var all []string
		for _, sub := range re.Sub {
			set := required(sub)
			if set == nil || len(all)+len(set) > maxLiterals {
				return nil
			}
			all = append(all, set...)
		}
		return all
	case syntax.OpConcat:
		return requiredOfAll(re.Sub)
	}
	return nil
}

// requiredOfAll picks the best of what each part, or a run of parts that can
// only be few strings, requires: the longest.
func requiredOfAll(parts []*syntax.Regexp) (best []string) {
	run := []string{""}
	for _, part := range parts {
		set := exact(part)
		if joined := join(run, set); set != nil && joined != nil {
			run = joined
			continue
		}
		best = better(best, usable(run))
		best = better(best, required(part))
		if run = set; run == nil {
			run = []string{""}
		}
	}
	return better(best, usable(run))
}

func better(a, b []string) []string {
	if b == nil || a != nil && shortest(a) >= shortest(b) {
		return a
	}
	return b
}

func shortest(set []string) int {
	n := 1 << 20
	for _, s := range set {
		n = min(n, len(s))
	}
	return n
}

func usable(set []string) []string {
	if len(set) == 0 || shortest(set) < 2 {
		return nil
	}
	return set
}

// exact gives all strings that re matches, in lower case, if they are few and
// ASCII; nil otherwise. Assertions count as met.
func exact(re *syntax.Regexp) []string {
	switch re.Op {
	case syntax.OpEmptyMatch, syntax.OpBeginLine, syntax.OpEndLine, syntax.OpBeginText, syntax.OpEndText,
		syntax.OpWordBoundary, syntax.OpNoWordBoundary:
		return []string{""}
	case syntax.OpLiteral:
		s := strings.ToLower(string(re.Rune))
		for _, r := range re.Rune {
			if r >= utf8.RuneSelf {
				return nil
			}
		}
		return []string{s}
	case syntax.OpCharClass:
		return exactClass(re.Rune)
	case syntax.OpCapture:
		return exact(re.Sub[0])
	case syntax.OpQuest:
		return union([]string{""}, exact(re.Sub[0]))
	case syntax.OpAlternate:
		var all []string
		for i, sub := range re.Sub {
			set := exact(sub)
			if set == nil {
				return nil
			}
			if i == 0 {
				all = set
			} else if all = union(all, set); all == nil {
				return nil
			}
		}
		return all
	case syntax.OpConcat:
		all := []string{""}
		for _, sub := range re.Sub {
			set := exact(sub)
			if set == nil {
				return nil
			}
			if all = join(all, set); all == nil {
				return nil
			}
		}
		return all
	}
	return nil
}

// exactClass leaves out what is not ASCII: the literals are asked about ASCII
// texts only.
func exactClass(ranges []rune) (out []string) {
	for i := 0; i < len(ranges); i += 2 {
		for r := ranges[i]; r <= ranges[i+1] && r < utf8.RuneSelf; r++ {
			s := string(rune(lowerByte(byte(r))))
			if out = union(out, []string{s}); len(out) > 8 {
				return nil
			}
		}
	}
	return out
}

func union(a, b []string) []string {
	if b == nil || len(a)+len(b) > maxExact {
		return nil
	}
	seen := map[string]bool{}
	var out []string
	for _, s := range append(append([]string{}, a...), b...) {
		if !seen[s] {
			seen[s] = true
			out = append(out, s)
		}
	}
	return out
}

func join(a, b []string) []string {
	if len(a)*len(b) > maxExact {
		return nil
	}
	out := make([]string, 0, len(a)*len(b))
	for _, s := range a {
		for _, t := range b {
			out = append(out, s+t)
		}
	}
	return out
}
