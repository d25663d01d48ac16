package waf

import (
	"maps"
	"math/rand/v2"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// The automaton finds what the regexp package finds.
func FuzzDFA(f *testing.F) {
	for _, seed := range [][2]string{
		{`a.c`, "xabc"}, {`\bselect\b.*?\bfrom\b`, "please select 1\nfrom x"}, {`^a$`, "b\na\nc"}, {`\Aa\z`, "a"}, {`\Aa\z`, "a\n"},
		{`(?i)ſtraße`, "STRASSE straße"}, {`[^\x00-\x7f]{2}`, "a\xff\xfe"}, {`\B`, ""}, {``, ""}, {`x*$`, "y"}, {`(?i)k`, "\u212a"},
		{`(?:a|ab)(?:c|bcd)(?:d*)`, "abcd"}, {`\W\w\W`, " a."}, {`[\s\S]x{3,5}y`, "\nxxxxy"}, {`a\b.`, "a!"}, {`.`, "\n"},
		{`a{70}b`, strings.Repeat("a", 75) + "b"}, {`x.{130}y\b`, "x" + strings.Repeat("xz", 65) + "y"},
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
			if got, ok := newNFA(d).matches(s); ok && got != re.MatchString(s) {
				t.Errorf("%q in %q, place by place: %v", expr, s, got)
			}
			if m := re.FindStringIndex(s); m != nil {
				if at, ok := d.begin(s); ok && m[0] < at {
					t.Errorf("%q in %q begins at %d, before %d", expr, s, m[0], at)
				}
				if at, _, _ := newNFA(d).find(s); m[0] < at {
					t.Errorf("%q in %q begins at %d, place by place before %d", expr, s, m[0], at)
				}
			}
			if !ascii(s) {
				continue
			}
			texts := []string{s, s[:len(s)/2], s[:len(s)/2] + s}
			want := slices.ContainsFunc(texts, re.MatchString)
			for _, times := range []int{1, manyAlike} {
				k := &kind{common: -1, values: slices.Repeat(texts, times)}
				if got, ok := d.matchesAny(k, 0); ok && got != want {
					t.Errorf("%q in one of %d × %q: %v", expr, times, texts, got)
				}
			}
		}
	})
}

// TestDFARests: searches that are given up do not turn an expression's automaton off
// for good, and what they were given up for is found without it.
func TestDFARests(t *testing.T) {
	d := newDFA(`a[ab]{14}c`)
	places := newNFA(d)
	rnd := rand.New(rand.NewPCG(1, 2))
	long := make([]byte, 64<<10)
	for i := range long {
		long[i] = "ab"[rnd.IntN(2)]
	}
	for range 32 {
		if _, ok := d.matches(string(long)); ok {
			t.Fatal("it answered")
		}
		if match, ok := places.matches(string(long)); match || !ok {
			t.Fatalf("place by place: %v, %v", match, ok)
		}
	}
	if match, ok := places.matches(string(long) + "xaabbaabbaabbaabcx"); !match || !ok {
		t.Fatalf("place by place, with a match: %v, %v", match, ok)
	}
	for range 100 {
		if match, ok := d.matches("xaabbaabbaabbaabcx"); ok {
			if !match {
				t.Error("it answers wrong")
			}
			return
		}
	}
	t.Error("it does not answer again")
}

