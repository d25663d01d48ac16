package exchange

import (
	"errors"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
	"unsafe"
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
	known  *Names // nil: names are looked up each time
	seen   []seenMember
	shapes []Shape     // to be given out, so that not each is an allocation
	kinds  []KindCount // likewise
	classifier
}

// seenMember is a member of an object that is being read.
type seenMember struct {
	name string
	word string // of a tag that tells objects apart
}

// Of shapes and counts so many are made at once. More would be wasted on a small
// body that is kept for long.
const (
	shapeBlock = 8
	kindBlock  = 16
)

func (r *jsonReader) newShape() *Shape {
	if len(r.shapes) == 0 {
		r.shapes = make([]Shape, shapeBlock)
	}
	s := &r.shapes[0]
	r.shapes = r.shapes[1:]
	return s
}

// text notes a string; the first kind of a place is the only one as a rule.
func (r *jsonReader) text(s *Shape, v string, tag bool) {
	if s.Kinds == nil {
		if len(r.kinds) == 0 {
			r.kinds = make([]KindCount, kindBlock)
		}
		s.Kinds, r.kinds = r.kinds[:0:1], r.kinds[1:]
	}
	s.text(v, tag)
}

// ShapeJSON is the shape of a JSON text. A text that is longer than the limit is
// read up to there: what was seen counts, marked Cut.
func ShapeJSON(b []byte, l Limits) (*Shape, error) { return shapeJSON(b, l, nil) }

func shapeJSON(b []byte, l Limits, known *Names) (*Shape, error) {
	r := &jsonReader{limits: l.orDefault(), known: known}
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
		r.text(s, v, tag)
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

// object adds an object's members to those of the others that s stands for. Which
// ones came together is remembered beside, for the variants.
func (r *jsonReader) object(s *Shape, depth int) error {
	s.Count++
	s.Types[Object]++
	from := len(r.seen)
	defer func() { r.seen = r.seen[:from] }()
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
		if err := r.pair(s, depth, from); err != nil {
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
	if v := variantOf(r.seen[from:]); v != nil {
		s.mergeVariants(v)
	}
	return nil
}

// variantOf is what finish would say of an object alone; nil when no tag tells it
// apart.
func variantOf(seen []seenMember) *Shape {
	best, tag, word := 0, "", ""
	for i := range seen {
		m := &seen[i]
		if m.word == "" {
			continue
		}
		if d := discriminates(m.name); d > best || d == best && m.name < tag {
			best, tag, word = d, m.name, m.word
		}
	}
	if best == 0 {
		return nil
	}
	one := &Shape{Tag: tag, Variants: []Variant{{Word: word, Count: 1}}}
	names := make([]WordCount, len(seen))
	for i := range seen {
		names[i] = WordCount{seen[i].name, 1}
	}
	slices.SortFunc(names, func(a, b WordCount) int { return strings.Compare(a.Text, b.Text) })
	one.Variants[0].Members = names
	return one
}

// memberOf finds the shape of a member, and notes that the object has it.
func (r *jsonReader) memberOf(s *Shape, name string, from int) (into *Shape, at int) {
	i, known := slices.BinarySearchFunc(s.Members, name, func(m Member, n string) int { return strings.Compare(m.Name, n) })
	stored := name
	if known {
		stored = s.Members[i].Name
	}
	for k := from; k < len(r.seen); k++ {
		if r.seen[k].name == stored { // twice in one object
			r.seen[k].word = ""
			if s.Map {
				return s.Free, -1
			}
			return s.Members[i].Shape, -1
		}
	}
	if len(r.seen)-from >= maxMembers {
		s.Cut = true
		return &Shape{}, -1
	}
	if !known {
		stored = string([]byte(name))
	}
	r.seen = append(r.seen, seenMember{name: stored})
	if !known && !s.Map && len(s.Members) >= maxMembers {
		s.foldMembers()
	}
	if s.Map {
		if s.Free == nil {
			s.Free = r.newShape()
		}
		return s.Free, len(r.seen) - 1
	}
	if !known {
		if s.Members == nil {
			s.Members = make([]Member, 0, 8)
		}
		s.Members = slices.Insert(s.Members, i, Member{stored, r.newShape()})
	}
	return s.Members[i].Shape, len(r.seen) - 1
}

func (r *jsonReader) pair(one *Shape, depth, seen int) error {
	r.skip()
	from := r.at
	name, err := r.string()
	if err != nil {
		return err
	}
	parent, field := r.parent, r.field
	r.field = r.known.below(parent, name)
	if r.at-from == len(name)+2 { // else it had escapes, and is lent for short
		r.parent = name
	}
	defer func() { r.parent, r.field = parent, field }()
	tag := isTag(name)
	var into *Shape
	at := -1
	if isMemberName(name) {
		into, at = r.memberOf(one, name, seen)
	} else {
		if one.Free == nil {
			one.Free = r.newShape()
		}
		into = one.Free
	}
	telling := at >= 0 && tag && discriminates(name) > 0
	r.skip()
	if r.at >= len(r.b) || r.b[r.at] != ':' {
		return errShape
	}
	r.at++
	if telling {
		r.skip()
		before, count := r.at, into.Count
		err := r.value(into, depth+1, tag)
		if into.Count > count { // else it was too deep
			r.seen[at].word = wordIn(r.b[before:r.at])
		}
		return err
	}
	return r.value(into, depth+1, tag)
}

// wordIn is the text of a JSON string that may be kept as a word, else "".
func wordIn(text []byte) string {
	if len(text) < 3 || len(text) > maxWordText+2 || text[0] != '"' {
		return ""
	}
	r := jsonReader{b: text}
	v, err := r.string()
	if err != nil || len(v) > maxWordText {
		return ""
	}
	switch KindOf(v) {
	case KindWord, KindMixed, KindVersion:
		return strings.Clone(v)
	}
	return ""
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
		s.Items = r.newShape()
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
