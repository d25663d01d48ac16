package segmentation

import (
	"slices"

	"github.com/gabion-io/gabion/workload"
)

// selectionIndex finds the workloads that a selection picks without asking every
// workload: with thousands of both that is what Compile's time goes into.
type selectionIndex struct {
	all    []*workload.Workload // nil where there is none
	every  []int
	labels map[[2]string][]int // by label and value
	spaces map[string][]int    // by namespace
}

func newSelectionIndex(all []*workload.Workload) *selectionIndex {
	x := &selectionIndex{all: all, labels: map[[2]string][]int{}, spaces: map[string][]int{}}
	for n, w := range all {
		if w == nil {
			continue
		}
		x.every = append(x.every, n)
		x.spaces[w.ID.Namespace] = append(x.spaces[w.ID.Namespace], n)
		for label, value := range w.Labels {
			x.labels[[2]string{label, value}] = append(x.labels[[2]string{label, value}], n)
		}
	}
	return x
}

// of lists, sorted, the workloads that a selection picks.
func (x *selectionIndex) of(s *Selection) (out []int) {
	for _, n := range x.candidates(s) {
		if s.Matches(x.all[n].Identity()) {
			out = append(out, n)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// candidates lists at least the workloads that a selection picks.
func (x *selectionIndex) candidates(s *Selection) []int {
	best := x.every
	if s.Namespace != "" {
		best = x.spaces[s.Namespace]
	}
	for _, r := range s.Labels.Requirements {
		if r.Operator != workload.In {
			continue
		}
		var list []int
		for _, v := range r.Values {
			list = append(list, x.labels[[2]string{r.Label, v}]...)
		}
		if len(list) < len(best) {
			best = list
		}
	}
	return best
}

// peerIndex finds the classes that a peer means, and remembers.
type peerIndex struct {
	classes   []peerClass
	workloads *selectionIndex
	found     map[string][]int // by the peer's text
}

func newPeerIndex(classes []peerClass) *peerIndex {
	all := make([]*workload.Workload, len(classes))
	for n, c := range classes {
		all[n] = c.workload
	}
	return &peerIndex{classes: classes, workloads: newSelectionIndex(all), found: map[string][]int{}}
}

// of lists, sorted, the classes that a peer means.
func (x *peerIndex) of(p *Peer) []int {
	key := p.key()
	list, known := x.found[key]
	switch {
	case known:
		return list
	case p.Workloads != nil:
		list = x.workloads.of(p.Workloads)
	default:
		for n, c := range x.classes {
			if p.matchesClass(c) {
				list = append(list, n)
			}
		}
	}
	x.found[key] = list
	return list
}

// key tells peers apart, the addresses that a name keeps among what counts.
func (p *Peer) key() string {
	if p.Name == nil {
		return p.String()
	}
	key := "name " + p.Name.Pattern
	for _, a := range p.Name.Addresses {
		key += " " + a.String()
	}
	return key
}

// namedPort lists the classes of workloads that give a port a name.
func (x *peerIndex) namedPort(ports []Ports) (out []int) {
	if !slices.ContainsFunc(ports, func(p Ports) bool { return p.Name != "" }) {
		return nil
	}
	for n, c := range x.classes {
		if c.workload != nil && slices.ContainsFunc(ports, func(p Ports) bool { return p.Name != "" && p.On(c.workload) != nil }) {
			out = append(out, n)
		}
	}
	return out
}
