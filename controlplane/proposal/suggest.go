package proposal

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/gabion-io/gabion/controlplane/store"
	"github.com/gabion-io/gabion/filters"
)

// SuggestRules say what it takes before gabion suggests an exclusion by itself.
// Evidence must not be something one client can manufacture.
type SuggestRules struct {
	Since   time.Time     // events looked at; zero: the last seven days
	Route   string        // suggestions for one route only: "default/shop"; "": all
	Clients int           // distinct client networks; 0: 5
	Spread  time.Duration // between the first and the last of them; 0: 24 h
	Buckets int           // distinct hours with events; 0: 5
	Limit   int           // suggestions at most; 0: 20
}

// WithDefaults fills what is not set.
func (r SuggestRules) WithDefaults(now time.Time) SuggestRules {
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
	eventsPerClient = 3       // of one client's events for the same rules and field, the first: more is no more evidence
	maxSuggested    = 200     // events handed to one proposal
)

// Suggestions are what one run found, and what it looked at.
type Suggestions struct {
	Proposals []Proposal
	Looked    Looked
}

// Looked says what a run made of the stored events.
type Looked struct {
	Events      int `json:"events"`      // that are denied or would be
	Alarming    int `json:"alarming"`    // of them, looking like several classes of attack, or found by a strong rule
	Voices      int `json:"voices"`      // of them, those that one field's rules explain
	Unnamed     int `json:"unnamed"`     // of them, explained by something that is no parameter: the body, the URI, a redacted name
	Discredited int `json:"discredited"` // client networks whose events do not count, because some look like attacks
	Fields      int `json:"fields"`      // parameters with enough evidence
	Known       int `json:"known"`       // events that speak only for what was proposed or decided before
}

// Suggest learns from the stored events and stores what it proposes, rehearsed.
// What is proposed already is not proposed again; nor is what was decided, unless
// the events since would be enough by themselves.
func (d *Desk) Suggest(ctx context.Context, r SuggestRules) (Suggestions, error) {
	r = r.WithDefaults(d.o.Now())
	before, err := d.o.World.Effective(ctx, nil)
	if err != nil {
		return Suggestions{}, fmt.Errorf("compile the policies in force: %w", err)
	}
	if r.Route != "" && !serves(before, r.Route) {
		return Suggestions{}, fmt.Errorf("%w: no HTTPRoute %q is served; name one as namespace/name", ErrInvalid, r.Route)
	}
	events, err := d.learnable(ctx, r.Since)
	if err != nil {
		return Suggestions{}, err
	}
	spent, err := d.spent(ctx)
	if err != nil {
		return Suggestions{}, err
	}
	l := &learning{rules: r, events: events, spent: spent, honesty: newHonesty(d.o.Store, r, events), taken: map[string]int{},
		limit: func(e filters.Event) thresholds { return limitsOf(before, e) }}
	found, err := l.run(ctx)
	if err != nil {
		return Suggestions{}, err
	}
	// Every proposal compares with what is in force: compiled once, and held.
	held := newJudges(d.o.Engine)
	defer held.close()
	out := Suggestions{Looked: l.looked}
	for _, c := range found {
		e := c.voices[0].event
		if p, _ := side(before).policy(e.Listener, e.Key); p != nil {
			_, _ = held.of(p) // what does not compile is told by whoever needs it
		}
		if len(out.Proposals) == r.Limit {
			break
		}
		p, err := d.learn(ctx, c, r)
		if err != nil {
			return out, err
		}
		if p != nil {
			out.Proposals = append(out.Proposals, *p)
		}
	}
	return out, nil
}

func serves(tables map[string]filters.Table, route string) bool {
	for _, t := range tables {
		for _, b := range t.Bindings {
			if b.Route == route {
				return true
			}
		}
	}
	return false
}

// learn makes a suggestion of one case, rehearses and stores it; nil when there
// is none to make.
func (d *Desk) learn(ctx context.Context, c learned, r SuggestRules) (*Proposal, error) {
	p, err := d.make(ctx, c.sample(), ProposeOptions{Author: Learned, learned: &c})
	if err == nil && p.Evidence.Replay.Recorded > 0 && p.Evidence.Replay.Passed == 0 {
		err = errors.New("none of the recorded events would pass with it")
	}
	if err != nil {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		d.o.Log.Info("no exclusion can be suggested", "route", c.field.route, "path", c.field.path, "target", c.field.target, "reason", err)
		return nil, nil
	}
	c.testify(&p.Evidence)
	rehearsal, err := d.RehearseCandidate(ctx, []byte(p.Candidate), RehearseOptions{Since: r.Since})
	if err != nil {
		return nil, err
	}
	rehearsal.Base = p.Base
	p.Rehearsal = &rehearsal
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
			if e.Decision != filters.Allow && e.Process == nil {
				out = append(out, e.Event)
			}
		}
		if len(page) < q.Limit {
			break
		}
		q.Before = page[len(page)-1].Place()
	}
	return out, nil
}

