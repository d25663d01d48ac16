package proposal_test

import (
	"context"
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/gabion-io/gabion/controlplane/proposal"
	"github.com/gabion-io/gabion/controlplane/source"
	"github.com/gabion-io/gabion/filters"
	"github.com/gabion-io/gabion/waf-rules/regression"
)

// recast is a request of the suite as the engine is shown it.
func recast(r *regression.Request) request {
	host, _ := r.Header("Host")
	out := request{method: r.Method, host: host, path: r.Target, body: string(r.Body)}
	for _, f := range r.Headers {
		out.headers = append(out.headers, filters.Header{Name: strings.ToLower(f.Name), Value: f.Value})
	}
	return out
}

// Whatever the rule set finds, the exclusion made from its event must let just
// that request pass: the engine says whether it does.
func TestProposalsLetTheirEventsPass(t *testing.T) {
	cases, err := regression.Load()
	if err != nil {
		t.Fatal(err)
	}
	b := newBench(t, source.Store, shopPolicy)
	b.with(func(o *proposal.Options) { o.Budget = 1 }) // attacks are another test's subject
	step := 300                                        // of 4,674
	if os.Getenv("GABION_FULL") != "" {
		step = 10
	}
	made, wide := 0, 0
	for i := range cases {
		if i%step != 0 && cases[i].ID != "920100-6" { // CONNECT, which has no path
			continue
		}
		r := &cases[i].Stages[0].Request
		if r.Encoded != nil || r.Version != "HTTP/1.1" {
			continue
		}
		for _, e := range b.live("n1.a", recast(r)) {
			if e.Decision == filters.Allow {
				continue
			}
			p, err := b.desk.Propose(context.Background(), proposal.ProposeOptions{Events: []string{e.ID}, Author: "ada", DryRun: true})
			if errors.Is(err, proposal.ErrNotExcludable) && e.Engine == "chain" {
				continue
			}
			if err != nil {
				t.Errorf("%s: %v", cases[i].ID, err)
				continue
			}
			made++
			if p.Evidence.Replay.Recorded != 1 || len(p.Evidence.Replay.StillDenied) > 0 {
				t.Errorf("%s: %s: %+v %q", cases[i].ID, p.Title, p.Evidence.Replay, p.Evidence.Notes)
			}
			for _, x := range p.Exclusions {
				if x.Target == "" {
					wide++
					t.Logf("%s: %+v from %+v", cases[i].ID, x, e.Matches)
					break
				}
			}
		}
	}
	t.Logf("%d proposals, %d of them on a rule as a whole", made, wide)
	if made == 0 || wide > made/5 {
		t.Errorf("%d of %d proposals had to take a whole rule away", wide, made)
	}
}

// A name that reads as a pattern would take the rule from every name it fits.
func TestNamesAreNoPatterns(t *testing.T) {
	b := newBench(t, source.Store, shopPolicy)
	b.with(func(o *proposal.Options) { o.Budget = 1 })
	for _, e := range b.live("n1.a", get("/search?%2F.*%2F=1%27%20or%20%271%27=%271%27%20--%20")) {
		p, err := b.desk.Propose(context.Background(), proposal.ProposeOptions{Events: []string{e.ID}, Author: "ada", DryRun: true})
		if err != nil || len(p.Exclusions) != 1 || p.Exclusions[0].Target != "ARGS" || len(p.Evidence.Replay.StillDenied) > 0 {
			t.Errorf("%+v, %v", p.Exclusions, err)
		}
	}
}
