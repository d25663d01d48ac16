package learn

import (
	"cmp"
	"maps"
	"slices"

	"github.com/gabion-io/gabion/segmentation"
	"github.com/gabion-io/gabion/workload"
)

// group is workloads that are governed alike, and how to select them.
type group struct {
	selection segmentation.Selection
	members   []int32 // workloads, in order
}

// groups finds the groups of all workloads, and each workload's group, from all
// edges but those held back.
func (l *Learner) groups(held map[int32]bool) (list []*group, of []int32) {
	atoms, atomOf := l.atoms()
	g := &grouper{atoms: atoms, of: make([]*space, len(atoms)), class: map[string]int32{}}
	spaces := spacesOf(atoms)
	for _, s := range spaces {
		for _, i := range s.atoms {
			g.of[i] = s
		}
	}
	g.links, g.byAt = l.linked(atomOf, len(atoms), held)
	for n, s := range spaces {
		small := g.shrink(s)
		spaces[n] = small
		for _, i := range small.atoms {
			g.of[i] = small
		}
	}
	of = make([]int32, len(l.workloads))
	for _, s := range spaces {
		parts := s.partition(atoms)
		for _, k := range slices.Sorted(maps.Keys(parts)) {
			list = append(list, &group{selection: s.selection(parts[k], parts, atoms, l.workloads), members: membersOf(parts[k], atoms)})
		}
	}
	list = l.split(list, spaces, held)
	slices.SortFunc(list, func(a, b *group) int { return cmp.Compare(a.members[0], b.members[0]) })
	for n, gr := range list {
		for _, m := range gr.members {
			of[m] = int32(n)
		}
	}
	return list, of
}

func membersOf(part []int, atoms []*atom) (out []int32) {
	for _, i := range part {
		out = append(out, atoms[i].members...)
	}
	slices.Sort(out)
	return out
}

// linkKey is a link between two ends: atoms, workloads or externals.
type linkKey struct {
	src, dst int32
	protocol uint8
	port     uint16
}

// linked folds good edges between workloads into links between atoms. What each
// workload did towards all of an atom counts once a window.
func (l *Learner) linked(atomOf []int32, atoms int, held map[int32]bool) ([]link, [][]int32) {
	if l.ties == nil {
		l.tie(atomOf)
	}
	list, did, had := slices.Clone(l.links), make([]seen, l.did), make([]seen, l.had)
	join := func(to *seen, s seen) int {
		before := to.count()
		to.join(s)
		return to.count() - before
	}
	for n := range l.edges {
		if held[int32(n)] || !l.evidence(&l.edges[n]) {
			continue
		}
		t := l.ties[n]
		list[t.link].did += join(&did[t.did], l.marks[n])
		list[t.link].had += join(&had[t.had], l.marks[n])
	}
	byAt := make([][]int32, atoms)
	for i, k := range list {
		if k.did == 0 {
			continue // only unanswered, or held
		}
		if k.src >= 0 {
			byAt[k.src] = append(byAt[k.src], int32(i))
		}
		if k.dst >= 0 && k.dst != k.src {
			byAt[k.dst] = append(byAt[k.dst], int32(i))
		}
	}
	return list, byAt
}

// selection says how to pick a part, and none of the namespace's other parts.
func (s *space) selection(part []int, parts map[string][]int, atoms []*atom, workloads []*workload.Workload) segmentation.Selection {
	a := atoms[part[0]]
	out := segmentation.Selection{Namespace: s.name}
	labels := workload.Labels{}
	var missing []string
	for _, label := range s.labels {
		if v, there := a.labels[label]; there {
			labels[label] = v
		} else {
			missing = append(missing, label)
		}
	}
	out.Labels = workload.MatchLabels(labels)
	for _, label := range missing {
		if s.claims(labels, label, parts, atoms) {
			out.Labels.Requirements = append(out.Labels.Requirements, workload.Requirement{Label: label, Operator: workload.DoesNotExist})
		}
	}
	if s.useName || len(a.labels) == 0 {
		var names []string
		for _, m := range membersOf(part, atoms) {
			names = append(names, workloads[m].ID.Name)
		}
		out.Names = namePattern(a.base, names)
		if s.ambiguous(out.Names, part, atoms, workloads) {
			out.Names = names
		}
	}
	return out
}

// claims says whether another part has these labels too, and one more.
func (s *space) claims(labels workload.Labels, more string, parts map[string][]int, atoms []*atom) bool {
	for _, other := range parts {
		a := atoms[other[0]]
		_, there := a.labels[more]
		if there && workload.MatchLabels(labels).Matches(a.labels) {
			return true
		}
	}
	return false
}

// ambiguous says whether name patterns pick workloads of other parts.
func (s *space) ambiguous(names []string, part []int, atoms []*atom, workloads []*workload.Workload) bool {
	pick := segmentation.Selection{Names: names}
	for _, i := range s.atoms {
		if slices.Contains(part, i) {
			continue
		}
		for _, m := range atoms[i].members {
			if pick.Matches(workload.Identity{Name: workloads[m].ID.Name}) {
				return true
			}
		}
	}
	return false
}

