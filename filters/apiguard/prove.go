package apiguard

import (
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/gabion-io/gabion/internal/jsonread"
)

// property is what a schema says of a member that it names.
type property struct {
	name     string
	below    *quick
	declared bool // else it is only required
	required bool
}

// members are all that a schema names, in order.
type members struct {
	list     []property
	required int
}

func membersOf(properties map[string]*quick, required []string) (m members) {
	for name, below := range properties {
		m.list = append(m.list, property{name: name, below: below, declared: true})
	}
	order := func(a, b property) int { return compare(a.name, b.name) }
	slices.SortFunc(m.list, order)
	for _, name := range required {
		if at := m.find(name); at >= 0 {
			m.list[at].required = true
		} else {
			m.list = append(m.list, property{name: name, required: true})
			slices.SortFunc(m.list, order)
		}
	}
	for i := range m.list {
		if m.list[i].required {
			m.required++
		}
	}
	return m
}

// compare puts short names before long ones: most differ in that already.
func compare(a, b string) int {
	if len(a) != len(b) {
		return len(a) - len(b)
	}
	return strings.Compare(a, b)
}

// find is where a member is; -1: the schema does not name it.
func (m *members) find(name string) int {
	from, to := 0, len(m.list)
	for from < to {
		middle := int(uint(from+to) >> 1)
		switch c := compare(m.list[middle].name, name); {
		case c == 0:
			return middle
		case c < 0:
			from = middle + 1
		default:
			to = middle
		}
	}
	return -1
}

// proof reads a text, which parse would read without an error, and holds it to a
// schema on the way: no value is made. What it cannot prove says nothing.
type proof struct {
	jsonread.Reader
	depth int // left
	count int
	buf   []byte   // of strings with escapes
	seen  []bool   // of the members that the schemas of the open objects name
	names []string // of those that they do not
}

// maxOthers is how many members of one object, that its schema does not name, are
// looked through for one that is there twice.
const maxOthers = 32

// proves is true when a text certainly is JSON, as parse takes it, and fits.
func (q *quick) proves(b []byte, depth int) bool {
	if q == nil {
		return false
	}
	var seen [64]bool
	var names [maxOthers]string
	p := proof{Reader: jsonread.OverBytes(b), depth: depth, seen: seen[:0], names: names[:0]}
	return p.value(q) && p.Done()
}

// value holds one to a schema; nil: anything fits.
func (p *proof) value(q *quick) bool {
	if p.count++; p.count > maxValues {
		return false
	}
	switch c := p.Next(); {
	case c == '{':
		return q.takes(isObject) && p.object(q)
	case c == '[':
		return q.takes(isArray) && p.array(q)
	case c == '"':
		text, _, ok := p.text()
		return ok && (q == nil || q.is(isString) && q.text(text) && (q.format == nil || q.format(text) == nil))
	case c == '-' || c >= '0' && c <= '9':
		return p.number(q)
	}
	switch p.Word() {
	case 't', 'f':
		return q.takes(isBoolean)
	case 'n':
		return q.takes(isNull)
	}
	return false
}

// takes says that a schema takes a kind, if it takes no texts only. Formats are
// about texts.
func (q *quick) takes(kind kinds) bool { return q == nil || q.is(kind) && q.enum == nil }

// text is valid until the next one with escapes.
func (p *proof) text() (text string, form jsonread.Form, ok bool) {
	text, form, ok = p.Text()
	if !ok || form&jsonread.Beyond != 0 && !utf8.ValidString(text) {
		return "", form, false
	}
	if form&jsonread.Escaped != 0 {
		p.buf, ok = jsonread.Unescape(p.buf[:0], text)
		text = jsonread.Borrowed(p.buf)
	}
	return text, form, ok
}

func (p *proof) number(q *quick) bool {
	text, n := p.Number()
	if n == jsonread.NoNumber || q != nil && q.enum != nil {
		return false
	}
	if n == jsonread.Integer && len(text) <= maxDigits {
		i := whole(text)
		return q == nil || q.is(isInteger|isNumber) && exact(i) && q.number(float64(i))
	}
	f, err := strconv.ParseFloat(text, 64)
	return err == nil && (q == nil || q.is(isNumber) && q.number(f))
}

// whole reads a whole number of at most maxDigits.
func whole(text string) (n int64) {
	negative := text[0] == '-'
	if negative {
		text = text[1:]
	}
	for i := range len(text) {
		n = n*10 + int64(text[i]-'0')
	}
	if negative {
		return -n
	}
	return n
}

func (p *proof) array(q *quick) bool {
	var items *quick
	if q != nil {
		items = q.items
	}
	n := 0
	ok := p.list(']', func() bool { n++; return p.value(items) })
	return ok && (q == nil || n >= q.minItems && (q.maxItems < 0 || n <= q.maxItems))
}

// list reads what stands between brackets, one item after another.
func (p *proof) list(end byte, item func() bool) bool {
	if p.depth--; p.depth < 0 {
		return false
	}
	p.Skip()
	if !p.Take(end) {
		for more := true; more; {
			if !item() {
				return false
			}
			var ok bool
			if more, ok = p.More(end); !ok {
				return false
			}
		}
	}
	p.depth++
	return true
}

// object holds one to a schema; nil: anything fits, but for a member that is there
// twice.
func (p *proof) object(q *quick) bool {
	var m members
	if q != nil {
		m = q.named
	}
	seen, names, missing := len(p.seen), len(p.names), m.required
	for range m.list {
		p.seen = append(p.seen, false)
	}
	ok := p.list('}', func() bool {
		name, form, ok := p.text()
		if !ok || !p.Take(':') {
			return false
		}
		at := m.find(name)
		if at < 0 {
			if form&jsonread.Escaped != 0 {
				name = strings.Clone(name)
			}
			return p.other(name, names) && p.below(q, nil)
		}
		if p.seen[seen+at] {
			return false
		}
		p.seen[seen+at] = true
		if m.list[at].required {
			missing--
		}
		return p.below(q, &m.list[at])
	})
	p.seen, p.names = p.seen[:seen], p.names[:names]
	return ok && missing == 0
}

// below holds the value of a member to what the schema says of it, or of others.
func (p *proof) below(q *quick, m *property) bool {
	switch {
	case q == nil:
		return p.value(nil)
	case m != nil && m.declared:
		return p.value(m.below)
	}
	return !q.closed && p.value(q.others)
}

// other notes a member that the schema does not name; false when it is there twice,
// or there are too many to tell.
func (p *proof) other(name string, from int) bool {
	if len(p.names)-from == maxOthers || slices.Contains(p.names[from:], name) {
		return false
	}
	p.names = append(p.names, name)
	return true
}
