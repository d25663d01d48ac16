package waf

import (
	"hash/maphash"
	"math/bits"

	"github.com/corazawaf/coraza/v3/experimental/plugins/plugintypes"
)

const (
	// manyValues is how many there must be under one target for them not to be
	// remembered beyond the request: they would only drive out what comes again.
	manyValues = 256
	// longValue is how long a value is of which one answer takes so long that the
	// deadline is looked at before each.
	longValue = 4 << 10
	// maxAlike is the longest value, in bytes, that is judged together with others.
	maxAlike = 2 << 10
	// fewAlike is how many values are not worth a question about all of them.
	fewAlike = 8
	// manyAlike is how many values are worth a question about all that could be made
	// of the same characters.
	manyAlike = 64
	// justSeen is how many values are remembered while many are gone through, to
	// leave out what comes again soon.
	justSeen = 1 << 11
)

// crowd sorts the values under one target by what they are made of. A question
// to which no value that is made so can answer yes is asked once for all of
// them, and one that needs a phrase once for each kind.
type crowd struct {
	kinds []kind // of which the first used are taken
	used  int
	at    map[alphabet]int
	seed  maphash.Seed
	seen  [justSeen]string
	grams grams
	asked []crowdAsk // left to ask about each value of a kind
}

// crowdAsk is a predicate that some value of a kind could match.
type crowdAsk struct {
	predicate int
	in64      bool // only by what a value says in base64
	sql       bool // for an injection in the value as it is
}

// kind is the values made of the same characters, all letters taken as one.
type kind struct {
	key    alphabet
	of     alphabet // all they are made of
	values []string
	common int      // bytes that all values begin with; -1: not known yet
	rest   asciiSet // what the values have behind those
	most   int      // bytes of that in the longest
	in64   int      // bytes of the longest text that a value says in base64; -1: not known yet
}

func newCrowd() *crowd { return &crowd{at: map[alphabet]int{}, seed: maphash.MakeSeed()} }

// add puts the value with others like it, unless it came by just now.
func (c *crowd) add(value string) {
	slot := &c.seen[maphash.String(c.seed, value)%justSeen]
	if *slot == value && value != "" {
		return
	}
	*slot = value
	of := alphabetOf(value)
	key := of
	if key&letters != 0 {
		key |= letters
	}
	at, ok := c.at[key]
	if !ok {
		at = c.used
		c.at[key] = at
		if c.used++; at == len(c.kinds) {
			c.kinds = append(c.kinds, kind{})
		}
		c.kinds[at].key = key
	}
	k := &c.kinds[at]
	k.of |= of
	k.common, k.in64 = -1, -1
	k.values = append(k.values, value)
}

// empty lets go of all values. The room of a very large crowd is let go, too.
func (c *crowd) empty() {
	for i := range c.kinds[:c.used] {
		k := &c.kinds[i]
		clear(k.values)
		k.of, k.values = 0, k.values[:0]
		if cap(k.values) > 4096 {
			k.values = nil
		}
	}
	clear(c.seen[:])
	clear(c.at)
	c.used = 0
}

// judgeAll adds to s.hits what matches any of the values.
func (p *skipPlan) judgeAll(tx plugintypes.TransactionState, t *skipTarget, values fetched, s *skipScratch) {
	if len(values.of) < manyValues {
		for i := range values.of {
			p.judge(tx, t, values.of[i].key, values.value(i), s)
		}
		return
	}
	if s.crowd == nil {
		s.crowd = newCrowd()
	}
	s.many = true
	for i := range values.of {
		if i%64 == 0 && late(tx) {
			break
		}
		if value := values.value(i); len(value) > maxAlike {
			p.judge(tx, t, values.of[i].key, value, s)
		} else {
			s.crowd.add(value)
		}
	}
	p.judgeCrowd(tx, t, s)
	s.many = false
}

// judgeCrowd is judge for all of the crowd, which is empty then.
func (p *skipPlan) judgeCrowd(tx plugintypes.TransactionState, t *skipTarget, s *skipScratch) {
	for i := range s.crowd.kinds[:s.crowd.used] {
		p.judgeKind(tx, t, &s.crowd.kinds[i], s)
	}
	s.crowd.empty()
}

// judgeKind is judge for many values at once.
func (p *skipPlan) judgeKind(tx plugintypes.TransactionState, t *skipTarget, k *kind, s *skipScratch) {
	s.stats.values += uint64(len(k.values))
	asked := p.askable(tx, t, k, s)
	if len(asked) == 0 {
		s.stats.known += uint64(len(k.values))
		return
	}
	for i, value := range k.values {
		if i%64 == 0 && late(tx) {
			return
		}
		begun := false
		for _, a := range asked {
			q := &p.predicates[a.predicate]
			if s.hits[a.predicate/64]&(1<<(a.predicate%64)) != 0 || a.in64 && base64Length(value, q.rx.least) < q.rx.least ||
				a.sql && q.sqli.harmless(value, k.of) {
				continue
			}
			if !begun {
				s.trial.begin(p.nodes, value)
				begun = true
			}
			s.stats.asked++
			if s.trial.matches(tx, q) {
				s.hits[a.predicate/64] |= 1 << (a.predicate % 64)
			}
		}
	}
}

