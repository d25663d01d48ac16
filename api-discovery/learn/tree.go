package learn

import (
	"cmp"
	"slices"

	"github.com/gabion-io/gabion/internal/exchange"
)

// node is a place in the tree: what came after some beginning of a path.
type node struct {
	kids  []kid  // segments that may be words of the API, by rank and id
	holes []hole // one a form: segments that are values
	ends  []*end // what was called here, by key
	wide  uint32 // kinds, as bits, of which there are too many for kids
}

// kid is a place below a segment that is kept apart.
type kid struct {
	id     uint64 // of segment and form
	late   bool   // kept after the others when there are too many
	kind   exchange.Kind
	form   string // see formOf
	text   string
	length int32
	count  uint32 // exchanges through it
	node   *node
}

// hole is the place below all segments of a form that are values.
type hole struct {
	form string
	vals values
	node *node
}

// kept is how many kids of a kind a node keeps before it is wide, and after.
func kept(k exchange.Kind) (before, after int) {
	switch k {
	case exchange.KindWord:
		return 1024, 192
	case exchange.KindMixed, exchange.KindOther:
		return 256, 16
	case exchange.KindVersion:
		return 64, 8
	}
	return 16, 0
}

// formOf is what stands around the value in a segment: "\x00" parts head and
// suffix. Most have neither.
func formOf(g *exchange.Segment, names interner) string {
	if g.Head == "" {
		if g.Suffix == "" {
			return ""
		}
		return names.of(g.Suffix)
	}
	return names.of(g.Head + "\x00" + g.Suffix)
}

// around takes a form apart again.
func around(form string) (head, suffix string) {
	for i := range len(form) {
		if form[i] == 0 {
			return form[:i], form[i+1:]
		}
	}
	return "", form
}

// unmixed is the hash of nothing (FNV-1a, 64 bits), where mix begins.
const unmixed = uint64(0xcbf29ce484222325)

func mix(hash uint64, form string) uint64 {
	for i := range len(form) {
		hash = (hash ^ uint64(form[i])) * 0x100000001b3
	}
	return hash
}

// insert walks from the root along the observation's segments, makes what is
// missing, and counts at the end.
func (l *Learner) insert(n *node, o *exchange.Observation, size *int) {
	for i := range o.Segments {
		n = l.step(n, &o.Segments[i], size)
	}
	l.count(n, o)
}

// step goes to the place below one segment.
func (l *Learner) step(n *node, g *exchange.Segment, size *int) *node {
	form := formOf(g, l.names)
	if !g.Kind.Fixed() || g.Listed || g.Head != "" {
		return n.throughHole(form, g, size)
	}
	id := mix(g.Hash, form)
	late := isLate(g)
	i, found := n.find(late, id)
	if found {
		k := &n.kids[i]
		if k.text == "" { // it was left out when the place was stored
			k.text = string([]byte(g.Text))
		}
		k.count++
		return k.node
	}
	bit := uint32(1) << g.Kind
	_, after := kept(g.Kind)
	if n.wide&bit != 0 {
		last, many := n.last(g.Kind)
		if many >= after {
			if after == 0 || compareKids(n.kids[last].late, n.kids[last].id, late, id) < 0 {
				return n.throughHole(form, g, size)
			}
			n.drop(last, size)
			i, _ = n.find(late, id)
		}
	}
	k := kid{id: id, late: late, kind: g.Kind, form: form, text: string([]byte(g.Text)), length: int32(g.Length), count: 1, node: &node{}}
	n.kids = slices.Insert(n.kids, i, k)
	*size++
	if n.widen(g.Kind, size); n.wide&bit != 0 {
		if _, found = n.find(late, id); !found { // it went into the hole with others
			return n.holeOf(form, size).node
		}
	}
	return k.node
}

// isLate: of too many words those are kept first that look most like routes.
func isLate(g *exchange.Segment) bool {
	return g.Kind != exchange.KindWord || !isRouteWord(g.Text)
}

func compareKids(late bool, id uint64, late2 bool, id2 uint64) int {
	if late != late2 {
		if late2 {
			return -1
		}
		return 1
	}
	return cmp.Compare(id, id2)
}

func (n *node) find(late bool, id uint64) (int, bool) {
	if len(n.kids) < 8 {
		for i := range n.kids {
			if c := compareKids(n.kids[i].late, n.kids[i].id, late, id); c >= 0 {
				return i, c == 0
			}
		}
		return len(n.kids), false
	}
	return slices.BinarySearchFunc(n.kids, id, func(k kid, id uint64) int { return compareKids(k.late, k.id, late, id) })
}

// last finds the last kid of a kind, and how many there are.
func (n *node) last(k exchange.Kind) (at, many int) {
	at = -1
	for i := range n.kids {
		if n.kids[i].kind == k {
			at = i
			many++
		}
	}
	return at, many
}

// widen makes a node wide when it has too many kids of a kind, and lets the last
// of them go into the hole. Which ones stay depends on all that came, not on the
// order: a kid that stays in the end has stayed all along.
func (n *node) widen(k exchange.Kind, size *int) {
	before, after := kept(k)
	bit := uint32(1) << k
	if n.wide&bit == 0 {
		if len(n.kids) <= before {
			return
		}
		if _, many := n.last(k); many <= before {
			return
		}
		n.wide |= bit
	}
	for {
		at, many := n.last(k)
		if many <= after {
			return
		}
		n.drop(at, size)
	}
}

// drop moves a kid into the hole of its form.
func (n *node) drop(at int, size *int) {
	k := n.kids[at]
	n.kids = slices.Delete(n.kids, at, at+1)
	h := n.holeOf(k.form, size)
	h.vals.addKid(&k)
	h.node.merge(k.node, size)
	*size--
}

func (n *node) throughHole(form string, g *exchange.Segment, size *int) *node {
	h := n.holeOf(form, size)
	h.vals.add(&g.Value, 1, g.Listed, false)
	for i := range g.More {
		h.vals.add(&g.More[i], 1, true, false)
	}
	return h.node
}

func (n *node) holeOf(form string, size *int) *hole {
	i, found := slices.BinarySearchFunc(n.holes, form, func(h hole, f string) int { return cmp.Compare(h.form, f) })
	if !found {
		n.holes = slices.Insert(n.holes, i, hole{form: form, node: &node{}})
		*size++
	}
	return &n.holes[i]
}

// merge adds what o knows. Nodes of o may become nodes of n.
func (n *node) merge(o *node, size *int) {
	n.wide |= o.wide
	for i := range o.kids {
		k := &o.kids[i]
		at, found := n.find(k.late, k.id)
		if found {
			n.kids[at].count += k.count
			n.kids[at].text = cmp.Or(n.kids[at].text, k.text)
			n.kids[at].node.merge(k.node, size)
			*size--
		} else {
			n.kids = slices.Insert(n.kids, at, *k)
		}
	}
	for i := range o.holes {
		h := n.holeOf(o.holes[i].form, size)
		h.vals.merge(&o.holes[i].vals)
		h.node.merge(o.holes[i].node, size)
		*size--
	}
	for _, e := range o.ends {
		n.endOf(e.key, nil).merge(e)
	}
	for k := exchange.Kind(0); int(k) < exchange.Kinds; k++ {
		if k.Fixed() {
			n.widen(k, size)
		}
	}
}
