package proposal

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/gabion-io/gabion/controlplane/store"
	"github.com/gabion-io/gabion/filters"
	"github.com/gabion-io/gabion/internal/recording"
	wafrules "github.com/gabion-io/gabion/waf-rules"
)

// draft is a proposal in the making.
type draft struct {
	desk   *Desk
	before side
	home   home
	now    time.Time
	reason string
	only   *learned // what the draft may exclude; nil: whatever helps

	judges   *judges
	recorded map[string]*recording.Exchange // by event id
	widen    widen

	exclusions []wafrules.Exclusion
	candidate  []byte
	after      side
	replay     Replay
	notes      []string
}

// rounds is how often a draft is corrected by what the engine says of it.
const rounds = 8

// aroundEvent is how far the clock of a recording may be from its event's.
const aroundEvent = time.Minute

// replayable fetches what was recorded of the events.
func (w *draft) replayable(events []filters.Event) error {
	w.judges, w.recorded = newJudges(w.desk.o.Engine), map[string]*recording.Exchange{}
	if w.desk.o.Recordings == nil {
		return nil
	}
	first, last := spanOf(events) // of the archive, only what lies around that time is opened
	q := recording.Query{Since: first.Add(-aroundEvent), Until: last.Add(aroundEvent)}
	for _, e := range events {
		q.IDs = append(q.IDs, e.ID)
	}
	_, err := w.desk.o.Recordings.Each(q, func(x *recording.Exchange) error {
		w.recorded[x.ID] = x
		return nil
	})
	if err != nil {
		return fmt.Errorf("read recordings of the events: %w", err)
	}
	return nil
}

func (w *draft) close() {
	if w.judges != nil {
		w.judges.close()
	}
}

// settle chooses exclusions, lets the engine judge the recorded exchanges under
// them, and corrects the choice until what can be confirmed is.
func (w *draft) settle(ctx context.Context, events []filters.Event) error {
	facts, err := w.facts(events)
	if err != nil {
		return err
	}
	limit := func(e filters.Event) thresholds { return limitsOf(w.before, e) }
	for round := 0; ; round++ {
		if err := ctx.Err(); err != nil {
			return err
		}
		var may func(filters.Match) bool
		if w.only != nil {
			if facts = w.only.settleIn(w.only.admit(facts, limit)); len(facts) == 0 {
				return fmt.Errorf("%w: the engine finds something else in these events today", ErrNotExcludable)
			}
			may = w.only.takes
		}
		chosen, err := choose(facts, limit, w.widen, may)
		if err != nil {
			return err
		}
		if err := w.render(ctx, exclusions(facts, chosen)); err != nil {
			return err
		}
		denied, err := w.confirm(facts)
		if err != nil {
			return err
		}
		if len(denied) == 0 || round == rounds {
			return nil
		}
		if !w.correct(facts, denied) {
			return nil
		}
	}
}

// facts are the events with what the engine finds in them today, where it can
// be asked: policies change, and an event lists no more than MaxMatches.
func (w *draft) facts(events []filters.Event) ([]filters.Event, error) {
	out := slices.Clone(events)
	passing := 0
	for i := range out {
		e := &out[i]
		if e.Decision == filters.Allow {
			passing++
			continue
		}
		x := w.recorded[e.ID]
		if x == nil {
			continue
		}
		p, known := w.before.policy(x.Listener, x.Key)
		if !known || !complete(p, x) {
			delete(w.recorded, e.ID)
			w.note("The recording of event %s cannot be judged: its route is gone or its body was cut.", e.ID)
			continue
		}
		v, err := w.judges.decide(p, x)
		if err != nil {
			return nil, err
		}
		if v.decision == filters.Allow {
			passing++
			w.note("Event %s passes already under the policy in force today.", e.ID)
		}
		e.Decision = v.decision
		if v.event != nil {
			e.Score, e.OutScore, e.Engine = v.event.Score, v.event.OutScore, v.event.Engine
			e.Matches, e.MoreMatches = v.event.Matches, v.event.MoreMatches
		} else {
			e.Score, e.OutScore, e.Matches, e.MoreMatches = 0, 0, nil, 0
		}
	}
	if passing == len(out) {
		return nil, fmt.Errorf("%w: what is asked for passes already", ErrNotExcludable)
	}
	return out, nil
}