// TestHardTexts: after texts that have used up what there is for new states, no
// expression of the rules is left to the regexp package, and all of what is decided
// without a state takes little memory.
func TestHardTexts(t *testing.T) {
	p, _ := secondPlan(t, engine(t, func(c *Config) { c.Settings.ParanoiaLevel = 4 }))
	rnd := rand.New(rand.NewPCG(3, 4))
	text := func(size int) string {
		b := make([]byte, size)
		for i := range b {
			b[i] = "abcdefghijklmnopqrstuvwxyz =<>'\"( );/.-"[rnd.IntN(39)]
		}
		return string(b)
	}
	gaveUp, matched, bytes := 0, 0, 0
	for i := range p.predicates {
		o := p.predicates[i].rx
		if o == nil {
			continue
		}
		d := o.automaton()
		if d == nil {
			t.Errorf("no automaton for %s", o.re())
			continue
		}
		d.credit.Store(0)
		for range 2 {
			s := text(300)
			if _, ok := d.matches(s); !ok {
				gaveUp++
			}
			match, ok := o.decide(s)
			if !ok || match != o.re().MatchString(s) {
				t.Errorf("%s in %q: %v, %v", o.re(), s, match, ok)
			}
			if match {
				matched++
			}
		}
		for i := range o.places().ways {
			w := o.places().ways[i].Load()
			if w == nil {
				continue
			}
			bytes += 4*len(w.others) + 24*len(w.ends)
			for _, list := range append(w.lists, w.first...) {
				bytes += 24 + 16*len(list)
			}
		}
	}
	if gaveUp < 200 || matched == 0 || bytes > 4<<20 {
		t.Errorf("%d searches given up, %d matches, %d bytes", gaveUp, matched, bytes)
	}
}

// TestNumbersAreAskedOnce: of very many numbers, and of names that end in one, hardly
// any expression reads each.
func TestNumbersAreAskedOnce(t *testing.T) {
	p, _ := secondPlan(t, engine(t, func(c *Config) { c.Settings.ParanoiaLevel = 1 }))
	for _, begin := range []string{"", "json.items."} {
		k := &kind{common: -1}
		for i := range 1000 {
			k.values = append(k.values, begin+strconv.Itoa(i*97))
		}
		once, all := 0, 0
		for i := range p.predicates {
			o := p.predicates[i].rx
			if o == nil || o.reach.lacks(alphabetOf(begin+"0")) {
				continue
			}
			d := o.automaton()
			match, ok := d.matchesAny(k, 0)
			if !ok || match {
				continue
			}
			all++
			if from, ok := d.read(d.first.Load(), k.begin()); ok && d.never(from, k.rest, k.most) {
				once++
			}
		}
		if all < 50 || once < all*95/100 {
			t.Errorf("%q: %d of %d expressions answer for all of the values", begin, once, all)
		}
	}
}

// BenchmarkHardText: the expressions whose automaton gives up on texts of one kind, by
// the automaton that makes no states and by the regexp package.
func BenchmarkHardText(b *testing.B) {
	p, _ := secondPlan(b, largeEngine(b, NewCompiler()))
	rnd := rand.New(rand.NewPCG(5, 6))
	text := func() string {
		b := make([]byte, 4<<10)
		for i := range b {
			b[i] = "abcdefghijklmnopqrstuvwxyz   =<>'\"( );/.-"[rnd.IntN(41)]
		}
		return string(b)
	}
	hard := map[*rx]bool{}
	for range 50 {
		s := text()
		for i := range p.predicates {
			if o := p.predicates[i].rx; o != nil && o.automaton() != nil {
				_, ok := o.automaton().matches(s)
				hard[o] = hard[o] || !ok
			}
		}
	}
	s := text()
	maps.DeleteFunc(hard, func(o *rx, is bool) bool { return !is || o.re().MatchString(s) }) // a match ends it
	b.Logf("%d expressions", len(hard))
	for _, way := range []struct {
		name  string
		match func(*rx, string) bool
	}{
		{"places", func(o *rx, s string) bool { match, _ := o.places().matches(s); return match }},
		{"regexp", func(o *rx, s string) bool { return o.re().MatchString(s) }},
	} {
		b.Run(way.name, func(b *testing.B) {
			read := 0
			before := cpuTime()
			for b.Loop() {
				for o := range hard {
					way.match(o, s)
					read += len(s)
				}
			}
			b.ReportMetric(float64((cpuTime()-before).Nanoseconds())/float64(read), "cpu-ns/byte")
		})
	}
}
