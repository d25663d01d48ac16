package learn

import (
	"math"
	"slices"

	"github.com/gabion-io/gabion/api-discovery"
	"github.com/gabion-io/gabion/internal/exchange"
)

// Some applications answer anything with success: with the page that shows all
// their views, with {"status":"ok"}, by sending everybody to the login. There
// success proves nothing, and each path that a scanner tries would be an operation.
// That answer is known by where it was given: to many paths of one segment, and to
// many longer ones that begin otherwise, each hardly ever asked for. A parameter at
// the root ("/{owner}", "/{owner}/{repo}") is no such thing: what is deeper answers
// with something else.
const (
	catchAllFirst = 10 // first segments at which paths ended
	catchAllDeep  = 10 // others, after which they went on
	catchAllOnce  = 2  // exchanges of one path that is tried, at most
)

// answer is how a path was answered, as far as that tells one answer from another.
type answer struct {
	code  int16
	media string
	shape uint64 // of the body's names and types; 0: it was not looked into
	size  uint64 // of the body in bytes, where there is no shape
}

// answerOf is the answer that an end always gave, if it was the same.
func answerOf(e *end) (a answer, same bool) {
	if e.ok == 0 || e.count == 0 || e.key.protocol != apidiscovery.REST || e.key.name != "" {
		return a, false
	}
	var only *status
	for i := range e.statuses {
		switch s := &e.statuses[i]; {
		case s.code == 304: // what was given before
		case only != nil:
			return a, false
		default:
			only = s
		}
	}
	if only == nil || len(only.bodies) > 1 {
		return a, false
	}
	a.code, a.size = only.code, e.bytesOut/uint64(e.count)
	same = a.size*uint64(e.count) == e.bytesOut
	if len(only.bodies) == 1 {
		a.media = only.bodies[0].mediaType
		if s := only.bodies[0].shape; s != nil {
			a.shape, a.size, same = outlineOf(s, 0), 0, true
		}
	}
	// Of an answer without a type nothing is known, unless it leads elsewhere.
	return a, same && (a.media != "" || a.code >= 300)
}

// outlineOf is a hash of names and types: of counts and kinds nothing is in it.
func outlineOf(s *exchange.Shape, depth int) uint64 {
	h := unmixed
	for t, n := range s.Types {
		if n > 0 {
			h = mix(h^uint64(t+1), "/")
		}
	}
	if depth == maxDepth {
		return h
	}
	for i := range s.Members {
		h = mix(h, s.Members[i].Name)
		h = mix(h^outlineOf(s.Members[i].Shape, depth+1), "/")
	}
	if s.Items != nil {
		h = mix(h^outlineOf(s.Items, depth+1), "[")
	}
	return h
}

// catchAll is the answers that a service gives to anything.
type catchAll []answer

func (c catchAll) gives(e *end) bool {
	a, same := answerOf(e)
	return same && slices.ContainsFunc(c, func(x answer) bool {
		return x == a || e.key.method == "HEAD" && x.code == a.code && x.media == a.media // it has no body
	})
}

// catchAllOf finds the answers that are given to anything below a place.
func catchAllOf(n *node) (c catchAll) {
	segments := len(n.kids)
	for i := range n.holes {
		segments += n.holes[i].vals.distinct()
	}
	if segments < catchAllFirst+catchAllDeep {
		return nil
	}
	first, deep := map[answer]int{}, map[answer]int{}
	for i := range n.kids {
		here, below := map[answer]int{}, map[answer]int{}
		n.kids[i].node.triedIn(here, below, catchAllOnce, 0)
		for a := range here {
			first[a]++
			delete(below, a)
		}
		for a := range below {
			deep[a]++
		}
	}
	for i := range n.holes {
		h := &n.holes[i]
		here, below := map[answer]int{}, map[answer]int{}
		h.node.triedIn(here, below, h.vals.tries(catchAllOnce), 0)
		for a, times := range here {
			first[a] += min(times, h.vals.distinct())
		}
		for a, times := range below {
			deep[a] += min(times, h.vals.distinct())
		}
	}
	for a, times := range first {
		if times >= catchAllFirst && deep[a] >= catchAllDeep {
			c = append(c, a)
		}
	}
	return c
}

// tries is how often a path through these values was asked for at most, if it was
// tried: what lies below values that came about once each is of many paths.
func (v *values) tries(most uint32) uint32 {
	if v.count < 2*uint32(v.distinct()) {
		return math.MaxUint32
	}
	return most
}

// triedIn counts the answers to paths that end here, and to longer ones, of those
// that were tried at most so often.
func (n *node) triedIn(here, below map[answer]int, most uint32, depth int) {
	for _, e := range n.ends {
		if e.count > most {
			continue
		}
		if a, same := answerOf(e); same {
			here[a] += int(e.count)
		}
	}
	if depth == maxDepth {
		return
	}
	for i := range n.kids {
		n.kids[i].node.triedIn(below, below, most, depth+1)
	}
	for i := range n.holes {
		n.holes[i].node.triedIn(below, below, n.holes[i].vals.tries(most), depth+1)
	}
}

