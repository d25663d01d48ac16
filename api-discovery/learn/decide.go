package learn

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/gabion-io/gabion/internal/exchange"
)

// place is a node after the decisions: what is a word of the API and what is a
// value is settled, and what is one is merged.
type place struct {
	branches []branch // words first, by text and form
	ends     []*end
	colons   bool // what stands behind a colon here is part of a value, and no verb
}

// branch is one segment of a template with what lies below.
type branch struct {
	hole    bool
	text    string // of a word
	form    string
	vals    *values
	place   *place
	reasons []reason
	score   float64 // log odds of the decision
}

// reason is one piece of evidence: what it says and how much it counts, positive
// for a value.
type reason struct {
	text   string
	weight float64
}

// where is the path down to a place, as far as decisions depend on it.
type where struct {
	depth  int
	hole   bool   // the segment before is a value
	text   string // the segment before, when it is a word
	id     uint64 // of the path of branches
	pinned []*pin // what persons decided about paths that begin so
}

// decider settles one service.
type decider struct {
	// words and values are what an earlier pass settled: by id of the segment,
	// the places where it was one.
	words, values map[uint64]settled
	nextWords     map[uint64]settled
	nextValues    map[uint64]settled
}

// settled counts places, and keeps one of them, so that a place is no evidence
// for itself.
type settled struct {
	where  uint64
	places int
}

func (s settled) elsewhere(at uint64) bool {
	return s.places > 1 || s.places == 1 && s.where != at
}

func note(m map[uint64]settled, id, at uint64) {
	s := m[id]
	if s.places == 0 {
		s.where = at
	}
	if s.places == 0 || s.where != at {
		s.places++
	}
	m[id] = s
}

// decide settles a service. The second pass knows what the first one found
// everywhere: a name that is a value in one place is rarely a word in another.
func decide(root *node, pins []*pin) *place {
	d := &decider{}
	var p *place
	for range 2 {
		d.nextWords, d.nextValues = map[uint64]settled{}, map[uint64]settled{}
		p = d.place([]*node{root}, where{pinned: pins})
		d.words, d.values = d.nextWords, d.nextValues
	}
	return p
}

// candidate is a segment that may be a word, joined over nodes that are one.
type candidate struct {
	kid     *kid
	nodes   []*node
	count   float64
	profile *profile
	score   float64
	reasons []reason
	fixed   bool // settled by a person or by its kind
	value   bool
}

// gap is a hole joined over nodes that are one.
type gap struct {
	form  string
	vals  values
	nodes []*node
}

// place decides what the segments below nodes are, then goes down.
func (d *decider) place(nodes []*node, w where) *place {
	nodes = throughNothing(nodes)
	p := &place{ends: joinEnds(nodes)}
	cands, gaps := joinKids(nodes), joinHoles(nodes)
	if p.colons = tooManyVerbs(cands, gaps); p.colons {
		cands, gaps = withoutVerbs(cands, gaps)
	}
	for _, form := range formsOf(cands, gaps) {
		group := cands[:0:0]
		for _, c := range cands {
			if c.kid.form == form {
				group = append(group, c)
			}
		}
		var g *gap
		for i := range gaps {
			if gaps[i].form == form {
				g = &gaps[i]
			}
		}
		shared := d.judge(group, g, p, w)
		d.settle(p, form, group, g, shared, w)
	}
	slices.SortFunc(p.branches, func(a, b branch) int {
		if a.hole != b.hole {
			if a.hole {
				return 1
			}
			return -1
		}
		return cmp.Or(cmp.Compare(a.text, b.text), cmp.Compare(a.form, b.form))
	})
	return p
}

// throughNothing joins what lies below an empty segment, "//v1/users", to what
// lies beside it, unless there are values that the empty one is among.
func throughNothing(nodes []*node) []*node {
	var below []*node
	for _, n := range nodes {
		for i := range n.holes {
			h := &n.holes[i]
			switch {
			case h.form != "":
			case h.vals.of(exchange.KindEmpty) < h.vals.count:
				return nodes
			default:
				below = append(below, h.node)
			}
		}
	}
	if len(below) == 0 {
		return nodes
	}
	joined := make([]*node, 0, len(nodes)+len(below))
	for _, n := range nodes {
		if i, found := slices.BinarySearchFunc(n.holes, "", func(h hole, f string) int { return cmp.Compare(h.form, f) }); found {
			n = &node{kids: n.kids, holes: slices.Delete(slices.Clone(n.holes), i, i+1), ends: n.ends, wide: n.wide}
		}
		joined = append(joined, n)
	}
	return append(joined, throughNothing(below)...)
}

