package learn

import (
	"math"
	"slices"
	"time"

	"github.com/gabion-io/gabion/internal/exchange"
)

// Forget removes what of a service was last called before a time, and answers what
// was called at how many places that was. What has no time stays.
func (l *Learner) Forget(name string, before time.Time) (ends int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := l.services[name]
	if s == nil {
		return 0
	}
	old := func(e *end) bool { return e.last != 0 && e.last < before.UnixNano() }
	ends = s.proven.forget(old, &l.size.proven)
	s.stray.forget(old, &l.size.stray)
	return ends
}

// forget removes ends, and places below which nothing is left.
func (n *node) forget(old func(*end) bool, size *int) (ends int) {
	before := len(n.ends)
	n.ends = slices.DeleteFunc(n.ends, old)
	ends = before - len(n.ends)
	n.kids = slices.DeleteFunc(n.kids, func(k kid) bool {
		ends += k.node.forget(old, size)
		return k.node.empty(size)
	})
	n.holes = slices.DeleteFunc(n.holes, func(h hole) bool {
		ends += h.node.forget(old, size)
		return h.node.empty(size)
	})
	return ends
}

// empty says that a place holds nothing, and takes it off the size then.
func (n *node) empty(size *int) bool {
	if !n.bare() {
		return false
	}
	*size--
	return true
}

// Last is the time before which a share of what a service has was last called.
func (l *Learner) Last(name string, share float64) time.Time {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := l.services[name]
	if s == nil {
		return time.Time{}
	}
	var times []int64
	for _, root := range []*node{s.proven, s.stray} {
		root.each(func(e *end) { times = append(times, e.last) })
	}
	if len(times) == 0 {
		return time.Time{}
	}
	slices.Sort(times)
	at := int(math.Ceil(share * float64(len(times))))
	if at >= len(times) {
		return time.Unix(0, times[len(times)-1]+1)
	}
	return time.Unix(0, times[at])
}

// each calls f for all ends at a place and below.
func (n *node) each(f func(*end)) {
	for _, e := range n.ends {
		f(e)
	}
	for i := range n.kids {
		n.kids[i].node.each(f)
	}
	for i := range n.holes {
		n.holes[i].node.each(f)
	}
}

// settleStrays counts aside, for good, what proves no operation and belongs to
// none that is known; if that is not enough, the rest of it too. It is called when
// the bound is reached.
func (l *Learner) settleStrays() {
	l.size.stray = 0
	for _, s := range l.services {
		root := decide(s.proven, nil)
		s.settle(s.stray, root, "", l.limits.Aside)
		l.size.stray += s.stray.places()
	}
	if l.size.stray <= l.limits.Strays {
		return
	}
	l.size.stray = 0
	for _, s := range l.services {
		s.settle(s.stray, nil, "", l.limits.Aside)
	}
}

// settle moves the ends of a stray node that no operation claims to the asides.
func (s *service) settle(n *node, p *place, path string, examples int) {
	c := &concluder{examples: examples, aside: s.aside}
	c.settle(n, p, path)
	s.aside = c.aside
}

func (c *concluder) settle(n *node, p *place, path string) {
	n.ends = slices.DeleteFunc(n.ends, func(e *end) bool {
		if p.claims(e) {
			return false
		}
		c.put(e, path)
		return true
	})
	size := 0
	for i := range n.kids {
		k := &n.kids[i]
		head, suffix := around(k.form)
		c.settle(k.node, p.below(k.text, k.form), path+"/"+head+maskedKid(k)+suffix)
	}
	n.kids = slices.DeleteFunc(n.kids, func(k kid) bool { return k.node.empty(&size) })
	for i := range n.holes {
		h := &n.holes[i]
		head, suffix := around(h.form)
		c.settle(h.node, p.through(h), path+"/"+head+exchange.MaskValue+suffix)
	}
	n.holes = slices.DeleteFunc(n.holes, func(h hole) bool { return h.node.empty(&size) })
}
