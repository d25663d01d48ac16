package proposal

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/gabion-io/gabion/controlplane/api/v1alpha1"
	"github.com/gabion-io/gabion/controlplane/store"
	"github.com/gabion-io/gabion/filters"
	wafrules "github.com/gabion-io/gabion/waf-rules"
)

// ProposeOptions say what a proposal is to be made of.
type ProposeOptions struct {
	Events   []string // event ids, at least one
	Author   string   // token name
	Full     bool     // try every attack, however long it takes
	Progress Progress
	DryRun   bool // make it, do not store it

	learned *learned // nil: a person asks, and whatever helps may be excluded
}

// maxProposeEvents bounds the events of one proposal.
const maxProposeEvents = 1000

// Propose makes the narrowest exclusion that would have let the events pass.
func (d *Desk) Propose(ctx context.Context, o ProposeOptions) (Proposal, error) {
	events, err := d.load(ctx, o.Events)
	if err != nil {
		return Proposal{}, err
	}
	p, err := d.make(ctx, events, o)
	if err != nil {
		return Proposal{}, err
	}
	if o.DryRun {
		return p, nil
	}
	return d.put(ctx, p)
}

func (d *Desk) load(ctx context.Context, ids []string) ([]filters.Event, error) {
	if len(ids) == 0 {
		return nil, fmt.Errorf("%w: name at least one event", ErrNotExcludable)
	}
	if len(ids) > maxProposeEvents {
		return nil, fmt.Errorf("%w: %d events are more than one proposal takes (%d)", ErrNotExcludable, len(ids), maxProposeEvents)
	}
	var out []filters.Event
	seen := map[string]bool{}
	for _, id := range ids {
		if seen[id] {
			continue
		}
		seen[id] = true
		e, err := d.o.Store.Event(ctx, id)
		if err != nil {
			return nil, fmt.Errorf("read event %s: %w", id, err)
		}
		if e.Process != nil {
			return nil, fmt.Errorf("%w: event %s tells that a process ended, and of no request", ErrNotExcludable, id)
		}
		out = append(out, e.Event)
	}
	return out, nil
}

// make is Propose after the events are at hand and before anything is stored.
func (d *Desk) make(ctx context.Context, events []filters.Event, o ProposeOptions) (Proposal, error) {
	before, err := d.o.World.Effective(ctx, nil)
	if err != nil {
		return Proposal{}, fmt.Errorf("compile the policies in force: %w", err)
	}
	home, err := d.home(ctx, events)
	if err != nil {
		return Proposal{}, err
	}
	w := &draft{desk: d, before: before, home: home, widen: widen{}, now: d.o.Now(), only: o.learned}
	defer w.close()
	if err := w.replayable(events); err != nil {
		return Proposal{}, err
	}
	p := Proposal{ID: d.o.NewID(), Kind: KindExclusion, State: Proposed, Created: w.now.UTC(), Author: o.Author, Base: home.base}
	w.reason = fmt.Sprintf("proposal %s by %s: false positive in %s", p.ID, o.Author, count(len(events), "event"))
	if o.learned != nil {
		w.reason = fmt.Sprintf("proposal %s, learned from %s of %s", p.ID, count(len(o.learned.voices), "event"), count(len(o.learned.clients()), "client"))
	}
	if err := w.settle(ctx, events); err != nil {
		return Proposal{}, err
	}
	p.Exclusions, p.Candidate = w.exclusions, string(w.candidate)
	p.Patch = home.patch(w.candidate)
	p.Title = title(p.Exclusions)
	p.Evidence = w.evidence(ctx, events, o)
	return p, nil
}

// home is the resource the exclusions are written into.
type home struct {
	base    Base
	text    []byte // as it stands; nil: it does not exist yet
	targets []v1alpha1.TargetRef
}

// patch is the way from the resource as it stands to the candidate.
func (h home) patch(candidate []byte) string {
	if h.base.File != "" {
		return patch(h.base.File, h.text, h.base.File, candidate)
	}
	name := strings.ToLower(h.base.Kind) + "-" + h.base.Namespace + "-" + h.base.Name + ".yaml"
	return patch("before/"+name, h.text, "after/"+name, candidate)
}

// with is the resource with exclusions added.
func (h home) with(xs []wafrules.Exclusion) ([]byte, error) {
	if h.text == nil {
		return newPolicy(h.base.Namespace, h.base.Name, h.targets, xs)
	}
	return withExclusions(h.text, xs)
}

