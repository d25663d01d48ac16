package sensitive

import "strings"

// assigned looks at what follows = or : at i in a text, where the word before it
// says that it is a secret: password=…, "AccountKey": "…".
func (s *scan) assigned(i int) {
	v := s.value
	if i == 0 || i+1 >= len(v) || v[i] == ':' && v[i+1] == '/' {
		return
	}
	from := i
	for from > 0 && (v[from-1] == ' ' || v[from-1] == '"' || v[from-1] == '\'' || v[from-1] == '\\') {
		from--
	}
	if from == 0 || class(v[from-1])&letter == 0 && v[from-1] < 0x80 {
		return
	}
	h := s.before(from)
	if h.kind.Class() != Secret {
		return
	}
	start := i + 1
	for start < len(v) && (v[start] == ' ' || v[start] == '"' || v[start] == '\'' || v[start] == '\\') {
		start++
	}
	end := start
	for end < len(v) && strings.IndexByte(" \t\r\n\"'&;,<>\\", v[end]) < 0 {
		end++
	}
	token := v[start:end]
	if !s.spoken(h.kind, token, v[i] == '=') {
		return
	}
	kind := h.kind
	if kind == Password && database(v[:from]) {
		kind = ConnectionString
	}
	s.keep(kind, Likely, start, end)
}

// spoken says whether what follows is a value and not the next word of a
// sentence: it has a digit or a sign, or follows an equal sign.
func (s *scan) spoken(kind Kind, token string, equal bool) bool {
	if masked(token) || !plausible(kind, token) || len(token) < 4 {
		return false
	}
	for i := range len(token) {
		if class(token[i])&letter == 0 {
			return equal || len(token) >= 6
		}
	}
	return equal && len(token) >= 6
}

// database says whether a text that names a password is a connection string.
func database(text string) bool {
	text = text[max(0, len(text)-512):]
	for _, word := range [...]string{"erver=", "ost=", "ource=", "ndpoint=", "atabase=", "SERVER=", "HOST="} {
		if strings.Contains(text, word) {
			return true
		}
	}
	return false
}
