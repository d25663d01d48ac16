package waf

import (
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// jsonLeaf is a string, number or word in a JSON text, with the path to it as
// the engine's own parser writes it ("json.items.0.name"). key is set for the
// name of a member, which comes before the member's leaves.
type jsonLeaf struct {
	path  string
	value string
	key   bool
}

// jsonLeaves reads one JSON object or array. ok is false when text is something
// else, is not valid, is nested deeper than depth or has more than limit leaves;
// leaves are those up to there.
func jsonLeaves(text, root string, depth, limit int) (leaves []jsonLeaf, ok bool) {
	p := jsonReader{s: text, path: []byte(root), limit: limit}
	ok = p.whole(depth)
	return p.leaves, ok
}

type jsonReader struct {
	s      string
	at     int
	path   []byte
	leaves []jsonLeaf
	limit  int
	count  int
	bytes  int  // of paths and values so far
	only   bool // whether it is valid; leaves are not kept
}

// validLeaves is jsonLeaves for who needs to know ok only.
func validLeaves(text, root string, depth, limit int) bool {
	p := jsonReader{s: text, path: []byte(root), limit: limit, only: true}
	return p.whole(depth)
}

func (p *jsonReader) whole(depth int) bool {
	p.space()
	if p.at == len(p.s) || p.s[p.at] != '{' && p.s[p.at] != '[' || !p.value(depth) {
		return false
	}
	p.space()
	return p.at == len(p.s)
}

func (p *jsonReader) space() {
	for p.at < len(p.s) {
		switch p.s[p.at] {
		case ' ', '\t', '\r', '\n':
			p.at++
		default:
			return
		}
	}
}

// leaf notes one, unless there are too many: every leaf repeats its whole path.
func (p *jsonReader) leaf(value string, key bool) bool {
	p.bytes += len(p.path) + len(value)
	if p.count >= p.limit || p.bytes > 8*len(p.s)+4096 {
		return false
	}
	if p.count++; p.only {
		return true
	}
	p.leaves = append(p.leaves, jsonLeaf{string(p.path), value, key})
	return true
}

func (p *jsonReader) value(depth int) bool {
	p.space()
	if p.at == len(p.s) {
		return false
	}
	switch c := p.s[p.at]; c {
	case '{', '[':
		if depth == 0 {
			return false
		}
		p.at++
		if c == '{' {
			return p.members(depth - 1)
		}
		return p.items(depth - 1)
	case '"':
		s, ok := p.text()
		return ok && p.leaf(s, false)
	}
	return p.word()
}

func (p *jsonReader) members(depth int) bool {
	before := len(p.path)
	for first := true; ; first = false {
		p.space()
		if p.at == len(p.s) {
			return false
		}
		if first && p.s[p.at] == '}' {
			p.at++
			return true
		}
		if p.s[p.at] != '"' {
			return false
		}
		name, ok := p.text()
		if !ok || !p.leaf(name, true) {
			return false
		}
		p.path = append(append(p.path, '.'), name...)
		if p.space(); p.at == len(p.s) || p.s[p.at] != ':' {
			return false
		}
		p.at++
		if !p.value(depth) {
			return false
		}
		p.path = p.path[:before]
		more, ok := p.next('}')
		if !ok || !more {
			return ok
		}
	}
}

func (p *jsonReader) items(depth int) bool {
	before := len(p.path)
	for i := 0; ; i++ {
		p.space()
		if i == 0 && p.at < len(p.s) && p.s[p.at] == ']' {
			p.at++
			return true
		}
		p.path = strconv.AppendInt(append(p.path, '.'), int64(i), 10)
		if !p.value(depth) {
			return false
		}
		p.path = p.path[:before]
		more, ok := p.next(']')
		if !ok || !more {
			return ok
		}
	}
}

// next reads a comma or the end of the container.
func (p *jsonReader) next(end byte) (more, ok bool) {
	p.space()
	if p.at == len(p.s) {
		return false, false
	}
	c := p.s[p.at]
	p.at++
	return c == ',', c == ',' || c == end
}

// word reads a number, true, false or null.
func (p *jsonReader) word() bool {
	start := p.at
	for p.at < len(p.s) && (isWordByte(p.s[p.at]) || strings.IndexByte("+-.", p.s[p.at]) >= 0) {
		p.at++
	}
	w := p.s[start:p.at]
	switch w {
	case "true", "false":
		return p.leaf(w, false)
	case "null":
		return p.leaf("", false)
	}
	if w == "" || w[0] != '-' && (w[0] < '0' || w[0] > '9') {
		return false
	}
	if _, err := strconv.ParseFloat(w, 64); err != nil && !strings.Contains(err.Error(), "range") {
		return false
	}
	return p.leaf(w, false)
}

func isWordByte(c byte) bool {
	return c|0x20 >= 'a' && c|0x20 <= 'z' || c >= '0' && c <= '9'
}

// text reads a string with its escapes.
func (p *jsonReader) text() (string, bool) {
	p.at++
	start := p.at
	for p.at < len(p.s) {
		switch c := p.s[p.at]; {
		case c == '"':
			s := p.s[start:p.at]
			p.at++
			return s, true
		case c == '\\':
			return p.escaped(start)
		case c < ' ':
			return "", false
		}
		p.at++
	}
	return "", false
}

func (p *jsonReader) escaped(start int) (string, bool) {
	b := []byte(p.s[start:p.at])
	for p.at < len(p.s) {
		c := p.s[p.at]
		p.at++
		switch {
		case c == '"':
			return string(b), true
		case c < ' ':
			return "", false
		case c != '\\':
			b = append(b, c)
			continue
		}
		if p.at == len(p.s) {
			return "", false
		}
		c = p.s[p.at]
		p.at++
		switch c {
		case '"', '\\', '/':
			b = append(b, c)
		case 'b', 'f', 'n', 'r', 't':
			b = append(b, "\b\f\n\r\t"[strings.IndexByte("bfnrt", c)])
		case 'u':
			r, ok := p.hex4()
			if !ok {
				return "", false
			}
			if utf16.IsSurrogate(r) && strings.HasPrefix(p.s[p.at:], `\u`) {
				p.at += 2
				low, ok := p.hex4()
				if !ok {
					return "", false
				}
				r = utf16.DecodeRune(r, low)
			}
			b = utf8.AppendRune(b, r)
		default:
			return "", false
		}
	}
	return "", false
}

func (p *jsonReader) hex4() (rune, bool) {
	if p.at+4 > len(p.s) {
		return 0, false
	}
	n, err := strconv.ParseUint(p.s[p.at:p.at+4], 16, 32)
	p.at += 4
	return rune(n), err == nil
}
