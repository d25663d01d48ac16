package compile

import (
	"cmp"
	"slices"

	"github.com/gabion-io/gabion/controlplane/api/v1alpha1"
)

// idleParts gathers rules and exclusions that can do nothing in an effective
// policy. One that can do something in another one is no mistake, so they are
// told only when every policy that holds them says the same.
type idleParts struct {
	uses map[element]map[string]int // by list: effective policies that hold an element
	idle map[idlePart]int           // of them: those in which it can do nothing
	text map[idlePart]string
}

// idlePart is an element of a list ("exclusions", "rules"), or another field.
type idlePart struct {
	policy v1alpha1.Key
	path   string
	list   string
	index  int // -1: no list element
}

func newIdleParts() *idleParts {
	return &idleParts{uses: map[element]map[string]int{}, idle: map[idlePart]int{}, text: map[idlePart]string{}}
}

// seen counts an effective policy's elements.
func (p *idleParts) seen(s settings) {
	for list, elements := range map[string][]element{"exclusions": s.exclusions, "rules": s.rules} {
		for _, e := range elements {
			if p.uses[e] == nil {
				p.uses[e] = map[string]int{}
			}
			p.uses[e][list]++
		}
	}
}

// add notes that a part does nothing in one effective policy.
func (p *idleParts) add(s settings, merged string, k v1alpha1.Key, path, message string) {
	part := idlePart{policy: k, path: path, index: -1}
	if list, i, _, ok := listElement(merged); ok {
		if from := map[string][]element{"exclusions": s.exclusions, "rules": s.rules}[list]; i >= 0 && i < len(from) {
			part.list, part.index = list, from[i].index
		}
	}
	p.idle[part]++
	if _, known := p.text[part]; !known {
		p.text[part] = message
	}
}

// report tells of the parts that do nothing anywhere.
func (p *idleParts) report(r *report) {
	parts := make([]idlePart, 0, len(p.idle))
	for part, n := range p.idle {
		if part.index < 0 || n >= p.uses[element{part.policy, part.index}][part.list] {
			parts = append(parts, part)
		}
	}
	slices.SortFunc(parts, func(a, b idlePart) int {
		return cmp.Or(a.policy.Compare(b.policy), cmp.Compare(a.path, b.path))
	})
	for _, part := range parts {
		r.bad(part.policy, v1alpha1.Programmed, reasonNoEffect, part.path, "%s", p.text[part])
	}
}