// A few verbs may follow a value, "{id}:cancel". Where there are many, each often
// seen once only or behind few values, they are parts of values: "team:anna".
const (
	fewVerbs  = 12
	manyVerbs = 40
)

func isVerbForm(form string) bool { return strings.HasPrefix(form, ":") }

func tooManyVerbs(cands []*candidate, gaps []gap) bool {
	verbs, bases := map[string]float64{}, map[string]bool{}
	for _, c := range cands {
		if isVerbForm(c.kid.form) {
			verbs[c.kid.form] += c.count
			bases[c.kid.text] = true
		}
	}
	for i := range gaps {
		g := &gaps[i]
		if isVerbForm(g.form) {
			verbs[g.form] += float64(g.vals.count)
			for _, s := range g.vals.sample {
				bases[strconv.FormatUint(s.hash, 16)] = true
			}
		}
	}
	once := 0
	for _, n := range verbs {
		if n == 1 {
			once++
		}
	}
	return len(verbs) >= fewVerbs && (2*len(bases) <= len(verbs) || 5*once >= 2*len(verbs)) || len(verbs) > manyVerbs
}

// withoutVerbs makes values of all that ends in a verb.
func withoutVerbs(cands []*candidate, gaps []gap) ([]*candidate, []gap) {
	var all gap
	for _, c := range cands {
		if isVerbForm(c.kid.form) {
			k := *c.kid
			k.count = uint32(c.count)
			all.vals.addKid(&k)
			all.nodes = append(all.nodes, c.nodes...)
		}
	}
	var rest []gap
	for i := range gaps {
		if isVerbForm(gaps[i].form) || gaps[i].form == "" {
			all.vals.merge(&gaps[i].vals)
			all.nodes = append(all.nodes, gaps[i].nodes...)
			continue
		}
		rest = append(rest, gaps[i])
	}
	cands = slices.DeleteFunc(cands, func(c *candidate) bool { return isVerbForm(c.kid.form) })
	return cands, append([]gap{all}, rest...)
}

func joinEnds(nodes []*node) (ends []*end) {
	if len(nodes) == 1 {
		return nodes[0].ends
	}
	var n node
	for _, from := range nodes {
		for _, e := range from.ends {
			n.endOf(e.key, nil).merge(e)
		}
	}
	return n.ends
}

func joinKids(nodes []*node) (list []*candidate) {
	at := map[uint64]*candidate{}
	for _, n := range nodes {
		for i := range n.kids {
			k := &n.kids[i]
			c := at[k.id]
			if c != nil && c.kid.text == "" {
				c.kid = k
			}
			if c == nil {
				c = &candidate{kid: k}
				at[k.id] = c
				list = append(list, c)
			}
			c.count += float64(k.count)
			c.nodes = append(c.nodes, k.node)
		}
	}
	slices.SortFunc(list, func(a, b *candidate) int { return cmp.Compare(a.kid.id, b.kid.id) })
	return list
}

func joinHoles(nodes []*node) (list []gap) {
	for _, n := range nodes {
		for i := range n.holes {
			h := &n.holes[i]
			at, found := slices.BinarySearchFunc(list, h.form, func(g gap, f string) int { return cmp.Compare(g.form, f) })
			if !found {
				list = slices.Insert(list, at, gap{form: h.form})
			}
			list[at].vals.merge(&h.vals)
			list[at].nodes = append(list[at].nodes, h.node)
		}
	}
	return list
}

func formsOf(cands []*candidate, gaps []gap) (forms []string) {
	for _, c := range cands {
		forms = append(forms, c.kid.form)
	}
	for _, g := range gaps {
		forms = append(forms, g.form)
	}
	slices.Sort(forms)
	return slices.Compact(forms)
}

