package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/gabion-io/gabion/controlplane/api/v1alpha1"
	"github.com/gabion-io/gabion/controlplane/ingest"
	"github.com/gabion-io/gabion/controlplane/proposal"
	"github.com/gabion-io/gabion/controlplane/reconcile"
	"github.com/gabion-io/gabion/controlplane/segment"
	"github.com/gabion-io/gabion/controlplane/store"
	"github.com/gabion-io/gabion/segmentation"
	"github.com/gabion-io/gabion/segmentation/learn"
	"github.com/gabion-io/gabion/segmentation/rehearse"
	"github.com/gabion-io/gabion/workload"
)

// network shows proposals what was seen on the network, and what can be learned of
// it (proposal.Network).
type network struct {
	loop  *reconcile.Loop
	store *store.Store
}

// world is the policies and workloads of the resources in force, with a candidate
// in place of the resource it names.
func (n *network) world(candidate []byte) (segment.Result, segmentation.PolicyName, error) {
	s := n.loop.State()
	if s == nil {
		return segment.Result{}, segmentation.PolicyName{}, errors.New("no configuration has been compiled yet")
	}
	set, name := s.Set, segmentation.PolicyName{}
	if candidate != nil {
		with, key, err := withCandidate(s.Set, candidate, n.loop.CompileOptions().Now)
		if err != nil {
			return segment.Result{}, name, err
		}
		set, name = with, segmentation.PolicyName{Kind: key.Kind, ID: workload.ID{Namespace: key.Namespace, Name: key.Name}}
	}
	var objects []v1alpha1.Object
	for _, item := range set.Items() {
		objects = append(objects, item.Object)
	}
	return segment.Compile(objects, segment.Options{RootNamespace: n.loop.CompileOptions().RootNamespace}), name, nil
}

// residentsOf finds workloads by what edges say of their ends. One that is gone is
// known by the labels it had.
type residentsOf struct {
	byID map[string]*workload.Workload
	all  []*workload.Workload
}

func newResidents(known []*workload.Workload) *residentsOf {
	r := &residentsOf{byID: map[string]*workload.Workload{}, all: slices.Clone(known)}
	for _, w := range known {
		r.byID[w.ID.String()] = w
	}
	return r
}

func (r *residentsOf) end(e store.FlowEnd) (segmentation.Endpoint, bool) {
	if e.Workload == "" {
		a, err := netip.ParseAddr(e.Address)
		if e.DNSName != "" {
			return segmentation.Outside(a, e.DNSName), err == nil
		}
		return segmentation.Outside(a), err == nil
	}
	w, known := r.byID[e.Workload]
	if !known {
		id, err := workload.ParseID(e.Workload)
		if err != nil {
			return segmentation.Endpoint{}, false
		}
		w = &workload.Workload{ID: id, Labels: e.Labels}
		r.byID[e.Workload] = w
		r.all = append(r.all, w)
	}
	return segmentation.At(w), true
}

func (r *residentsOf) edge(e *store.Edge) (segmentation.Edge, bool) {
	answered := min(e.Answered, e.Flows)
	out := segmentation.Edge{
		Protocol: e.Protocol, Port: e.Port, Flows: e.Flows, Answered: &answered, Bytes: e.Bytes, First: e.First, Last: e.Last,
	}
	if e.Process != "" {
		out.Processes = []string{e.Process}
	}
	var src, dst bool
	out.Src, src = r.end(e.Src)
	out.Dst, dst = r.end(e.Dst)
	// What only went on, of flows that began before, is no attempt.
	return out, src && dst && e.Flows > 0
}

// edges collects the edges seen since, and everybody they are between.
func (n *network) edges(ctx context.Context, since time.Time, r *residentsOf) ([]segmentation.Edge, error) {
	const most = 4_000_000
	var out []segmentation.Edge
	err := n.store.EachEdgeByHour(ctx, store.FlowQuery{Since: since}, func(e *store.Edge) error {
		if len(out) == most {
			return fmt.Errorf("more than %d edges are kept: look at a shorter time with --since", most)
		}
		if edge, ok := r.edge(e); ok {
			out = append(out, edge)
		}
		return nil
	})
	return out, err
}

