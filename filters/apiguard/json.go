package apiguard

import (
	"errors"
	"fmt"
	"strconv"
	"unicode/utf8"

	"github.com/gabion-io/gabion/internal/jsonread"
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
	jsonread.Reader
	depth int // left
	count int
}

// parse reads a whole text.
func parse(b []byte, depth int) (any, error) {
	r := reader{Reader: jsonread.Over(string(b)), depth: depth} // what is told of the values may outlive b
	v, err := r.value()
	if err != nil {
		return nil, err
	}
	if !r.Done() {
		return nil, errMalformed
	}
	return v, nil
}

func (r *reader) value() (any, error) {
	if r.count++; r.count > maxValues {
		return nil, errMany
	}
	switch c := r.Next(); {
	case c == '{':
		return r.nested(r.object)
	case c == '[':
		return r.nested(r.array)
	case c == '"':
		return r.string()
	case c == '-' || c >= '0' && c <= '9':
		return r.number()
	}
	switch r.Word() {
	case 't':
		return true, nil
	case 'f':
		return false, nil
	case 'n':
		return nil, nil
	}
	return nil, errMalformed
}

func (r *reader) nested(read func() (any, error)) (any, error) {
	if r.depth--; r.depth < 0 {
		return nil, errors.New("is nested too deep")
	}
	r.Skip()
	v, err := read()
	r.depth++
	return v, err
}

// next moves past a comma; false at the end of the list.
func (r *reader) next(end byte) (bool, error) {
	more, ok := r.More(end)
	if !ok {
		return false, errMalformed
	}
	return more, nil
}

func (r *reader) object() (any, error) {
	out := map[string]any{}
	if r.Take('}') {
		return out, nil
	}
	for more := true; more; {
		name, err := r.string()
		if err != nil {
			return nil, err
		}
		if !r.Take(':') {
			return nil, errMalformed
		}
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
	if r.Take(']') {
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

func (r *reader) string() (string, error) {
	text, form, ok := r.Text()
	if !ok || form&jsonread.Beyond != 0 && !utf8.ValidString(text) {
		return "", errMalformed
	}
	if form&jsonread.Escaped == 0 {
		return text, nil
	}
	b, ok := jsonread.Unescape(nil, text)
	if !ok {
		return "", errMalformed
	}
	return string(b), nil
}

func (r *reader) number() (any, error) {
	text, n := r.Number()
	if n == jsonread.NoNumber {
		return nil, errMalformed
	}
	v, ok := numberAs(text, n)
	if !ok {
		return nil, errLarge
	}
	return v, nil
}

// number reads a number as JSON writes it.
func number(text string) (any, bool) { return numberAs(text, jsonread.NumberIn(text)) }

func numberAs(text string, n jsonread.Number) (any, bool) {
	switch {
	case n == jsonread.NoNumber:
		return nil, false
	case n == jsonread.Integer && len(text) <= maxDigits:
		i, err := strconv.ParseInt(text, 10, 64)
		return i, err == nil
	}
	f, err := strconv.ParseFloat(text, 64)
	return f, err == nil
}

// maxDigits is the length up to which a whole number fits into 64 bits.
const maxDigits = 18
