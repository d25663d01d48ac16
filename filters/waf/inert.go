package waf

import (
	"math/bits"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/corazawaf/coraza/v3/experimental/plugins/plugintypes"
)

// effect is what is known of a transformation by the characters of a value.
type effect struct {
	unknown bool     // nothing is known, not even of an empty value
	changes alphabet // without any of these it changes nothing
	adds    alphabet // what its result may have besides what the value has; any: everything
	// A value within ASCII that has none of these characters, and none of the
	// pairs, only changes case or loses its beginning or end.
	joins alphabet
	pairs []joint
	// grows: the result may have more characters than the value.
	grows bool
	// base64: it reads base64 up to where there is none.
	base64 bool
}

// joint is two characters that a transformation acts on where they meet.
type joint struct {
	of   alphabet
	gram uint16
}

func (j joint) in(a alphabet, g *grams) bool { return j.of&^a == 0 && g.has(j.gram) }

// change is the effect of one of which no more is known.
func change(changes, adds alphabet) effect {
	return effect{changes: changes, adds: adds, joins: changes}
}

func pairsOf(list ...string) (out []joint) {
	for _, s := range list {
		out = append(out, joint{alphabetOf(s), pair(s[0], s[1])})
	}
	return out
}

// effectOf knows the engine's transformations by the name of the function.
// Nothing is known of others.
func effectOf(f plugintypes.Transformation) effect {
	name := runtime.FuncForPC(reflect.ValueOf(f).Pointer()).Name()
	name, ok := strings.CutPrefix(name, "github.com/corazawaf/coraza/v3/internal/transformations.")
	if !ok {
		return unknownEffect()
	}
	space := alphabetOf(" ")
	control, spaces := alphabetOf("\x00"), alphabetOf(" \n\t")|highClass
	switch name {
	case "none":
		return effect{}
	case "urlDecode", "urlDecodeUni":
		return change(alphabetOf("%+"), anyAlphabet)
	case "htmlEntityDecode": // some name two characters
		return effect{changes: alphabetOf("&"), adds: anyAlphabet, joins: alphabetOf("&"), grows: true}
	case "jsDecode", "cssDecode", "escapeSeqDecode":
		return change(alphabetOf(`\`), anyAlphabet)
	case "removeNulls":
		return change(control, 0)
	case "replaceNulls":
		return change(control, space)
	case "removeWhitespace":
		return change(spaces, 0)
	case "compressWhitespace":
		return effect{changes: spaces, adds: space, joins: spaces &^ space, pairs: pairsOf("  ")}
	case "replaceComments":
		return effect{changes: alphabetOf("*"), adds: space, pairs: pairsOf("/*")}
	case "removeCommentsChar":
		return effect{changes: alphabetOf("*-#"), joins: alphabetOf("#"), pairs: pairsOf("/*", "*/", "--")}
	case "utf8ToUnicode":
		return effect{changes: highClass, adds: anyAlphabet, joins: highClass, grows: true}
	case "lowerCase":
		return effect{changes: anyAlphabet}
	case "base64decode": // how far it reads depends on more than what is in the value
		return effect{unknown: true, changes: anyAlphabet, adds: anyAlphabet, joins: anyAlphabet, base64: true}
	case "cmdLine":
		return effect{changes: anyAlphabet, adds: space, joins: alphabetOf("\"'\\^,;\t\n"), pairs: pairsOf("  ", " /", " ("), grows: true}
	case "normalisePath":
		return effect{changes: anyAlphabet, adds: alphabetOf("./"), pairs: pairsOf("//", "/."), grows: true}
	case "normalisePathWin": // without a slash all is one component, of which the end may fall
		return effect{changes: anyAlphabet, adds: alphabetOf("./"), joins: alphabetOf("/\\"), grows: true}
	}
	return unknownEffect()
}

func unknownEffect() effect {
	return effect{unknown: true, changes: anyAlphabet, adds: anyAlphabet, joins: anyAlphabet, grows: true}
}

// mayChange is false only when no value made of a is changed.
func (e *effect) mayChange(a alphabet) bool { return e.unknown || e.changes&a != 0 }

// keeps says that every pair and triple of characters in the result, but for
// case, is in the value, which is made of a and has the pairs g. A lone slash is
// apart: as a path it becomes two.
func (e *effect) keeps(a alphabet, g *grams) bool {
	if !e.mayChange(a) {
		return true
	}
	return !e.unknown && (a&highClass|e.joins&a) == 0 && a != alphabetOf("/") &&
		!slices.ContainsFunc(e.pairs, func(j joint) bool { return j.in(a, g) })
}

// on gives what the result can be made of, given what the value is made of.
// Beyond ASCII a change of case can lead into it: then nothing is known.
func (e *effect) on(a alphabet) alphabet {
	switch {
	case !e.mayChange(a):
		return a
	case e.base64:
		return base64Alphabet(a)
	case e.adds == anyAlphabet || a&highClass != 0:
		return anyAlphabet
	}
	return a | e.adds
}

// prospects remembers, by what a value is made of, which predicates it could
// match at all. It saves asking hundreds of them about every value.
type prospects struct {
	memo [prospectMemo]atomic.Pointer[prospect]
}

type prospect struct {
	of   alphabet
	bits []uint64
}

const (
	prospectMemo = 512
	// memoWays is how many places of a memo an answer may be in: with one, two
	// frequent alphabets that share it would drive each other out in every request.
	memoWays          = 8
	letters  alphabet = 1<<26 - 1
)

// maxFresh is how many alphabets are worked out in one phase of one request. Each
// takes as long as judging a hundred values, and a client may send as many values as
// it likes of which no two are made alike: of the others only what is quick to tell
// is told.
const maxFresh = 4

// of gives the bits of the predicates that a value of such an alphabet could
// match, until it is called again. It takes all letters as one: words differ too much
// to be remembered.
func (c *prospects) of(a alphabet, p *skipPlan, s *skipScratch) []uint64 {
	if a&letters != 0 {
		a |= letters
	}
	at := uint64(a) * 0x9e3779b97f4a7c15 >> (64 - bits.TrailingZeros(prospectMemo))
	slot := &c.memo[at]
	for i := range uint64(memoWays) {
		m := c.memo[at^i].Load()
		if m == nil {
			slot = &c.memo[at^i]
			break
		}
		if m.of == a {
			return m.bits
		}
	}
	if s.fresh == maxFresh {
		clear(s.rough)
		p.markPossible(a, s, s.rough, true)
		return s.rough
	}
	s.fresh++
	m := &prospect{of: a, bits: make([]uint64, p.words)}
	p.markPossible(a, s, m.bits, false)
	slot.Store(m)
	return m.bits
}

// markPossible adds the bits of the predicates that a value made of a could match.
func (p *skipPlan) markPossible(a alphabet, s *skipScratch, into []uint64, quick bool) {
	s.made = append(s.made[:0], a)
	for i := 1; i < len(p.nodes); i++ { // parents come first
		s.made = append(s.made, p.nodes[i].effect.on(s.made[p.nodes[i].parent]))
	}
	for i := range p.predicates {
		if p.predicates[i].possible(p.nodes, s.made, quick) {
			into[i/64] |= 1 << (i % 64)
		}
	}
}

// possible is false only when no value can match. If quick it asks no expression that
// has to think about it.
func (q *predicate) possible(nodes []node, made []alphabet, quick bool) bool {
	if q.negated {
		return true
	}
	a := made[q.node]
	if q.multi {
		for n := q.node; n != 0; n = nodes[n].parent {
			a |= made[nodes[n].parent]
		}
	}
	if q.oneOf != 0 && q.oneOf&a == 0 {
		return false
	}
	return q.reach == nil || !q.reach.lacks(a) && (quick || q.reach.shortest(a) != never)
}

// oneOfFor gives the characters of which a text must have one for the operator
// to match it; 0: nothing is known.
func oneOfFor(name string, op plugintypes.Operator) (out alphabet) {
	switch name {
	case "detectxss": // a tag, a declaration or a comment, or an attribute with a value
		return alphabetOf("<=")
	case "validateurlencoding":
		return alphabetOf("%")
	case "validateutf8encoding":
		return highClass
	case "validatebyterange": // it matches when one byte is outside
		if op.Evaluate(nil, "") {
			return 0
		}
		for c := range 256 {
			if op.Evaluate(nil, string([]byte{byte(c)})) {
				out |= classes[c]
			}
		}
	}
	return out
}
