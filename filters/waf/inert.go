package waf

import (
	"math/bits"
	"reflect"
	"runtime"
	"strings"
	"sync/atomic"

	"github.com/corazawaf/coraza/v3/experimental/plugins/plugintypes"
)

// effect is what is known of a transformation by the characters of a value.
type effect struct {
	changes alphabet // without any of these it changes nothing
	adds    alphabet // what its result may have besides what the value has; any: everything
}

// effectOf knows the engine's transformations by the name of the function.
// Nothing is known of others.
func effectOf(f plugintypes.Transformation) effect {
	name := runtime.FuncForPC(reflect.ValueOf(f).Pointer()).Name()
	name, ok := strings.CutPrefix(name, "github.com/corazawaf/coraza/v3/internal/transformations.")
	if !ok {
		return effect{anyAlphabet, anyAlphabet}
	}
	space := alphabetOf(" ")
	control, spaces := alphabetOf("\x00"), alphabetOf(" \n\t")|highClass
	switch name {
	case "none":
		return effect{}
	case "urlDecode", "urlDecodeUni":
		return effect{alphabetOf("%+"), anyAlphabet}
	case "htmlEntityDecode":
		return effect{alphabetOf("&"), anyAlphabet}
	case "jsDecode", "cssDecode", "escapeSeqDecode":
		return effect{alphabetOf(`\`), anyAlphabet}
	case "removeNulls":
		return effect{control, 0}
	case "replaceNulls":
		return effect{control, space}
	case "removeWhitespace":
		return effect{spaces, 0}
	case "compressWhitespace":
		return effect{spaces, space}
	case "replaceComments":
		return effect{alphabetOf("*"), space}
	case "removeCommentsChar":
		return effect{alphabetOf("*-#"), 0}
	case "utf8ToUnicode":
		return effect{highClass, anyAlphabet}
	case "lowerCase":
		return effect{anyAlphabet, 0}
	case "cmdLine":
		return effect{anyAlphabet, space}
	case "normalisePath", "normalisePathWin":
		return effect{anyAlphabet, alphabetOf("./")}
	}
	return effect{anyAlphabet, anyAlphabet}
}

// on gives what the result can be made of, given what the value is made of.
// Beyond ASCII a change of case can lead into it: then nothing is known.
func (e effect) on(a alphabet) alphabet {
	switch {
	case e.changes&a == 0:
		return a
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

// of gives the bits of the predicates that a value of such an alphabet could
// match. It takes all letters as one: words differ too much to be remembered.
func (c *prospects) of(a alphabet, p *skipPlan) []uint64 {
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
	m := &prospect{of: a, bits: make([]uint64, p.words)}
	made := make([]alphabet, len(p.nodes))
	made[0] = a
	for i := 1; i < len(p.nodes); i++ { // parents come first
		made[i] = p.nodes[i].effect.on(made[p.nodes[i].parent])
	}
	for i := range p.predicates {
		if p.predicates[i].possible(p.nodes, made) {
			m.bits[i/64] |= 1 << (i % 64)
		}
	}
	slot.Store(m)
	return m.bits
}

// possible is false only when no value can match.
func (q *predicate) possible(nodes []node, made []alphabet) bool {
	if q.negated || q.reach == nil {
		return true
	}
	a := made[q.node]
	if q.multi {
		for n := q.node; n != 0; n = nodes[n].parent {
			a |= made[nodes[n].parent]
		}
	}
	return !q.reach.lacks(a) && q.reach.shortest(a) != never
}

// oneWord says that text is a word or a number to SQL: one token, which is no
// injection by itself.
func oneWord(text string) bool {
	digits := text != "" && text[0] >= '0' && text[0] <= '9'
	for i := range len(text) {
		switch c := text[i]; {
		case c >= '0' && c <= '9':
		case !digits && (lowerByte(c) >= 'a' && lowerByte(c) <= 'z' || c == '_' && i > 0):
		default:
			return false
		}
	}
	return text != ""
}