// Learn proposes policies from the edges that are kept. What policies in force
// allow already is not proposed again.
func (n *network) Learn(ctx context.Context, o proposal.LearnOptions) (proposal.Lesson, error) {
	now, _, err := n.world(nil)
	if err != nil {
		return proposal.Lesson{}, err
	}
	people := newResidents(now.Workloads)
	edges, err := n.edges(ctx, o.Since, people)
	if err != nil {
		return proposal.Lesson{}, err
	}
	l := learn.New(people.all, learn.Options{Mode: segmentation.Observe})
	use := learn.NewUsage(now.Policies, people.all)
	for i := range edges {
		l.AddKnown(&edges[i], use.Add(&edges[i]))
	}
	draft := l.Propose()
	lesson := proposal.Lesson{Looked: lookedAt(&draft, use)}
	governed := governedBy(now.Policies, people.all)
	for i := range draft.Proposals {
		p := &draft.Proposals[i]
		if o.Namespace != "" && p.Policy.Name.Namespace != o.Namespace {
			continue
		}
		if len(p.Policy.Ingress.List)+len(p.Policy.Egress.List) == 0 {
			// Closing what was never looked at would be no learning, and an amendment
			// without rules none either.
			for _, m := range p.Members {
				if !governed[m] {
					lesson.Looked.Silent++
				}
			}
			continue
		}
		learned, err := learnedPolicy(&draft, p, governed, now.Policies)
		if err != nil {
			return lesson, err
		}
		lesson.Policies = append(lesson.Policies, learned)
	}
	return lesson, nil
}

// governedBy says whom policies select.
func governedBy(policies []segmentation.Policy, all []*workload.Workload) map[workload.ID]bool {
	out := map[workload.ID]bool{}
	for _, w := range all {
		for i := range policies {
			if policies[i].Subject.Matches(w.Identity()) {
				out[w.ID] = true
				break
			}
		}
	}
	return out
}

func lookedAt(d *learn.Draft, use *learn.Usage) proposal.NetworkLooked {
	o := d.Observation
	out := proposal.NetworkLooked{
		Begin: o.Begin, End: o.End, Edges: o.Edges, Unanswered: o.Unanswered, Held: o.Held, Dropped: o.Dropped,
		Anomalies: []string{}, Unused: []string{}, Known: use.Known(),
	}
	for _, a := range d.Anomalies {
		out.Anomalies = append(out.Anomalies, anomalyText(a))
	}
	for _, r := range use.Unused() {
		out.Unused = append(out.Unused, r.String())
	}
	return out
}

func anomalyText(a learn.Anomaly) string {
	var parts []string
	for i, e := range a.Edges {
		if i == 4 {
			parts = append(parts, fmt.Sprintf("… %d more", len(a.Edges)-i))
			break
		}
		parts = append(parts, endName(e.Dst)+" "+serviceText(e.Protocol, e.Port))
	}
	return fmt.Sprintf("%s %s: %s (%s)", a.Begin.UTC().Format("2006-01-02 15:04"), endName(a.Source), a.Why, strings.Join(parts, ", "))
}

// learnedPolicy is a proposal of the learner as a resource. Workloads that policies
// govern already get an amendment.
func learnedPolicy(d *learn.Draft, p *learn.Proposal, governed map[workload.ID]bool, inForce []segmentation.Policy) (proposal.LearnedPolicy, error) {
	amends := slices.ContainsFunc(p.Members, func(id workload.ID) bool { return governed[id] })
	if amends {
		p.Amend(inForce)
	}
	// A name that somebody has taken for something else is left alone.
	for !amends && slices.ContainsFunc(inForce, func(o segmentation.Policy) bool { return o.Name == p.Policy.Name }) {
		p.Policy.Name.Name += "-learned"
	}
	text, err := v1alpha1.Encode(segment.Resource(p.Policy, func(dir segmentation.Direction, n int) string { return p.In(dir).Evidence[n].String() }))
	if err != nil {
		return proposal.LearnedPolicy{}, err
	}
	e := proposal.NetworkEvidence{
		Begin: d.Observation.Begin, End: d.Observation.End, Selects: p.Policy.Subject.String(), Workloads: len(p.Members), Members: []string{}, Amends: amends,
		Ingress: sideOf(p, segmentation.Ingress), Egress: sideOf(p, segmentation.Egress), Complete: completenessOf(p.Completeness),
	}
	for _, m := range p.Members[:min(len(p.Members), proposal.MaxMembers)] {
		e.Members = append(e.Members, m.String())
	}
	for _, a := range d.Anomalies {
		if a.Source.Workload != nil && slices.Contains(p.Members, a.Source.Workload.ID) {
			e.Anomalies = append(e.Anomalies, anomalyText(a))
		}
	}
	return proposal.LearnedPolicy{Namespace: p.Policy.Name.Namespace, Name: p.Policy.Name.Name, Manifest: text, Evidence: e}, nil
}

func completenessOf(c learn.Completeness) proposal.CompletenessOf {
	return proposal.CompletenessOf{Sightings: c.Sightings, Unseen: c.Unseen, Low: c.Low, High: c.High}
}

