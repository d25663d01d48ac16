package exchange

import (
	"errors"
	"strconv"
	"unicode/utf8"
	"unsafe"

	"github.com/gabion-io/gabion/internal/sensitive"
)

// errShape is any reason why a text is no JSON.
var errShape = errors.New("read JSON: malformed")

// jsonReader walks a JSON text once, without building values.
type jsonReader struct {
	b      []byte
	at     int
	nodes  int
	limits Limits
	cut    bool
	buf    []byte
	parent string // the member that holds the object being read
	classifier
}

// ShapeJSON is the shape of a JSON text. A text that is longer than the limit is
// read up to there: what was seen counts, marked Cut.
func ShapeJSON(b []byte, l Limits) (*Shape, error) {
	r := &jsonReader{limits: l.orDefault()}
	if len(b) > r.limits.Bytes {
		b, r.cut = b[:r.limits.Bytes], true
	}
	r.b = b
	s := &Shape{}
	err := r.value(s, 0, false)
	r.skip()
	if err == nil && r.at < len(r.b) && !r.cut {
		err = errShape
	}
	if r.cut {
		s.Cut = true
		err = nil
	}
	if err != nil {
		return nil, err
	}
	return s, nil
}

func (r *jsonReader) skip() {
	for r.at < len(r.b) {
		switch r.b[r.at] {
		case ' ', '\t', '\r', '\n':
			r.at++
		default:
			return
		}
	}
}

// value reads one value into s; tag says that a string may be kept as a word.
func (r *jsonReader) value(s *Shape, depth int, tag bool) error {
	r.skip()
	if r.at >= len(r.b) {
		return errShape
	}
	r.nodes++
	if depth > r.limits.Depth || r.nodes > r.limits.Nodes {
		s.Cut = true
		s = &Shape{} // read on, but forget it
		if depth > 200 {
			r.cut = true
			return errShape
		}
	}
	switch c := r.b[r.at]; {
	case c == '{':
		return r.object(s, depth)
	case c == '[':
		return r.array(s, depth, tag)
	case c == '"':
		v, err := r.string()
		if err != nil {
			return err
		}
		s.text(v, tag)
		r.note(s, v)
		return nil
	case c == '-' || isDigit(c):
		return r.number(s)
	}
	for _, w := range []struct {
		text string
		t    Type
	}{{"true", Boolean}, {"false", Boolean}, {"null", Null}} {
		if len(r.b)-r.at >= len(w.text) && string(r.b[r.at:r.at+len(w.text)]) == w.text {
			r.at += len(w.text)
			s.Count++
			s.Types[w.t]++
			return nil
		}
	}
	return errShape
}

func (r *jsonReader) object(s *Shape, depth int) error {
	s.Count++
	s.Types[Object]++
	one := s
	if s.Types[Object] > 1 { // an item of an array: its members belong together
		one = &Shape{}
	}
	r.at++
	for first := true; ; first = false {
		r.skip()
		if r.at >= len(r.b) {
			return errShape
		}
		if r.b[r.at] == '}' && first {
			r.at++
			break
		}
		if err := r.pair(one, depth); err != nil {
			return err
		}
		r.skip()
		if r.at >= len(r.b) {
			return errShape
		}
		c := r.b[r.at]
		r.at++
		if c == '}' {
			break
		}
		if c != ',' {
			return errShape
		}
	}
	one.finish()
	if one != s {
		s.mergeVariants(one)
		s.mergeMembers(one)
		if one.Free != nil {
			s.Free = s.Free.Merge(one.Free)
		}
		s.Cut = s.Cut || one.Cut
	}
	return nil
}

func (r *jsonReader) pair(one *Shape, depth int) error {
	r.skip()
	from := r.at
	name, err := r.string()
	if err != nil {
		return err
	}
	parent, field := r.parent, r.field
	r.field = sensitive.Below(parent, name)
	if r.at-from == len(name)+2 { // else it had escapes, and is lent for short
		r.parent = name
	}
	defer func() { r.parent, r.field = parent, field }()
	tag := isTag(name)
	var into *Shape
	switch {
	case !isMemberName(name):
		if one.Free == nil {
			one.Free = &Shape{}
		}
		into = one.Free
	case len(one.Members) >= maxMembers:
		one.Cut = true
		into = &Shape{}
	default:
		into = one.member(name)
	}
	r.skip()
	if r.at >= len(r.b) || r.b[r.at] != ':' {
		return errShape
	}
	r.at++
	return r.value(into, depth+1, tag)
}

