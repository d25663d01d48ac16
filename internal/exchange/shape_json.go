package exchange

import (
	"errors"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/gabion-io/gabion/internal/jsonread"
	"github.com/gabion-io/gabion/internal/sensitive"
)

// errShape is any reason why a text is no JSON.
var errShape = errors.New("read JSON: malformed")

// jsonReader walks a JSON text once, without building values. What it needs for
// that it keeps for the next text.
type jsonReader struct {
	in     jsonread.Reader
	known  *Names // nil: names are looked up each time
	limits Limits
	nodes  int
	cut    bool
	parent *memberName // the member that holds the object being read
	last   string      // the string read last
	kind   Kind        // of it
	buf    []byte      // of strings with escapes
	seen   []seenMember
	order  []int32 // of members, by name
	draft
	classifier
}

// seenMember is a member of an object that is being read.
type seenMember struct {
	name    string
	word    string // of a tag that tells objects apart
	telling int
}

// ShapeJSON is the shape of a JSON text. A text that is longer than the limit is
// read up to there: what was seen counts, marked Cut.
func ShapeJSON(b []byte, l Limits) (*Shape, error) { return shapeJSON(b, l, nil) }

func shapeJSON(b []byte, l Limits, known *Names) (*Shape, error) {
	r := known.reader()
	defer known.done(r)
	return r.shape(b, l)
}

func (r *jsonReader) shape(b []byte, l Limits) (*Shape, error) {
	r.limits = l.orDefault()
	r.nodes, r.cut, r.parent, r.field = 0, false, nil, sensitive.Field{}
	r.seen, r.used = r.seen[:0], 0
	if len(b) > r.limits.Bytes {
		b, r.cut = b[:r.limits.Bytes], true
	}
	r.in = jsonread.OverBytes(b)
	defer r.forget()
	s := r.part()
	err := r.value(s, 0, false)
	if err == nil && !r.in.Done() && !r.cut {
		err = errShape
	}
	if r.cut {
		s.Cut = true
		err = nil
	}
	if err != nil {
		return nil, err
	}
	return r.fair(s), nil
}

// forget lets the text go.
func (r *jsonReader) forget() { r.in, r.last = jsonread.Reader{}, "" }

// Bounds of what a reader keeps between two texts.
const (
	keptParts = 256
	keptText  = 64 << 10
	keptNames = 2048
)

// small says that what the reader holds is not worth throwing away.
func (r *jsonReader) small() bool {
	if len(r.parts) > keptParts || cap(r.buf) > keptText || cap(r.seen) > keptNames {
		return false
	}
	names := 0
	for _, s := range r.parts {
		names += cap(s.Members)
	}
	return names <= keptNames
}

// value reads one value into s; tag says that a string may be kept as a word.
func (r *jsonReader) value(s *Shape, depth int, tag bool) error {
	r.nodes++
	if depth > r.limits.Depth || r.nodes > r.limits.Nodes {
		s.Cut = true
		return r.pass(depth)
	}
	switch c := r.in.Next(); {
	case c == '{':
		return r.object(s, depth)
	case c == '[':
		return r.array(s, depth, tag)
	case c == '"':
		v, err := r.string()
		if err != nil {
			return err
		}
		r.last, r.kind = v, s.text(v, tag)
		r.note(s, v)
		return nil
	case c == '-' || isDigit(c):
		return r.number(s)
	}
	t := Boolean
	switch r.in.Word() {
	case 0:
		return errShape
	case 'n':
		t = Null
	}
	s.Count++
	s.Types[t]++
	return nil
}

// maxPassed is the depth from which on a text is not even read on.
const maxPassed = 200

// pass reads on over a value that is beyond the bounds, and forgets it.
func (r *jsonReader) pass(depth int) error {
	if depth > maxPassed {
		r.cut = true
		return errShape
	}
	c := r.in.Next()
	switch {
	case c == '{':
		return r.passList('}', depth)
	case c == '[':
		return r.passList(']', depth)
	case c == '"':
		_, err := r.string()
		return err
	case c == '-' || isDigit(c):
		_, _, err := r.numeral()
		return err
	}
	if r.in.Word() == 0 {
		return errShape
	}
	return nil
}

