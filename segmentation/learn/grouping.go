package learn

import (
	"maps"
	"slices"
	"strings"
)

// space is one namespace's grouping: the labels that tell its groups apart, and
// whether their base names do.
type space struct {
	name     string
	atoms    []int // of the namespace
	labels   []string
	useName  bool
	informed bool // base names tell deployments apart
	chance   bool // nor would it matter if the labels left were not there
}

// keyOf is an atom's group in its namespace.
func (s *space) keyOf(a *atom) string {
	var b strings.Builder
	b.WriteString(s.name)
	for _, label := range s.labels {
		v, there := a.labels[label]
		b.WriteByte('|')
		if there {
			b.WriteByte('=')
			b.WriteString(v)
		}
	}
	if s.useName || len(a.labels) == 0 {
		b.WriteString("|named ")
		b.WriteString(a.base)
	}
	return b.String()
}

// without is the space with one label less.
func (s *space) without(label string) *space {
	out := *s
	out.labels = slices.DeleteFunc(slices.Clone(s.labels), func(l string) bool { return l == label })
	return &out
}

// spaces begins with every label and name telling groups apart.
func spacesOf(atoms []*atom) []*space {
	byName := map[string]*space{}
	for i, a := range atoms {
		s := byName[a.namespace]
		if s == nil {
			s = &space{name: a.namespace, useName: true}
			byName[a.namespace] = s
		}
		s.atoms = append(s.atoms, i)
		for label := range a.labels {
			if !slices.Contains(s.labels, label) {
				s.labels = append(s.labels, label)
			}
		}
	}
	out := make([]*space, 0, len(byName))
	for _, name := range slices.Sorted(maps.Keys(byName)) {
		s := byName[name]
		slices.SortFunc(s.labels, byPreference)
		s.informed = s.namesInform(atoms)
		out = append(out, s)
	}
	return out
}

// namesInform says whether base names look like those of deployments: there are
// several, and none is all machine-made or that of machines.
func (s *space) namesInform(atoms []*atom) bool {
	bases := map[string]bool{}
	for _, i := range s.atoms {
		if atoms[i].base == "" || atoms[i].machines || genericNames[atoms[i].base] {
			return false
		}
		bases[atoms[i].base] = true
	}
	return len(bases) > 1
}

// identifies says whether a label goes with the base name: each base has one
// value, so the label says what a workload is, and where that shows is no chance.
func (s *space) identifies(label string, atoms []*atom) bool {
	if !s.informed {
		return false
	}
	value := map[string]string{}
	values := map[string]bool{}
	for _, i := range s.atoms {
		a := atoms[i]
		v := a.labels[label]
		if before, known := value[a.base]; known && before != v {
			return false
		}
		value[a.base] = v
		values[v] = true
	}
	return len(values) > 1
}

// partition is a grouping's classes: which atoms are in which group.
func (s *space) partition(atoms []*atom) map[string][]int {
	out := map[string][]int{}
	for _, i := range s.atoms {
		k := s.keyOf(atoms[i])
		out[k] = append(out[k], i)
	}
	return out
}

// shrink drops what is not needed to tell workloads apart that talk differently:
// first names, then labels, the least telling first. A label that only repeats
// what others say goes too; the last one stays, for a policy must not select
// whatever will come.
func (g *grouper) shrink(s *space) *space {
	if s.useName && len(s.labels) > 0 {
		try := *s
		try.useName = false
		if g.joins(s, &try, 0) {
			s = &try
		}
	}
	for _, label := range slices.Backward(slices.Clone(s.labels)) {
		if len(s.labels) == 1 {
			break
		}
		try := s.without(label)
		if len(try.partition(g.atoms)) == len(s.partition(g.atoms)) && coversAll(try, g.atoms) {
			s = try
		}
	}
	for _, label := range slices.Backward(slices.Clone(s.labels)) {
		if len(s.labels) == 1 {
			break
		}
		if try := s.without(label); !s.identifies(label, g.atoms) && coversAll(try, g.atoms) && g.joins(s, try, tolerance(label)) {
			s = try
		}
	}
	s.chance = len(s.labels) == 0 || len(s.labels) == 1 && !s.useName && !saysWhat(s.labels[0]) && g.joins(s, s.without(s.labels[0]), tolerance(s.labels[0]))
	return s
}

// tolerance is which share of the groups that dropping a label joins may talk
// differently: labels for where and in which version something runs are seldom
// what it is.
func tolerance(label string) float64 {
	switch n := preference(label); {
	case n >= 200:
		return 0.5
	case n >= unranked:
		return 0.1
	}
	return 0
}

// coversAll says whether every atom that has labels has one of those left.
func coversAll(s *space, atoms []*atom) bool {
	for _, i := range s.atoms {
		if len(atoms[i].labels) > 0 && !slices.ContainsFunc(s.labels, func(l string) bool { _, there := atoms[i].labels[l]; return there }) {
			return false
		}
	}
	return true
}
