package exchange

import (
	"cmp"
	"math"
	"slices"
)

// Limits bound the shape of one body. The zero value is the default of each.
type Limits struct {
	Bytes int // looked into; 1 MiB
	Depth int // 16
	Nodes int // values; 4,096
}

func (l Limits) orDefault() Limits {
	for _, f := range []struct {
		value *int
		or    int
	}{{&l.Bytes, 1 << 20}, {&l.Depth, 16}, {&l.Nodes, 4096}} {
		if *f.value <= 0 {
			*f.value = f.or
		}
	}
	return l
}

// Bounds of a merged shape.
const (
	maxMembers  = 256 // named members of an object; beyond, it is a map
	maxWords    = 16  // distinct words of a string
	maxVariants = 12  // of an object, by the word of its discriminator
	maxWordText = 32  // bytes
)

// Type of a JSON value.
type Type uint8

const (
	Null Type = iota
	Boolean
	Integer
	Number
	String
	Array
	Object
	types
)

// Shape is what one or more values look like: types, names, formats, and no
// values, except the words of members that are made to hold words (see isTag).
// The shape of a single body is made in the filter or at the door; merged they
// are what the learner knows. Merging is adding: the order does not matter.
type Shape struct {
	Count   uint32        `json:"n"`
	Types   [types]uint32 `json:"t"`
	Members []Member      `json:"m,omitempty"` // of objects, by name
	Free    *Shape        `json:"f,omitempty"` // values of keys that are values themselves
	Items   *Shape        `json:"i,omitempty"` // of arrays
	Most    int32         `json:"l,omitempty"` // items in the longest array
	Kinds   []KindCount   `json:"k,omitempty"` // of strings, by kind
	Words   []WordCount   `json:"w,omitempty"` // of strings below tags, by text
	Many    bool          `json:"y,omitempty"` // there were more words than are kept
	Length  int32         `json:"s,omitempty"` // bytes of the longest string
	Big     bool          `json:"b,omitempty"` // an integer needed more than 32 bits
	Tag     string        `json:"d,omitempty"` // the member that Variants go by
	// Variants says which members came with which word of Tag.
	Variants []Variant `json:"v,omitempty"`
	Lost     bool      `json:"o,omitempty"` // there were too many words of Tag for Variants
	Map      bool      `json:"p,omitempty"` // there were too many names for Members: all are in Free
	Cut      bool      `json:"c,omitempty"` // a bound left something out
	// Sensitive says what kinds of sensitive data the values were, by kind.
	Sensitive []SensitiveCount `json:"x,omitempty"`
}

// Member is a named member of objects.
type Member struct {
	Name  string `json:"n"`
	Shape *Shape `json:"s"`
}

// KindCount counts strings of a kind.
type KindCount struct {
	Kind  Kind   `json:"k"`
	Count uint32 `json:"n"`
}

// WordCount counts a word.
type WordCount struct {
	Text  string `json:"t"`
	Count uint32 `json:"n"`
}

// Variant is the objects whose tag has one word.
type Variant struct {
	Word    string      `json:"w"`
	Count   uint32      `json:"n"`
	Members []WordCount `json:"m"` // names and how many had them, by name
}

// isTag says that a member of this name holds a word of the API: what kind of
// thing the object is, or what state it is in.
func isTag(name string) bool {
	switch lower(name) {
	case "type", "kind", "object", "event", "status", "state", "action", "mode", "category", "role", "level", "severity", "method", "op",
		"operation", "currency", "visibility", "__typename", "@type", "_type", "jsonrpc", "priority", "direction", "format", "unit", "scope":
		return true
	}
	n := len(name)
	return n > 4 && (name[n-4:] == "Type" || name[n-4:] == "Kind" || n > 5 && (name[n-5:] == "_type" || name[n-5:] == "_kind") ||
		n > 6 && (name[n-6:] == "Status" || name[n-6:] == "status" && name[n-7] == '_') || n > 5 && (name[n-5:] == "State" || name[n-5:] == "state" && name[n-6] == '_'))
}

