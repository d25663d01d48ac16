package main

import (
	"fmt"

	"github.com/gabion-io/gabion/controlplane/proposal"
	"github.com/gabion-io/gabion/filters"
	"github.com/gabion-io/gabion/filters/chain"
	"github.com/gabion-io/gabion/waf-rules/regression"
)

// engineJudge shows the filter's engine to proposals in their words.
type engineJudge struct{ *chain.Judge }

// judgeBy compiles a policy with the filter's own code (proposal.Engine).
func judgeBy(p filters.Policy) (proposal.Judge, error) {
	j, err := chain.NewJudge(p, chain.Options{})
	if err != nil {
		return nil, err
	}
	return engineJudge{j}, nil
}

func (j engineJudge) Decide(m proposal.Message) (filters.Decision, *filters.Event) {
	v := j.Judge.Decide(chain.Message(m))
	return v.Decision, v.Event
}

func (j engineJudge) DecideRaw(raw []byte) (filters.Decision, *filters.Event) {
	v := j.Judge.DecideRaw(raw)
	return v.Decision, v.Event
}

// knownAttacks are the rule set's own tests that expect to be found.
func knownAttacks() ([]proposal.Attack, error) {
	cases, err := regression.Load()
	if err != nil {
		return nil, fmt.Errorf("read the regression suite: %w", err)
	}
	var attacks []proposal.Attack
	for i := range cases {
		c := &cases[i]
		if !c.Attack() {
			continue
		}
		attack := proposal.Attack{ID: c.ID, Rule: c.Rule}
		for _, s := range c.Stages {
			r := s.Request
			out := proposal.AttackRequest{Method: r.Method, Target: r.Target, Version: r.Version, Body: r.Body, Encoded: r.Encoded}
			for _, h := range r.Headers {
				out.Headers = append(out.Headers, filters.Header(h))
			}
			attack.Requests = append(attack.Requests, out)
		}
		attacks = append(attacks, attack)
	}
	return attacks, nil
}
