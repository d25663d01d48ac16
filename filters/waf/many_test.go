package waf

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/corazawaf/coraza/v3/experimental/plugins/plugintypes"
)

// fragments are what the texts of these tests are put together from: what
// transformations and operators look for, and what they do not.
var fragments = []string{"a", "B", "select", "UNION", "1", "0x41", "etc", "onerror", "script", "doctype", "xml:", "style", "import", " ", "  ", "\t", "\n", "\x00",
	"/", "//", "/.", "/../", "./", ".", "..", "\\", "\\u0041", "\\x2f", "%", "%2f", "%u0041", "+", "&lt;", "&", "<", ">", "=", "'", "\"", "`", "^", ",", ";", ":", "C:",
	"(", ")", " (", " /", "-", "--", "-->", "<!--", "#", "/*", "*/", "*", "?", "!", "é", "\xff", "\u212a", "YWJj", "{", "}", "$", "~", "\x7f", "[if", "]]>"}

func mixture(rnd *rand.Rand, from []string) string {
	var b strings.Builder
	for range rnd.IntN(9) {
		b.WriteString(from[rnd.IntN(len(from))])
	}
	return b.String()
}

// secondPlan is what e skips by in phase 2, and a transaction to ask with.
func secondPlan(t testing.TB, e *Engine) (*skipPlan, plugintypes.TransactionState) {
	t.Helper()
	tx := e.waf.NewTransactionWithID("x")
	t.Cleanup(func() { tx.Close() })
	rules, err := compiledRules(tx, nil)
	if err != nil {
		t.Fatal(err)
	}
	skips, _ := ownActions(rules)
	p := skips[2].plan.Load()
	if p == nil {
		t.Fatal("phase 2 has no plan")
	}
	return p, tx.(plugintypes.TransactionState)
}

// TestEffects: what is known of a transformation holds.
func TestEffects(t *testing.T) {
	p, _ := secondPlan(t, engine(t, func(c *Config) { c.Settings.ParanoiaLevel = 4 }))
	rnd := rand.New(rand.NewPCG(3, 4))
	g, kept := new(grams), make([]int, len(p.nodes))
	for round := range 10_000 {
		text := mixture(rnd, fragments)
		if round%4 == 0 {
			text = mixture(rnd, []string{"0", "17", "4", "29", "83", "+", "/", "\n", ".", "=", "6"})
		}
		a := alphabetOf(text)
		g.read(text, nil)
		for n := 1; n < len(p.nodes); n++ {
			e := &p.nodes[n].effect
			after, _, err := p.nodes[n].f(text)
			if err != nil {
				continue
			}
			if !e.grows && utf8.RuneCountInString(after) > utf8.RuneCountInString(text) {
				t.Fatalf("node %d: %q grew to %q", n, text, after)
			}
			if !e.mayChange(a) && after != text {
				t.Fatalf("node %d: %q became %q", n, text, after)
			}
			if made := e.on(a); alphabetOf(after)&^made != 0 {
				t.Fatalf("node %d: %q became %q, of other characters than %x", n, text, after, made)
			}
			if e.base64 && len(after) != base64Length(text, len(text)) {
				t.Fatalf("%q became %q, not %d bytes", text, after, base64Length(text, len(text)))
			}
			if !e.mayChange(a) || !e.keeps(a, g) {
				continue
			}
			if !strings.Contains(strings.ToLower(text), strings.ToLower(after)) {
				t.Fatalf("node %d put together what was apart: %q became %q", n, text, after)
			}
			if text != after {
				kept[n]++
			}
		}
	}
	if slices.Max(kept) == 0 {
		t.Error("nothing was changed")
	}
}

// TestOneOf: without one of the characters that it needs, no operator matches.
func TestOneOf(t *testing.T) {
	p, tx := secondPlan(t, engine(t, func(c *Config) { c.Settings.ParanoiaLevel = 4 }))
	rnd := rand.New(rand.NewPCG(5, 6))
	asked, matched := 0, 0
	for i := range p.predicates {
		q := &p.predicates[i]
		if q.oneOf == 0 || q.state != nil {
			continue
		}
		var without []string
		for _, f := range fragments {
			if alphabetOf(f)&q.oneOf == 0 {
				without = append(without, f)
			}
		}
		for range 4_000 {
			if text := mixture(rnd, without); q.operator.Evaluate(tx, text) {
				t.Fatalf("predicate %d matches %q", i, text)
			}
			if q.operator.Evaluate(tx, mixture(rnd, fragments)) {
				matched++
			}
			asked++
		}
	}
	if asked == 0 || matched == 0 {
		t.Errorf("asked %d times, %d matched: too little", asked, matched)
	}
}

// TestCrowd: many values judged together match what each of them matches.
func TestCrowd(t *testing.T) {
	if testing.Short() {
		t.Skip("long under the race detector, and one goroutine")
	}
	p, tx := secondPlan(t, engine(t, func(c *Config) { c.Settings.ParanoiaLevel = 4 }))
	rnd := rand.New(rand.NewPCG(7, 8))
	words := slices.Clone(fragments)
	for _, l := range largeBodies()[:1] {
		words = append(words, strings.FieldsFunc(l.body[:4000], func(r rune) bool { return r == '&' || r == '=' })...)
	}
	words = append(words, "1' or '1'='1", "<script>alert(1)</script>", "../../etc/passwd", "; cat /etc/passwd", "${jndi:ldap://x}", "() { :;}; id",
		"union select 1,2", "javascript:alert(1)", "<?php system($_GET['x']);", "http://127.0.0.1/", "while(true)", "d2hpbGUodHJ1ZSk=", "c at  /et c")
	s := &skipScratch{hits: make([]uint64, p.words), rough: make([]uint64, p.words), crowd: newCrowd(), many: true}
	hits := 0
	for round := range 40 {
		var values []string
		for range 50 + rnd.IntN(100) {
			values = append(values, words[rnd.IntN(len(words))])
			if round%3 == 0 {
				values = append(values, mixture(rnd, words))
			}
		}
		for i := range p.targets {
			target := &p.targets[i]
			if target.variable.Name() != "ARGS" && target.variable.Name() != "ARGS_NAMES" || target.key != "" || target.count {
				continue
			}
			clear(s.hits)
			for _, v := range values {
				p.judge(tx, target, "", v, s)
			}
			want := slices.Clone(s.hits)
			clear(s.hits)
			for _, v := range values {
				s.crowd.add(v)
			}
			p.judgeCrowd(tx, target, s)
			if !slices.Equal(want, s.hits) {
				t.Fatalf("%s of %q: together %x, one by one %x", target.variable.Name(), values, s.hits, want)
			}
			if slices.ContainsFunc(want, func(w uint64) bool { return w != 0 }) {
				hits++
			}
		}
	}
	if hits == 0 || s.crowd.used != 0 {
		t.Errorf("%d crowds with a match, %d kinds left", hits, s.crowd.used)
	}
}