func (w *draft) note(format string, args ...any) {
	if text := fmt.Sprintf(format, args...); !slices.Contains(w.notes, text) && len(w.notes) < 20 {
		w.notes = append(w.notes, text)
	}
}

// render writes the candidate and compiles it.
func (w *draft) render(ctx context.Context, xs []wafrules.Exclusion) error {
	for i := range xs {
		xs[i].Reason = w.reason
	}
	candidate, err := w.home.with(xs)
	if err != nil {
		return err
	}
	after, err := w.desk.effective(ctx, candidate)
	if err != nil {
		return fmt.Errorf("compile the candidate: %w", err)
	}
	w.exclusions, w.candidate, w.after = xs, candidate, after
	return nil
}

// confirm replays what was recorded with the candidate and returns the verdicts
// that are still no.
func (w *draft) confirm(events []filters.Event) (map[int]verdict, error) {
	denied := map[int]verdict{}
	w.replay = Replay{}
	for i, e := range events {
		x := w.recorded[e.ID]
		if x == nil {
			w.replay.NotRecorded++
			continue
		}
		w.replay.Recorded++
		p, _ := w.after.policy(x.Listener, x.Key)
		v, err := w.judges.decide(p, x)
		if err != nil {
			return nil, err
		}
		if v.decision == filters.Allow {
			w.replay.Passed++
			continue
		}
		denied[i] = v
		w.replay.StillDenied = append(w.replay.StillDenied, e.ID)
	}
	return denied, nil
}

// correct learns from verdicts that are still no: what was excluded and matched
// all the same needs a wider target, what is left is what has to go next. False
// when there is nothing to learn.
func (w *draft) correct(events []filters.Event, denied map[int]verdict) bool {
	learned := false
	for i, v := range denied {
		if v.event == nil {
			continue
		}
		e := &events[i]
		for _, m := range v.event.Matches {
			if s := w.widen.of(m); s.target != "" && w.excluded(*e, s) {
				w.widen[s] = suspect{s.rule, wider(s.target)}
				w.note("Excluding %d from %s alone does not let it pass, so the target is wider.", s.rule, s.target)
				learned = true
			}
		}
		learned = w.relearn(e, v.event) || learned
	}
	return learned
}

// relearn makes one event of what was excluded from e and what the engine finds
// beside it.
func (w *draft) relearn(e, left *filters.Event) bool {
	now := *e
	now.Score, now.OutScore, now.MoreMatches, now.Matches = left.Score, left.OutScore, left.MoreMatches, nil
	for _, m := range e.Matches {
		again := slices.ContainsFunc(left.Matches, func(o filters.Match) bool { return o.Rule == m.Rule && o.Variable == m.Variable })
		if again || !w.excluded(*e, w.widen.of(m)) {
			continue
		}
		now.Matches = append(now.Matches, m)
		if m.Phase <= 2 {
			now.Score += m.Score
		} else {
			now.OutScore += m.Score
		}
	}
	now.Matches = append(now.Matches, left.Matches...)
	changed := now.Score != e.Score || now.OutScore != e.OutScore || len(now.Matches) != len(e.Matches)
	*e = now
	return changed
}

// excluded: the draft removes the suspect where the event is.
func (w *draft) excluded(e filters.Event, s suspect) bool {
	return slices.ContainsFunc(w.exclusions, func(x wafrules.Exclusion) bool {
		return covers(x, e, filters.Match{Rule: s.rule, Variable: s.target})
	})
}

// wider is the next target that holds this one.
func wider(target string) string {
	name, key := cutTarget(target)
	switch {
	case key == "":
		return ""
	case name == "ARGS_GET" || name == "ARGS_POST":
		return "ARGS:" + key
	case name == "XML":
		return name
	}
	return ""
}

// evidence gathers what a reviewer decides on.
func (w *draft) evidence(ctx context.Context, events []filters.Event, o ProposeOptions) Evidence {
	e := Evidence{Supplied: o.Author, Covered: len(events), Clients: len(clientsOf(events)), Replay: w.replay}
	e.First, e.Last = spanOf(events)
	for _, ev := range events[:min(len(events), MaxEvidenceEvents)] {
		e.Events = append(e.Events, ev.ID)
	}
	if w.replay.NotRecorded > 0 {
		w.note("%s not recorded, so the engine could not confirm that the exclusion is enough; this rests on the scores in the events.", wasWere(w.replay.NotRecorded, "event"))
	}
	if n := len(w.replay.StillDenied); n > 0 {
		w.note("%s still denied with this candidate.", wasWere(n, "event"))
	}
	for _, ev := range events {
		if ev.MoreMatches > 0 {
			w.note("Event %s has %d matches that are not listed.", ev.ID, ev.MoreMatches)
		}
	}
	e.Others = w.others(ctx, events)
	e.Opens = w.opens(ctx, events[0], o)
	e.Notes = w.notes
	return e
}

