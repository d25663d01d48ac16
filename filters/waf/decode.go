package waf

import (
	"encoding/base64"
	"html"
	"strconv"
	"strings"
	"unicode/utf8"
)

// decoded is another reading of a value.
type decoded struct{ how, text string }

// maxDecoded bounds the values that are decoded, in bytes.
const maxDecoded = 64 << 10

// readings gives what a value says when taken as base64, as text with HTML
// entities, or with the escapes of JavaScript. Most values have none of the
// bytes that would make it worth trying.
func readings(value string) (out []decoded) {
	if len(value) < 6 || len(value) > maxDecoded {
		return nil
	}
	if text, ok := fromBase64(value); ok {
		return append(out, decoded{"base64", text})
	}
	if strings.Contains(value, "&") && hasEntity(value) {
		if text := html.UnescapeString(value); text != value {
			out = append(out, decoded{"HTML entities", text})
		}
	}
	if strings.Contains(value, `\`) {
		if text := fromEscapes(value); text != value {
			out = append(out, decoded{"JavaScript escapes", text})
		}
	}
	return out
}

// hasEntity looks for an entity that hides a character of use to an attacker:
// any by number, few by name.
func hasEntity(s string) bool {
	for _, e := range []string{"&#", "&quot;", "&apos;", "&lpar;", "&colon;", "&tab;", "&newline;", "&Tab;", "&NewLine;", "&grave;", "&sol;"} {
		if strings.Contains(s, e) {
			return true
		}
	}
	return false
}

// minBase64 is the shortest text taken for base64: shorter words are too often
// valid by chance.
const minBase64 = 12

// fromBase64 decodes standard and URL alphabets, padded or not, if the result is
// text: what decodes to noise was no base64, or says nothing.
func fromBase64(s string) (string, bool) {
	_, s, isData := cutDataURL(s)
	if strings.Contains(s, "%") {
		s = strings.NewReplacer("%3D", "=", "%3d", "=", "%2B", "+", "%2b", "+", "%2F", "/", "%2f", "/").Replace(s)
	}
	s = strings.TrimRight(s, "=")
	if len(s) < minBase64 && !isData || len(s)%4 == 1 || len(s) == 0 {
		return "", false
	}
	url, mixed, lower, upper := false, false, false, false
	for i := range len(s) {
		switch c := s[i]; {
		case c >= 'a' && c <= 'z':
			lower = true
		case c >= 'A' && c <= 'Z':
			upper = true
		case c >= '0' && c <= '9':
		case c == '+' || c == '/' || c == ' ':
			mixed = mixed || url
		case c == '-' || c == '_':
			url = true
		default:
			return "", false
		}
	}
	if mixed || !lower || !upper {
		return "", false
	}
	enc := base64.RawStdEncoding
	if url {
		enc = base64.RawURLEncoding
	} else {
		s = strings.ReplaceAll(s, " ", "+")
	}
	enc = enc.Strict()
	if len(s) > 64 { // noise shows at once
		if head, err := enc.DecodeString(s[:64]); err != nil || !isText(head, true) {
			return "", false
		}
	}
	b, err := enc.DecodeString(s)
	if err != nil {
		b, err = base64.RawStdEncoding.DecodeString(s)
	}
	if err != nil || !isText(b, false) {
		return "", false
	}
	return string(b), true
}

// cutDataURL splits "data:text/html;base64,…".
func cutDataURL(s string) (media, rest string, ok bool) {
	if !strings.HasPrefix(s, "data:") {
		return "", s, false
	}
	media, rest, ok = strings.Cut(s[len("data:"):], ";base64,")
	if !ok {
		return "", s, false
	}
	return media, rest, true
}

// isText says that b is UTF-8 without control characters. A cut text may end
// within a character.
func isText(b []byte, cut bool) bool {
	for i := 0; i < len(b); {
		c := b[i]
		if c < 0x80 {
			if c < ' ' && c != '\t' && c != '\n' && c != '\r' || c == 0x7f {
				return false
			}
			i++
			continue
		}
		r, n := utf8.DecodeRune(b[i:])
		if r == utf8.RuneError && n == 1 {
			return cut && len(b)-i < utf8.UTFMax
		}
		i += n
	}
	return true
}

// fromEscapes reads \xHH, \uHHHH, \u{H…} and \OOO as JavaScript does; other
// backslashes stay.
func fromEscapes(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); {
		if s[i] == '\\' {
			if r, n := escapeAt(s[i:]); n > 0 {
				b.WriteRune(r)
				i += n
				continue
			}
		}
		b.WriteByte(s[i])
		i++
	}
	return b.String()
}

// escapeAt reads the escape at the beginning of s; n is 0 if there is none.
func escapeAt(s string) (r rune, n int) {
	hex := func(digits string, n int) (rune, int) {
		v, err := strconv.ParseUint(digits, 16, 32)
		if err != nil || v > utf8.MaxRune {
			return 0, 0
		}
		return rune(v), n
	}
	switch {
	case len(s) >= 4 && s[1] == 'x':
		return hex(s[2:4], 4)
	case strings.HasPrefix(s, `\u{`):
		if end := strings.IndexByte(s[:min(len(s), 12)], '}'); end > 3 {
			return hex(s[3:end], end+1)
		}
	case len(s) >= 6 && s[1] == 'u':
		return hex(s[2:6], 6)
	case len(s) >= 3 && s[1] >= '0' && s[1] <= '7':
		end := 2
		for end < len(s) && end < 4 && s[end] >= '0' && s[end] <= '7' {
			end++
		}
		if v, err := strconv.ParseUint(s[1:end], 8, 8); err == nil && end >= 3 {
			return rune(v), end
		}
	}
	return 0, 0
}
