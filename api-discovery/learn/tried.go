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

// trunk is the place where paths begin and those after the words that all of them
// begin with, from one to the next: what succeeded there, and what was tried.
type trunk struct{ proven, stray *node }

// on answers the next place and the word before it; false: there paths part.
func (t trunk) on() (next trunk, word *kid, ok bool) {
	if len(t.proven.kids) != 1 || len(t.proven.holes)+len(t.proven.ends) > 0 {
		return t, nil, false
	}
	word = &t.proven.kids[0]
	i, found := t.stray.find(word.late, word.id)
	if !found {
		return t, nil, false
	}
	return trunk{word.node, t.stray.kids[i].node}, word, true
}

// triedWords is how many words were tried at the place where most were.
func (s *service) triedWords() (most int) {
	for t, ok := (trunk{s.proven, s.stray}), true; ok; t, _, ok = t.on() {
		most = max(most, len(t.stray.kids))
	}
	return most
}

// shedTried makes room, if it is needed for so many more words.
func (l *Learner) shedTried(s *service, more int) {
	if s.triedWords()+more < max(s.shedNext, shedEvery) {
		return
	}
	t, path := trunk{s.proven, s.stray}, ""
	for {
		l.shedBeside(s, t, path, more)
		next, word, ok := t.on()
		if !ok {
			break
		}
		t, path = next, path+"/"+maskedKid(word)
	}
	s.shedNext = s.triedWords() + shedEvery
}

// shedBeside makes room at one place.
func (l *Learner) shedBeside(s *service, t trunk, path string, more int) {
	if len(t.stray.kids)+more < max(shedEvery, 4*len(t.proven.kids)) || len(t.proven.holes) > 0 {
		return // values stand here: any word may be one
	}
	t.stray.kids = slices.DeleteFunc(t.stray.kids, func(k kid) bool {
		if _, known := t.proven.find(k.late, k.id); known || k.count >= shedBelow {
			return false
		}
		l.size.stray -= 1 + k.node.places()
		c := &concluder{examples: l.limits.Aside, aside: s.aside}
		head, suffix := around(k.form)
		c.settle(k.node, nil, path+"/"+head+maskedKid(&k)+suffix)
		s.aside = c.aside
		return true
	})
}
