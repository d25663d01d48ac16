package waf

import (
	"regexp"
	"strings"
	"unicode/utf8"
)

// minRun is the shortest text that is looked for in a binary value, in bytes:
// shorter ones are in any noise.
const minRun = 8

// noisy says that a value is binary content that was put into text: one
// character in ten, and four of them, are control characters that no text has.
func noisy(value string) bool {
	odd, all := 0, 0
	for i := 0; i < len(value); all++ {
		if c := value[i]; c < utf8.RuneSelf {
			i++
			if control(rune(c)) {
				odd++
			}
			continue
		}
		r, size := utf8.DecodeRuneInString(value[i:])
		i += size
		if control(r) {
			odd++
		}
	}
	return odd >= 4 && odd*10 >= all
}

// control characters are those of ASCII but line breaks and tabs, those of
// Latin-1, and what stands for bytes that are no text.
func control(r rune) bool {
	return r < ' ' && (r < '\t' || r > '\r') || r >= 0x7f && r < 0xa0 || r == utf8.RuneError
}

// runs are the texts in a binary value: an attack is one of them, however much
// noise is put around it; the noise between them looks like one by chance only.
// Where all characters are bytes, taken one by one for Latin-1, those outside
// ASCII are noise, too.
func runs(value string) (out []string) {
	bytes := !strings.ContainsFunc(value, func(r rune) bool { return r > 0xff && r != utf8.RuneError })
	from := 0
	for i := 0; i <= len(value); {
		r, size := utf8.DecodeRuneInString(value[i:])
		if size > 0 && !control(r) && !(bytes && r >= utf8.RuneSelf) {
			i += size
			continue
		}
		if i-from >= minRun {
			out = append(out, value[from:i])
		}
		i += max(size, 1)
		from = i
	}
	return out
}

// statement is what a text must hold for it to matter where a database sees spaces.
var statement = regexp.MustCompile(`(?i)\b(?:select|union|insert|update|delete|drop|exec|declare|waitfor|benchmark|sleep|(?:or|and) \S{1,40} ?[=<>])`)

// spaced are the statements in a binary value, with a space where some database sees
// one: for control characters of ASCII and for the byte 0xA0.
func spaced(value string) (out []string) {
	var b strings.Builder
	end := func() {
		if text := strings.Join(strings.Fields(b.String()), " "); statement.MatchString(text) {
			out = append(out, text)
		}
		b.Reset()
	}
	for i := 0; i < len(value); {
		r, size := utf8.DecodeRuneInString(value[i:])
		switch {
		case r < ' ' || r == 0x7f || value[i] == 0xa0:
			b.WriteByte(' ')
		case control(r):
			end()
		default:
			b.WriteString(value[i : i+size])
		}
		i += size
	}
	end()
	return out
}
