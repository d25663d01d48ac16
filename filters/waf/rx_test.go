package waf

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/corazawaf/coraza/v3/experimental/plugins/plugintypes"

	wafrules "github.com/gabion-io/gabion/waf-rules"
)

// patterns are the regular expressions of the rule set, and some that it does
// not have.
func patterns(t testing.TB) (out []*rx) {
	t.Helper()
	rules, err := wafrules.Catalogue(wafrules.ProfileCRS)
	if err != nil {
		t.Fatal(err)
	}
	var add func(r wafrules.Rule)
	texts := []string{`(?i)k`, `(?i)sK|ü`, `^$`, `\bab?\b`, `a{2,3}[^a]`, `[\x{80}-\x{fff}]x`, `(?i)(?:se|de)lect\s+[a-z]`, ``, `^\d+$`,
		`\xe2\x80[\x98\x99]`, `(?i)k[\x80-\xff]?$`, `\s*[\xa0 ]=`, `[^\x41]{2}\xff|ab`}
	add = func(r wafrules.Rule) {
		if rest, ok := strings.CutPrefix(strings.TrimPrefix(r.Operator, "!"), "@rx "); ok {
			texts = append(texts, rest)
		}
		for _, c := range r.Chain {
			add(c)
		}
	}
	for _, r := range rules {
		add(r)
	}
	for _, text := range texts {
		op, err := newRX(plugintypes.OperatorOptions{Arguments: text, Root: ruleFiles{alphabet: true, literals: true}})
		if err != nil {
			continue // macros
		}
		if o, ok := op.(*rx); ok {
			out = append(out, o)
		}
	}
	return out
}

// FuzzRX: what rules a match out never rules out one that the expression finds.
func FuzzRX(f *testing.F) {
	all := patterns(f)
	if len(all) < 200 {
		f.Fatalf("only %d patterns", len(all))
	}
	for _, o := range all {
		o.reach.learnNeeds()
	}
	for _, s := range []string{"", "a", "\u212a\u017f", "SELECT * FROM users WHERE 1=1 -- ", "<script>alert(1)</script>", "\xff\xfe", "../../etc/passwd",
		"() { :;}; /bin/bash -c id", "${jndi:ldap://x}", "aab\n", "{{7*7}}", "%00", "<?php system($_GET['x']);", "1' or '1'='1", "javascript:x", "sK", "selecT\tq"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, value string) {
		for _, o := range all {
			fm := form{}
			fm.set(1, value)
			reference := matcher(o.re())
			if o.bytes != nil {
				reference = o.bytes
			}
			if got, want := o.matches(&trial{}, &fm, nil), reference.MatchString(value); got != want {
				t.Fatalf("%s on %q: %v, the expression says %v", o.re(), value, got, want)
			}
			if o.bytes == nil && o.automaton() != nil {
				if got, ok := o.places().matches(value); ok && got != reference.MatchString(value) {
					t.Fatalf("%s on %q: %v place by place", o.re(), value, got)
				}
			}
			for _, text := range []string{value, strings.Repeat("the quick brown fox \n", longCapture/20+1) + value} {
				var got []string
				m, of := o.captures(text)
				for i := 0; i < len(m); i += 2 {
					if m[i] >= 0 {
						got = append(got, fmt.Sprint(i, " ", len(of)-m[i], " ", of[m[i]:m[i+1]]))
					}
				}
				var want []string
				m = reference.FindStringSubmatchIndex(text)
				for i := 0; i < len(m); i += 2 {
					if m[i] >= 0 {
						want = append(want, fmt.Sprint(i, " ", len(text)-m[i], " ", text[m[i]:m[i+1]]))
					}
				}
				if !slices.Equal(got, want) {
					t.Fatalf("%s on %q captures %q, the expression %q", o.re(), text, got, want)
				}
			}
		}
	})
}

// TestRawBytes: which package runs an expression decides what it matches.
func TestRawBytes(t *testing.T) {
	for expr, want := range map[string]bool{
		`abc`: false, `\x41`: false, `\xff`: true, `\x{ff}`: true, `ü`: false, `\xc3\xbc`: false, `\x{2019}`: false,
		`\x`: false, `\xf`: false, `a\xfz0`: false, `\\xff`: true, `[\x80-\xff]`: true, `\x{f}`: false, `\d\xe0`: true,
	} {
		if got := namesRawBytes(expr); got != want {
			t.Errorf("%s: %v", expr, got)
		}
	}
}
