package waf

import (
	"strings"
	"sync/atomic"

	"github.com/corazawaf/libinjection-go"
)

// sqlShapes knows of most texts without quotes that the SQL tokeniser finds no
// injection in them, and need not ask it about each.
//
// What the tokeniser finds depends on the tokens of a text, in order, and of a
// word or number on nothing but that it is one: it compares words with its table,
// alone and joined to what stands beside them, asks of some whether they hold an
// underscore, and of none else what they say. So texts that differ in such words
// only have one shape, and one of them is asked about for all. A shape says which
// of its words are in the table, alone or as a part of a phrase, and which.
type sqlShapes struct {
	words *sqlWords
	known [shapeMemo]atomic.Pointer[sqlShape]
}

const (
	shapeMemo = 4096
	// maxShape is the most tokens of a text that has a shape.
	maxShape = 16
	// plainTokens is how many words and numbers in a row, from the beginning, are
	// all that the tokeniser looks at: it folds none of them, and takes five.
	plainTokens = 6
)

// sqlShape is a sequence of tokens.
type sqlShape struct {
	tokens [maxShape]uint16
	used   int
	plain  int  // tokens from the beginning that are words or numbers
	found  bool // an injection, in a text of this shape
}

// Tokens that are neither a byte of the text nor a word of the table. What they
// stand for is not in it as a token of its own.
const (
	sqlNumber     = '1'
	sqlWord       = 'n'
	sqlScored     = 'N' // a word with an underscore
	sqlVariable   = 'v'
	sqlNoVariable = 'V'   // an at sign without a name
	sqlOperator   = 0x100 // + a byte
	sqlLong       = 0x200 // "<=>"
	sqlKnown      = 0x400 // + the number of a word
	sqlKnownVar   = 0x4000
	sqlPair       = 0x8000 // + two bytes, of seven bits
	// sqlRoom is how many bytes of a word the tokeniser keeps.
	sqlRoom = 31
)

// sqlPlain are the characters whose tokens are known here. Quotes, comments and
// escapes make texts of which more matters.
var sqlPlain = letters | alphabetOf("0 \n\t.,:;/-_@()+*=&%?<>!^|~")

func newSQLShapes() *sqlShapes { return &sqlShapes{words: newSQLWords(sqlTable)} }

// harmless says that there is no injection in the text, made of a. False may
// also mean that it is not known.
func (c *sqlShapes) harmless(text string, a alphabet) bool {
	if a&^sqlPlain != 0 || text == "" {
		return false
	}
	var s sqlShape
	if !c.words.shape(text, &s) {
		return false
	}
	if s.used == 0 || s.used == 1 && s.plain == 1 {
		return true
	}
	hash := uint64(s.used)
	for _, t := range s.tokens[:s.used] {
		hash = (hash ^ uint64(t)) * 0x9e3779b97f4a7c15
		hash ^= hash >> 29
	}
	slot := &c.known[hash%shapeMemo]
	if k := slot.Load(); k != nil && k.used == s.used && k.tokens == s.tokens {
		return !k.found
	}
	s.found, _ = libinjection.IsSQLi(text)
	kept := s
	slot.Store(&kept)
	return !s.found
}

// shape reads the tokens of a text made of sqlPlain. It is false when there are
// too many, or among them one of which more matters.
func (w *sqlWords) shape(text string, s *sqlShape) bool {
	if w == nil {
		return false
	}
	for i := 0; i < len(text); {
		token, n := w.token(text[i:])
		if i += n; token == 0 {
			if n == 0 {
				return false
			}
			continue
		}
		if s.used == maxShape {
			return false
		}
		s.tokens[s.used] = token
		s.used++
		if token == sqlWord || token == sqlScored || token == sqlNumber {
			if s.plain++; s.plain == s.used && s.plain == plainTokens {
				return true
			}
		}
	}
	return true
}

