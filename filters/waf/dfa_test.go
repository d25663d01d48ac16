package waf

import (
	"regexp"
	"strings"
	"testing"

	libinjection "github.com/corazawaf/libinjection-go"
)

// The automaton finds what the regexp package finds.
func FuzzDFA(f *testing.F) {
	for _, seed := range [][2]string{
		{`a.c`, "xabc"}, {`\bselect\b.*?\bfrom\b`, "please select 1\nfrom x"}, {`^a$`, "b\na\nc"}, {`\Aa\z`, "a"}, {`\Aa\z`, "a\n"},
		{`(?i)ſtraße`, "STRASSE straße"}, {`[^\x00-\x7f]{2}`, "a\xff\xfe"}, {`\B`, ""}, {``, ""}, {`x*$`, "y"}, {`(?i)k`, "\u212a"},
		{`(?:a|ab)(?:c|bcd)(?:d*)`, "abcd"}, {`\W\w\W`, " a."}, {`[\s\S]x{3,5}y`, "\nxxxxy"}, {`a\b.`, "a!"}, {`.`, "\n"},
	} {
		f.Add(seed[0], seed[1])
	}
	f.Fuzz(func(t *testing.T, expr, text string) {
		if len(expr) > 200 {
			return
		}
		expr = "(?sm)" + expr
		re, err := regexp.Compile(expr)
		if err != nil {
			return
		}
		d := newDFA(expr)
		if d == nil {
			return
		}
		for _, s := range []string{text, text + "\n" + text, ""} {
			for range 2 {
				if got, ok := d.matches(s); ok && got != re.MatchString(s) {
					t.Errorf("%q in %q: %v", expr, s, got)
				}
			}
		}
	})
}

// A single word or number is no injection, whatever the word.
func TestOneWordIsNoInjection(t *testing.T) {
	words := strings.Fields("select union sleep benchmark null true like and or not in is exec execute x b n u e q nq waitfor having group_concat " +
		"a1 e1 x0 b0 n_ f_1 xp_cmdshell information_schema 0 1 00 12345678901234567890123456789012345678 " + strings.Repeat("a", 200))
	for _, w := range words {
		if found, _ := libinjection.IsSQLi(w); oneWord(w) && found || !oneWord(w) {
			t.Errorf("%q", w)
		}
	}
	for _, w := range []string{"", "1a", "_a", "a b", "a.b", "é", "1'"} {
		if oneWord(w) {
			t.Errorf("%q is one word", w)
		}
	}
}