func (r *jsonReader) passList(end byte, depth int) error {
	r.in.Skip()
	if r.in.Take(end) {
		return nil
	}
	for more := true; more; {
		if end == '}' {
			if _, err := r.string(); err != nil {
				return err
			}
			if !r.in.Take(':') {
				return errShape
			}
		}
		r.nodes++
		if err := r.pass(depth + 1); err != nil {
			return err
		}
		var ok bool
		if more, ok = r.in.More(end); !ok {
			return errShape
		}
	}
	return nil
}

// object adds an object's members to those of the others that s stands for. Which
// ones came together is remembered beside, for the variants.
func (r *jsonReader) object(s *Shape, depth int) error {
	s.Count++
	s.Types[Object]++
	r.in.Skip()
	if r.in.Take('}') {
		return nil
	}
	from := len(r.seen)
	for more := true; more; {
		if err := r.pair(s, depth, from); err != nil {
			return err
		}
		var ok bool
		if more, ok = r.in.More('}'); !ok {
			return errShape
		}
	}
	r.noteVariant(s, r.seen[from:])
	r.seen = r.seen[:from]
	return nil
}

// noteVariant adds one object, by the members it had, to the variants of those that
// s stands for. Where no tag tells it apart it is none.
func (r *jsonReader) noteVariant(s *Shape, seen []seenMember) {
	best := -1
	for i := range seen {
		m := &seen[i]
		if m.word != "" && (best < 0 || m.telling > seen[best].telling || m.telling == seen[best].telling && m.name < seen[best].name) {
			best = i
		}
	}
	if best < 0 {
		return
	}
	v := s.variant(seen[best].name, seen[best].word, len(seen))
	if v == nil {
		return
	}
	v.Count++
	r.order = r.order[:0]
	for i := range seen {
		r.order = append(r.order, int32(i))
	}
	slices.SortFunc(r.order, func(a, b int32) int { return strings.Compare(seen[a].name, seen[b].name) })
	at := 0
	for _, i := range r.order {
		at = v.add(WordCount{seen[i].name, 1}, at)
	}
}

// memberOf finds the shape of a member, and notes that the object has it.
func (r *jsonReader) memberOf(s *Shape, k *memberName, from int) (into *Shape, at int) {
	i, known := s.find(k.name)
	for n := from; n < len(r.seen); n++ {
		if r.seen[n].name == k.name { // twice in one object
			r.seen[n].word = ""
			if s.Map {
				return s.Free, -1
			}
			return s.Members[i].Shape, -1
		}
	}
	if len(r.seen)-from >= maxMembers {
		s.Cut = true
		return nil, -1
	}
	r.seen = append(r.seen, seenMember{name: k.name, telling: k.telling})
	if !known && !s.Map && len(s.Members) >= maxMembers {
		s.foldMembers()
	}
	if s.Map {
		return r.free(s), len(r.seen) - 1
	}
	if !known {
		s.Members = slices.Insert(s.Members, i, Member{k.name, r.part()})
	}
	return s.Members[i].Shape, len(r.seen) - 1
}

// find is where a member is, or would be.
func (s *Shape) find(name string) (at int, found bool) {
	from, to := 0, len(s.Members)
	for from < to {
		middle := int(uint(from+to) >> 1)
		switch c := strings.Compare(s.Members[middle].Name, name); {
		case c == 0:
			return middle, true
		case c < 0:
			from = middle + 1
		default:
			to = middle
		}
	}
	return from, false
}

// free is the shape of what has no name of its own.
func (r *jsonReader) free(s *Shape) *Shape {
	if s.Free == nil {
		s.Free = r.part()
	}
	return s.Free
}

