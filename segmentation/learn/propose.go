package learn

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/gabion-io/gabion/segmentation"
	"github.com/gabion-io/gabion/workload"
)

// Propose says what was learned so far. It changes nothing: more edges can be
// added afterwards.
func (l *Learner) Propose() Draft {
	if len(l.edges) == 0 {
		return Draft{Observation: Observation{Dropped: l.dropped}}
	}
	w := l.measure()
	// Twice: what an attack did must not tell replicas apart.
	var groups []*group
	var of []int32
	var anomalies []Anomaly
	var held map[int32]bool
	for range 2 {
		groups, of = l.groups(held)
		s := &suspicion{Learner: l, windows: w, groups: groups, of: of, acts: l.acts(w, of)}
		anomalies, held = s.find()
		if len(held) == 0 {
			break
		}
	}
	relations, late := l.late(w, l.relations(w, of, held), groups)
	anomalies = append(anomalies, late...)
	slices.SortFunc(anomalies, func(a, b Anomaly) int {
		return cmp.Or(a.Begin.Compare(b.Begin), cmp.Compare(endText(a.Source), endText(b.Source)))
	})
	d := Draft{Anomalies: anomalies, Observation: Observation{
		Begin: instant(w.begin), End: instant(w.end), Window: w.duration(), Edges: len(l.edges), Held: len(held), Dropped: l.dropped, Stray: l.stray(w),
	}}
	for n := range l.edges {
		if !l.evidence(&l.edges[n]) {
			d.Observation.Unanswered++
		}
	}
	d.Proposals = l.proposals(w, groups, relations)
	return d
}

// proposer writes the proposals.
type proposer struct {
	*Learner
	windows windows
	groups  []*group
	callers map[int32]map[int32]bool // groups that an external was seen to call
}

func (l *Learner) proposals(w windows, groups []*group, relations []*relation) []Proposal {
	p := &proposer{Learner: l, windows: w, groups: groups, callers: map[int32]map[int32]bool{}}
	in, out := make([][]*relation, len(groups)), make([][]*relation, len(groups))
	for _, r := range relations {
		if r.src >= 0 {
			out[r.src] = append(out[r.src], r)
		}
		if r.dst >= 0 {
			in[r.dst] = append(in[r.dst], r)
		}
		if r.src < 0 && r.dst >= 0 {
			if p.callers[r.src] == nil {
				p.callers[r.src] = map[int32]bool{}
			}
			p.callers[r.src][r.dst] = true
		}
	}
	names := map[workload.ID]bool{}
	list := make([]Proposal, len(groups))
	for n, g := range groups {
		list[n] = p.propose(g, in[n], out[n], names)
	}
	slices.SortFunc(list, func(a, b Proposal) int { return a.Policy.Name.Compare(b.Policy.Name.ID) })
	return list
}

func (p *proposer) propose(g *group, in, out []*relation, names map[workload.ID]bool) Proposal {
	pr := Proposal{Policy: segmentation.Policy{Name: p.nameOf(g, names), Mode: p.options.Mode, Subject: g.selection}}
	for _, m := range g.members {
		pr.Members = append(pr.Members, p.workloads[m].ID)
	}
	pr.Policy.Ingress.Governed, pr.Policy.Egress.Governed = true, true
	pr.Policy.Ingress.List, pr.Ingress = p.side(segmentation.Ingress, in)
	pr.Policy.Egress.List, pr.Egress = p.side(segmentation.Egress, out)
	pr.Completeness = sightings(append(slices.Clone(in), out...))
	return pr
}

func sightings(list []*relation) Completeness {
	var counts []int
	for _, r := range list {
		counts = append(counts, r.seen.count())
	}
	return estimate(counts)
}

// nameOf names a policy after what it selects.
func (p *proposer) nameOf(g *group, taken map[workload.ID]bool) segmentation.PolicyName {
	var parts []string
	for _, r := range g.selection.Labels.Requirements {
		if r.Operator == workload.In && !slices.Contains(parts, r.Values[0]) {
			parts = append(parts, r.Values[0])
		}
	}
	if len(parts) == 0 || len(g.selection.Names) > 0 {
		first := p.workloads[g.members[0]].ID.Name
		if base := baseName(first); base != "" && len(g.members) > 1 {
			first = base
		}
		parts = append(parts, first)
	}
	text := strings.Trim(strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z' || r >= '0' && r <= '9':
			return r
		case r >= 'A' && r <= 'Z':
			return r + 'a' - 'A'
		}
		return '-'
	}, strings.Join(parts, "-")), "-")
	if len(text) > 200 {
		text = strings.Trim(text[:200], "-")
	}
	id := workload.ID{Namespace: g.selection.Namespace, Name: cmp.Or(text, "workloads")}
	for n := 2; taken[id]; n++ {
		id.Name = fmt.Sprintf("%s-%d", cmp.Or(text, "workloads"), n)
	}
	taken[id] = true
	return segmentation.PolicyName{Kind: "SegmentationPolicy", ID: id}
}

// side makes the rules of one direction, the usual before the rare.
func (p *proposer) side(d segmentation.Direction, list []*relation) ([]segmentation.Rule, Side) {
	type drafted struct {
		rule segmentation.Rule
		why  Evidence
		text string
	}
	var all []drafted
	news := slices.DeleteFunc(slices.Clone(list), func(r *relation) bool { return r.known.in(d) })
	for _, bundle := range p.bundles(d, news) {
		r := p.rule(d, bundle)
		why := p.evidence(d, bundle, &r)
		all = append(all, drafted{r, why, ruleText(&r)})
	}
	slices.SortFunc(all, func(a, b drafted) int {
		rare := func(e Evidence) int {
			if e.Rare != "" {
				return 1
			}
			return 0
		}
		return cmp.Or(cmp.Compare(rare(a.why), rare(b.why)), cmp.Compare(a.text, b.text))
	})
	var rules []segmentation.Rule
	side := Side{Completeness: sightings(list)}
	for _, a := range all {
		rules = append(rules, a.rule)
		side.Evidence = append(side.Evidence, a.why)
	}
	return rules, side
}

func ruleText(r *segmentation.Rule) string {
	var parts []string
	for i := range r.Peers {
		parts = append(parts, r.Peers[i].String())
	}
	for _, n := range r.Ports {
		parts = append(parts, n.String())
	}
	return strings.Join(parts, " ")
}

// bundles puts relations together that one rule allows: those with one peer, and
// those with bare addresses on one port; the rare apart from the usual, so that
// each can be looked at.
func (p *proposer) bundles(d segmentation.Direction, list []*relation) [][]*relation {
	index := map[string]int{}
	var out [][]*relation
	for _, r := range list {
		peer := r.dst
		if d == segmentation.Ingress {
			peer = r.src
		}
		key := fmt.Sprintf("group %d rare %v", peer, p.rare(r) != "")
		if peer < 0 && (d == segmentation.Ingress || p.externals[^peer].name == "") {
			key = fmt.Sprintf("addresses %d %d", r.protocol, r.port)
		} else if peer >= 0 && len(p.groups[peer].members) == 1 && len(p.groups[peer].selection.Names) == 1 {
			// Workloads known by exact names: one rule for all of one service.
			key = fmt.Sprintf("names %s %d %d %v", p.groups[peer].selection.Namespace, r.protocol, r.port, p.rare(r) != "")
		}
		n, known := index[key]
		if !known {
			n = len(out)
			index[key] = n
			out = append(out, nil)
		}
		out[n] = append(out[n], r)
	}
	return out
}