// discriminates says that a tag tells kinds of objects apart, and how well: the
// better one wins.
func discriminates(name string) int {
	switch name {
	case "__typename", "@type":
		return 4
	case "type", "object", "_type":
		return 3
	case "kind", "event", "eventType", "event_type":
		return 2
	case "action", "op", "operation", "method", "mode":
		return 1
	}
	return 0
}

// Names lists the members of an object, or of the objects in an array.
func (s *Shape) Names() (names []string) {
	if s == nil {
		return nil
	}
	if len(s.Members) == 0 && s.Items != nil {
		s = s.Items
	}
	for _, m := range s.Members {
		names = append(names, m.Name)
	}
	return names
}

// Merge adds what o knows and answers the sum; o stays as it is and is not held.
// A nil shape knows nothing.
func (s *Shape) Merge(o *Shape) *Shape {
	if o == nil {
		return s
	}
	if s == nil {
		s = &Shape{}
	}
	s.Count += o.Count
	for t := range o.Types {
		s.Types[t] += o.Types[t]
	}
	s.mergeVariants(o)
	s.mergeMembers(o)
	if o.Free != nil {
		s.Free = s.Free.Merge(o.Free)
	}
	if o.Items != nil {
		s.Items = s.Items.Merge(o.Items)
	}
	s.Most = max(s.Most, o.Most)
	s.Length = max(s.Length, o.Length)
	s.Big = s.Big || o.Big
	s.Cut = s.Cut || o.Cut
	for _, x := range o.Sensitive {
		s.addSensitive(x.Kind, x.Count)
	}
	for _, k := range o.Kinds {
		s.addKind(k.Kind, k.Count)
	}
	s.Many = s.Many || o.Many
	for _, w := range o.Words {
		s.addWord(w.Text, w.Count)
	}
	if s.Many {
		s.Words = nil
	}
	return s
}

// mergeMembers goes through both lists at once: they are in order.
func (s *Shape) mergeMembers(o *Shape) {
	if o.Map && !s.Map {
		s.foldMembers()
	}
	at := 0
	for i := range o.Members {
		m := &o.Members[i]
		if s.Map {
			s.Free = s.Free.Merge(m.Shape)
			continue
		}
		for at < len(s.Members) && s.Members[at].Name < m.Name {
			at++
		}
		if at < len(s.Members) && s.Members[at].Name == m.Name {
			s.Members[at].Shape.Merge(m.Shape)
			continue
		}
		s.Members = slices.Insert(s.Members, at, Member{m.Name, (*Shape)(nil).Merge(m.Shape)})
	}
	if len(s.Members) > maxMembers {
		s.foldMembers()
	}
}

// foldMembers makes the members of a map one shape.
func (s *Shape) foldMembers() {
	for _, m := range s.Members {
		s.Free = s.Free.Merge(m.Shape)
	}
	s.Members, s.Map, s.Cut = nil, true, true
}

func (s *Shape) addKind(k Kind, n uint32) {
	for i := range s.Kinds {
		if s.Kinds[i].Kind == k {
			s.Kinds[i].Count += n
			return
		}
	}
	i, _ := slices.BinarySearchFunc(s.Kinds, k, func(c KindCount, k Kind) int { return cmp.Compare(c.Kind, k) })
	s.Kinds = slices.Insert(s.Kinds, i, KindCount{k, n})
}

func (s *Shape) addWord(text string, n uint32) {
	if s.Many {
		return
	}
	i, found := slices.BinarySearchFunc(s.Words, text, func(w WordCount, t string) int { return cmp.Compare(w.Text, t) })
	if found {
		s.Words[i].Count += n
		return
	}
	s.Words = slices.Insert(s.Words, i, WordCount{text, n})
	if len(s.Words) > maxWords {
		s.Many, s.Words = true, nil
	}
}

// mergeVariants joins the variants of objects that go by the same tag; of two
// tags the better one wins, whichever came first.
func (s *Shape) mergeVariants(o *Shape) {
	switch better := compareTags(o.Tag, s.Tag); {
	case better < 0 || o.Tag == "":
		return
	case better > 0:
		s.Tag, s.Variants, s.Lost = o.Tag, nil, false
	}
	s.Lost = s.Lost || o.Lost
	if s.Lost {
		s.Variants = nil
		return
	}
	for i := range o.Variants {
		v := &o.Variants[i]
		into := s.variant(o.Tag, v.Word, len(v.Members))
		if into == nil {
			return
		}
		into.merge(v)
	}
}

