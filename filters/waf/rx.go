package waf

import (
	"io/fs"
	"regexp"
	"sync"
	"unicode/utf8"

	"rsc.io/binaryregexp"

	"github.com/corazawaf/coraza/v3/experimental/plugins/plugintypes"
)

// rx is the operator @rx. It answers and captures as the engine's own does, and
// first asks whether a value made of such characters can match at all.
type rx struct {
	// re is compiled when it is first needed: most patterns never leave it to be
	// asked, and their programs would be a third of what an engine keeps.
	re    func() *regexp.Regexp
	bytes *binaryregexp.Regexp // what decides about texts beyond ASCII; nil: re
	reach *reach               // nil: always run re
	words literals
	least int // bytes in the shortest match
	// automaton is made when it is first needed: most patterns are never asked.
	automaton func() *dfa
}

// maxCaptures is how many groups, the whole match included, become TX:0 to TX:8.
const maxCaptures = 9

// maxAsked bounds the values whose alphabet is worked out for one question.
const maxAsked = 2048

// shortText is the length, in bytes, up to which a text is not read for literals.
const shortText = 16

// ruleFiles carries an engine's choices to the operators it compiles, which
// see nothing of the engine but its file system.
type ruleFiles struct {
	fs.FS
	alphabet bool
}

func newRX(o plugintypes.OperatorOptions) (plugintypes.Operator, error) {
	// The engine's own default: dot matches newlines, ^ and $ match at lines.
	expr := "(?sm)" + o.Arguments
	raw := namesRawBytes(expr)
	if raw { // as the engine compiles it: without its flags, byte by byte
		expr = o.Arguments
	}
	op, err := once(o.Memoizer, "gabion:rx:"+expr, func() (*rx, error) { return compileRX(expr, raw) })
	if err != nil {
		return nil, err
	}
	if f, ok := o.Root.(ruleFiles); ok && f.alphabet {
		return op, nil
	}
	return &rx{re: op.re, bytes: op.bytes}, nil
}

// compileRX makes the operator of an expression. With raw it names bytes that
// are not UTF-8: those decide about texts beyond ASCII, and in others, where none
// of them can be, the expression read as characters says the same.
func compileRX(expr string, raw bool) (r *rx, err error) {
	r = &rx{}
	if raw {
		if r.bytes, err = binaryregexp.Compile(expr); err != nil {
			return nil, err
		}
	}
	// It parses as regexp.Compile does, and that is all that can fail there.
	if r.reach, err = newReach(expr); err != nil {
		return nil, err
	}
	r.re = sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(expr) })
	r.words, r.least = newLiterals(expr), r.reach.walk(anyAlphabet)
	r.automaton = sync.OnceValue(func() *dfa {
		r.reach.learnNeeds()
		return newDFA(expr)
	})
	return r, nil
}

// ascii says that text has no byte beyond ASCII.
func ascii(text string) bool {
	for i := range len(text) {
		if text[i] >= utf8.RuneSelf {
			return false
		}
	}
	return true
}

func once[T any](m plugintypes.Memoizer, key string, make func() (T, error)) (T, error) {
	if m == nil {
		return make()
	}
	v, err := m.Do(key, func() (any, error) { return make() })
	if err != nil {
		var none T
		return none, err
	}
	return v.(T), nil
}

func (o *rx) Evaluate(tx plugintypes.TransactionState, value string) bool {
	if late(tx) {
		return false
	}
	if o.reach != nil && o.reach.needs.Load() != 0 && len(value) <= maxAsked && o.reach.lacks(alphabetOf(value)) {
		return false
	}
	if o.automaton != nil && (o.bytes == nil || ascii(value)) {
		if d := o.automaton(); d != nil {
			if match, ok := d.matches(value); ok && (!match || !tx.Capturing()) {
				return match
			}
		}
	}
	re := o.engineFor(value)
	if !tx.Capturing() {
		return re.MatchString(value)
	}
	m := re.FindStringSubmatchIndex(value)
	for i := 0; i < len(m)/2 && i < maxCaptures; i++ {
		group := ""
		if m[2*i] >= 0 {
			group = value[m[2*i]:m[2*i+1]]
		}
		tx.CaptureField(i, group)
	}
	return m != nil
}

// matches is Evaluate without captures, for a value of which more is known.
func (o *rx) matches(t *trial, f *form) bool {
	if o.reach == nil {
		return o.engineFor(f.text).MatchString(f.text)
	}
	if len(f.text) < o.least {
		return false
	}
	a := f.alphabet()
	if o.reach.lacks(a) {
		return false
	}
	// The automaton is done with a short text before its pairs and triples are read.
	if o.words != nil && a&highClass == 0 && (f.grams != nil || len(f.text) > shortText) && !o.words.mayHold(t.found(f)) {
		return false
	}
	if o.bytes != nil && a&highClass != 0 {
		return o.bytes.MatchString(f.text)
	}
	return o.match(f.text)
}

// matcher is what regexp and binaryregexp have in common.
type matcher interface {
	MatchString(string) bool
	FindStringSubmatchIndex(string) []int
}

func (o *rx) engineFor(text string) matcher {
	if o.bytes != nil && !ascii(text) {
		return o.bytes
	}
	return o.re()
}

// match asks the automaton, and the regexp package when that gives up.
func (o *rx) match(text string) bool {
	if d := o.automaton(); d != nil {
		if match, ok := d.matches(text); ok {
			return match
		}
	}
	return o.re().MatchString(text)
}

// namesRawBytes says whether expr, with its hexadecimal escapes taken as bytes,
// is not valid UTF-8. It reads escapes as the engine does, the first two digits
// in braces and "\\x41" included: the choice decides what the rule matches.
func namesRawBytes(expr string) bool {
	var b []byte
	for i := 0; i < len(expr); {
		rest := expr[i:]
		if rest[0] == '\\' && len(rest) < 4 {
			b = append(b, rest...)
			break
		}
		c, n := byte(0), 0
		if rest[0] == '\\' && rest[1] == 'x' {
			c, n = hexEscape(rest)
		}
		if n == 0 {
			c, n = rest[0], 1
		}
		b = append(b, c)
		i += n
	}
	return !utf8.Valid(b)
}

// hexEscape reads "\x41" or "\x{41…}"; n is its length, 0 when it is neither.
func hexEscape(s string) (c byte, n int) {
	digits, n := s[2:], 4
	if len(s) >= 6 && s[2] == '{' {
		for end := 3; end < len(s); end++ {
			if s[end] == '}' {
				digits, n = s[3:end], end+1
				break
			}
		}
	}
	if len(digits) < 2 {
		return 0, 0
	}
	hi, lo := hexDigit(digits[0]), hexDigit(digits[1])
	if hi < 0 || lo < 0 {
		return 0, 0
	}
	return byte(hi<<4 | lo), n
}

func hexDigit(c byte) int {
	switch {
	case c >= '0' && c <= '9':
		return int(c - '0')
	case c >= 'a' && c <= 'f':
		return int(c-'a') + 10
	case c >= 'A' && c <= 'F':
		return int(c-'A') + 10
	}
	return -1
}
