package exchange

import (
	"net/netip"
	"strings"
	"unicode/utf8"
)

// What stands in a masked path for a value. The kind is kept, since it tells
// one operation from another; the value is not.
const (
	MaskNumber = "{number}"
	MaskUUID   = "{uuid}"
	MaskToken  = "{token}" // long, hexadecimal or mixed: an identifier or a secret
	MaskEmail  = "{email}"
	MaskValue  = "{value}" // anything else that no developer would call a route
)

const (
	maxSegments = 32
	maxName     = 40 // bytes of a segment that may still be a name
)

// MaskPath returns path without its query and with every segment that looks
// like a value replaced by its kind. What remains are names, as developers write
// them into routes: letters with few digits. Segments beyond 32 become "…".
//
// It cannot know that a plain word is somebody's name: telling "/users/anna"
// from "/users/search" takes traffic, not one path.
func MaskPath(path string) string {
	if i := strings.IndexAny(path, "?#"); i >= 0 {
		path = path[:i]
	}
	var masked []byte // the segments up to from, once one of them is not as it was
	from := 0
	for n := 0; from <= len(path); n++ {
		end := len(path)
		if i := strings.IndexByte(path[from:], '/'); i >= 0 {
			end = from + i
		}
		shown := MaskSegment(path[from:end])
		if n == maxSegments {
			shown, end = "…", len(path)
		}
		if masked == nil && shown != path[from:end] {
			masked = append(make([]byte, 0, len(path)+len(shown)), path[:from]...)
		}
		if masked != nil {
			masked = append(masked, shown...)
			if end < len(path) {
				masked = append(masked, '/')
			}
		}
		from = end + 1
	}
	if masked == nil {
		return path
	}
	return string(masked)
}

// MaskSegment masks one path segment or one parameter name.
func MaskSegment(s string) string {
	switch {
	case s == "", s == MaskNumber, s == MaskUUID, s == MaskToken, s == MaskEmail, s == MaskValue:
		return s // masking twice is masking once
	case isNumber(s):
		return MaskNumber
	case isUUID(s):
		return MaskUUID
	case strings.Contains(s, "@"):
		return MaskEmail
	case !plain(s):
		return MaskValue
	case isToken(s):
		return MaskToken
	}
	return s
}

// plain says whether s is written in the letters names are written in. Percent
// escapes, equal signs, brackets and spaces are values or attacks.
func plain(s string) bool {
	for i := range len(s) {
		if c := s[i]; !isLetter(c) && !isDigit(c) && !isSign(c) {
			return false
		}
	}
	return true
}

func isLetter(c byte) bool { return c|0x20 >= 'a' && c|0x20 <= 'z' }
func isDigit(c byte) bool  { return c >= '0' && c <= '9' }

// isNumber: digits with the signs numbers, dates, addresses and phone numbers have.
func isNumber(s string) bool {
	digits := 0
	for i := range len(s) {
		switch c := s[i]; {
		case isDigit(c):
			digits++
		case strings.IndexByte("+-.,:_", c) < 0:
			return false
		}
	}
	return digits > 0
}

func isUUID(s string) bool {
	hex, dashes := 0, 0
	for i := range len(s) {
		switch {
		case isHex(s[i]):
			hex++
		case s[i] == '-':
			dashes++
		default:
			return false
		}
	}
	return hex == 32 && (dashes == 0 || dashes == 4)
}

func isHex(c byte) bool { return isDigit(c) || c|0x20 >= 'a' && c|0x20 <= 'f' }

// isToken looks at a segment whole and at its words (see isSign).
func isToken(s string) bool {
	if len(s) > maxName {
		return true
	}
	start, digits := 0, 0
	for i := 0; i <= len(s); i++ {
		switch {
		case i == len(s) || isSign(s[i]):
			if i > start && wordIsToken(s[start:i]) {
				return true
			}
			start = i + 1
		case isDigit(s[i]):
			digits++
		}
	}
	return digits > 4
}

// isSign: what parts the words of a name, or stands in front of it.
func isSign(c byte) bool {
	switch c {
	case '-', '_', '.', '~', ':', '$', '*':
		return true
	}
	return false
}

// wordIsToken: more digits than a version or a year has, hexadecimal with
// digits among letters, switching between letters and digits or between cases
// more often than camelCase does, or without an end.
func wordIsToken(w string) bool {
	digits, hex, turns, caps := 0, true, 0, 0
	for i := range len(w) {
		c := w[i]
		hex = hex && isHex(c)
		if isDigit(c) {
			digits++
		}
		if i == 0 {
			continue
		}
		if isDigit(c) != isDigit(w[i-1]) {
			turns++
		}
		if isLetter(c) && isLetter(w[i-1]) && c&0x20 == 0 && w[i-1]&0x20 != 0 {
			caps++
		}
	}
	switch {
	case len(w) > 24, digits > 4, turns > 2:
		return true
	case hex && digits > 0 && len(w) >= 6, hex && len(w) >= 16:
		return true
	case len(w) >= 16 && w == strings.ToUpper(w): // keys of cloud providers; nobody shouts that long
		return true
	case caps > 4, caps*3 > len(w) && len(w) >= 8:
		return true
	}
	return false
}

// MaskHost keeps a host name or address in lower case, without port; what is
// neither becomes {value}.
func MaskHost(host string) string {
	host = strings.ToLower(host)
	if !strings.ContainsAny(host, "ghijklmnopqrstuvwxyz") || strings.IndexByte(host, '%') >= 0 { // else no address
		if a, err := netip.ParseAddrPort(host); err == nil {
			return a.Addr().String()
		}
		if a, err := netip.ParseAddr(strings.Trim(host, "[]")); err == nil {
			return a.WithZone("").String()
		}
	}
	if i := strings.LastIndexByte(host, ':'); i >= 0 {
		host = host[:i]
	}
	if len(host) > 253 || !utf8.ValidString(host) {
		return MaskValue
	}
	for i := range len(host) {
		if c := host[i]; !isLetter(c) && !isDigit(c) && c != '-' && c != '.' && c != '_' {
			return MaskValue
		}
	}
	return host
}

// ParamNames returns the distinct names of query parameters in order, at most 64,
// masked where a name looks like a value.
func ParamNames(pathOrQuery string) (names []string) {
	_, query, _ := strings.Cut(pathOrQuery, "?")
	query, _, _ = strings.Cut(query, "#")
	seen := map[string]bool{}
	for query != "" && len(names) < 64 {
		var pair string
		pair, query, _ = strings.Cut(query, "&")
		name, _, _ := strings.Cut(pair, "=")
		name = maskParam(name)
		if name != "" && !seen[name] {
			seen[name] = true
			names = append(names, name)
		}
	}
	return names
}

// maskParam leaves the brackets frameworks put into names (filter[name], ids[]).
func maskParam(name string) string {
	name = strings.NewReplacer("%5B", "[", "%5b", "[", "%5D", "]", "%5d", "]").Replace(name)
	return strings.Join(mapBrackets(strings.Split(name, "[")), "[")
}

func mapBrackets(parts []string) []string {
	for i, p := range parts {
		inner, closed := strings.CutSuffix(p, "]")
		parts[i] = MaskSegment(inner)
		if closed {
			parts[i] += "]"
		}
	}
	return parts
}
