package proposal

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/gabion-io/gabion/controlplane/store"
	"github.com/gabion-io/gabion/filters"
)

// SuggestRules say what it takes before gabion suggests an exclusion by itself.
// Evidence must not be something one client can manufacture.
type SuggestRules struct {
	Since   time.Time     // events looked at; zero: the last seven days
	Clients int           // distinct clients; 0: 5
	Spread  time.Duration // between the first and the last; 0: 24 h
	Buckets int           // distinct hours with events; 0: 5
	Limit   int           // suggestions at most; 0: 20
}

func (r SuggestRules) withDefaults(now time.Time) SuggestRules {
	if r.Since.IsZero() {
		r.Since = now.Add(-7 * 24 * time.Hour)
	}
	r.Clients = cmp.Or(r.Clients, 5)
	r.Spread = cmp.Or(r.Spread, 24*time.Hour)
	r.Buckets = cmp.Or(r.Buckets, 5)
	r.Limit = cmp.Or(r.Limit, 20)
	return r
}

const (
	maxLearn        = 100_000 // events looked at in one run, newest first
	eventsPerClient = 3       // of one client's events in a group, the first: more is no more evidence
	maxSuggested    = 200     // events handed to one proposal
)

// Suggest learns from the stored events and stores what it proposes. What is
// proposed already, or was decided, is not proposed again.
func (d *Desk) Suggest(ctx context.Context, r SuggestRules) ([]Proposal, error) {
	now := d.o.Now()
	r = r.withDefaults(now)
	events, err := d.learnable(ctx, r.Since)
	if err != nil {
		return nil, err
	}
	before, err := d.o.World.Effective(ctx, nil)
	if err != nil {
		return nil, fmt.Errorf("compile the policies in force: %w", err)
	}
	groups := candidates(events, r, func(e filters.Event) thresholds { return limitsOf(before, e) })
	known, err := d.proposedBefore(ctx)
	if err != nil {
		return nil, err
	}
	honest := newHonesty(d.o.Store, r.Since, events)
	var out []Proposal
	for _, g := range groups {
		if len(out) == r.Limit {
			break
		}
		g, err := honest.filter(ctx, g)
		if err != nil {
			return out, err
		}
		if !r.enough(g) {
			continue
		}
		p, err := d.learn(ctx, g, known)
		if err != nil {
			return out, err
		}
		if p != nil {
			out = append(out, *p)
		}
	}
	return out, nil
}

// learn makes a suggestion of one group and stores it; nil when there is none to
// make, or it was made before.
func (d *Desk) learn(ctx context.Context, group []filters.Event, known map[string]bool) (*Proposal, error) {
	p, err := d.make(ctx, group[:min(len(group), maxSuggested)], ProposeOptions{Author: Learned})
	if err != nil {
		d.o.Log.Info("no exclusion can be suggested", "event", group[0].ID, "reason", err)
		return nil, nil
	}
	key := fingerprint(p)
	if known[key] {
		return nil, nil
	}
	known[key] = true
	p.Evidence.Supplied = fmt.Sprintf("learned from %d clients over %s", p.Evidence.Clients, p.Evidence.Last.Sub(p.Evidence.First).Round(time.Hour))
	if p, err = d.put(ctx, p); err != nil {
		return nil, err
	}
	return &p, nil
}

// learnable reads the events that block mode would have denied, newest first.
func (d *Desk) learnable(ctx context.Context, since time.Time) ([]filters.Event, error) {
	var out []filters.Event
	q := store.EventQuery{Since: since, Limit: 5000}
	for len(out) < maxLearn {
		page, err := d.o.Store.Events(ctx, q)
		if err != nil {
			return nil, fmt.Errorf("read events: %w", err)
		}
		for _, e := range page {
			if e.Decision != filters.Allow {
				out = append(out, e.Event)
			}
		}
		if len(page) < q.Limit {
			break
		}
		q.Before = page[len(page)-1].Cursor
	}
	return out, nil
}

// candidates groups events that one exclusion would cover and keeps the groups
// that are evidence, most clients first.
func candidates(events []filters.Event, r SuggestRules, limit func(filters.Event) thresholds) [][]filters.Event {
	groups := map[string][]filters.Event{}
	taken := map[string]int{}
	for _, e := range slices.Backward(events) { // oldest first
		if !countable(e, limit(e)) {
			continue
		}
		key := groupKey(e)
		if who := key + "\x00" + clientOf(e); taken[who] < eventsPerClient {
			taken[who]++
			groups[key] = append(groups[key], e)
		}
	}
	var out [][]filters.Event
	for _, key := range slices.Sorted(maps.Keys(groups)) {
		if r.enough(groups[key]) {
			out = append(out, groups[key])
		}
	}
	slices.SortStableFunc(out, func(a, b []filters.Event) int { return cmp.Compare(len(clientsOf(b)), len(clientsOf(a))) })
	return out
}

