// Package jsonread moves over a JSON text (RFC 8259) piece by piece, builds
// nothing and allocates nothing: who calls it knows what may come, and decides what
// of it is kept. It is made for those who read every body that passes.
//
// It is no parser: it does not hold that brackets match or that members are told
// once. It bounds nothing either; depth and number are the caller's.
//
// It is a leaf: it imports the standard library only, and everybody may import it.
package jsonread

import (
	"encoding/binary"
	"math/bits"
	"unicode/utf16"
	"unicode/utf8"
	"unsafe"
)

// Reader stands at a place in a text. Its methods move it on when they find what
// they look for; where they do not, the text is no JSON, and the reader is of no
// use any more.
type Reader struct {
	text string
	at   int
}

// Over makes a reader of a text. What it answers are parts of the text.
func Over(text string) Reader { return Reader{text: text} }

// OverBytes makes one without a copy: b must not change as long as anything that
// the reader answered is in use.
func OverBytes(b []byte) Reader { return Reader{text: Borrowed(b)} }

// Borrowed is b as a string, without a copy: valid as long as b does not change.
func Borrowed(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }

// At is where the reader stands, in bytes.
func (r *Reader) At() int { return r.at }

// Next moves past white space and answers the byte that comes. At the end it is 0,
// which no JSON begins with.
func (r *Reader) Next() byte {
	if r.at < len(r.text) && r.text[r.at] > ' ' {
		return r.text[r.at]
	}
	return r.space()
}

func (r *Reader) space() byte {
	for ; r.at < len(r.text); r.at++ {
		switch c := r.text[r.at]; c {
		case ' ', '\t', '\r', '\n':
		default:
			return c
		}
	}
	return 0
}

// Skip moves past the byte that Next answered.
func (r *Reader) Skip() { r.at++ }

// Done moves past white space and says whether the text ends there.
func (r *Reader) Done() bool {
	r.Next()
	return r.at >= len(r.text)
}

// Take moves past white space and then past one byte, if it is this one.
func (r *Reader) Take(c byte) bool {
	if r.Next() != c {
		return false
	}
	r.at++
	return true
}

// More is asked behind each item of a list that ends with a byte: it moves past the
// comma or the end, and says whether the list goes on. What is neither is not ok.
func (r *Reader) More(end byte) (more, ok bool) {
	c := r.Next()
	r.at++
	return c == ',', c == ',' || c == end
}

// Form is what is to know of a string before it is used.
type Form uint8

// Forms may come together; a string without any is what it says.
const (
	Escaped Form = 1 << iota // it has escapes: see Unescape
	Beyond                   // it has bytes beyond ASCII, and may be no UTF-8
)

// Text reads the string that comes: what stands between the quotes, as it stands
// there. Its escapes are not looked at yet.
func (r *Reader) Text() (text string, form Form, ok bool) {
	if r.Next() != '"' {
		return "", 0, false
	}
	r.at++
	for from := r.at; ; r.at++ {
		for r.at+8 <= len(r.text) {
			n := plain(word(r.text[r.at:]))
			if r.at += n; n < 8 {
				break
			}
		}
		if r.at >= len(r.text) {
			return "", 0, false
		}
		switch c := r.text[r.at]; {
		case c == '"':
			r.at++
			return r.text[from : r.at-1], form, true
		case c == '\\':
			form |= Escaped
			r.at++
		case c < ' ':
			return "", 0, false
		case c >= utf8.RuneSelf:
			form |= Beyond
			for r.at+1 < len(r.text) && r.text[r.at+1] >= utf8.RuneSelf {
				r.at++
			}
		}
	}
}

// word is the first eight bytes of a text that has them.
func word(s string) uint64 {
	return binary.LittleEndian.Uint64(unsafe.Slice(unsafe.StringData(s), 8))
}

// plain is how many of eight bytes, from the first on, mean nothing in a string: no
// quote, no backslash, no control character, nothing beyond ASCII. Of each byte the
// high bit says whether it does; of those behind the first that does it may say
// anything.
func plain(w uint64) int {
	const ones, high = 0x0101010101010101, 0x8080808080808080
	quote, backslash := w^(ones*'"'), w^(ones*'\\')
	found := (w | (w - ones*' ') | (quote - ones) | (backslash - ones)) & high
	return bits.TrailingZeros64(found) / 8
}