// split takes groups apart that have nothing but a namespace or a chance label in
// common: neither do names say that they are one deployment, nor do members talk
// to the same peers. Their workloads are then known by their exact names.
func (l *Learner) split(list []*group, spaces []*space, held map[int32]bool) (out []*group) {
	informed, chance, identity := map[string]bool{}, map[string]bool{}, map[string]bool{}
	for _, s := range spaces {
		informed[s.name], chance[s.name] = s.informed, s.chance
		identity[s.name] = slices.ContainsFunc(s.labels, saysWhat)
	}
	of := make([]int32, len(l.workloads))
	size, parts := map[string]int{}, map[string]int{}
	for n, gr := range list {
		for _, m := range gr.members {
			of[m] = int32(n)
		}
		size[gr.selection.Namespace] += len(gr.members)
		parts[gr.selection.Namespace]++
	}
	// What holds most of its namespace tells nobody whom it is that others talk to.
	vague := make([]bool, len(list))
	for n, gr := range list {
		vague[n] = 2*len(gr.members) > size[gr.selection.Namespace] && !(informed[gr.selection.Namespace] && l.oneBase(gr))
	}
	known := func(gr *group) bool { return len(gr.members) < 2 || informed[gr.selection.Namespace] && l.oneBase(gr) }
	if !slices.ContainsFunc(list, func(gr *group) bool { return !known(gr) }) {
		return list
	}
	doings := l.doings(list, of, vague, held)
	usual := everybody(doings)
	apart := make([]bool, len(list))
	for n, gr := range list {
		space := gr.selection.Namespace
		if known(gr) {
			continue
		}
		each := make([]map[feature]int, len(gr.members))
		for i, m := range gr.members {
			each[i] = doings[m]
		}
		switch {
		case parts[space] == 1 && l.oneBase(gr):
			apart[n] = !uniform(each)
		case parts[space] == 1 || chance[space]:
			apart[n] = true // unless they do the very same
		case identity[space]:
			apart[n] = !similar(each, usual) && !uniform(each)
		default:
			apart[n] = !similar(each, usual) || !uniform(each)
		}
	}
	if !slices.Contains(apart, true) {
		return list
	}
	exact := l.doings(list, of, apart, held)
	usual = everybody(exact)
	loose, whole := map[string][]int32{}, map[string]*group{}
	for n, gr := range list {
		if apart[n] {
			space := gr.selection.Namespace
			loose[space] = append(loose[space], gr.members...)
			if parts[space] == 1 && !gr.selection.Labels.Empty() {
				whole[space] = gr
			}
			continue
		}
		out = append(out, gr)
	}
	for space, members := range loose {
		slices.Sort(members)
		found := cluster(members, exact, usual)
		if len(found) == 1 && whole[space] != nil {
			out = append(out, whole[space])
			continue
		}
		for _, part := range found {
			s := segmentation.Selection{Namespace: space}
			for _, m := range part {
				s.Names = append(s.Names, l.workloads[m].ID.Name)
			}
			out = append(out, &group{selection: s, members: part})
		}
	}
	return out
}

func (l *Learner) oneBase(gr *group) bool {
	base := baseName(l.workloads[gr.members[0]].ID.Name)
	return base != "" && !genericNames[base] && !slices.ContainsFunc(gr.members, func(m int32) bool { return baseName(l.workloads[m].ID.Name) != base })
}

// doings is what each workload of a group of several was seen to do, and in how
// many windows. Peers count
// by their group, but each for itself in the same group and in those that are to
// be taken apart.
func (l *Learner) doings(list []*group, of []int32, apart []bool, held map[int32]bool) []map[feature]int {
	out := make([]map[feature]int, len(l.workloads))
	peer := func(end, other int32) feature {
		switch {
		case end < 0:
			return feature{peer: end}
		case other >= 0 && of[end] == of[other], apart[of[end]]:
			return feature{peer: end, alone: true}
		}
		return feature{peer: of[end]}
	}
	add := func(m int32, f feature, windows int) {
		if out[m] == nil {
			out[m] = map[feature]int{}
		}
		out[m][f] += windows
	}
	for n := range l.edges {
		e := &l.edges[n]
		if held[int32(n)] || !l.evidence(e) {
			continue
		}
		windows := -1
		for _, end := range []int32{e.src, e.dst} {
			if end < 0 || len(list[of[end]].members) < 2 {
				continue
			}
			if windows < 0 {
				windows = l.marks[n].count()
			}
			var f feature
			if end == e.src {
				f = peer(e.dst, end)
			} else {
				f = peer(e.src, end)
				f.ingress = true
			}
			f.port, f.kind = e.port, uint8(e.protocol)
			add(end, f, windows)
		}
	}
	return out
}
