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
	// places reads in the automaton's place what leads that from state to state.
	places func() *nfa
}

// maxCaptures is how many groups, the whole match included, become TX:0 to TX:8.
const maxCaptures = 9

// maxAsked bounds the values whose alphabet is worked out for one question.
const maxAsked = 2048

// longCapture is the length, in bytes, from which the begin of a match is looked for
// before what it captures.
const longCapture = 128

// shortText is the length, in bytes, up to which a text is not read for literals.
const shortText = 16

// ruleFiles carries an engine's choices to the operators it compiles, which
// see nothing of the engine but its file system.
type ruleFiles struct {
	fs.FS
	alphabet, literals bool
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
	f, ok := o.Root.(ruleFiles)
	switch {
	case !ok || !f.alphabet:
		return &rx{re: op.re, bytes: op.bytes}, nil
	case !f.literals:
		plain := *op
		plain.words = nil
		return &plain, nil
	}
	return op, nil
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
	r.places = sync.OnceValue(func() *nfa { return newNFA(r.automaton()) })
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
		if match, ok := o.decide(value); ok && (!match || !tx.Capturing()) {
			return match
		}
	}
	if !tx.Capturing() {
		return o.engineFor(value).MatchString(value)
	}
	m, value := o.captures(value)
	for i := 0; i < len(m)/2 && i < maxCaptures; i++ {
		group := ""
		if m[2*i] >= 0 {
			group = value[m[2*i]:m[2*i+1]]
		}
		tx.CaptureField(i, group)
	}
	return m != nil
}

// captures gives what the first match in text captures, and of which text. Of a long
// one most of what stands before the match is left out: the regexp package would read
// it slowly. One character stays, on which assertions may depend. It may look like
// the begin of a match, now that nothing is before it: then nothing is left out.
func (o *rx) captures(text string) (m []int, of string) {
	re := o.engineFor(text)
	if _, plain := re.(*regexp.Regexp); plain && len(text) >= longCapture && o.automaton != nil {
		if at := o.begin(text); at > 0 {
			_, size := utf8.DecodeLastRuneInString(text[:at])
			if m = re.FindStringSubmatchIndex(text[at-size:]); m != nil && m[0] >= size {
				return m, text[at-size:]
			}
		}
	}
	return re.FindStringSubmatchIndex(text), text
}

// begin gives a place before which no match in text begins.
func (o *rx) begin(text string) (at int) {
	d := o.automaton()
	if d == nil {
		return 0
	}
	at, ok := d.begin(text)
	if !ok {
		at, _, _ = o.places().find(text)
	}
	return at
}

// matches is Evaluate without captures, for a value of which more is known. ids are
// the numbers of its words.
func (o *rx) matches(t *trial, f *form, ids []int32) bool {
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
	if o.words != nil && a&highClass == 0 && (f.grams != nil || len(f.text) > shortText) && !o.words.mayHold(t.found(f), ids) {
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

// match asks the automata, and the regexp package about expressions beyond them.
func (o *rx) match(text string) bool {
	if match, ok := o.decide(text); ok {
		return match
	}
	return o.re().MatchString(text)
}

// decide asks the automata alone.
func (o *rx) decide(text string) (match, ok bool) {
	d := o.automaton()
	if d == nil {
		return false, false
	}
	if match, ok = d.matches(text); ok {
		return match, true
	}
	return o.places().matches(text)
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
