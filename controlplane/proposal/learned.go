package proposal

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/gabion-io/gabion/filters"
	wafrules "github.com/gabion-io/gabion/waf-rules"
)

// takes: the match is one that the case may exclude. What else matched in its
// events is not its business.
func (c *learned) takes(m filters.Match) bool {
	return c.claims[m.Rule] != nil && alike(m) == c.field.target
}

// sample is at most maxSuggested events, of every combination of rules some,
// the oldest first.
func (c learned) sample() []filters.Event {
	turn := map[string]int{}
	type pick struct {
		turn int
		e    filters.Event
	}
	var picks []pick
	for _, v := range c.voices {
		key := fmt.Sprint(v.rules)
		picks = append(picks, pick{turn[key], v.event})
		turn[key]++
	}
	slices.SortStableFunc(picks, func(a, b pick) int { return a.turn - b.turn })
	var out []filters.Event
	for _, p := range picks[:min(len(picks), maxSuggested)] {
		out = append(out, p.e)
	}
	slices.SortStableFunc(out, func(a, b filters.Event) int { return a.Time.Compare(b.Time) })
	return out
}

// testify writes down who spoke for what.
func (c learned) testify(e *Evidence) {
	var events []filters.Event
	hours := map[int64]bool{}
	count, forms := map[int]int{}, map[int]map[string]bool{}
	for _, v := range c.voices {
		events = append(events, v.event)
		hours[v.event.Time.Unix()/3600] = true
		for _, rule := range v.rules {
			count[rule]++
			if forms[rule] == nil {
				forms[rule] = map[string]bool{}
			}
			forms[rule][v.form(rule)] = true
		}
	}
	e.First, e.Last = spanOf(events)
	e.Events = nil
	for _, ev := range events[:min(len(events), MaxEvidenceEvents)] {
		e.Events = append(e.Events, ev.ID)
	}
	e.Covered, e.Clients, e.Hours = len(events), len(c.clients()), len(hours)
	e.Supplied = fmt.Sprintf("learned from %d clients over %s", e.Clients, e.Last.Sub(e.First).Round(time.Hour))
	for _, rule := range slices.Sorted(maps.Keys(c.claims)) {
		e.Rules = append(e.Rules, RuleEvidence{Rule: rule, Events: count[rule], Clients: len(c.claims[rule]), Forms: len(forms[rule])})
	}
}

// form is what the rule saw in the voice's field, redacted.
func (v voice) form(rule int) string {
	for _, m := range v.event.Matches {
		if m.Rule == rule && alike(m) == v.at.target {
			return m.Value
		}
	}
	return ""
}

// admit leaves out events that the case does not explain after all: the engine
// finds something else in them today. The others get the case's place.
func (c *learned) admit(facts []filters.Event, limit func(filters.Event) thresholds) []filters.Event {
	var out []filters.Event
	for _, e := range facts {
		if e.Decision != filters.Allow && remaining(e, limit(e), c.takes).passes(limit(e)) {
			out = append(out, e)
		}
	}
	return out
}

// settleIn writes the case's place into the events, from which exclusions take
// theirs. What comes with every request is excluded where several clients were
// seen with it: on up to two paths on those, else on what all have in common.
func (c *learned) settleIn(facts []filters.Event) []filters.Event {
	out := slices.Clone(facts)
	if !c.field.carried {
		for i := range out {
			out[i].Path = c.field.path
		}
		return out
	}
	seen := map[scope]map[string]bool{}
	for _, e := range out {
		at := scopeOf(e)
		if seen[at] == nil {
			seen[at] = map[string]bool{}
		}
		seen[at][clientOf(e)] = true
	}
	var common []scope
	for at, who := range seen {
		if len(who) >= 2 || len(seen) == 1 {
			common = append(common, at)
		}
	}
	slices.SortFunc(common, scope.compare)
	if len(common) <= 2 {
		return slices.DeleteFunc(out, func(e filters.Event) bool { return !slices.Contains(common, scopeOf(e)) })
	}
	at := scope{path: or(commonPath(common), "/*")}
	if _, _, methods := distinct(common); methods == 1 {
		at.method = common[0].method
	}
	out = slices.DeleteFunc(out, func(e filters.Event) bool { return !slices.Contains(common, scopeOf(e)) })
	for i := range out {
		out[i].Path, out[i].Method = at.path, at.method
	}
	return out
}

// spent is what was proposed before, by the resource it was proposed on, and
// until when events for it have been heard.
type spent []spentExclusion

type spentExclusion struct {
	exclusion wafrules.Exclusion
	until     time.Time // zero: as long as the proposal is open
}

// covers: something that the voice asks for was proposed before, and decided upon
// after the event, or not yet. The rest would not let the event pass.
func (s spent) covers(v voice) bool {
	return slices.ContainsFunc(v.event.Matches, func(m filters.Match) bool {
		return slices.Contains(v.rules, m.Rule) && alike(m) == v.at.target && s.has(v.event, m)
	})
}

func (s spent) has(e filters.Event, m filters.Match) bool {
	return slices.ContainsFunc(s, func(x spentExclusion) bool {
		return (x.until.IsZero() || !e.Time.After(x.until)) && covers(x.exclusion, e, m)
	})
}

// spent lists what was proposed, in any state.
func (d *Desk) spent(ctx context.Context) (spent, error) {
	all, err := d.List(ctx, "")
	if err != nil {
		return nil, err
	}
	var out spent
	for _, p := range all {
		for _, x := range p.Exclusions {
			out = append(out, spentExclusion{exclusion: x, until: p.Decided})
		}
	}
	return out, nil
}