// trunkOf is where the paths of a service part. Where all begin with the same words
// that is after them; but after "devices" come devices.
func trunkOf(root *node) *node {
	for len(root.kids) == 1 && len(root.holes)+len(root.ends) == 0 && !isPlural(root.kids[0].text) {
		root = root.kids[0].node
	}
	return root
}

// withoutCatchAll is what was proven by another answer than that which is given to
// anything; the rest is counted aside, however often it was asked for: scanners come
// again. What a person pinned or declared stays.
func (c *concluder) withoutCatchAll(root *node, pins []*pin) *node {
	answers := catchAllOf(trunkOf(root))
	if len(answers) == 0 {
		return root
	}
	left, _ := c.without(answers, root, pruned{pins: pins})
	return left
}

// pruned is the way to a place that is pruned.
type pruned struct {
	path   string // masked
	pins   []*pin
	pinned bool // some pin ends here
}

// below goes one segment on. Whether a word is a value is not known yet.
func (w pruned) below(text, form, shown string, hole bool) pruned {
	head, suffix := around(form)
	next := pruned{path: w.path + "/" + head + shown + suffix, pins: follow(w.pins, text, form, hole)}
	if !hole {
		next.pins = append(next.pins, follow(w.pins, "", form, true)...)
	}
	next.pinned = slices.ContainsFunc(w.pins, func(p *pin) bool {
		return len(p.rest) == 1 && (fits(p.rest[0], text, form, hole) || fits(p.rest[0], "", form, true))
	})
	return next
}

// without copies a node as far as something below it goes aside, and says how many
// exchanges that were. The page at the root stays.
func (c *concluder) without(answers catchAll, n *node, w pruned) (left *node, gone uint32) {
	left = &node{wide: n.wide}
	for _, e := range n.ends {
		if w.pinned || w.path == "" || !answers.gives(e) {
			left.ends = append(left.ends, e)
			continue
		}
		gone += e.count
		c.putCount("catch-all", uint64(e.count), w.path)
	}
	for _, k := range n.kids {
		below, times := c.without(answers, k.node, w.below(k.text, k.form, maskedKid(&k), false))
		k.node, k.count = below, k.count-min(k.count, times)
		if gone += times; times == 0 || !below.bare() {
			left.kids = append(left.kids, k)
		}
	}
	for _, h := range n.holes {
		below, times := c.without(answers, h.node, w.below("", h.form, exchange.MaskValue, true))
		h.node = below
		if gone += times; times == 0 || !below.bare() {
			left.holes = append(left.holes, h)
		}
	}
	if gone == 0 {
		return n, 0
	}
	return left, gone
}

// bare says that a place holds nothing.
func (n *node) bare() bool { return len(n.ends)+len(n.kids)+len(n.holes) == 0 }

// What was tried and answered as anything is would in the end be too many words for
// the place where paths part, and those of the API would go with them: as with what
// was refused, see shedTried. A few stay, to show what answer it is.
const shedLeft = 2 // times as many as it takes to know the answer

// crowded says that it is time to look, if so many more words come.
func (s *service) crowded(more int) bool {
	return len(trunkOf(s.proven).kids)+more >= max(s.looked, shedEvery)
}

// shed makes room where the paths of a service part.
func (l *Learner) shed(s *service) {
	trunk, path := trunkOf(s.proven), ""
	for n := s.proven; n != trunk; n = n.kids[0].node {
		path += "/" + maskedKid(&n.kids[0])
	}
	if answers := catchAllOf(trunk); len(answers) > 0 {
		left := map[answer]*reach{}
		for _, a := range answers {
			left[a] = &reach{}
		}
		trunk.kids = slices.DeleteFunc(trunk.kids, func(k kid) bool {
			if k.count >= shedBelow || shows(&k, left) {
				return false
			}
			c := &concluder{examples: l.limits.Aside}
			if below, _ := c.without(answers, k.node, pruned{path: path}.below(k.text, k.form, maskedKid(&k), false)); !below.bare() {
				return false
			}
			s.aside.merge(c.aside, l.limits.Aside)
			l.size.proven -= 1 + k.node.places()
			return true
		})
	}
	s.looked = len(trunk.kids) + shedEvery
}

// reach counts first segments by which an answer is known.
type reach struct{ first, deep int }

// shows says whether a word is one of those that stay to show an answer.
func shows(k *kid, left map[answer]*reach) (yes bool) {
	here, below := map[answer]int{}, map[answer]int{}
	k.node.triedIn(here, below, catchAllOnce, 0)
	for a := range here {
		delete(below, a)
		if r := left[a]; r != nil && r.first < shedLeft*catchAllFirst {
			r.first++
			yes = true
		}
	}
	for a := range below {
		if r := left[a]; r != nil && r.deep < shedLeft*catchAllDeep {
			r.deep++
			yes = true
		}
	}
	return yes
}
