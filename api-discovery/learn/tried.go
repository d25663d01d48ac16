package learn

import "slices"

// A scanner's list has more words than a place keeps (see kept), and those under
// which operations are refused would go with them: then nobody could say any more
// whose refusals they were. So what begins with a word that nothing begins with which
// succeeded is counted aside for good, whenever so many words have come.
const (
	shedEvery = 200 // words
	shedBelow = 20  // exchanges of a word
)

// trunk calls f for the place where paths begin and those after the words that all
// of them begin with: what succeeded there, and what was tried.
func (s *service) trunk(f func(proven, stray *node, path string)) {
	p, n, path := s.proven, s.stray, ""
	for {
		f(p, n, path)
		if len(p.kids) != 1 || len(p.holes)+len(p.ends) > 0 {
			return
		}
		k := &p.kids[0]
		i, found := n.find(k.late, k.id)
		if !found {
			return
		}
		path += "/" + maskedKid(k)
		p, n = k.node, n.kids[i].node
	}
}

// triedWords is how many words were tried at the place where most were.
func (s *service) triedWords() (most int) {
	s.trunk(func(_, n *node, _ string) { most = max(most, len(n.kids)) })
	return most
}

// shedTried makes room, if it is needed for so many more words.
func (l *Learner) shedTried(s *service, more int) {
	if s.triedWords()+more < max(s.shedNext, shedEvery) {
		return
	}
	s.trunk(func(p, n *node, path string) {
		if len(n.kids)+more < max(shedEvery, 4*len(p.kids)) || len(p.holes) > 0 {
			return // values stand here: any word may be one
		}
		n.kids = slices.DeleteFunc(n.kids, func(k kid) bool {
			if _, known := p.find(k.late, k.id); known || k.count >= shedBelow {
				return false
			}
			l.size.stray -= 1 + k.node.places()
			c := &concluder{examples: l.limits.Aside, aside: s.aside}
			head, suffix := around(k.form)
			c.settle(k.node, nil, path+"/"+head+maskedKid(&k)+suffix)
			s.aside = c.aside
			return true
		})
	})
	s.shedNext = s.triedWords() + shedEvery
}