// token reads one token, as the tokeniser does, and its length. It is 0 for what
// is passed over, with the length 0 for what is not known here.
func (w *sqlWords) token(s string) (token uint16, n int) {
	c := s[0]
	switch sqlKinds[c] {
	case sqlSpace:
		return 0, 1
	case sqlLetter:
		return w.word(s)
	case sqlDigit:
		return sqlNumberIn(s)
	case sqlAlone:
		return uint16(c), 1
	case sqlSingle:
		if len(s) > 1 && (c == '-' && s[1] == '-' || c == '/' && s[1] == '*') {
			return 0, 0 // a comment
		}
		return sqlOperator + uint16(c), 1
	case sqlDouble:
		switch {
		case len(s) < 2:
			return sqlOperator + uint16(c), 1
		case strings.HasPrefix(s, "<=>"):
			return sqlLong, 3
		case w.pairs[[2]byte{upperByte(s[0]), upperByte(s[1])}]:
			return sqlPair | uint16(c)<<7 | uint16(s[1]), 2
		case c == ':':
			return ':', 1
		}
		return sqlOperator + uint16(c), 1
	case sqlAt:
		return w.variable(s)
	}
	return 0, 0
}

// sqlNumberIn reads what begins with a digit or a dot.
func sqlNumberIn(s string) (token uint16, n int) {
	if len(s) > 1 && s[0] == '0' {
		switch s[1] {
		case 'x', 'X':
			return sqlDigitsIn(s, func(c byte) bool { return hexDigit(c) >= 0 })
		case 'b', 'B':
			return sqlDigitsIn(s, func(c byte) bool { return c == '0' || c == '1' })
		}
	}
	digits := func() {
		for n < len(s) && s[n] >= '0' && s[n] <= '9' {
			n++
		}
	}
	if digits(); n < len(s) && s[n] == '.' {
		n++
		if digits(); n == 1 {
			return '.', 1
		}
	}
	bare := false // an exponent without digits: the tokeniser passes over all of it
	if n < len(s) && s[n]|0x20 == 'e' {
		if n++; n < len(s) && (s[n] == '+' || s[n] == '-') {
			n++
		}
		before := n
		digits()
		bare = n == before
	}
	if n < len(s) && (s[n]|0x20 == 'd' || s[n]|0x20 == 'f') {
		if n+1 == len(s) || sqlKinds[s[n+1]] == sqlSpace || s[n+1] == ';' || s[n+1]|0x20 == 'u' {
			n++
		}
	}
	if bare {
		return 0, n
	}
	return sqlNumber, n
}

// sqlDigitsIn reads "0x" or "0b" and what follows; without digits it is a word.
func sqlDigitsIn(s string, digit func(byte) bool) (token uint16, n int) {
	for n = 2; n < len(s) && digit(s[n]); n++ {
	}
	if n == 2 {
		return sqlWord, n
	}
	return sqlNumber, n
}

// word reads a word. Where it has a dot, what stands before may be a keyword:
// then the word ends there.
func (w *sqlWords) word(s string) (token uint16, n int) {
	hash, scored := uint32(sqlHash), false
	for n < len(s) && !sqlEndsWord[s[n]] {
		c := s[n]
		if c == '.' && n < sqlRoom {
			if id := w.find(s[:n], hash); id != 0 && w.keyword[id] {
				return sqlKnown + id, n
			}
		}
		scored = scored || c == '_' && n < sqlRoom
		hash = sqlHashed(hash, c)
		n++
	}
	if n <= sqlRoom {
		if id := w.find(s[:n], hash); id != 0 {
			return sqlKnown + id, n
		}
	}
	if scored {
		return sqlScored, n
	}
	return sqlWord, n
}

// variable reads what begins with an at sign.
func (w *sqlWords) variable(s string) (token uint16, n int) {
	from := 1
	if len(s) > 1 && s[1] == '@' {
		from = 2
	}
	hash := uint32(sqlHash)
	for n = from; n < len(s) && !sqlEndsVariable[s[n]]; n++ {
		hash = sqlHashed(hash, s[n])
	}
	if n == from {
		return sqlNoVariable, n
	}
	if n-from <= sqlRoom {
		if id := w.find(s[from:n], hash); id != 0 {
			return sqlKnownVar + id, n
		}
	}
	return sqlVariable, n
}
