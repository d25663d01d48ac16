package waf

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"github.com/corazawaf/coraza/v3/experimental/plugins"
	"github.com/corazawaf/coraza/v3/experimental/plugins/plugintypes"
	"github.com/corazawaf/coraza/v3/types/variables"
)

// fast is what the engines of a compiler share to do less work with the same
// result: what is known of values, by predicate.
type fast struct {
	predicates *predicates
	verdicts   *verdicts
	texts      *texts
	stats      skipStats
}

func newFast() *fast {
	return &fast{predicates: newPredicates(), verdicts: newVerdicts(verdictBytes), texts: newTexts()}
}

// registerFast puts the operator and the action in place that engines compiled
// afterwards use. The registries are maps of the process, read while rules
// compile.
var registerFast = sync.OnceFunc(func() {
	plugins.RegisterOperator("rx", newRX)
	plugins.RegisterOperator("pm", newPM)
	plugins.RegisterOperator("pmFromFile", newPMFromFile)
	plugins.RegisterOperator("pmf", newPMFromFile)
	plugins.RegisterAction(skipName, newSkip)
	plugins.RegisterAction(placeName, newPlace)
	plugins.RegisterBodyProcessor("json", func() plugintypes.BodyProcessor { return jsonBody{} })
})

// plan tells the skip actions of e what they may skip. Without that, for which
// the error gives the reason, they skip nothing.
func (f *fast) plan(e *Engine) error {
	tx := e.waf.NewTransactionWithID("plan")
	defer tx.Close()
	if _, ok := tx.(ruleRemover); !ok {
		return errors.New("plan skipping: rules cannot be taken out of a transaction")
	}
	state, ok := tx.(plugintypes.TransactionState)
	if !ok {
		return errors.New("plan skipping: the state of a transaction is hidden")
	}
	opener, err := newOpener(state)
	if err != nil {
		return err
	}
	e.opener = opener
	rules, err := compiledRules(tx, f.texts)
	if err != nil {
		return err
	}
	if why := unplanned(rules); why != nil { // ours match and are counted, too
		if err := dropRules(tx, rules, ownRules()); err != nil {
			return err
		}
		return why
	}
	skips, at := ownActions(rules)
	settings := e.config.Settings
	dead := map[int]bool{placeRule: true}       // unless something is to be written there
	fixed := !countsChange(rules)[variables.TX] // what rules see of TX is what is there
	if fixed && !settings.Fast.NoLevels {
		for phase := range skips {
			maps.Copy(dead, levelRules(rules, phase, settings.Level()))
		}
	}
	var setup *setup
	if fixed && !settings.Fast.NoSetup && at != nil {
		if setup = decideSetup(rules, dead); setup != nil {
			maps.Copy(dead, setup.dead)
			if dead[placeRule] = setup.atHead; !setup.atHead {
				at.writes.Store(&setup.writes)
			}
		}
	}
	var plans [skipPhases + 1]*skipPlan
	for phase, action := range skips {
		if action == nil {
			continue
		}
		p := newSkipPlan(rules, phase, settings.Level(), f.predicates, setup, dead)
		p.stats, p.opener = &f.stats, opener
		if !settings.Fast.NoMemory {
			p.remember = f.verdicts
		}
		plans[phase] = p
	}
	e.decided = decidedRules(rules, setup, dead, plans[:])
	if plans[2] != nil {
		removeTargetsByTag(rules, dead, plans[2])
	}
	for phase, p := range plans {
		if p != nil {
			skips[phase].plan.Store(p)
		}
	}
	if p := plans[3]; p != nil && len(p.targets) == 0 && !mayMiss(rules, 3) {
		e.third = p
		for i := range rules { // what stands before our action is put off as well
			if r := &rules[i]; r.id == skipRuleID+3 {
				break
			} else if r.phase == 3 {
				e.decided[r.id] = true
			}
		}
	}
	return dropRules(tx, rules, dead)
}

// unplanned says why nothing may be skipped: what of the rules themselves is looked at,
// or a jump never ends.
func unplanned(rules []compiledRule) error {
	if i := slices.IndexFunc(rules, func(r compiledRule) bool { return usesRuleVariable(&r) }); i >= 0 {
		return fmt.Errorf("plan skipping: rule %d looks at the rule evaluated before", rules[i].id)
	}
	if i := slices.IndexFunc(rules, readsLastMatch); i >= 0 {
		return fmt.Errorf("plan skipping: rule %d looks at what the rule before matched", rules[i].id)
	}
	marker := compiledRule{id: markerID}
	if slices.ContainsFunc(ruleRemovals(rules), func(a ruleRemoval) bool { return a.by == ctlRuleByID && a.takes(&marker) }) {
		return errors.New("plan skipping: a rule takes the markers out")
	}
	return nil
}

// decidedRules are those whose match the engine does not show because all it
// means is known: comparisons with the paranoia level, the setup, and sums of
// scores while there are none.
func decidedRules(rules []compiledRule, setup *setup, dead map[int]bool, plans []*skipPlan) map[int]bool {
	out := map[int]bool{}
	for i := range rules {
		r := &rules[i]
		out[r.id] = r.id != 0 && dead[r.id] && !r.logs && len(r.chain) == 0 && r.acts(settings)
	}
	for _, p := range plans {
		if p == nil {
			continue
		}
		for i := range p.rules {
			if q := p.rules[i].plumbing; q != nil && q.simple {
				out[p.rules[i].id] = true
			}
		}
	}
	return out
}

// ownActions finds our actions among the rules.
func ownActions(rules []compiledRule) (skips [skipPhases + 1]*skip, at *place) {
	for i := range rules {
		for _, a := range rules[i].actions {
			if s, ok := a.action.(*skip); ok && rules[i].id > skipRuleID && rules[i].id <= skipRuleID+skipPhases {
				skips[rules[i].id-skipRuleID] = s
			}
			if p, ok := a.action.(*place); ok && rules[i].id == placeRule {
				at = p
			}
		}
	}
	return skips, at
}

// usesRuleVariable finds what evaluating a rule leaves behind even when it does
// not match: the variable RULE.
func usesRuleVariable(r *compiledRule) bool {
	macro := func(text string) bool { return mentions(text, "%{rule.") }
	for _, l := range r.links() {
		if slices.ContainsFunc(l.texts, macro) || slices.ContainsFunc(l.setvars, func(s setVar) bool { return macro(s.name) || macro(s.value) }) ||
			slices.ContainsFunc(l.targets, func(t compiledTarget) bool { return t.variable == variables.Rule }) {
			return true
		}
	}
	return false
}

// readsLastMatch finds rules that look at what another rule matched.
func readsLastMatch(r compiledRule) bool {
	return mentions(r.data, "%{matched_var") ||
		slices.ContainsFunc(r.targets, func(t compiledTarget) bool { return strings.HasPrefix(t.variable.Name(), "MATCHED_VAR") })
}

// ownRules are those that only carry our actions.
func ownRules() map[int]bool {
	own := map[int]bool{placeRule: true}
	for phase := 1; phase <= skipPhases; phase++ {
		own[skipRuleID+phase] = true
	}
	return own
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

// Decided says that matches of the rule may be missing from Hits because what
// the rule does was worked out without it. Such rules log nothing and look at TX
// variables only.
func (e *Engine) Decided(rule int) bool { return e.decided[rule] }
