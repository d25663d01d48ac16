package apiguard

import (
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

// maxValues bounds the values of one body, and with it what judging it may cost.
const maxValues = 100_000

var (
	errMalformed = errors.New("is no JSON")
	errTwice     = errors.New("has a member twice: which one counts is anybody's guess")
	errLarge     = errors.New("has a number that is too large")
	errMany      = fmt.Errorf("has more than %d values", maxValues)
)

// reader reads one JSON text (RFC 8259) into Go's values: int64 for numbers that
// are such, else float64. It is stricter than most in one thing, on purpose: an
// object with one member twice is refused, since two programs that read it may well
// read two things.
type reader struct {
	b     string
	at    int
	depth int // left
	count int
}

// parse reads a whole text.
func parse(b []byte, depth int) (any, error) {
	r := reader{b: string(b), depth: depth}
	r.space()
	v, err := r.value()
	if err != nil {
		return nil, err
	}
	if r.space(); r.at < len(r.b) {
		return nil, errMalformed
	}
	return v, nil
}

func (r *reader) space() {
	for r.at < len(r.b) {
		switch r.b[r.at] {
		case ' ', '\t', '\r', '\n':
			r.at++
		default:
			return
		}
	}
}

func (r *reader) value() (any, error) {
	if r.count++; r.count > maxValues {
		return nil, errMany
	}
	if r.at >= len(r.b) {
		return nil, errMalformed
	}
	switch c := r.b[r.at]; {
	case c == '{':
		return r.nested(r.object)
	case c == '[':
		return r.nested(r.array)
	case c == '"':
		return r.text()
	case c == '-' || c >= '0' && c <= '9':
		return r.number()
	}
	for _, w := range []struct {
		text string
		v    any
	}{{"true", true}, {"false", false}, {"null", nil}} {
		if strings.HasPrefix(r.b[r.at:], w.text) {
			r.at += len(w.text)
			return w.v, nil
		}
	}
	return nil, errMalformed
}

func (r *reader) nested(read func() (any, error)) (any, error) {
	if r.depth--; r.depth < 0 {
		return nil, errors.New("is nested too deep")
	}
	r.at++
	r.space()
	v, err := read()
	r.depth++
	return v, err
}

// next moves past a comma; false at the end of the list.
func (r *reader) next(end byte) (bool, error) {
	r.space()
	if r.at >= len(r.b) {
		return false, errMalformed
	}
	c := r.b[r.at]
	r.at++
	if c == end {
		return false, nil
	}
	if c != ',' {
		return false, errMalformed
	}
	r.space()
	return true, nil
}

func (r *reader) ends(end byte) bool {
	if r.at < len(r.b) && r.b[r.at] == end {
		r.at++
		return true
	}
	return false
}

func (r *reader) object() (any, error) {
	out := map[string]any{}
	if r.ends('}') {
		return out, nil
	}
	for more := true; more; {
		if r.at >= len(r.b) || r.b[r.at] != '"' {
			return nil, errMalformed
		}
		name, err := r.text()
		if err != nil {
			return nil, err
		}
		if r.space(); r.at >= len(r.b) || r.b[r.at] != ':' {
			return nil, errMalformed
		}
		r.at++
		r.space()
		if _, twice := out[name]; twice {
			return nil, errTwice
		}
		if out[name], err = r.value(); err != nil {
			return nil, err
		}
		if more, err = r.next('}'); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func (r *reader) array() (any, error) {
	out := []any{}
	if r.ends(']') {
		return out, nil
	}
	for more := true; more; {
		v, err := r.value()
		if err != nil {
			return nil, err
		}
		out = append(out, v)
		if more, err = r.next(']'); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// text reads a string; one with escapes is the standard library's to read.
func (r *reader) text() (string, error) {
	from, escaped, ascii := r.at, false, true
	for r.at++; r.at < len(r.b); r.at++ {
		switch c := r.b[r.at]; {
		case c == '\\':
			escaped = true
			r.at++
		case c == '"':
			r.at++
			return unquote(r.b[from:r.at], escaped, ascii)
		case c < ' ':
			return "", errMalformed
		case c >= utf8.RuneSelf:
			ascii = false
		}
	}
	return "", errMalformed
}

func unquote(quoted string, escaped, ascii bool) (out string, err error) {
	if !ascii && !utf8.ValidString(quoted) {
		return "", errMalformed
	}
	if !escaped {
		return quoted[1 : len(quoted)-1], nil
	}
	if json.Unmarshal([]byte(quoted), &out) != nil {
		return "", errMalformed
	}
	return out, nil
}

func (r *reader) number() (any, error) {
	from := r.at
	for r.at < len(r.b) && strings.IndexByte("+-.eE0123456789", r.b[r.at]) >= 0 {
		r.at++
	}
	text := r.b[from:r.at]
	if !isNumber(text) {
		return nil, errMalformed
	}
	n, ok := number(text)
	if !ok {
		return nil, errLarge
	}
	return n, nil
}

// number reads a number as JSON writes it.
func number(text string) (any, bool) {
	if !isNumber(text) {
		return nil, false
	}
	if len(text) <= 18 && !strings.ContainsAny(text, ".eE") {
		n, err := strconv.ParseInt(text, 10, 64)
		return n, err == nil
	}
	f, err := strconv.ParseFloat(text, 64)
	return f, err == nil
}

// isNumber is the grammar: -?(0|[1-9][0-9]*)(.[0-9]+)?([eE][+-]?[0-9]+)?
func isNumber(s string) bool {
	s = strings.TrimPrefix(s, "-")
	whole := digits(s)
	if whole == 0 || whole > 1 && s[0] == '0' {
		return false
	}
	s = s[whole:]
	if strings.HasPrefix(s, ".") {
		n := digits(s[1:])
		if n == 0 {
			return false
		}
		s = s[1+n:]
	}
	if s != "" && s[0]|0x20 == 'e' {
		s = s[1:]
		if s != "" && (s[0] == '+' || s[0] == '-') {
			s = s[1:]
		}
		n := digits(s)
		return n > 0 && n == len(s)
	}
	return s == ""
}

func digits(s string) int {
	n := 0
	for n < len(s) && s[n] >= '0' && s[n] <= '9' {
		n++
	}
	return n
}
