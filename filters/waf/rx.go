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
	re    *regexp.Regexp
	reach *reach // nil: always run re
	words literals
	least int // bytes in the shortest match
	// automaton is made when it is first needed: most patterns are never asked.
	automaton func() *dfa
}

// maxCaptures is how many groups, the whole match included, become TX:0 to TX:8.
const maxCaptures = 9

// maxAsked bounds the values whose alphabet is worked out for one question.
const maxAsked = 2048

// ruleFiles carries an engine's choices to the operators it compiles, which
// see nothing of the engine but its file system.
type ruleFiles struct {
	fs.FS
	alphabet bool
}

func newRX(o plugintypes.OperatorOptions) (plugintypes.Operator, error) {
	// The engine's own default: dot matches newlines, ^ and $ match at lines.
	expr := "(?sm)" + o.Arguments
	if namesRawBytes(expr) {
		b, err := once(o.Memoizer, "gabion:bytes:"+o.Arguments, func() (*bytesRX, error) {
			re, err := binaryregexp.Compile(o.Arguments)
			if err != nil {
				return nil, err
			}
			b := &bytesRX{re: re}
			// Bytes beyond ASCII are one class, as characters beyond it are.
			if b.reach, err = newReach(o.Arguments); err == nil {
				b.reach.learnNeeds()
			}
			return b, nil
		})
		if err != nil {
			return nil, err
		}
		if f, ok := o.Root.(ruleFiles); !ok || !f.alphabet {
			return &bytesRX{re: b.re}, nil
		}
		return b, nil
	}
	op, err := once(o.Memoizer, "gabion:rx:"+expr, func() (*rx, error) {
		re, err := regexp.Compile(expr)
		if err != nil {
			return nil, err
		}
		r, err := newReach(expr)
		if err != nil {
			return nil, err
		}
		return &rx{re: re, reach: r, words: newLiterals(expr), least: r.walk(anyAlphabet), automaton: sync.OnceValue(func() *dfa {
			r.learnNeeds()
			return newDFA(expr)
		})}, nil
	})
	if err != nil {
		return nil, err
	}
	if f, ok := o.Root.(ruleFiles); ok && f.alphabet {
		return op, nil
	}
	return &rx{re: op.re}, nil
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
	if o.automaton != nil {
		if d := o.automaton(); d != nil {
			if match, ok := d.matches(value); ok && (!match || !tx.Capturing()) {
				return match
			}
		}
	}
	if !tx.Capturing() {
		return o.re.MatchString(value)
	}
	m := o.re.FindStringSubmatchIndex(value)
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
		return o.re.MatchString(f.text)
	}
	if len(f.text) < o.least {
		return false
	}
	a := f.alphabet()
	if o.reach.lacks(a) {
		return false
	}
	if o.words != nil && a&highClass == 0 && !o.words.mayHold(t.found(f)) {
		return false
	}
	return o.match(f.text)
}

// match asks the automaton, and the regexp package when that gives up.
func (o *rx) match(text string) bool {
	if d := o.automaton(); d != nil {
		if match, ok := d.matches(text); ok {
			return match
		}
	}
	return o.re.MatchString(text)
}

// bytesRX is @rx for expressions that name bytes which are not UTF-8.
type bytesRX struct {
	re    *binaryregexp.Regexp
	reach *reach // nil: not known
}

func (o *bytesRX) Evaluate(tx plugintypes.TransactionState, value string) bool {
	if !tx.Capturing() {
		return o.re.MatchString(value)
	}
	groups := o.re.FindStringSubmatch(value)
	for i := 0; i < len(groups) && i < maxCaptures; i++ {
		tx.CaptureField(i, groups[i])
	}
	return len(groups) > 0
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
