package waf

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"

	"github.com/corazawaf/coraza/v3/experimental/plugins"
)

// fast is what the engines of a compiler share to do less work with the same
// result: what is known of values, by predicate.
type fast struct {
	predicates *predicates
	verdicts   *verdicts
	stats      skipStats
}

func newFast() *fast { return &fast{predicates: newPredicates(), verdicts: newVerdicts(verdictBytes)} }

// registerFast puts the operator and the action in place that engines compiled
// afterwards use. The registries are maps of the process, read while rules
// compile.
var registerFast = sync.OnceFunc(func() {
	plugins.RegisterOperator("rx", newRX)
	plugins.RegisterAction(skipName, newSkip)
})

// plan tells the skip actions of e what they may skip. Without that, for which
// the error gives the reason, they skip nothing.
func (f *fast) plan(e *Engine) error {
	tx := e.waf.NewTransactionWithID("plan")
	defer tx.Close()
	if _, ok := tx.(ruleRemover); !ok {
		return errors.New("plan skipping: rules cannot be taken out of a transaction")
	}
	rules, err := compiledRules(tx)
	if err != nil {
		return err
	}
	var actions [skipPhases + 1]*skip
	for i := range rules {
		rules[i].phrases = phrasesOf(&rules[i], e.compiler.files)
		for _, a := range rules[i].actions {
			if s, ok := a.action.(*skip); ok && rules[i].id > skipRuleID && rules[i].id <= skipRuleID+skipPhases {
				actions[rules[i].id-skipRuleID] = s
			}
		}
		if usesRuleVariable(&rules[i]) {
			return fmt.Errorf("plan skipping: rule %d looks at the rule evaluated before", rules[i].id)
		}
	}
	for phase, action := range actions {
		if action == nil {
			continue
		}
		settings := e.config.Settings
		var dead map[int]bool
		if !settings.Fast.NoLevels && !readsLastMatch(rules) {
			dead = levelRules(rules, phase, settings.ParanoiaLevel)
		}
		p := newSkipPlan(rules, phase, settings.ParanoiaLevel, f.predicates, dead)
		p.stats = &f.stats
		if !settings.Fast.NoMemory {
			p.remember = f.verdicts
		}
		action.plan.Store(p)
	}
	return nil
}

// usesRuleVariable finds what evaluating a rule leaves behind even when it does
// not match: the variable RULE.
func usesRuleVariable(r *compiledRule) bool {
	return slices.ContainsFunc(r.raw, ruleVariable.MatchString)
}

var ruleVariable = regexp.MustCompile(`(?i)%\{rule\.|^\s*SecRule\s+\S*\bRULE\b`)

// readsLastMatch finds rules that look at what another rule matched.
func readsLastMatch(rules []compiledRule) bool {
	return slices.ContainsFunc(rules, func(r compiledRule) bool {
		return strings.Contains(strings.ToLower(r.data), "%{matched_var") ||
			slices.ContainsFunc(r.targets, func(t compiledTarget) bool { return strings.HasPrefix(t.variable.Name(), "MATCHED_VAR") })
	})
}

// Stats counts what being fast saved, over all engines of the compiler.
type Stats struct {
	Values, Known       uint64 // values looked at, and those about which nothing was left to ask
	Asked               uint64 // predicates worked out
	Considered, Skipped uint64 // rules that might be skipped, and that were
	Remembered, Bytes   int    // values in memory, and about what they take
	Predicates          int
}

// Stats gives the counters since the compiler was made.
func (c *Compiler) Stats() Stats {
	if c.fast == nil {
		return Stats{}
	}
	s := &c.fast.stats
	values, bytes := c.fast.verdicts.size()
	list, _ := c.fast.predicates.snapshot()
	return Stats{Values: s.values.Load(), Known: s.known.Load(), Asked: s.asked.Load(), Considered: s.considered.Load(),
		Skipped: s.skipped.Load(), Remembered: values, Bytes: bytes, Predicates: len(list)}
}

// Slow says why the engine skips no rules; nil when it does, or was told not to.
func (e *Engine) Slow() error { return e.slow }
