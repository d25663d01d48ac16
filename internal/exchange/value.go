package exchange

import (
	"net/netip"
	"slices"
	"strings"
	"time"
)

// Kind is what a value looks like. It decides nothing alone: a number may be a
// version in front of every path, a word may be somebody's name.
type Kind uint8

const (
	KindEmpty    Kind = iota
	KindWord          // letters with - _ . and the like: "users", "getUser", "@me", "anna-maria"
	KindMixed         // letters and some digits: "s3", "us-east-1", "anna77"
	KindVersion       // "v1", "v2.1", "v1beta1"
	KindSmall         // a number of at most four digits
	KindNumber        // any other integer
	KindDecimal       // "1.1", "-33.86"
	KindBool          // "true", "false"
	KindDate          // "2010-04-01"
	KindDateTime      // RFC 3339
	KindUUID          //
	KindULID          //
	KindHex           // at least twelve hexadecimal digits
	KindPrefixed      // "cus_NffrFeUfNV2Hib"
	KindToken         // mixed characters that nobody would write by hand
	KindEmail         //
	KindIP            //
	KindList          // several values with commas
	KindURI           // with a scheme, or with slashes
	KindOther         // anything else
	KindBinary        // a file; no text
	kinds             // their number
)

// Kinds is how many kinds there are.
const Kinds = int(kinds)

var kindNames = [kinds]string{"empty", "word", "mixed", "version", "small number", "number", "decimal", "boolean", "date", "date-time",
	"uuid", "ulid", "hash", "prefixed id", "token", "email", "ip address", "list", "uri", "other", "binary"}

func (k Kind) String() string {
	if k >= kinds {
		return "unknown"
	}
	return kindNames[k]
}

// ParseKind is String's other way: stored kinds are stored by name.
func ParseKind(name string) (Kind, bool) {
	i := slices.Index(kindNames[:], name)
	return Kind(max(i, 0)), i >= 0
}

// MarshalText and UnmarshalText make a kind its name.
func (k Kind) MarshalText() ([]byte, error) { return []byte(k.String()), nil }

// UnmarshalText takes a name that is not known for KindOther: who wrote it may
// be newer.
func (k *Kind) UnmarshalText(b []byte) error {
	known, ok := ParseKind(string(b))
	if !ok {
		known = KindOther
	}
	*k = known
	return nil
}

// Fixed says that a value of this kind may be part of an API's own vocabulary:
// a segment that a developer wrote. Of the others nobody would.
func (k Kind) Fixed() bool {
	switch k {
	case KindWord, KindMixed, KindVersion, KindSmall, KindDecimal, KindDate, KindBool, KindOther:
		return true
	}
	return false
}

// maxFixed is the length in bytes from which on a value is nobody's word.
const maxFixed = 64

// traits is what one pass over a value finds.
type traits struct {
	digits, letters, upper, hex, seps, dots, dashes, other int
	longest                                                int  // part between separators
	random                                                 bool // a part looks random
}

// KindOf classifies a decoded value.
func KindOf(s string) Kind {
	if s == "" {
		return KindEmpty
	}
	t := examine(s)
	switch {
	case t.digits == len(s):
		if len(s) <= 4 {
			return KindSmall
		}
		return KindNumber
	case t.digits > 0 && t.letters == 0:
		if k := numeric(s, t); k != KindEmpty {
			return k
		}
	}
	if t.other > 0 {
		if k := punctuated(s, t); k != KindEmpty {
			return k
		}
	}
	if t.digits == 0 {
		return lettersOnly(s, t)
	}
	return lettersAndDigits(s, t)
}

// Classes of characters, as bits.
const (
	digitClass = 1 << iota
	letterClass
	upperClass
	hexClass
	partClass // parts words: - _ . ~
)

// classes of all bytes. It is made once and never changed.
var classes = func() (table [256]uint8) {
	for c := range 256 {
		b := byte(c)
		switch {
		case isDigit(b):
			table[c] = digitClass | hexClass
		case isLetter(b):
			table[c] = letterClass
			if isHex(b) {
				table[c] |= hexClass
			}
			if b&0x20 == 0 {
				table[c] |= upperClass
			}
		case b == '-' || b == '_' || b == '.' || b == '~':
			table[c] = partClass
		}
	}
	return table
}()

// part is what is found between two separators.
type part struct{ start, turns, caps, digits int }

func examine(s string) (t traits) {
	var p part
	last := uint8(0)
	for i := range len(s) {
		class := classes[s[i]]
		switch {
		case class&(digitClass|letterClass) == 0:
			if class == partClass {
				t.seps++
				switch s[i] {
				case '.':
					t.dots++
				case '-':
					t.dashes++
				}
			} else {
				t.other++
			}
			t.end(&p, i)
			last = 0
			continue
		case class&digitClass != 0:
			t.digits++
			p.digits++
			if last&letterClass != 0 {
				p.turns++
			}
		default:
			t.letters++
			if class&upperClass != 0 {
				t.upper++
				if last&letterClass != 0 && last&upperClass == 0 {
					p.caps++
				}
			}
			if last&digitClass != 0 {
				p.turns++
			}
		}
		if class&hexClass != 0 {
			t.hex++
		}
		last = class
	}
	t.end(&p, len(s))
	return t
}

// end closes a part and begins the next: does it look like something that nobody
// wrote?
func (t *traits) end(p *part, at int) {
	if n := at - p.start; n > 0 {
		t.longest = max(t.longest, n)
		if n >= 8 && (p.turns >= 3 || p.digits >= 5 && p.turns >= 1 && n >= 10 || p.caps*3 >= n) || n >= 32 && p.digits > 0 {
			t.random = true
		}
	}
	*p = part{start: at + 1}
}

