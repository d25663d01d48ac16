package proposal

import (
	"context"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/gabion-io/gabion/filters"
	wafrules "github.com/gabion-io/gabion/waf-rules"
)

// AttackTrial asks which known attacks exclusions would let through.
type AttackTrial struct {
	Engine     Engine
	Attacks    []wafrules.Attack
	Before     filters.Policy // what governs where the exclusions act
	After      filters.Policy // with the exclusions
	Exclusions []wafrules.Exclusion
	Places     []wafrules.Exclusion // where attacks are sent; nil: where the exclusions act
	Budget     time.Duration        // 0: until all are tried
	Workers    int                  // 0: GOMAXPROCS
	Progress   Progress             // nil: nobody watches
}

// Opened runs the attacks, moved to where the exclusions act, through both
// policies. Attacks on the excluded rules come first, so that a short budget is
// spent where the answer most likely is.
func Opened(ctx context.Context, t AttackTrial) Opens {
	cases := ordered(t.Attacks, t.Exclusions)
	out := Opens{Attacks: len(cases)}
	js := newJudges(t.Engine)
	defer js.close()
	before, err := js.of(&t.Before)
	if err == nil {
		var after Judge
		if after, err = js.of(&t.After); err == nil {
			o := &opening{trial: t, rules: map[int]int{}, limit: limitsIn(&t.Before), before: before, after: after, out: &out}
			for _, x := range places(t) {
				o.places = append(o.places, o.ground(x))
			}
			err = o.run(ctx, cases)
			out.Rules = o.rules
		}
	}
	switch {
	case err != nil:
		out.Error = err.Error()
	case out.Tried > 0 && out.sent == 0:
		out.Error = "no known attack can be sent to where it acts"
	}
	slices.Sort(out.IDs)
	out.IDs = out.IDs[:min(len(out.IDs), MaxOpened)]
	if out.Attacks > 0 { // those that matter most were tried first: of what is left, little opens
		out.Points = 100 * float64(out.Opened) / float64(out.Attacks)
	}
	out.Complete = out.Error == "" && out.Tried == out.Attacks
	return out
}

// ordered gives the attacks in the order they are tried: on an excluded rule, of its
// family, the rest; each in the suite's order.
func ordered(cases []wafrules.Attack, xs []wafrules.Exclusion) []*wafrules.Attack {
	rank := func(c *wafrules.Attack) int {
		best := 2
		for _, x := range xs {
			switch {
			case x.Rule != 0 && x.Rule == c.Rule:
				return 0
			case x.Rule != 0 && x.Rule/1000 == c.Rule/1000:
				best = 1
			}
		}
		return best
	}
	var out []*wafrules.Attack
	for i := range cases {
		out = append(out, &cases[i])
	}
	slices.SortStableFunc(out, func(a, b *wafrules.Attack) int { return rank(a) - rank(b) })
	return out
}

// places are the exclusions without what tells them apart in one place: an attack
// is sent there once, however many rules are excluded.
func places(t AttackTrial) []wafrules.Exclusion {
	from := t.Places
	if from == nil {
		from = t.Exclusions
	}
	var out []wafrules.Exclusion
	for _, x := range from {
		at := wafrules.Exclusion{Target: x.Target, Method: x.Method, Host: x.Host, Path: x.Path}
		if !slices.Contains(out, at) {
			out = append(out, at)
		}
	}
	return out
}

type opening struct {
	trial         AttackTrial
	places        []ground
	limit         thresholds
	rules         map[int]int // opened attacks that an excluded rule had found
	before, after Judge

	mu  sync.Mutex
	out *Opens
}

func (o *opening) run(ctx context.Context, cases []*wafrules.Attack) error {
	if o.trial.Budget > 0 {
		limited, cancel := context.WithTimeout(ctx, o.trial.Budget)
		defer cancel()
		ctx = limited
	}
	workers := o.trial.Workers
	if workers <= 0 {
		workers = runtime.GOMAXPROCS(0)
	}
	group, working := errgroup.WithContext(ctx)
	queue := make(chan *wafrules.Attack)
	for range workers {
		group.Go(func() error {
			return work(queue, func(c *wafrules.Attack) { o.try(c, len(cases)) })
		})
	}
feed:
	for _, c := range cases {
		select {
		case queue <- c:
		case <-working.Done():
			break feed
		}
	}
	close(queue)
	if err := group.Wait(); err != nil {
		return fmt.Errorf("try attacks: %w", err)
	}
	return nil
}

// ground is a place with what harmless requests set off there already: a method
// that no policy allows, say. An attack is found there only by what it adds.
type ground struct {
	at    wafrules.Exclusion
	noise map[suspect]bool
}

func (o *opening) ground(at wafrules.Exclusion) ground {
	g := ground{at, map[suspect]bool{}}
	harmless := wafrules.AttackRequest{Method: "GET", Target: "/?q=hello", Version: "HTTP/1.1", Headers: []wafrules.AttackHeader{
		{Name: "Host", Value: "localhost"}, {Name: "User-Agent", Value: "Mozilla/5.0 (X11; Linux x86_64)"}, {Name: "Accept", Value: "*/*"}}}
	for _, raw := range Placed(&harmless, at) {
		v := o.before.DecideRaw(raw)
		if v.Event == nil {
			continue
		}
		for _, m := range v.Event.Matches {
			g.noise[suspect{m.Rule, m.Variable}] = true
		}
	}
	return g
}

// found: the verdict is no, and not for what harmless requests are denied for.
func (o *opening) found(v verdict, g ground) bool {
	if v.decision == filters.Allow {
		return false
	}
	if v.event == nil || len(g.noise) == 0 {
		return true
	}
	return !remaining(*v.event, o.limit, func(m filters.Match) bool { return g.noise[suspect{m.Rule, m.Variable}] }).passes(o.limit)
}

// try judges one attack in every form the exclusions can be met in.
func (o *opening) try(c *wafrules.Attack, total int) {
	denied, opened, sent := false, false, 0
	guilty := map[int]bool{}
	for i := range c.Requests {
		for _, g := range o.places {
			for _, raw := range Placed(&c.Requests[i], g.at) {
				sent++
				v := verdictOf(o.before.DecideRaw(raw))
				if !o.found(v, g) {
					continue
				}
				denied = true
				// Only what an excluded rule had a part in can change.
				if touched(v, o.trial.Exclusions) && !o.found(verdictOf(o.after.DecideRaw(raw)), g) {
					opened = true
					for _, rule := range v.rules {
						guilty[rule] = true
					}
				}
			}
		}
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.out.Tried++
	o.out.sent += sent
	if denied {
		o.out.Denied++
	}
	if opened {
		o.out.Opened++
		o.out.IDs = append(o.out.IDs, c.ID)
		for _, rule := range rulesIn(o.trial.Exclusions) {
			if guilty[rule] {
				o.rules[rule]++
			}
		}
	}
	if o.trial.Progress != nil {
		o.trial.Progress(o.out.Tried, total)
	}
}

// touched: one of the exclusions could take away something of v. When not all
// matches are listed it may well be.
func touched(v verdict, xs []wafrules.Exclusion) bool {
	if v.event == nil || v.event.MoreMatches > 0 {
		return true
	}
	for _, m := range v.event.Matches {
		for _, x := range xs {
			if x.Rule == m.Rule || x.Tag != "" && slices.Contains(m.Tags, x.Tag) {
				return true
			}
		}
	}
	return false
}