// variant finds or makes the variant of a word of a tag; nil when the tag is not the
// best, or has too many words.
func (s *Shape) variant(tag, word string, members int) *Variant {
	switch better := compareTags(tag, s.Tag); {
	case better < 0:
		return nil
	case better > 0:
		s.Tag, s.Variants, s.Lost = tag, nil, false
	}
	if s.Lost {
		return nil
	}
	at, found := slices.BinarySearchFunc(s.Variants, word, func(x Variant, w string) int { return cmp.Compare(x.Word, w) })
	if !found {
		if len(s.Variants) >= maxVariants {
			s.Variants, s.Lost = nil, true
			return nil
		}
		s.Variants = slices.Insert(s.Variants, at, Variant{Word: word, Members: make([]WordCount, 0, min(members, maxMembers))})
	}
	return &s.Variants[at]
}

func compareTags(a, b string) int {
	return cmp.Or(cmp.Compare(discriminates(a), discriminates(b)), -cmp.Compare(a, b))
}

func (v *Variant) merge(o *Variant) {
	v.Count += o.Count
	at := 0
	for _, m := range o.Members {
		at = v.add(m, at)
	}
}

// add adds a member, looking from a place on, and answers where it is.
func (v *Variant) add(m WordCount, at int) int {
	for at < len(v.Members) && v.Members[at].Text < m.Text {
		at++
	}
	switch {
	case at < len(v.Members) && v.Members[at].Text == m.Text:
		v.Members[at].Count += m.Count
	case len(v.Members) < maxMembers:
		v.Members = slices.Insert(v.Members, at, m)
	}
	return at
}

// member finds or makes a member while a single body is read. The name is copied.
func (s *Shape) member(name string) *Shape {
	i, found := s.find(name)
	if !found {
		if s.Members == nil {
			s.Members = make([]Member, 0, 8)
		}
		s.Members = slices.Insert(s.Members, i, Member{string([]byte(name)), &Shape{}})
	}
	return s.Members[i].Shape
}

// text notes one string, and answers what kind it is of.
func (s *Shape) text(v string, tag bool) Kind {
	s.Count++
	s.Types[String]++
	k := KindOf(v)
	s.addKind(k, 1)
	s.Length = max(s.Length, int32(min(len(v), math.MaxInt32)))
	switch {
	case !tag:
	case isWord(v, k):
		s.addWord(string([]byte(v)), 1)
	default:
		s.Many, s.Words = true, nil
	}
	return k
}

// isWord says that a string of a kind may be a word of the API.
func isWord(v string, k Kind) bool {
	return (k == KindWord || k == KindMixed || k == KindVersion) && len(v) <= maxWordText
}

// scalarText notes a value that was sent as text without types: of a form, or XML.
func (s *Shape) scalarText(v string, tag bool) {
	switch k := KindOf(v); k {
	case KindSmall, KindNumber:
		s.Count++
		if len(v) > 1 && v[0] == '0' || len(v) > 18 { // a code, no number
			s.Count--
			s.text(v, tag)
			return
		}
		s.Types[Integer]++
		s.Big = s.Big || len(v) > 9
	case KindDecimal:
		s.Count++
		s.Types[Number]++
	case KindBool:
		s.Count++
		s.Types[Boolean]++
	default:
		s.text(v, tag)
	}
}

// finish notes the variant of an object after its members were read.
func (s *Shape) finish() {
	best := 0
	for i := range s.Members {
		m := &s.Members[i]
		if d := discriminates(m.Name); d > best && len(m.Shape.Words) == 1 && m.Shape.Count == 1 {
			best = d
			s.Tag = m.Name
			s.Variants = []Variant{{Word: m.Shape.Words[0].Text, Count: 1}}
		}
	}
	if best == 0 {
		return
	}
	names := make([]WordCount, len(s.Members))
	for i := range s.Members {
		names[i] = WordCount{s.Members[i].Name, 1}
	}
	s.Variants[0].Members = names
}
