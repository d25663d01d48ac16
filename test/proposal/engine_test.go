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
	wafrules "github.com/gabion-io/gabion/waf-rules"
	"github.com/gabion-io/gabion/waf-rules/regression"
)

// engine is the filter's, as in the composition root.
func engine(p filters.Policy) (proposal.Judge, error) { return chain.NewJudge(p, chain.Options{}) }

// suite is the rule set's own tests as attacks; of some rules, or of all.
func suite(t testing.TB, rules ...int) []wafrules.Attack {
	t.Helper()
	all, err := regression.Attacks()
	if err != nil {
		t.Fatal(err)
	}
	return slices.DeleteFunc(all, func(a wafrules.Attack) bool { return len(rules) > 0 && !slices.Contains(rules, a.Rule) })
}