// groupKey is what one exclusion covers: the policy, the place, and what matched.
func groupKey(e filters.Event) string {
	at := scopeOf(e)
	key := []string{e.Policy, e.Route, at.method, at.host, at.path}
	for _, s := range suspectsOf(e, nil) {
		key = append(key, fmt.Sprint(s.rule, " ", withoutIndices(s.target)))
	}
	slices.Sort(key[5:])
	return strings.Join(key, "\x00")
}

// countable: the event may be evidence at all. An event that also looks like
// another class of attack never is, nor one that a strong rule found.
func countable(e filters.Event, t thresholds) bool {
	if e.Client == "" || len(e.Matches) == 0 || e.MoreMatches > 0 || e.Engine == "chain" {
		return false
	}
	classes := map[string]bool{}
	critical := false
	for _, m := range e.Matches {
		critical = critical || strings.EqualFold(m.Severity, "critical")
		for _, tag := range m.Tags {
			if class, ok := strings.CutPrefix(tag, "attack-"); ok {
				classes[class] = true
			}
		}
	}
	return len(classes) <= 1 && !(critical && e.Score >= 2*t.inbound)
}

// enough distinct clients, over enough time, not all at once. Each client speaks
// once, by its first event: coming back spreads no evidence.
func (r SuggestRules) enough(events []filters.Event) bool {
	first := map[string]time.Time{}
	for _, e := range events {
		who := clientOf(e)
		if t, spoke := first[who]; !spoke || e.Time.Before(t) {
			first[who] = e.Time
		}
	}
	if len(first) < r.Clients {
		return false
	}
	hours := map[int64]bool{}
	for _, t := range first {
		hours[t.Unix()/3600] = true
	}
	times := slices.SortedFunc(maps.Values(first), time.Time.Compare)
	return len(hours) >= r.Buckets && times[len(times)-1].Sub(times[0]) >= r.Spread
}

// honesty knows clients by how much of their traffic would be denied.
type honesty struct {
	store   Store
	since   time.Time
	flagged map[string][]string // ids of a client's events
	judged  map[string]bool
}

func newHonesty(s Store, since time.Time, events []filters.Event) *honesty {
	h := &honesty{store: s, since: since, flagged: map[string][]string{}, judged: map[string]bool{}}
	for _, e := range events {
		h.flagged[e.Client] = append(h.flagged[e.Client], e.ID)
	}
	return h
}

// clientTraffic is how much of a client's latest traffic is looked at.
const clientTraffic = 1000

// filter leaves out events of clients most of whose traffic would be denied:
// those come to attack. A client nothing else is known of does not count either.
func (h *honesty) filter(ctx context.Context, group []filters.Event) ([]filters.Event, error) {
	var out []filters.Event
	for _, e := range group {
		ok, known := h.judged[e.Client]
		if !known {
			var err error
			if ok, err = h.judge(ctx, e.Client); err != nil {
				return nil, err
			}
			h.judged[e.Client] = ok
		}
		if ok {
			out = append(out, e)
		}
	}
	return out, nil
}

func (h *honesty) judge(ctx context.Context, client string) (bool, error) {
	seen, err := h.store.Exchanges(ctx, store.ExchangeQuery{Client: client, Since: h.since, Limit: clientTraffic})
	if err != nil {
		return false, fmt.Errorf("read exchanges of a client: %w", err)
	}
	flagged := len(h.flagged[client])
	if len(seen) == clientTraffic { // only the latest were read: count the same ones
		ids := map[string]bool{}
		for _, x := range seen {
			ids[x.ID], ids[x.Event] = true, true
		}
		flagged = 0
		for _, id := range h.flagged[client] {
			if ids[id] {
				flagged++
			}
		}
	}
	return 2*flagged <= len(seen), nil
}

// proposedBefore lists what was proposed before, in any state.
func (d *Desk) proposedBefore(ctx context.Context) (map[string]bool, error) {
	all, err := d.List(ctx, "")
	if err != nil {
		return nil, err
	}
	out := map[string]bool{}
	for _, p := range all {
		out[fingerprint(p)] = true
	}
	return out, nil
}

// fingerprint is what a proposal would change, whatever it is based on.
func fingerprint(p Proposal) string {
	parts := []string{p.Base.String()}
	for _, x := range p.Exclusions {
		parts = append(parts, identity(x))
	}
	return strings.Join(parts, "\n")
}
