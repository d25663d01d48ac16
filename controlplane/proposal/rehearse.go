package proposal

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"runtime"
	"slices"
	"sync"

	"golang.org/x/sync/errgroup"

	"github.com/gabion-io/gabion/filters"
	"github.com/gabion-io/gabion/internal/recording"
)

// Trial is one candidate against what is in force, by the filter's tables.
type Trial struct {
	Engine     Engine
	Before     map[string]filters.Table // by listener, as they are
	After      map[string]filters.Table // with the candidate
	Recordings Recordings
	Query      recording.Query
	Workers    int      // 0: GOMAXPROCS
	Progress   Progress // nil: nobody watches
	// Thorough asks the engine for both sides of every exchange, also where the
	// second cannot differ: to compare with.
	Thorough bool
}

// Rehearse judges every recorded exchange by both sides with the filter's own
// engine, the second side only where it can differ from the first. It streams: memory does not grow with the recordings.
func Rehearse(ctx context.Context, t Trial) (Rehearsal, error) {
	r := &rehearsing{trial: t, judges: newJudges(t.Engine), pairings: map[[2]string]*pairing{}, rules: map[string]*Shift{}, routes: map[string]*Shift{}}
	defer r.judges.close()
	if t.Recordings == nil {
		return r.result(recording.OpenReport{}), nil
	}
	total, err := t.Recordings.Count(t.Query)
	if err != nil {
		return Rehearsal{}, fmt.Errorf("count recordings: %w", err)
	}
	report, err := each(ctx, t.Recordings, t.Query, t.Workers, func(x *recording.Exchange) {
		r.judge(x)
		r.advance(total)
	})
	if err != nil {
		return Rehearsal{}, err
	}
	return r.result(report), nil
}

// each hands recorded exchanges to workers; fn runs concurrently.
func each(ctx context.Context, from Recordings, q recording.Query, workers int, fn func(*recording.Exchange)) (recording.OpenReport, error) {
	if workers <= 0 {
		workers = runtime.GOMAXPROCS(0)
	}
	group, working := errgroup.WithContext(ctx)
	queue := make(chan *recording.Exchange, workers)
	for range workers {
		group.Go(func() error { return work(queue, fn) })
	}
	report, err := from.Each(q, func(x *recording.Exchange) error {
		select {
		case queue <- x:
			return nil
		case <-working.Done():
			return working.Err()
		}
	})
	close(queue)
	if waited := group.Wait(); waited != nil {
		err = waited
	}
	if err != nil {
		return report, fmt.Errorf("read recordings: %w", err)
	}
	return report, ctx.Err()
}

// work judges until the queue ends. A panic ends the rehearsal, not the process.
func work[T any](queue <-chan T, fn func(T)) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic while judging: %v", p)
		}
	}()
	for x := range queue {
		fn(x)
	}
	return nil
}

// rehearsing gathers what workers find.
type rehearsing struct {
	trial  Trial
	judges *judges

	mu            sync.Mutex
	pairings      map[[2]string]*pairing // by listener and key
	out           Rehearsal
	rules, routes map[string]*Shift
	done          int
}

func (r *rehearsing) advance(total int) {
	if r.trial.Progress == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.done++
	r.trial.Progress(r.done, max(total, r.done))
}

func (r *rehearsing) judge(x *recording.Exchange) {
	p := r.pairing(x.Listener, x.Key)
	var skip func(*Unjudged)
	switch {
	case !p.beforeKnown && !p.afterKnown:
		skip = func(u *Unjudged) { u.UnknownKey++ }
	case p.before == nil && p.after == nil:
		skip = func(u *Unjudged) { u.NoPolicy++ }
	case !complete(p.before, x) || !complete(p.after, x):
		skip = func(u *Unjudged) { u.TruncatedBody++ }
	}
	if skip == nil {
		b, errBefore := r.judges.decide(p.before, x)
		a, errAfter := b, errBefore
		if !p.same && errBefore == nil && (r.trial.Thorough || p.alike == nil || !p.alike(b)) {
			a, errAfter = r.judges.decide(p.after, x)
		}
		if errBefore == nil && errAfter == nil {
			r.add(x, p, b, a)
			return
		}
		skip = func(u *Unjudged) { u.Failed++ }
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.seen(x)
	skip(&r.out.Unjudged)
}

func (r *rehearsing) pairing(listener, key string) *pairing {
	r.mu.Lock()
	defer r.mu.Unlock()
	id := [2]string{listener, key}
	p := r.pairings[id]
	if p == nil {
		p = newPairing(r.trial.Before, r.trial.After, listener, key)
		r.pairings[id] = p
	}
	return p
}

func samePolicy(a, b *filters.Policy) bool {
	if a == nil || b == nil {
		return a == b
	}
	return filters.PolicyID(*a) == filters.PolicyID(*b)
}

// severity orders decisions: allow, detect, deny.
func severity(d filters.Decision) int {
	return slices.Index([]filters.Decision{filters.Allow, filters.Detect, filters.Denied}, d)
}

// add counts one judged exchange.
func (r *rehearsing) add(x *recording.Exchange, p *pairing, before, after verdict) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.seen(x)
	r.out.Judged++
	r.drift(x, p.beforeID, before)
	route := shift(r.routes, routeOf(x))
	route.Judged++
	was, is := severity(before.decision), severity(after.decision)
	switch {
	case is > was:
		r.out.NewlyBlocked++
		route.NewlyBlocked++
		r.byRule(after, before, func(s *Shift) { s.NewlyBlocked++ })
		r.out.Blocked = keepExample(r.out.Blocked, exampleOf(x, before, after))
	case is < was:
		r.out.NewlyPassed++
		route.NewlyPassed++
		r.byRule(before, after, func(s *Shift) { s.NewlyPassed++ })
		r.out.Passed = keepExample(r.out.Passed, exampleOf(x, before, after))
	default:
		r.out.Unchanged++
	}
	if denied := severity(filters.Denied); is == denied && was != denied {
		r.out.Enforced.NewlyDenied++
	} else if was == denied && is != denied {
		r.out.Enforced.NewlyPassed++
	}
}

