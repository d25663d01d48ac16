// Package corpus makes labelled values: sensitive data of many kinds, and what
// looks like it and is not (wrong checksums, order numbers, timestamps, hashes,
// versions). From one seed it makes the same values on every machine.
//
// It shares no code with the classifiers that are measured on it, checksums
// included: those are written again here from the issuers' descriptions, mostly
// by trying every check digit. A test holds that it imports the standard library
// only. The benchmark imports it.
package corpus

import (
	"fmt"
	"math/rand/v2"
	"strings"
)

// Case is a named value and what it is; Kind is empty where it is nothing.
type Case struct {
	Name, Value string
	Kind        string
	Group       string // what kind of near-miss
}

// maker makes values of one kind.
type maker struct {
	kind  string
	names string // what fields with it are called; a blank entry is a name that says nothing
	good  func(*gen) string
	bad   func(*gen) string // the same form, and wrong; nil if there is none
	other string            // what fields with the wrong form are called, if not the same
}

// gen is one run with its randomness.
type gen struct{ *rand.Rand }

// Make makes n cases of each kind, as many near-misses of its form, and as many
// of what only looks alike.
func Make(seed uint64, n int) (cases []Case) {
	g := &gen{rand.New(rand.NewPCG(seed, 0x9e3779b97f4a7c15))}
	for _, m := range makers() {
		for range n {
			cases = append(cases, Case{Name: g.name(m.names), Value: m.good(g), Kind: m.kind})
			if m.bad != nil {
				names := m.names
				if m.other != "" {
					names = m.other
				}
				cases = append(cases, Case{Name: g.name(names), Value: m.bad(g), Group: "wrong " + m.kind})
			}
		}
	}
	for _, m := range misses() {
		for range n {
			name := strings.TrimPrefix(g.name(m.names), "customer.") // a customer's name is one
			cases = append(cases, Case{Name: name, Value: m.good(g), Group: m.kind})
		}
	}
	return cases
}

// Kinds are the kinds that Make makes.
func Kinds() (kinds []string) {
	for _, m := range makers() {
		kinds = append(kinds, m.kind)
	}
	return kinds
}

// name takes one of the names, in one of the spellings people use.
func (g *gen) name(names string) string {
	all := strings.Split(names, ",")
	words := strings.Fields(all[g.IntN(len(all))])
	if len(words) == 0 {
		return g.pick("", "value", "data", "field1", "text", "v", "content", "input")
	}
	switch g.IntN(5) {
	case 0:
		return strings.Join(words, "_")
	case 1:
		return strings.Join(words, "-")
	case 2:
		return strings.ToUpper(strings.Join(words, "_"))
	case 3:
		return "customer." + strings.Join(words, "_")
	}
	for i, w := range words[1:] {
		words[i+1] = strings.ToUpper(w[:1]) + w[1:]
	}
	return strings.Join(words, "")
}

func (g *gen) pick(s ...string) string { return s[g.IntN(len(s))] }

// of makes n characters of an alphabet.
func (g *gen) of(alphabet string, n int) string {
	b := make([]byte, n)
	for i := range b {
		b[i] = alphabet[g.IntN(len(alphabet))]
	}
	return string(b)
}

const (
	digits  = "0123456789"
	uppers  = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
	lowers  = "abcdefghijklmnopqrstuvwxyz"
	hexes   = "0123456789abcdef"
	letters = uppers + lowers
	alnums  = digits + letters
	urlSafe = alnums + "-_"
)

func (g *gen) digits(n int) string { return g.of(digits, n) }

func (g *gen) between(low, high int) int { return low + g.IntN(high-low+1) }

// day is a date of birth.
func (g *gen) day() (year, month, day int) {
	return g.between(1930, 2007), g.between(1, 12), g.between(1, 28)
}

// trying appends the check that makes the whole right.
func trying(body, alphabet string, right func(string) bool) string {
	for _, c := range alphabet {
		if s := body + string(c); right(s) {
			return s
		}
	}
	return ""
}

// until makes bodies until one has a check.
func until(body func() string, finish func(string) string) string {
	for {
		if s := finish(body()); s != "" {
			return s
		}
	}
}

// spoil changes the last digit or letter to another one.
func (g *gen) spoil(s string) string {
	for i := len(s) - 1; i >= 0; i-- {
		alphabet := ""
		switch c := s[i]; {
		case c >= '0' && c <= '9':
			alphabet = digits
		case c >= 'A' && c <= 'Z':
			alphabet = uppers
		case c >= 'a' && c <= 'z':
			alphabet = lowers
		default:
			continue
		}
		for {
			if c := alphabet[g.IntN(len(alphabet))]; c != s[i] {
				return s[:i] + string(c) + s[i+1:]
			}
		}
	}
	return s
}

// spoiled is the wrong form of a good one.
func spoiled(good func(*gen) string) func(*gen) string {
	return func(g *gen) string { return g.spoil(good(g)) }
}

// mask writes a number into a form: "###.###.###-##".
func mask(form, number string) string {
	var b strings.Builder
	k := 0
	for _, c := range form {
		if c == '#' {
			b.WriteByte(number[k])
			k++
		} else {
			b.WriteRune(c)
		}
	}
	return b.String()
}

// dot is the sum of digits times weights.
func dot(s string, weights ...int) (sum int) {
	for i, w := range weights {
		sum += int(s[i]-'0') * w
	}
	return sum
}

func sprintf(format string, a ...any) string { return fmt.Sprintf(format, a...) }