func (r *jsonReader) pair(s *Shape, depth, from int) error {
	name, err := r.string()
	if err != nil {
		return err
	}
	k := r.known.below(r.parent, name)
	parent, field := r.parent, r.field
	r.parent, r.field = k, k.field
	var into *Shape
	at := -1
	if k.member {
		into, at = r.memberOf(s, k, from)
	} else {
		into = r.free(s)
	}
	if !r.in.Take(':') {
		return errShape
	}
	switch {
	case into == nil: // one name too many
		r.nodes++
		err = r.pass(depth + 1)
	case at >= 0 && k.telling > 0:
		err = r.telling(into, depth+1, at)
	default:
		err = r.value(into, depth+1, k.tag)
	}
	r.parent, r.field = parent, field
	return err
}

// telling reads the value of a tag that may tell objects apart, and keeps its word.
func (r *jsonReader) telling(into *Shape, depth, at int) error {
	text := r.in.Next() == '"'
	before, count := r.in.At(), into.Count
	if err := r.value(into, depth, true); err != nil {
		return err
	}
	const quotes = 2
	if written := r.in.At() - before - quotes; !text || into.Count == count || written > maxWordText {
		return nil // it was too deep, or is no word
	}
	if isWord(r.last, r.kind) {
		r.seen[at].word = strings.Clone(r.last)
	}
	return nil
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
		s.Items = r.part()
	}
	r.in.Skip()
	if r.in.Take(']') {
		return nil
	}
	n, more, ok := int32(0), true, true
	for more {
		if err := r.value(s.Items, depth+1, tag); err != nil {
			return err
		}
		n++
		s.Most = max(s.Most, n)
		if more, ok = r.in.More(']'); !ok {
			return errShape
		}
	}
	return nil
}

func (r *jsonReader) number(s *Shape) error {
	s.Count++
	text, integer, err := r.numeral()
	if err != nil {
		return err
	}
	if integer {
		s.Types[Integer]++
		s.Big = s.Big || len(text) > 9 && len(text) < 20
	} else {
		s.Types[Number]++
	}
	r.note(s, text)
	return nil
}

// numeral reads a number, and takes more than JSON does for one: leading zeros, and
// a point without digits behind it.
func (r *jsonReader) numeral() (text string, integer bool, err error) {
	text, n := r.in.Number()
	switch n {
	case jsonread.Integer:
		return text, true, nil
	case jsonread.Fraction:
		return text, false, nil
	}
	if strings.Trim(strings.TrimPrefix(text, "-"), "0123456789") == "" {
		if text == "-" {
			return "", true, errShape
		}
		return text, true, nil
	}
	if _, err := strconv.ParseFloat(text, 64); err != nil && !errors.Is(err, strconv.ErrRange) {
		return "", false, errShape
	}
	return text, false, nil
}

// string reads a string. The answer is valid until the next call.
func (r *jsonReader) string() (string, error) {
	text, form, ok := r.in.Text()
	if !ok {
		return "", errShape
	}
	if form&jsonread.Escaped == 0 {
		return text, nil
	}
	return r.unescaped(text)
}

// unescaped undoes escapes as far as it matters for what a text looks like: control
// characters are blanks, and what takes two escapes to say is two signs.
func (r *jsonReader) unescaped(text string) (string, error) {
	r.buf = r.buf[:0]
	for at := 0; at < len(text); at++ {
		c := text[at]
		if c != '\\' {
			r.buf = append(r.buf, c)
			continue
		}
		if at++; at == len(text) {
			return "", errShape
		}
		switch c = text[at]; c {
		case '"', '\\', '/':
			r.buf = append(r.buf, c)
		case 'b', 'f', 'n', 'r', 't':
			r.buf = append(r.buf, ' ')
		case 'u':
			u, ok := jsonread.Hex4(text[at+1:])
			if !ok {
				return "", errShape
			}
			at += 4
			r.buf = utf8.AppendRune(r.buf, u)
		default:
			return "", errShape
		}
	}
	return jsonread.Borrowed(r.buf), nil
}
