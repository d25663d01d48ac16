package waf

import (
	"bufio"
	"bytes"
	"errors"
	"io/fs"
	"path"
	"slices"
	"strings"
	"sync"

	"github.com/corazawaf/coraza/v3/experimental/plugins/plugintypes"
	ahocorasick "github.com/petar-dambovaliev/aho-corasick"
)

// pm is the operators @pm and @pmFromFile. Whether a phrase is in a value it
// answers by an automaton of its own, in a tenth of the memory; what was found it
// leaves to the matcher that the engine has, which is made when that is first asked.
type pm struct {
	list    []string    // of phrases, in lower case; nil: values are not ruled out by them
	holds   *phraseTree // nil: ask the matcher
	matcher func() ahocorasick.AhoCorasick
}

// maxPhrases is how many phrases of a value become TX:0 to TX:9.
const maxPhrases = 10

func newPM(o plugintypes.OperatorOptions) (plugintypes.Operator, error) {
	list := strings.Split(strings.ToLower(o.Arguments), " ")
	op, err := once(o.Memoizer, "gabion:pm:"+o.Arguments, func() (*pm, error) { return compilePM(list, true), nil })
	if err != nil {
		return nil, err
	}
	return op.by(o), nil
}

func newPMFromFile(o plugintypes.OperatorOptions) (plugintypes.Operator, error) {
	key := "gabion:pmfromfile:" + strings.Join(o.Path, ",") + o.Arguments
	op, err := once(o.Memoizer, key, func() (*pm, error) {
		b, err := readRuleFile(o)
		if err != nil {
			return nil, err
		}
		return compilePM(phrasesIn(b), false), nil
	})
	if err != nil {
		return nil, err
	}
	return op.by(o), nil
}

// by is the operator as an engine wants it.
func (p *pm) by(o plugintypes.OperatorOptions) *pm {
	if f, ok := o.Root.(ruleFiles); !ok || !f.literals {
		return &pm{holds: p.holds, matcher: p.matcher}
	}
	return p
}

// readRuleFile reads the file that an operator names, from the first of the
// engine's folders that has it.
func readRuleFile(o plugintypes.OperatorOptions) (b []byte, err error) {
	if path.IsAbs(o.Arguments) {
		return fs.ReadFile(o.Root, o.Arguments)
	}
	err = fs.ErrNotExist
	for _, dir := range o.Path {
		if b, err = fs.ReadFile(o.Root, path.Join(dir, o.Arguments)); !errors.Is(err, fs.ErrNotExist) {
			return b, err
		}
	}
	return nil, err
}

// phrasesIn gives the phrases of a file as the engine reads it: a line each,
// comments and empty lines left out.
func phrasesIn(b []byte) (list []string) {
	lines := bufio.NewScanner(bytes.NewReader(b))
	for lines.Scan() {
		if line := strings.TrimSpace(lines.Text()); line != "" && line[0] != '#' {
			list = append(list, strings.ToLower(line))
		}
	}
	return list
}

func compilePM(list []string, dense bool) *pm {
	p := &pm{list: list, matcher: sync.OnceValue(func() ahocorasick.AhoCorasick {
		b := ahocorasick.NewAhoCorasickBuilder(ahocorasick.Opts{AsciiCaseInsensitive: true, MatchKind: ahocorasick.LeftMostLongestMatch, DFA: dense})
		return b.Build(list)
	})}
	if !slices.Contains(list, "") { // which is in every value, and where is the matcher's to say
		p.holds = newPhraseTree(list)
	}
	return p
}

func (o *pm) Evaluate(tx plugintypes.TransactionState, value string) bool {
	if o.holds != nil && !o.holds.anyIn(value) {
		return false
	}
	if o.holds != nil && !tx.Capturing() {
		return true
	}
	found := o.matcher().Iter(value)
	if !tx.Capturing() {
		return found.Next() != nil
	}
	n := 0
	for m := found.Next(); m != nil; m = found.Next() {
		tx.CaptureField(n, value[m.Start():m.End()])
		if n++; n == maxPhrases {
			break
		}
	}
	return n > 0
}

// phraseTree answers whether one of many phrases is in a text, letters of ASCII
// in either case, in time linear in the text (Aho and Corasick, 1975). States are
// numbered level by level, so that those that follow one state stand side by side:
// nine bytes for each.
type phraseTree struct {
	root  [256]uint32 // by byte; 0: none
	read  []byte      // the byte that leads to a state
	first []uint32    // the first state that follows; the next state's ends the list
	fail  []uint32    // the longest other state that the text may be in
	whole []uint64    // a bit for each state: a phrase ends there
}

// newPhraseTree takes phrases in lower case that are not empty.
func newPhraseTree(list []string) *phraseTree {
	t := &phraseTree{read: []byte{0}, fail: []uint32{0}}
	low := slices.Compact(slices.Sorted(slices.Values(list)))
	// Each state of a level is the phrases that share what was read so far.
	level, ends := [][]string{low}, []bool{false}
	for depth := 0; len(level) > 0; depth++ {
		var below [][]string
		for _, shared := range level {
			t.first = append(t.first, uint32(len(t.read)))
			for len(shared) > 0 {
				if len(shared[0]) == depth {
					shared = shared[1:]
					continue
				}
				c, n := shared[0][depth], 1
				for n < len(shared) && shared[n][depth] == c {
					n++
				}
				t.read, t.fail, ends = append(t.read, c), append(t.fail, 0), append(ends, len(shared[0]) == depth+1)
				below = append(below, shared[:n])
				shared = shared[n:]
			}
		}
		level = below
	}
	t.first = append(t.first, uint32(len(t.read)))
	for s := t.first[0]; s < t.first[1]; s++ {
		t.root[t.read[s]] = s
	}
	t.whole = make([]uint64, (len(t.read)+63)/64)
	for s := range uint32(len(t.read)) {
		// What it fails to stands on an earlier level and is done.
		if ends[s] || t.ends(t.fail[s]) {
			t.whole[s/64] |= 1 << (s % 64)
		}
		if s == 0 {
			continue
		}
		for next := t.first[s]; next < t.first[s+1]; next++ {
			t.fail[next] = t.after(t.fail[s], t.read[next])
		}
	}
	return t
}

func (t *phraseTree) ends(s uint32) bool { return t.whole[s/64]&(1<<(s%64)) != 0 }

// after gives the state once c was read in state s.
func (t *phraseTree) after(s uint32, c byte) uint32 {
	for s != 0 {
		for next := t.first[s]; next < t.first[s+1]; next++ {
			if t.read[next] == c {
				return next
			}
		}
		s = t.fail[s]
	}
	return t.root[c]
}

func (t *phraseTree) anyIn(text string) bool {
	s := uint32(0)
	for i := range len(text) {
		if s = t.after(s, lowerByte(text[i])); t.ends(s) {
			return true
		}
	}
	return false
}