// Number says how a number is written.
type Number uint8

// The ways. What is NoNumber is no JSON, though made of the same characters.
const (
	NoNumber Number = iota
	Integer
	Fraction // with a fraction or an exponent
)

// Number reads on as long as there are characters that numbers are written with.
func (r *Reader) Number() (text string, n Number) {
	r.Next()
	from := r.at
	for r.at < len(r.text) && numeric(r.text[r.at]) {
		r.at++
	}
	text = r.text[from:r.at]
	return text, NumberIn(text)
}

func numeric(c byte) bool {
	return c-'0' <= 9 || c == '.' || c == '-' || c == '+' || c|0x20 == 'e'
}

// NumberIn says whether a text is a number, and how it is written:
// -?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?
func NumberIn(s string) Number {
	at := 0
	if s != "" && s[0] == '-' {
		at = 1
	}
	n := digits(s[at:])
	if n == 0 || n > 1 && s[at] == '0' {
		return NoNumber
	}
	if at += n; at == len(s) {
		return Integer
	}
	if s[at] == '.' {
		if n = digits(s[at+1:]); n == 0 {
			return NoNumber
		}
		at += 1 + n
	}
	if at < len(s) && s[at]|0x20 == 'e' {
		if at++; at < len(s) && (s[at] == '+' || s[at] == '-') {
			at++
		}
		if n = digits(s[at:]); n == 0 {
			return NoNumber
		}
		at += n
	}
	if at < len(s) {
		return NoNumber
	}
	return Fraction
}

func digits(s string) (n int) {
	for n < len(s) && s[n]-'0' <= 9 {
		n++
	}
	return n
}

// Word reads true, false or null and answers its first letter; 0 is none of them.
func (r *Reader) Word() byte {
	c := r.Next()
	want := ""
	switch c {
	case 't':
		want = "true"
	case 'f':
		want = "false"
	case 'n':
		want = "null"
	}
	if want == "" || len(r.text)-r.at < len(want) || r.text[r.at:r.at+len(want)] != want {
		return 0
	}
	r.at += len(want)
	return c
}

// Unescape appends what a string with escapes says, as encoding/json reads it: half
// of a surrogate pair is U+FFFD. It is not ok when an escape is none.
func Unescape(out []byte, text string) (_ []byte, ok bool) {
	for at := 0; at < len(text); at++ {
		c := text[at]
		if c != '\\' {
			out = append(out, c)
			continue
		}
		if at++; at == len(text) {
			return out, false
		}
		switch c = text[at]; c {
		case '"', '\\', '/':
		case 'b':
			c = '\b'
		case 'f':
			c = '\f'
		case 'n':
			c = '\n'
		case 'r':
			c = '\r'
		case 't':
			c = '\t'
		case 'u':
			u, ok := Hex4(text[at+1:])
			if !ok {
				return out, false
			}
			at += 4
			if utf16.IsSurrogate(u) {
				if rest := text[at+1:]; len(rest) >= 6 && rest[:2] == `\u` {
					low, ok := Hex4(rest[2:])
					if both := utf16.DecodeRune(u, low); ok && both != utf8.RuneError {
						u = both
						at += 6
					}
				}
			}
			out = utf8.AppendRune(out, u)
			continue
		default:
			return out, false
		}
		out = append(out, c)
	}
	return out, true
}

// Hex4 is the number that the first four characters say, in hexadecimal digits.
func Hex4(s string) (u rune, ok bool) {
	if len(s) < 4 {
		return 0, false
	}
	for _, c := range []byte(s[:4]) {
		switch {
		case c-'0' <= 9:
			c -= '0'
		case c|0x20 >= 'a' && c|0x20 <= 'f':
			c = c | 0x20 - 'a' + 10
		default:
			return 0, false
		}
		u = u<<4 | rune(c)
	}
	return u, true
}