// home is the policy that governs the events, when somebody wrote it down; else
// (built-in defaults, or a policy made from command line flags) a policy of the
// route's own that says nothing but the exclusions.
func (d *Desk) home(ctx context.Context, events []filters.Event) (home, error) {
	policies := distinctOf(events, func(e filters.Event) string { return e.Policy })
	if len(policies) > 1 {
		return home{}, fmt.Errorf("%w: the events are governed by different policies (%s); make a proposal for each", ErrNotExcludable, strings.Join(policies, ", "))
	}
	if k, ok := parseKey(policies[0]); ok && k.Kind == v1alpha1.KindWAFPolicy {
		r, err := d.o.World.Resource(ctx, k)
		if err == nil && r.Origin != "flags" {
			return home{base: baseOf(r), text: r.Manifest}, nil
		}
	}
	routes := distinctOf(events, func(e filters.Event) string { return e.Route })
	if len(routes) > 1 {
		return home{}, fmt.Errorf("%w: the events are of different routes (%s) and no policy of yours governs them; make a proposal for each", ErrNotExcludable, strings.Join(routes, ", "))
	}
	namespace, name, ok := strings.Cut(routes[0], "/")
	if !ok {
		return home{}, fmt.Errorf("%w: no policy and no route is known for event %s", ErrNotExcludable, events[0].ID)
	}
	return d.routePolicy(ctx, namespace, name)
}

func (d *Desk) routePolicy(ctx context.Context, namespace, route string) (home, error) {
	kind := v1alpha1.KindHTTPRoute
	if _, err := d.o.World.Resource(ctx, store.Key{Kind: v1alpha1.KindHTTPRoute, Namespace: namespace, Name: route}); err != nil {
		if _, err := d.o.World.Resource(ctx, store.Key{Kind: v1alpha1.KindGRPCRoute, Namespace: namespace, Name: route}); err == nil {
			kind = v1alpha1.KindGRPCRoute
		}
	}
	k := store.Key{Kind: v1alpha1.KindWAFPolicy, Namespace: namespace, Name: route + "-exclusions"}
	if r, err := d.o.World.Resource(ctx, k); err == nil {
		return home{base: baseOf(r), text: r.Manifest}, nil
	}
	return home{
		base:    Base{Kind: k.Kind, Namespace: k.Namespace, Name: k.Name},
		targets: []v1alpha1.TargetRef{{Group: v1alpha1.GatewayGroup, Kind: kind, Name: route}},
	}, nil
}

// parseKey reads "WAFPolicy default/shop".
func parseKey(s string) (store.Key, bool) {
	kind, rest, ok := strings.Cut(s, " ")
	namespace, name, ok2 := strings.Cut(rest, "/")
	return store.Key{Kind: kind, Namespace: namespace, Name: name}, ok && ok2 && namespace != "" && name != ""
}

func distinctOf(events []filters.Event, of func(filters.Event) string) []string {
	var out []string
	for _, e := range events {
		if v := of(e); !slices.Contains(out, v) {
			out = append(out, v)
		}
	}
	slices.Sort(out)
	return out
}

// limitsOf finds the thresholds an event is measured by: those of the policy in
// force on its route today, else of the policy that raised it, else the defaults.
func limitsOf(tables side, e filters.Event) thresholds {
	p, _ := tables.policy(e.Listener, e.Key)
	if p == nil {
		p = tables.byID(e.PolicyID)
	}
	return limitsIn(p)
}

// limitsIn are a policy's thresholds; of none, the defaults.
func limitsIn(p *filters.Policy) thresholds {
	s := wafrules.Defaults()
	if p != nil && p.WAF != nil {
		var set wafrules.Settings
		if json.Unmarshal(p.WAF, &set) == nil && set.Inbound > 0 && set.Outbound > 0 {
			s = set
		}
	}
	return thresholds{inbound: s.Inbound, outbound: s.Outbound}
}

func title(xs []wafrules.Exclusion) string {
	if len(xs) == 0 {
		return "nothing to exclude"
	}
	x := xs[0]
	text := fmt.Sprintf("exclude %d", x.Rule)
	if x.Target != "" {
		text += " from " + x.Target
	}
	if at := strings.TrimSpace(x.Method + " " + x.Host + x.Path); at != "" {
		text += " on " + at
	}
	if len(xs) > 1 {
		text += fmt.Sprintf(" and %d more", len(xs)-1)
	}
	return text
}

func count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

func (d *Desk) put(ctx context.Context, p Proposal) (Proposal, error) {
	s, err := toStored(p)
	if err != nil {
		return Proposal{}, err
	}
	stored, err := d.o.Store.PutProposal(ctx, s)
	if err != nil {
		return Proposal{}, fmt.Errorf("store proposal %s: %w", p.ID, err)
	}
	return fromStored(stored)
}

// spanOf is when the events were, first and last.
func spanOf(events []filters.Event) (first, last time.Time) {
	for i, e := range events {
		if i == 0 || e.Time.Before(first) {
			first = e.Time
		}
		if i == 0 || e.Time.After(last) {
			last = e.Time
		}
	}
	return first, last
}