// seen widens the time covered.
func (r *rehearsing) seen(x *recording.Exchange) {
	c := &r.out.Coverage
	c.Recordings++
	if c.From.IsZero() || x.Time.Before(c.From) {
		c.From = x.Time
	}
	if x.Time.After(c.To) {
		c.To = x.Time
	}
}

// byRule counts the rules that made the difference: those of the stricter
// verdict that the other does not have, or all of them when it has all (a
// threshold moved, or the mode).
func (r *rehearsing) byRule(strict, lax verdict, count func(*Shift)) {
	all, known := strict.names(), lax.names()
	rules := slices.DeleteFunc(slices.Clone(all), func(name string) bool { return slices.Contains(known, name) })
	if len(rules) == 0 {
		rules = all
	}
	for _, name := range rules {
		count(shift(r.rules, name))
	}
}

// drift compares the policy in force today with the verdict given live.
func (r *rehearsing) drift(x *recording.Exchange, policyID string, now verdict) {
	if x.Decision == "" {
		return
	}
	d := &r.out.Drift
	d.Compared++
	if x.Decision == now.decision {
		return
	}
	if policyID == "" || policyID != x.PolicyID {
		d.PolicyChanged++
		return
	}
	d.SamePolicy++
	if len(d.Sample) < MaxExamples {
		d.Sample = append(d.Sample, x.ID)
	}
}

func shift(in map[string]*Shift, name string) *Shift {
	if in[name] == nil {
		in[name] = &Shift{Name: name}
	}
	return in[name]
}

// keepExample keeps the first by time and id: workers finish in any order, the
// report must not depend on it.
func keepExample(list []Example, e Example) []Example {
	list = append(list, e)
	slices.SortFunc(list, func(a, b Example) int { return cmp.Or(a.Time.Compare(b.Time), cmp.Compare(a.ID, b.ID)) })
	return list[:min(len(list), MaxExamples)]
}

func sorted(in map[string]*Shift) []Shift {
	var out []Shift
	for _, name := range slices.Sorted(maps.Keys(in)) {
		out = append(out, *in[name])
	}
	slices.SortStableFunc(out, func(a, b Shift) int {
		return cmp.Compare(b.NewlyBlocked+b.NewlyPassed, a.NewlyBlocked+a.NewlyPassed)
	})
	return out
}

func (r *rehearsing) result(report recording.OpenReport) Rehearsal {
	out := r.out
	out.Rules, out.Routes = sorted(r.rules), sorted(r.routes)
	slices.Sort(out.Drift.Sample)
	out.Coverage.Segments = report.Segments
	out.Coverage.Garbage = report.Garbage
	out.Coverage.Duplicates = report.Duplicates
	out.Coverage.Data = out.Judged > 0
	out.Coverage.Percent = percentKept(r.trial.Before)
	out.Coverage.Summary = summary(out)
	return out
}

// percentKept is the least share of unremarkable traffic that any listener keeps.
func percentKept(tables map[string]filters.Table) float64 {
	least := -1.0
	for _, t := range tables {
		percent := 0.0
		if t.Record != nil {
			percent = t.Record.Percent
		}
		if least < 0 || percent < least {
			least = percent
		}
	}
	return max(least, 0)
}

func summary(r Rehearsal) string {
	c := r.Coverage
	if c.Recordings == 0 {
		return "Nothing was recorded, so this says nothing about real traffic. A Recording resource keeps exchanges to rehearse on."
	}
	if r.Judged == 0 {
		return fmt.Sprintf("None of %d recorded exchanges could be judged, so this says nothing about real traffic.", c.Recordings)
	}
	text := fmt.Sprintf("%d of %d recorded exchanges judged, from %s to %s", r.Judged, c.Recordings, c.From.UTC().Format("2006-01-02 15:04:05"), c.To.UTC().Format("2006-01-02 15:04:05 MST"))
	if c.Percent < 100 {
		text += fmt.Sprintf("; %g %% of exchanges without findings are kept", c.Percent)
	}
	if c.Garbage > 0 {
		text += fmt.Sprintf("; %d batches could not be read", c.Garbage)
	}
	if c.Lost > 0 {
		text += fmt.Sprintf("; %d exchanges were lost before they were stored", c.Lost)
	}
	if c.LostUnknown != "" {
		text += "; how many were lost before they were stored is unknown: " + c.LostUnknown
	}
	return text + "."
}