// numeric: digits with signs and separators, no letters.
func numeric(s string, t traits) Kind {
	if t.other > 0 {
		return KindEmpty
	}
	body := strings.TrimPrefix(s, "-")
	switch {
	case t.dots == 0 && t.seps == len(s)-len(body):
		return KindNumber
	case t.dots == 1 && t.seps == 1+len(s)-len(body) && body[0] != '.' && body[len(body)-1] != '.':
		return KindDecimal
	case t.dots == 3 && t.seps == 3:
		if _, err := netip.ParseAddr(s); err == nil {
			return KindIP
		}
	case len(s) == 10 && t.dashes == 2 && isDate(s):
		return KindDate
	case len(s) == 36 && t.dashes == 4 && isUUID(s):
		return KindUUID
	}
	return KindMixed
}

func isDate(s string) bool {
	return len(s) == 10 && s[4] == '-' && s[7] == '-' && (s[5] == '0' || s[5] == '1') && s[8] <= '3'
}

// punctuated: characters beyond letters, digits and - _ . ~
func punctuated(s string, t traits) Kind {
	switch {
	case strings.Contains(s, "://") || strings.Contains(s, "/"):
		return KindURI
	case strings.IndexByte(s, ',') > 0:
		return KindList
	case isEmail(s):
		return KindEmail
	case len(s) >= 16 && isDigit(s[0]) && strings.IndexByte(s, ':') > 0 && isDateTime(s):
		return KindDateTime
	case strings.IndexByte(s, ':') >= 0 && t.letters == t.hex-t.digits:
		if _, err := netip.ParseAddr(s); err == nil {
			return KindIP
		}
	case len(s) >= 16 && t.random:
		return KindToken
	}
	// "@me", "$metadata", "~self", "a:b": signs that routes are written with.
	for i := range len(s) {
		if c := s[i]; !isLetter(c) && !isDigit(c) && !strings.ContainsRune("-_.~@$!*:()'", rune(c)) {
			return KindOther
		}
	}
	return KindEmpty
}

func isEmail(s string) bool {
	at := strings.IndexByte(s, '@')
	return at > 0 && strings.IndexByte(s[at:], '.') > 1 && !strings.ContainsAny(s, " <>\"")
}

func isDateTime(s string) bool {
	if !isDate(s[:10]) || s[10] != 'T' && s[10] != 't' && s[10] != ' ' && s[10] != '+' {
		return false
	}
	_, err := time.Parse(time.RFC3339Nano, strings.Replace(s, " ", "+", 1))
	if err != nil {
		_, err = time.Parse("2006-01-02T15:04:05", s[:min(len(s), 19)])
	}
	return err == nil
}

func lettersOnly(s string, t traits) Kind {
	switch {
	case s == "true" || s == "false":
		return KindBool
	case isPrefixed(s):
		return KindPrefixed
	case t.hex == len(s) && len(s) >= 16:
		return KindHex
	case t.random, t.longest > 32, len(s) > maxFixed:
		return KindToken
	}
	return KindWord
}

func lettersAndDigits(s string, t traits) Kind {
	switch {
	case len(s) >= 32 && t.hex+t.dashes == len(s) && isUUID(s):
		return KindUUID
	case t.hex == len(s) && len(s) >= 12:
		return KindHex
	case isVersion(s):
		return KindVersion
	case len(s) == 26 && t.upper+t.digits == 26 && s[0] <= '7' && !strings.ContainsAny(s, "ILOU"):
		return KindULID
	case isPrefixed(s):
		return KindPrefixed
	case len(s) >= 19 && s[4] == '-' && isDate(s[:10]) && isDateTime(s):
		return KindDateTime
	case t.random, len(s) > maxFixed, t.longest >= 10 && t.digits*2 >= len(s) && t.letters > 0 && t.seps == 0:
		return KindToken
	}
	return KindMixed
}

// isVersion: "v1", "v1.2", "v1beta1", "v1alpha2".
func isVersion(s string) bool {
	if len(s) < 2 || len(s) > 12 || s[0]|0x20 != 'v' || !isDigit(s[1]) {
		return false
	}
	rest := strings.TrimLeft(s[1:], "0123456789.")
	for _, word := range []string{"alpha", "beta", "rc", "preview", "p"} {
		if tail, ok := strings.CutPrefix(rest, word); ok {
			return strings.Trim(tail, "0123456789") == ""
		}
	}
	return rest == ""
}

// isPrefixed: a short lower-case prefix, an underscore, and something random.
func isPrefixed(s string) bool {
	i := strings.LastIndexByte(s, '_')
	if i < 1 || i > 12 || len(s)-i-1 < 8 {
		return false
	}
	for _, c := range []byte(s[:i]) {
		if (c < 'a' || c > 'z') && c != '_' {
			return false
		}
	}
	digits, letters, turns := 0, 0, 0
	for k, c := range []byte(s[i+1:]) {
		switch {
		case isDigit(c):
			digits++
		case isLetter(c):
			letters++
			if p := s[i+k]; isLetter(p) && p&0x20 != c&0x20 {
				turns++
			}
		default:
			return false
		}
	}
	return digits > 0 && (letters > 0 || digits >= 6) || turns > 3 && 2*turns > letters-3
}

// Prefix is the fixed beginning of a prefixed id, "cus_", empty for others.
func Prefix(s string) string {
	if !isPrefixed(s) {
		return ""
	}
	return s[:strings.LastIndexByte(s, '_')+1]
}
