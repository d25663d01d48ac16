// Package proposal runs proposals with the real engine, compiler, store and
// recordings: what the parts are given by small interfaces is joined here as in
// the composition root.
package proposal_test

import (
	"slices"
	"testing"

	"github.com/gabion-io/gabion/controlplane/proposal"
	"github.com/gabion-io/gabion/filters"
	"github.com/gabion-io/gabion/filters/chain"
	"github.com/gabion-io/gabion/waf-rules/regression"
)

// judge is the filter's engine as proposals know it.
type judge struct{ *chain.Judge }

func engine(p filters.Policy) (proposal.Judge, error) {
	j, err := chain.NewJudge(p, chain.Options{})
	return judge{j}, err
}

func (j judge) Decide(m proposal.Message) (filters.Decision, *filters.Event) {
	v := j.Judge.Decide(chain.Message(m))
	return v.Decision, v.Event
}

func (j judge) DecideRaw(raw []byte) (filters.Decision, *filters.Event) {
	v := j.Judge.DecideRaw(raw)
	return v.Decision, v.Event
}

// suite is the rule set's own tests as attacks; of some rules, or of all.
func suite(t testing.TB, rules ...int) []proposal.Attack {
	t.Helper()
	cases, err := regression.Load()
	if err != nil {
		t.Fatal(err)
	}
	var out []proposal.Attack
	for i := range cases {
		c := &cases[i]
		if !c.Attack() || len(rules) > 0 && !slices.Contains(rules, c.Rule) {
			continue
		}
		a := proposal.Attack{ID: c.ID, Rule: c.Rule}
		for j := range c.Stages {
			r := &c.Stages[j].Request
			request := proposal.AttackRequest{Method: r.Method, Target: r.Target, Version: r.Version, Body: r.Body, Encoded: r.Encoded}
			for _, f := range r.Headers {
				request.Headers = append(request.Headers, filters.Header(f))
			}
			a.Requests = append(a.Requests, request)
		}
		out = append(out, a)
	}
	return out
}