func sideOf(p *learn.Proposal, d segmentation.Direction) proposal.NetworkSide {
	rules, side := p.Policy.In(d), p.In(d)
	out := proposal.NetworkSide{Governed: rules.Governed, Complete: completenessOf(side.Completeness), Rules: []proposal.NetworkReason{}}
	for i, r := range ruleReports(*rules, *side) {
		e := &side.Evidence[i]
		word := map[segmentation.Direction]string{segmentation.Ingress: "from ", segmentation.Egress: "to "}[d]
		peers := "anybody"
		if len(r.Peers) > 0 {
			peers = strings.Join(r.Peers, " or ")
		}
		out.Rules = append(out.Rules, proposal.NetworkReason{
			Rule: strings.TrimSpace(word + peers + " " + strings.Join(r.Ports, ", ")), Why: e.String(), Rare: e.Rare,
			Flows: e.Flows, Edges: e.Edges, First: e.First, Last: e.Last, Processes: e.Processes,
		})
	}
	return out
}

// Rehearse judges the edges that are kept, without a candidate and with it
// enforced.
func (n *network) Rehearse(ctx context.Context, candidate []byte, o proposal.RehearseOptions) (proposal.NetworkRehearsal, error) {
	var out proposal.NetworkRehearsal
	before, _, err := n.world(nil)
	if err != nil {
		return out, err
	}
	after, name, err := n.world(candidate)
	if err != nil {
		return out, err
	}
	var subject segmentation.Selection
	for i := range after.Policies {
		if after.Policies[i].Name == name {
			after.Policies[i].Mode, subject = segmentation.Enforce, after.Policies[i].Subject
		}
	}
	people := newResidents(before.Workloads)
	edges, err := n.edges(ctx, o.Since, people)
	if err != nil {
		return out, err
	}
	run := rehearse.New(people.all, before.Policies, after.Policies)
	var begin, end time.Time
	for i := range edges {
		e := &edges[i]
		if !o.Until.IsZero() && !e.First.Before(o.Until) {
			continue
		}
		run.Add(e)
		if begin.IsZero() || e.First.Before(begin) {
			begin = e.First
		}
		if e.Last.After(end) {
			end = e.Last
		}
		if o.Progress != nil && i%4096 == 0 {
			o.Progress(i, len(edges))
		}
	}
	out.NetworkOutcome = outcomeOf(run.Result(subject.Matches), subject, people)
	out.Coverage, err = n.coverage(ctx, out.Edges, begin, end)
	return out, err
}

func (n *network) coverage(ctx context.Context, edges int, begin, end time.Time) (proposal.Coverage, error) {
	all, err := n.store.Coverage(ctx)
	if err != nil {
		return proposal.Coverage{}, err
	}
	c := proposal.Coverage{Data: edges > 0, From: begin, To: end, Recordings: edges}
	hosts := 0
	for _, s := range all {
		if strings.HasPrefix(s.Source, ingest.FlowSource("")) {
			hosts++
			c.Lost += s.Lost
		}
	}
	c.Summary = "No edges are recorded: this says nothing of what would be denied."
	if c.Data {
		c.Summary = fmt.Sprintf("%s by the hour, reported by %s, from %s to %s UTC.", plural(edges, "edge", "edges"), plural(hosts, "host", "hosts"),
			begin.UTC().Format(time.DateTime), end.UTC().Format(time.DateTime))
		if c.Lost > 0 {
			c.Summary += fmt.Sprintf(" %d rows were lost.", c.Lost)
		}
	}
	return c, nil
}

// maxReach bounds the workloads whose reach is told.
const maxReach = 20

func outcomeOf(r rehearse.Result, subject segmentation.Selection, people *residentsOf) proposal.NetworkOutcome {
	out := proposal.NetworkOutcome{
		Edges: r.Edges, Denied: r.Denied.Count, Allowed: r.Allowed.Count, Workloads: r.Workloads, Ports: r.Services,
		WasDenied: changesOf(r.Denied), NowOpen: changesOf(r.Allowed), Reach: []proposal.NetworkReach{},
	}
	var own, others []proposal.NetworkReach
	for _, x := range r.Reach {
		reach := proposal.NetworkReach{
			From: x.From, WorkloadsBefore: x.Before.Workloads, WorkloadsAfter: x.After.Workloads, PortsBefore: x.Before.Ports, PortsAfter: x.After.Ports,
		}
		if w := people.byID[x.From]; w != nil && subject.Matches(w.Identity()) {
			own = append(own, reach)
		} else {
			others = append(others, reach)
		}
	}
	out.Reach = append(out.Reach, own...)
	out.Reach = append(out.Reach, others...)
	out.Reach = out.Reach[:min(len(out.Reach), maxReach)]
	return out
}

func changesOf(s rehearse.Shift) []proposal.NetworkChange {
	out := []proposal.NetworkChange{}
	for _, x := range s.Examples {
		out = append(out, proposal.NetworkChange{Src: x.Src, Dst: x.Dst, Service: x.Service, Flows: x.Flows, Rule: x.Rule})
	}
	return out
}