// learning finds fields whose rules misfire.
type learning struct {
	rules   SuggestRules
	events  []filters.Event // newest first
	spent   spent
	honesty *honesty
	limit   func(filters.Event) thresholds
	taken   map[string]int // voices heard of each client
	looked  Looked
}

// learned is a field with the voices for it.
type learned struct {
	field  field
	claims map[int]support // by rule
	voices []voice         // oldest first
}

func (l *learning) run(ctx context.Context) ([]learned, error) {
	all := l.listen()
	voices, err := l.honest(ctx, all)
	if err != nil {
		return nil, err
	}
	// What is known to misfire is known at first from clients that never sent
	// anything alarming. Whoever sent something alarming that this does not explain
	// attacks, and nothing of theirs is evidence. What the others say may explain
	// more: whether somebody attacks is no matter of who was heard first.
	caught := l.networks(func(filters.Event) bool { return true })
	b := l.rules.belief(without(voices, caught))
	for range rounds {
		unexplained := l.networks(func(e filters.Event) bool { return !l.explained(e, b) })
		maps.DeleteFunc(caught, func(who string, _ bool) bool { return !unexplained[who] })
		if b, err = l.believe(ctx, all, caught, b); err != nil {
			return nil, err
		}
		if len(caught) == l.looked.Discredited {
			break
		}
		l.looked.Discredited = len(caught)
	}
	return l.cases(b), nil
}

// believe hears whoever is not caught. What was known before counts against nobody.
func (l *learning) believe(ctx context.Context, all []voice, caught map[string]bool, before belief) (belief, error) {
	l.honesty.forgive(l.events, func(e filters.Event) bool { return l.misfires(e, before) })
	voices, err := l.honest(ctx, without(all, caught))
	if err != nil {
		return belief{}, err
	}
	peeled, taken := map[string]bool{}, maps.Clone(l.taken)
	b := l.rules.belief(voices)
	for range rounds {
		more, err := l.peel(ctx, b, func(e filters.Event) bool { return peeled[e.ID] || caught[clientOf(e)] })
		if err != nil {
			return belief{}, err
		}
		if len(more) == 0 {
			break
		}
		for _, v := range more {
			peeled[v.event.ID] = true
		}
		heard, _ := l.hear(more, taken)
		voices = append(voices, heard...)
		slices.SortStableFunc(voices, func(a, b voice) int { return a.event.Time.Compare(b.event.Time) })
		b = l.rules.belief(voices)
	}
	return b, nil
}

// networks are those with an alarming event of a kind.
func (l *learning) networks(kind func(filters.Event) bool) map[string]bool {
	out := map[string]bool{}
	for _, e := range l.events {
		if who := clientOf(e); who != "" && !out[who] && alarming(e, l.limit(e)) && kind(e) {
			out[who] = true
		}
	}
	return out
}

func without(voices []voice, who map[string]bool) []voice {
	return slices.DeleteFunc(slices.Clone(voices), func(v voice) bool { return who[clientOf(v.event)] })
}

// misfires: the event would pass without what is believed.
func (l *learning) misfires(e filters.Event, b belief) bool {
	t := l.limit(e)
	return e.MoreMatches == 0 && remaining(e, t, func(m filters.Match) bool { return b.has(e, m) }).passes(t)
}

// peel hears events again without the rules that are believed by now: of two that
// misfire together in one field, one may never come alone, and where a cookie
// misfires with every request no other field ever does alone. Events of several
// classes in one field are not heard.
func (l *learning) peel(ctx context.Context, b belief, skip func(filters.Event) bool) ([]voice, error) {
	var out []voice
	for _, e := range slices.Backward(l.events) {
		t := l.limit(e)
		if e.MoreMatches > 0 || skip(e) || !l.explained(e, b) {
			continue
		}
		rest := less(e, t, b)
		if len(rest.Matches) == len(e.Matches) || !countable(rest, t) {
			continue
		}
		said := e
		switch {
		case apart(e, rest):
			said = rest
		case !alarming(e, t) || classes(e) > 1:
			continue
		}
		out = append(out, b.place(speak(said, t))...)
	}
	return l.honestOnly(ctx, out)
}

