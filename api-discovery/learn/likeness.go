package learn

import "github.com/gabion-io/gabion/internal/exchange"

// maxDepth is how far below a segment its siblings are compared; maxVisited how
// many places of one segment are looked at.
const (
	maxDepth   = 4
	maxVisited = 400
)

// token stands for one segment or for the end of a path, in a profile.
type token uint64

const hashToken token = 1 // any value that no developer would write

// profile is what comes below a segment: at each depth, how often which segment.
// Paths that end have the method as their token.
type profile struct {
	at     [maxDepth]map[token]float64
	total  [maxDepth]float64
	words  [maxDepth]float64 // the part of total that are words
	ends   map[token]float64 // methods right here
	params map[string]bool   // query parameters right here
	fields map[string]bool   // members of successful answers right here
	n      float64
	leaf   float64 // exchanges that end right here
	values float64 // distinct values right below
}

func endToken(k endKey) token {
	h := unmixed
	for _, s := range []string{k.method, k.name} {
		h = mix(h, s)
	}
	return token(h | 1<<63)
}

// profileOf looks below places that are one.
func profileOf(nodes []*node) *profile {
	p := &profile{ends: map[token]float64{}}
	for i := range p.at {
		p.at[i] = map[token]float64{}
	}
	visited := 0
	for _, n := range nodes {
		for _, e := range n.ends {
			if e.ok > 0 {
				p.ends[endToken(e.key)] += float64(e.ok)
				p.leaf += float64(e.ok)
				p.describe(e)
			}
		}
		for i := range n.holes {
			p.values += float64(n.holes[i].vals.distinct())
		}
		p.below(n, 0, &visited)
	}
	p.n = p.leaf + p.total[0]
	return p
}

// describe notes by what names an end takes and answers.
func (p *profile) describe(e *end) {
	for i := range e.params {
		if e.params[i].in == "query" {
			if p.params == nil {
				p.params = map[string]bool{}
			}
			p.params[e.params[i].name] = true
		}
	}
	for _, s := range e.statuses {
		if s.code < 200 || s.code > 299 {
			continue
		}
		for _, b := range s.bodies {
			for _, name := range b.shape.Names() {
				if p.fields == nil {
					p.fields = map[string]bool{}
				}
				p.fields[name] = true
			}
		}
	}
}

// below adds what comes under n: the token of each branch, weighted by how many
// ends lie in it. The weight is damped, so that one busy operation does not hide
// the others.
func (p *profile) below(n *node, depth int, visited *int) {
	if depth == maxDepth {
		return
	}
	add := func(t token, word bool, next *node) {
		if *visited >= maxVisited {
			return
		}
		*visited++
		w := weightOf(next)
		p.at[depth][t] += w
		p.total[depth] += w
		if word {
			p.words[depth] += w
		}
		if depth+1 < maxDepth {
			for _, e := range next.ends {
				if e.ok > 0 {
					p.at[depth+1][endToken(e.key)] += float64(e.ok)
					p.total[depth+1] += float64(e.ok)
				}
			}
		}
		p.below(next, depth+1, visited)
	}
	for i := range n.kids {
		k := &n.kids[i]
		if k.kind == exchange.KindSmall || k.kind == exchange.KindDate || k.kind == exchange.KindDecimal {
			add(hashToken, false, k.node)
			continue
		}
		add(token(k.id>>1), true, k.node)
	}
	for i := range n.holes {
		add(hashToken, false, n.holes[i].node)
	}
}

func weightOf(n *node) (w float64) {
	for _, e := range n.ends {
		w += float64(e.ok)
	}
	for i := range n.kids {
		w += float64(n.kids[i].count)
	}
	for i := range n.holes {
		w += float64(n.holes[i].vals.count)
	}
	return w
}

// crowd is the mean profile of siblings: each counts about the same, however
// busy it is, so that one that is a word of the API does not speak for the rest.
type crowd struct {
	at  [maxDepth]map[token]float64
	who [maxDepth]map[token]int // how many siblings have the token
}

func weight(p *profile) float64 { return min(p.n, 20) }

func crowdOf(all []*profile) *crowd {
	c := &crowd{}
	for d := range c.at {
		c.at[d], c.who[d] = map[token]float64{}, map[token]int{}
	}
	for _, p := range all {
		w := weight(p)
		for d := range p.at {
			for t, n := range p.at[d] {
				c.at[d][t] += w * n / p.total[d]
				c.who[d][t]++
			}
		}
	}
	return c
}

// likeness says how much p looks like its siblings, from 0 to 1, at the depth
// that tells most, and how far it can be believed: 0 when there is nothing below
// but ends and values.
func (c *crowd) likeness(p *profile) (like, belief float64) {
	for d := range p.at {
		if p.total[d] == 0 || p.words[d] == 0 {
			continue
		}
		var inOthers, othersTotal, covered, expected, shared float64
		w := weight(p)
		for t, n := range p.at[d] {
			if c.who[d][t] > 1 {
				inOthers += n
			}
		}
		for t, q := range c.at[d] {
			own := w * p.at[d][t] / p.total[d]
			rest := q - own
			if rest <= 1e-9 {
				continue
			}
			othersTotal += rest
			if p.at[d][t] > 0 {
				covered += rest
				shared++
			}
		}
		if othersTotal == 0 {
			continue
		}
		for t, q := range c.at[d] {
			rest := (q - w*p.at[d][t]/p.total[d]) / othersTotal
			if rest > 1e-9 {
				expected += rest * (1 - pow(1-rest, p.total[d]))
			}
		}
		a := inOthers / p.total[d]
		b := min(1, (covered/othersTotal)/max(expected, 1e-9))
		if s := a * b; s > like {
			like = s
		}
		belief = max(belief, min(1, p.words[d]/p.total[d]))
	}
	return like, belief
}

func pow(x, n float64) float64 {
	if x <= 0 {
		return 0
	}
	r := 1.0
	for k := int(min(n, 1000)); k > 0; k >>= 1 {
		if k&1 == 1 {
			r *= x
		}
		x *= x
	}
	return r
}
