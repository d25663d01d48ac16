package waf

import (
	"math/rand/v2"
	"regexp"
	"slices"
	"testing"
	"unicode/utf8"
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
			cut := 0 // within ASCII
			for cut < len(s)/2 && s[cut] < utf8.RuneSelf {
				cut++
			}
			texts := []string{s, s[:cut], s[:cut] + s}
			if got, ok := d.matchesAny(s[:cut], texts, 0); ok && got != slices.ContainsFunc(texts, re.MatchString) {
				t.Errorf("%q in one of %q: %v", expr, texts, got)
			}
		}
	})
}

// TestDFARests: searches that are given up do not turn an expression's automaton off
// for good.
func TestDFARests(t *testing.T) {
	d := newDFA(`a[ab]{14}c`)
	rnd := rand.New(rand.NewPCG(1, 2))
	long := make([]byte, 64<<10)
	for i := range long {
		long[i] = "ab"[rnd.IntN(2)]
	}
	gaveUp := 0
	for range 2 * dfaGiveUps {
		if _, ok := d.matches(string(long)); !ok {
			gaveUp++
		}
	}
	if gaveUp != 2*dfaGiveUps {
		t.Fatalf("it answered %d of the searches", 2*dfaGiveUps-gaveUp)
	}
	for range 2 * dfaRest {
		if match, ok := d.matches("xaabbaabbaabbaabcx"); ok {
			if !match {
				t.Error("it answers wrong")
			}
			return
		}
	}
	t.Error("it never answers again")
}