// apart: what is left of an event matched in other fields than what is gone.
func apart(e, rest filters.Event) bool {
	left := targetsOf(rest)
	gone := 0
	for _, target := range targetsOf(e) {
		if !slices.Contains(left, target) {
			gone++
		}
	}
	if gone == 0 {
		return false
	}
	of := func(e filters.Event, target string) (n int) {
		for _, m := range e.Matches {
			if alike(m) == target {
				n++
			}
		}
		return n
	}
	return !slices.ContainsFunc(left, func(target string) bool { return of(e, target) != of(rest, target) })
}

// less is an event without the matches that are believed to misfire.
func less(e filters.Event, t thresholds, b belief) filters.Event {
	gone := func(m filters.Match) bool { return b.has(e, m) }
	e.Score = remaining(e, t, gone).in
	e.Matches = slices.DeleteFunc(slices.Clone(e.Matches), gone)
	return e
}

// explained: without what is believed the event is not alarming, as when two
// fields misfire in one request; or it is of a field that misfires: one of its
// rules is believed there, and nothing matched anywhere else.
func (l *learning) explained(e filters.Event, b belief) bool {
	if rest := less(e, l.limit(e), b); len(rest.Matches) < len(e.Matches) && !alarming(rest, l.limit(e)) {
		return true
	}
	target := ""
	known := false
	for _, m := range e.Matches {
		if m.Score == 0 {
			continue
		}
		if target == "" {
			target = alike(m)
		}
		if alike(m) != target {
			return false
		}
		known = known || b.has(e, m)
	}
	return known && e.MoreMatches == 0
}

// listen gathers the voices, oldest first.
func (l *learning) listen() []voice {
	l.looked.Events = len(l.events)
	var out []voice
	for _, e := range slices.Backward(l.events) {
		t := l.limit(e)
		if alarming(e, t) {
			l.looked.Alarming++
		}
		voices := voicesOf(e, t)
		switch {
		case len(voices) > 0:
			l.looked.Voices++
		case unnamed(e, t):
			l.looked.Unnamed++
		}
		heard, known := l.hear(voices, l.taken)
		if known {
			l.looked.Known++
		}
		out = append(out, heard...)
	}
	return out
}

// hear leaves out what is not asked about, what was proposed before (known), and
// what the client has said often enough.
func (l *learning) hear(voices []voice, taken map[string]int) (out []voice, known bool) {
	for _, v := range voices {
		if l.rules.Route != "" && v.at.route != l.rules.Route {
			continue
		}
		if l.spent.covers(v) {
			known = true
			continue
		}
		if who := fmt.Sprint(v.at, v.rules, clientOf(v.event)); taken[who] < eventsPerClient {
			taken[who]++
			out = append(out, v)
		}
	}
	return out, known
}

// honest keeps the voices of honest clients, asked only about those whose voice
// could matter.
func (l *learning) honest(ctx context.Context, voices []voice) ([]voice, error) {
	claims := l.rules.belief(voices).claims
	return l.honestOnly(ctx, slices.DeleteFunc(slices.Clone(voices), func(v voice) bool { return !v.heard(claims) }))
}

// honestOnly keeps the voices of honest clients.
func (l *learning) honestOnly(ctx context.Context, voices []voice) ([]voice, error) {
	var out []voice
	for _, v := range voices {
		ok, err := l.honesty.honest(ctx, v)
		if err != nil {
			return nil, err
		}
		if ok {
			out = append(out, v)
		}
	}
	return out, nil
}

// cases gathers the voices by field, most clients first.
func (l *learning) cases(b belief) []learned {
	byField := map[field]*learned{}
	for _, v := range b.voices {
		if !v.heard(b.claims) {
			continue
		}
		c := byField[v.field]
		if c == nil {
			c = &learned{field: v.field, claims: map[int]support{}}
			byField[v.field] = c
		}
		c.voices = append(c.voices, v)
		for _, rule := range v.rules {
			c.claims[rule] = b.claims[claim{v.field, rule}]
		}
	}
	l.looked.Fields = len(byField)
	var out []learned
	for _, f := range slices.SortedFunc(maps.Keys(byField), field.compare) {
		out = append(out, *byField[f])
	}
	slices.SortStableFunc(out, func(a, b learned) int { return cmp.Compare(len(a.clients()), len(b.clients())) * -1 })
	return out
}

func (c learned) clients() map[string]bool {
	out := map[string]bool{}
	for _, v := range c.voices {
		out[clientOf(v.event)] = true
	}
	return out
}