// settle makes the branches of one form and goes down into them.
func (d *decider) settle(p *place, form string, group []*candidate, g *gap, shared []reason, w where) {
	hole := branch{hole: true, form: form, vals: &values{}, score: math.Inf(1)}
	var below []*node
	if g != nil {
		hole.vals.merge(&g.vals)
		below = append(below, g.nodes...)
		for _, s := range g.vals.sample {
			note(d.nextValues, s.hash, w.id)
		}
	}
	for _, c := range group {
		if c.value {
			k := *c.kid
			k.count = uint32(c.count)
			hole.vals.addKid(&k)
			below = append(below, c.nodes...)
			hole.reasons = shared
			hole.score = min(hole.score, c.score)
			if c.score > 2.5 && len(group) >= 8 {
				note(d.nextValues, c.kid.id, w.id)
			}
			continue
		}
		if c.score < -2 {
			note(d.nextWords, c.kid.id, w.id)
		}
		vals := &values{}
		k := *c.kid
		k.count = uint32(c.count)
		vals.addKid(&k)
		next := where{depth: w.depth + 1, text: c.kid.text, id: mix(w.id^c.kid.id, "/"), pinned: follow(w.pinned, c.kid.text, form, false)}
		p.branches = append(p.branches, branch{text: c.kid.text, form: form, vals: vals, place: d.place(c.nodes, next),
			reasons: append(slices.Clone(c.reasons), shared...), score: -c.score})
	}
	if len(below) > 0 {
		next := where{depth: w.depth + 1, hole: true, text: w.text, id: mix(w.id+1, form+"/"), pinned: follow(w.pinned, "", form, true)}
		hole.place = d.place(below, next)
		p.branches = append(p.branches, hole)
	}
}

// judge says of each candidate of a form whether it is a value.
func (d *decider) judge(group []*candidate, g *gap, p *place, w where) (shared []reason) {
	if len(group) == 0 {
		return nil
	}
	var words []*candidate
	for _, c := range group {
		c.profile = profileOf(c.nodes)
		if value, known := pinnedAs(w.pinned, c.kid.text, c.kid.form); known {
			c.value, c.fixed = value, true
			c.score = 20
			if !value {
				c.score = -20
			}
			c.reasons = []reason{{"decided by a person", c.score}}
			continue
		}
		if c.kid.text == "" {
			c.value, c.fixed, c.score = true, true, 3
			c.reasons = []reason{{"a word that was not kept on disk, and has not come again", 3}}
			continue
		}
		switch c.kid.kind {
		case exchange.KindSmall, exchange.KindDate, exchange.KindDecimal:
			continue
		case exchange.KindVersion:
			if w.depth <= 2 && !w.hole {
				c.fixed, c.score = true, -3
				c.reasons = []reason{{"written like a version, near the root", -3}}
				continue
			}
		}
		if g != nil && len(c.kid.text) > 0 && len(c.kid.text) == g.vals.width() {
			c.value, c.fixed, c.score = true, true, 4 // such a value that looks like a word by chance
			continue
		}
		words = append(words, c)
	}
	judgeNumerals(group, g, w)
	if len(words) > 0 {
		shared = d.judgeWords(words, g, p, w)
	}
	return shared
}

// judgeNumerals: short numbers, dates and decimals are values, unless they look
// like the version of all that follows.
func judgeNumerals(group []*candidate, g *gap, w where) {
	for _, kind := range []exchange.Kind{exchange.KindSmall, exchange.KindDate, exchange.KindDecimal} {
		var of []*candidate
		for _, c := range group {
			if c.kid.kind == kind && !c.fixed {
				of = append(of, c)
			}
		}
		most := 1
		if kind != exchange.KindSmall || w.depth == 0 {
			most = 3
		}
		below, count, words, leaf, total := map[token]bool{}, 0.0, 0.0, 0.0, 0.0
		for _, c := range of {
			for t := range c.profile.at[0] {
				below[t] = true
			}
			count += c.count
			words += c.profile.words[0]
			total += c.profile.total[0]
			leaf += c.profile.leaf
		}
		version := len(of) <= most && g == nil && !w.hole && w.depth <= 3 && count >= 5*float64(len(of)) &&
			len(below) >= 2 && words >= 0.8*total && leaf < 0.2*(leaf+total) &&
			(w.depth == 0 || kind != exchange.KindSmall || count >= 30 && len(below) >= 3 && !isPlural(w.text))
		for _, c := range of {
			if version {
				c.score = -2
				c.reasons = []reason{{fmt.Sprintf("one of %d in all %d exchanges, with %d words below", len(of), int(count), len(below)), -2}}
				continue
			}
			c.value, c.score = true, 3
			c.reasons = []reason{{"a " + kind.String(), 3}}
		}
	}
}

func isPlural(s string) bool {
	_, plural := singular(s)
	return plural
}
