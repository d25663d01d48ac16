package sensitive

import "strings"

// maxSample is the length of a redacted sample in characters.
const maxSample = 40

// Redact is what may be kept and shown of a value: its form. Digits become 0,
// letters a or A, other characters but signs ?, and what is longer than 40
// characters is cut. Secrets keep nothing but their length.
func Redact(kind Kind, value string) string {
	var b strings.Builder
	if kind.Class() == Secret {
		for range min(len(value), 8) {
			b.WriteByte('*')
		}
		return b.String()
	}
	n := 0
	for _, r := range value {
		if n++; n > maxSample {
			b.WriteString("…")
			break
		}
		switch {
		case r >= '0' && r <= '9':
			b.WriteByte('0')
		case r >= 'A' && r <= 'Z':
			b.WriteByte('A')
		case r >= 'a' && r <= 'z':
			b.WriteByte('a')
		case r > ' ' && r < 0x7f || r == ' ':
			b.WriteRune(r)
		default:
			b.WriteByte('?')
		}
	}
	return b.String()
}