// isMemberName: what a developer names a member. A key that looks like a value is
// one: the object is a map, and the key stays here.
func isMemberName(s string) bool {
	if plainName(s) {
		return true
	}
	switch k := KindOf(s); k {
	case KindWord, KindMixed, KindVersion, KindBool:
		return len(s) <= maxFixed
	case KindOther:
		return len(s) <= maxName && s[0] < utf8.RuneSelf && s != " "
	case KindToken: // long camelCase
		return len(s) <= maxFixed && examineName(s)
	}
	return false
}

// plainName is the common case, cheaply: lower case and underscores.
func plainName(s string) bool {
	if len(s) == 0 || len(s) > 15 {
		return false
	}
	for i := range len(s) {
		if c := s[i]; (c < 'a' || c > 'z') && c != '_' {
			return false
		}
	}
	return true
}

func examineName(s string) bool {
	for i := range len(s) {
		if !isLetter(s[i]) && s[i] != '_' && s[i] != '-' {
			return false
		}
	}
	return true
}

func (r *jsonReader) array(s *Shape, depth int, tag bool) error {
	s.Count++
	s.Types[Array]++
	if s.Items == nil {
		s.Items = &Shape{}
	}
	r.at++
	for n := int32(0); ; n++ {
		r.skip()
		if r.at >= len(r.b) {
			return errShape
		}
		if r.b[r.at] == ']' && n == 0 {
			r.at++
			return nil
		}
		if err := r.value(s.Items, depth+1, tag); err != nil {
			return err
		}
		s.Most = max(s.Most, n+1)
		r.skip()
		if r.at >= len(r.b) {
			return errShape
		}
		c := r.b[r.at]
		r.at++
		if c == ']' {
			return nil
		}
		if c != ',' {
			return errShape
		}
	}
}

func (r *jsonReader) number(s *Shape) error {
	from := r.at
	integer := true
	for r.at < len(r.b) {
		c := r.b[r.at]
		if !isDigit(c) && c != '-' && c != '+' && c != '.' && c != 'e' && c != 'E' {
			break
		}
		integer = integer && (isDigit(c) || r.at == from)
		r.at++
	}
	text := r.b[from:r.at]
	s.Count++
	if integer {
		if len(text) == 1 && text[0] == '-' {
			return errShape
		}
		s.Types[Integer]++
		s.Big = s.Big || len(text) > 9 && len(text) < 20
		r.note(s, borrowed(text))
		return nil
	}
	if _, err := strconv.ParseFloat(string(text), 64); err != nil && !errors.Is(err, strconv.ErrRange) {
		return errShape
	}
	s.Types[Number]++
	r.note(s, borrowed(text))
	return nil
}

// string reads a string. The answer is valid until the next call.
func (r *jsonReader) string() (string, error) {
	if r.at >= len(r.b) || r.b[r.at] != '"' {
		return "", errShape
	}
	r.at++
	from := r.at
	for r.at < len(r.b) {
		switch c := r.b[r.at]; {
		case c == '"':
			s := r.b[from:r.at]
			r.at++
			return borrowed(s), nil
		case c == '\\':
			return r.escaped(from)
		case c < 0x20:
			return "", errShape
		}
		r.at++
	}
	return "", errShape
}

// borrowed is b as a string, without a copy: valid as long as b is not changed.
func borrowed(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }

// escaped reads on where the first escape was found.
func (r *jsonReader) escaped(from int) (string, error) {
	r.buf = append(r.buf[:0], r.b[from:r.at]...)
	for r.at < len(r.b) {
		c := r.b[r.at]
		r.at++
		switch {
		case c == '"':
			return borrowed(r.buf), nil
		case c < 0x20:
			return "", errShape
		case c != '\\':
			r.buf = append(r.buf, c)
			continue
		}
		if r.at >= len(r.b) {
			return "", errShape
		}
		c = r.b[r.at]
		r.at++
		switch c {
		case '"', '\\', '/':
			r.buf = append(r.buf, c)
		case 'b', 'f', 'n', 'r', 't':
			r.buf = append(r.buf, ' ')
		case 'u':
			if r.at+4 > len(r.b) {
				return "", errShape
			}
			u, err := strconv.ParseUint(string(r.b[r.at:r.at+4]), 16, 16)
			if err != nil {
				return "", errShape
			}
			r.at += 4
			r.buf = utf8.AppendRune(r.buf, rune(u))
		default:
			return "", errShape
		}
	}
	return "", errShape
}