func wasWere(n int, noun string) string {
	if n == 1 {
		return "1 " + noun + " was"
	}
	return fmt.Sprintf("%d %ss were", n, noun)
}

// maxOthers bounds the stored events looked at per rule.
const maxOthers = 10_000

// others counts stored events beside the covered ones that would pass as well.
func (w *draft) others(ctx context.Context, events []filters.Event) Others {
	out := Others{By: "arithmetic"}
	covered := map[string]bool{}
	for _, e := range events {
		covered[e.ID] = true
	}
	var passing []filters.Event
	for _, rule := range rulesIn(w.exclusions) {
		found, err := w.desk.o.Store.Events(ctx, store.EventQuery{Rule: rule, Limit: maxOthers})
		if err != nil {
			w.note("Other events could not be read: %v.", err)
			continue
		}
		out.Truncated = out.Truncated || len(found) == maxOthers
		for _, e := range found {
			if covered[e.ID] || e.Decision == filters.Allow {
				continue
			}
			covered[e.ID] = true
			out.Checked++
			limit := limitsOf(w.before, e.Event)
			if w.reaches(e.Event) && score(e.Event, limit, w.exclusions).passes(limit) {
				passing = append(passing, e.Event)
			}
		}
	}
	out.WouldPass, out.Clients = len(passing), len(clientsOf(passing))
	slices.SortFunc(passing, func(a, b filters.Event) int { return cmp.Or(b.Time.Compare(a.Time), cmp.Compare(a.ID, b.ID)) })
	for _, e := range passing[:min(len(passing), MaxExamples)] {
		out.Sample = append(out.Sample, e.ID)
	}
	return out
}

// reaches: the candidate changes what governs the event at all.
func (w *draft) reaches(e filters.Event) bool {
	before, known := w.before.policy(e.Listener, e.Key)
	after, _ := w.after.policy(e.Listener, e.Key)
	return known && !samePolicy(before, after)
}

func rulesIn(xs []wafrules.Exclusion) []int {
	var out []int
	for _, x := range xs {
		if x.Rule != 0 && !slices.Contains(out, x.Rule) {
			out = append(out, x.Rule)
		}
	}
	return out
}

// learnedBudget is how much longer attacks are tried where nobody waits for one of many.
const learnedBudget = 5

// opens tries the attacks of the regression suite against the policy of e's route.
func (w *draft) opens(ctx context.Context, e filters.Event, o ProposeOptions) Opens {
	budget := w.desk.o.Budget
	switch {
	case o.Full:
		budget = 0
	case w.only != nil:
		budget *= learnedBudget
	}
	return w.desk.opens(ctx, AttackTrial{Exclusions: w.exclusions, Budget: budget, Progress: o.Progress}, w.before, w.after, e)
}

// opens is a trial of exclusions on both sides of the route that an event was on.
func (d *Desk) opens(ctx context.Context, t AttackTrial, before, after side, e filters.Event) Opens {
	attacks, err := d.attacks()
	if err != nil {
		return Opens{Error: err.Error()}
	}
	was, _ := before.policy(e.Listener, e.Key)
	is, _ := after.policy(e.Listener, e.Key)
	if was == nil || is == nil {
		return Opens{Error: "the event's route is no longer inspected by any policy"}
	}
	t.Engine, t.Attacks, t.Before, t.After, t.Workers = d.o.Engine, attacks, *was, *is, d.o.Workers
	return Opened(ctx, t)
}

// clientsOf counts clients as clientOf tells them apart.
func clientsOf(events []filters.Event) map[string]bool {
	out := map[string]bool{}
	for _, e := range events {
		if who := clientOf(e); who != "" {
			out[who] = true
		}
	}
	return out
}

// clientOf is whom an event counts for: the client's network, because addresses
// of one network are cheap.
func clientOf(e filters.Event) string { return cmp.Or(e.ClientNet, e.Client) }
