package learn

import (
	"maps"
	"slices"
)

// Merge adds what another learner knows. The other one is used up by it: parts
// of its tree become parts of this one.
func (l *Learner) Merge(o *Learner) {
	l.mu.Lock()
	defer l.mu.Unlock()
	o.mu.Lock()
	defer o.mu.Unlock()
	l.size.evicted += o.size.evicted
	l.size.proven += o.size.proven
	l.size.stray += o.size.stray
	for _, name := range slices.Sorted(maps.Keys(o.services)) {
		from := o.services[name]
		s := l.service(name)
		if s == nil {
			l.size.evicted += from.exchanges()
			continue
		}
		if s.crowded(len(trunkOf(from.proven).kids)) {
			l.shed(from)
			l.shed(s)
		}
		l.shedTried(s, from.triedWords())
		s.proven.merge(from.proven, &l.size.proven)
		s.stray.merge(from.stray, &l.size.stray)
		s.aside.merge(from.aside, l.limits.Aside)
	}
	o.services = map[string]*service{}
	if l.size.stray > l.limits.Strays {
		l.settleStrays()
	}
	if l.size.proven > l.nodes {
		l.compact()
	}
}

// exchanges counts what a service was learned from.
func (s *service) exchanges() (n uint64) {
	var walk func(*node)
	walk = func(at *node) {
		for _, e := range at.ends {
			n += uint64(e.count)
		}
		for i := range at.kids {
			walk(at.kids[i].node)
		}
		for i := range at.holes {
			walk(at.holes[i].node)
		}
	}
	walk(s.proven)
	walk(s.stray)
	return n
}
