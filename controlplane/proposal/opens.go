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
	Attacks    []Attack
	Before     filters.Policy // what governs where the exclusions act
	After      filters.Policy // with the exclusions
	Exclusions []wafrules.Exclusion
	Budget     time.Duration // 0: until all are tried
	Workers    int           // 0: GOMAXPROCS
	Progress   Progress      // nil: nobody watches
}

// Opened runs the attacks, moved to where the exclusions act, through both
// policies. Attacks on the excluded rules come first, so that a short budget is
// spent where the answer most likely is.
func Opened(ctx context.Context, t AttackTrial) Opens {
	cases := ordered(t.Attacks, t.Exclusions)
	out := Opens{Attacks: len(cases)}
	js := newJudges(t.Engine)
	defer js.close()
	before, err := js.of(t.Before)
	if err == nil {
		var after Judge
		if after, err = js.of(t.After); err == nil {
			o := &opening{trial: t, before: before, after: after, out: &out}
			err = o.run(ctx, cases)
		}
	}
	if err != nil {
		out.Error = err.Error()
	}
	slices.Sort(out.IDs)
	out.IDs = out.IDs[:min(len(out.IDs), MaxOpened)]
	out.Complete = err == nil && out.Tried == out.Attacks
	return out
}

// ordered gives the attacks in the order they are tried: on an excluded rule, of its
// family, the rest; each in the suite's order.
func ordered(cases []Attack, xs []wafrules.Exclusion) []*Attack {
	rank := func(c *Attack) int {
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
	var out []*Attack
	for i := range cases {
		out = append(out, &cases[i])
	}
	slices.SortStableFunc(out, func(a, b *Attack) int { return rank(a) - rank(b) })
	return out
}

type opening struct {
	trial         AttackTrial
	before, after Judge

	mu  sync.Mutex
	out *Opens
}

func (o *opening) run(ctx context.Context, cases []*Attack) error {
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
	queue := make(chan *Attack)
	for range workers {
		group.Go(func() error {
			return work(queue, func(c *Attack) { o.try(c, len(cases)) })
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

// try judges one attack in every form the exclusions can be met in.
func (o *opening) try(c *Attack, total int) {
	denied, opened := false, false
	for i := range c.Requests {
		for _, x := range o.trial.Exclusions {
			for _, raw := range moved(&c.Requests[i], x) {
				v := verdictOf(o.before.DecideRaw(raw))
				if v.decision == filters.Allow {
					continue
				}
				denied = true
				// Only what an excluded rule had a part in can change.
				if touched(v, o.trial.Exclusions) {
					still, _ := o.after.DecideRaw(raw)
					opened = opened || still == filters.Allow
				}
			}
		}
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.out.Tried++
	if denied {
		o.out.Denied++
	}
	if opened {
		o.out.Opened++
		o.out.IDs = append(o.out.IDs, c.ID)
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
