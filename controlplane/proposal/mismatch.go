package proposal

import (
	"cmp"
	"context"
	"slices"
	"sync"

	"github.com/gabion-io/gabion/filters"
	"github.com/gabion-io/gabion/internal/recording"
)

// Mismatch is a recorded exchange that, replayed under the very policy it was
// judged by, gets another verdict than live: a fault in the engine or in what
// is recorded.
type Mismatch struct {
	ID            string
	Live, Replay  filters.Decision
	LiveScore     int
	ReplayScore   int
	LiveRules     []int // distinct, sorted
	ReplayRules   []int
	PolicyID, Key string
}

// Agreement is what Mismatches found.
type Agreement struct {
	Checked    int // replayed and compared
	Unjudged   Unjudged
	Mismatches []Mismatch // by id
}

// Mismatches replays recorded exchanges under the policies that judged them
// live and reports every verdict that differs: same input, same verdict.
func Mismatches(ctx context.Context, engine Engine, from Recordings, q recording.Query, tables ...map[string]filters.Table) (Agreement, error) {
	js := newJudges(engine)
	defer js.close()
	var mu sync.Mutex
	var out Agreement
	_, err := each(ctx, from, q, 0, func(x *recording.Exchange) {
		var policy *filters.Policy
		for _, t := range tables {
			if policy = side(t).byID(x.PolicyID); policy != nil {
				break
			}
		}
		count := func(n *int) {
			mu.Lock()
			defer mu.Unlock()
			*n++
		}
		switch {
		case policy == nil && x.PolicyID == "":
			count(&out.Unjudged.NoPolicy)
			return
		case policy == nil:
			count(&out.Unjudged.UnknownKey)
			return
		case !complete(policy, x):
			count(&out.Unjudged.TruncatedBody)
			return
		}
		v, err := js.decide(policy, x)
		if err != nil {
			count(&out.Unjudged.Failed)
			return
		}
		count(&out.Checked)
		m := Mismatch{ID: x.ID, Live: x.Decision, Replay: v.decision, PolicyID: x.PolicyID, Key: x.Key,
			LiveScore: scoreOf(x.Event), ReplayScore: scoreOf(v.event), LiveRules: ruleIDs(x.Event), ReplayRules: ruleIDs(v.event)}
		if m.Live != m.Replay || m.LiveScore != m.ReplayScore || !slices.Equal(m.LiveRules, m.ReplayRules) {
			mu.Lock()
			defer mu.Unlock()
			out.Mismatches = append(out.Mismatches, m)
		}
	})
	slices.SortFunc(out.Mismatches, func(a, b Mismatch) int { return cmp.Compare(a.ID, b.ID) })
	return out, err
}

func scoreOf(e *filters.Event) int {
	if e == nil {
		return 0
	}
	return e.Score + e.OutScore
}

func ruleIDs(e *filters.Event) []int {
	if e == nil {
		return nil
	}
	var out []int
	for _, m := range e.Matches {
		if !slices.Contains(out, m.Rule) {
			out = append(out, m.Rule)
		}
	}
	slices.Sort(out)
	return out
}