// askable gives the predicates that some value of the kind could match.
func (p *skipPlan) askable(tx plugintypes.TransactionState, t *skipTarget, k *kind, s *skipScratch) []crowdAsk {
	c := s.crowd
	c.asked = c.asked[:0]
	prospects := p.prospects.of(k.key, p, s)
	read := false
	for w, want := range t.asks {
		for left := want & prospects[w] &^ s.hits[w]; left != 0; left &= left - 1 {
			a := crowdAsk{predicate: w*64 + bits.TrailingZeros64(left)}
			if len(k.values) >= fewAlike {
				if late(tx) {
					return nil
				}
				if !read {
					c.grams.readAll(k.values, p.table)
					read = true
				}
				q := &p.predicates[a.predicate]
				if a.in64 = q.onlyIn64(p.nodes, k, &c.grams); a.in64 && k.longest64() < q.rx.least || !a.in64 && !q.mayMatchOne(p.nodes, k, &c.grams) {
					continue
				}
				a.sql = q.sqli != nil && !q.negated && !changed(p.nodes, q.node, k.of)
			}
			c.asked = append(c.asked, a)
		}
	}
	return c.asked
}

// mayMatchOne is false only when the predicate matches none of the values of the
// kind, which hold the pairs and triples g.
func (q *predicate) mayMatchOne(nodes []node, k *kind, g *grams) bool {
	if q.negated || !keeps(nodes, q.node, k.of, g) {
		return true
	}
	switch {
	case q.rx != nil && q.rx.reach != nil:
		return q.mayHold(k, g) && (changed(nodes, q.node, k.of) || q.rx.mayMatchOne(k))
	case q.phrases != nil:
		return q.phrases.all.mayHold(g, q.ids)
	}
	return true
}

// onlyIn64 says that the predicate matches a value of the kind, if at all, by
// what the value itself says in base64, and then only if that is long enough.
func (q *predicate) onlyIn64(nodes []node, k *kind, g *grams) bool {
	if q.negated || q.rx == nil || q.rx.reach == nil || q.rx.bytes != nil || q.rx.least == 0 || k.of&highClass != 0 {
		return false
	}
	n := q.node
	for ; n != 0 && !nodes[n].effect.base64; n = nodes[n].parent {
		if nodes[n].effect.grows {
			return false
		}
	}
	if n == 0 || changed(nodes, nodes[n].parent, k.of) {
		return false
	}
	return !q.multi || !q.mayHold(k, g) || !q.rx.mayMatchOne(k)
}

// longest64 is the length of the longest text that a value says in base64.
func (k *kind) longest64() int {
	if k.in64 < 0 {
		for _, value := range k.values {
			k.in64 = max(k.in64, base64Length(value, maxAlike))
		}
	}
	return k.in64
}

// mayHold says that values of a kind have what is in every match.
func (q *predicate) mayHold(k *kind, g *grams) bool {
	return !q.rx.reach.lacks(k.of) && (q.rx.words == nil || q.rx.words.mayHold(g, q.ids))
}

// changed says that the transformations up to n may change a value made of a.
func changed(nodes []node, n int, a alphabet) bool {
	for ; n != 0; n = nodes[n].parent {
		if nodes[n].effect.mayChange(a) {
			return true
		}
	}
	return false
}

// mayMatchOne asks the automaton about values of a kind as they are, in ASCII.
func (o *rx) mayMatchOne(k *kind) bool {
	d := o.automaton()
	if d == nil {
		return true
	}
	match, ok := d.matchesAny(k, o.least)
	return match || !ok
}

// begin is what all values of the kind begin with, as names in JSON and addresses
// do with much of what they are.
func (k *kind) begin() string {
	if k.common < 0 {
		k.common = len(k.values[0])
		for _, value := range k.values[1:] {
			n := 0
			for n < k.common && n < len(value) && value[n] == k.values[0][n] {
				n++
			}
			k.common = n
		}
		k.rest, k.most = asciiSet{}, 0
		for _, value := range k.values {
			k.most = max(k.most, len(value)-k.common)
			for i := k.common; i < len(value); i++ {
				k.rest.add(value[i])
			}
		}
	}
	return k.values[0][:k.common]
}

// keeps says that the transformations up to n put nothing together, in values
// made of a with the pairs g, that was apart.
func keeps(nodes []node, n int, a alphabet, g *grams) bool {
	for ; n != 0; n = nodes[n].parent {
		if !nodes[n].effect.keeps(a, g) {
			return false
		}
	}
	return a&highClass == 0
}
