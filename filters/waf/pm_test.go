package waf

import (
	"io/fs"
	"math/rand/v2"
	"strings"
	"testing"
	"unsafe"

	coreruleset "github.com/corazawaf/coraza-coreruleset/v4"
	ahocorasick "github.com/petar-dambovaliev/aho-corasick"

	wafrules "github.com/gabion-io/gabion/waf-rules"
)

// engineHolds asks the matcher that the engine has for the same phrases.
func engineHolds(list []string, dense bool) func(string) bool {
	b := ahocorasick.NewAhoCorasickBuilder(ahocorasick.Opts{AsciiCaseInsensitive: true, MatchKind: ahocorasick.LeftMostLongestMatch, DFA: dense})
	m := b.Build(list)
	return func(text string) bool { return m.Iter(text).Next() != nil }
}

// FuzzPhrases: a phrase is in a text when the engine's own matcher says so.
func FuzzPhrases(f *testing.F) {
	f.Add("union\nselect\nselec", "1 UNION  seLect")
	f.Add("abcd\nbc\nab", "xabcx")
	f.Add("aab\nab\nb", "aaaaaac")
	f.Add("\xff\xfe\n\u212a", "k\xff\xfeK")
	f.Fuzz(func(t *testing.T, phrases, text string) {
		var list []string
		for s := range strings.SplitSeq(strings.ToLower(phrases), "\n") {
			if s != "" && len(s) < 40 && len(list) < 20 { // the engine's matcher takes its time to be made
				list = append(list, s)
			}
		}
		if len(list) == 0 {
			return
		}
		got := newPhraseTree(list).anyIn(text)
		for _, dense := range []bool{true, false} {
			if want := engineHolds(list, dense)(text); got != want {
				t.Fatalf("%q in %q: %v, the engine's matcher says %v (dense %v)", list, text, got, want, dense)
			}
		}
	})
}

// TestPhrasesOfTheRuleSet asks for every phrase of every file of the Core Rule
// Set, in either case and cut short, in texts made of such phrases.
func TestPhrasesOfTheRuleSet(t *testing.T) {
	files, err := fs.Glob(coreruleset.FS, "@owasp_crs/*.data")
	if err != nil || len(files) < 10 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	rnd := rand.New(rand.NewPCG(1, 2))
	var all [][]string
	for _, name := range files {
		b, err := fs.ReadFile(coreruleset.FS, name)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, phrasesIn(b))
	}
	for i, list := range all {
		tree, engine := newPhraseTree(list), engineHolds(list, false)
		t.Logf("%s: %d phrases in %d bytes", files[i], len(list), tree.size())
		found := 0
		for n := range 4000 {
			s := list[n%len(list)]
			if other := all[rnd.IntN(len(all))]; n%2 == 1 {
				s = other[rnd.IntN(len(other))]
			}
			switch n % 3 {
			case 1:
				s = strings.ToUpper(s)
			case 2:
				s = s[:rnd.IntN(len(s)+1)]
			}
			text := strings.Repeat("a/", rnd.IntN(3)) + s + list[rnd.IntN(len(list))][:1] + s[rnd.IntN(len(s)+1):]
			want := engine(text)
			if want {
				found++
			}
			if got := tree.anyIn(text); got != want {
				t.Fatalf("%s: %q: %v, the engine's matcher says %v", files[i], text, got, want)
			}
		}
		if found == 0 {
			t.Errorf("%s: no text holds a phrase", files[i])
		}
	}
}

func (t *phraseTree) size() int {
	return int(unsafe.Sizeof(*t)) + len(t.read) + 4*len(t.first) + 4*len(t.fail) + 8*len(t.whole)
}

// TestWithoutLiterals: an engine that does without them asks no predicate that has
// any, and takes none from others that share its compiler.
func TestWithoutLiterals(t *testing.T) {
	compiler := NewCompiler()
	compile := func(without bool) *Engine {
		c := Config{Settings: wafrules.Defaults(), Limits: wafrules.Limits{RequestBody: 1 << 20}, Detect: true}
		c.Settings.Fast.NoLiterals = without
		e, err := compiler.Compile(c)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(e.Release)
		return e
	}
	for _, without := range []bool{false, true, false} {
		p, _ := secondPlan(t, compile(without))
		asked := map[int32]bool{}
		for i := range p.targets {
			for _, a := range p.targets[i].asked {
				asked[a.predicate] = true
			}
		}
		words, phrases := 0, 0
		for i := range asked {
			q := &p.predicates[i]
			if q.rx != nil && q.rx.words != nil {
				words++
			}
			if q.phrases != nil {
				phrases++
			}
		}
		if without && words+phrases > 0 || !without && (words < 50 || phrases < 5) {
			t.Errorf("without literals %v: %d expressions and %d lists of phrases have some", without, words, phrases)
		}
	}
}
