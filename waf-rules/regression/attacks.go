package regression

import (
	"fmt"

	wafrules "github.com/gabion-io/gabion/waf-rules"
)

// Attacks are the tests that expect their request to be found.
func Attacks() ([]wafrules.Attack, error) {
	cases, err := Load()
	if err != nil {
		return nil, fmt.Errorf("read the regression suite: %w", err)
	}
	var attacks []wafrules.Attack
	for i := range cases {
		c := &cases[i]
		if !c.Attack() {
			continue
		}
		attack := wafrules.Attack{ID: c.ID, Rule: c.Rule}
		for _, s := range c.Stages {
			r := s.Request
			out := wafrules.AttackRequest{Method: r.Method, Target: r.Target, Version: r.Version, Body: r.Body, Encoded: r.Encoded}
			for _, h := range r.Headers {
				out.Headers = append(out.Headers, wafrules.AttackHeader(h))
			}
			attack.Requests = append(attack.Requests, out)
		}
		attacks = append(attacks, attack)
	}
	return attacks, nil
}
