package waf

import (
	"math"
	"regexp"

	"github.com/corazawaf/coraza/v3/experimental/plugins/plugintypes"
	"github.com/corazawaf/coraza/v3/types/variables"
)

// targetRemover takes the place of a "ctl:ruleRemoveTargetByTag" action. The
// engine's own goes through all rules, and copies each, to find those with the
// tag; which they are is known. For rules that the next phase is likely to leave
// out anyway it only leaves a note, and the plan of that phase sees to them.
type targetRemover struct {
	lateTargets
	now []int // rules at once
}

// lateTargets are what to take from which rules of phase 2, if they run.
type lateTargets struct {
	note     int // the rule whose action it is
	variable variables.RuleVariable
	key      string
	pattern  *regexp.Regexp
	rules    []lateRule
}

type lateRule struct {
	id    int
	index int32
}

type ruleTargetRemover interface {
	RemoveRuleTargetByID(id int, variable variables.RuleVariable, key string, keyRx *regexp.Regexp)
}

// lateMark begins a range that notes something; it takes no rule out.
const lateMark = math.MaxInt

func (*targetRemover) Init(plugintypes.RuleMetadata, string) error { return nil }

func (*targetRemover) Type() plugintypes.ActionType { return plugintypes.ActionTypeNondisruptive }

func (a *targetRemover) Evaluate(_ plugintypes.RuleMetadata, tx plugintypes.TransactionState) {
	t, ok := tx.(ruleTargetRemover)
	if !ok {
		return
	}
	for _, id := range a.now {
		t.RemoveRuleTargetByID(id, a.variable, a.key, a.pattern)
	}
	if r, ok := tx.(ruleRemover); ok && len(a.rules) > 0 {
		r.RemoveRuleByIDRange(lateMark, a.note)
	}
}

// removeTargets sees to the notes left for this phase.
func (p *skipPlan) removeTargets(tx plugintypes.TransactionState, remover ruleRemover, keep []bool) {
	t, ok := tx.(ruleTargetRemover)
	if !ok || len(p.late) == 0 {
		return
	}
	for _, r := range remover.GetRuleRemoveByIDRanges() {
		if r[0] != lateMark {
			continue
		}
		for i := range p.late {
			if l := &p.late[i]; l.note == r[1] {
				for _, rule := range l.rules {
					if keep[rule.index] {
						t.RemoveRuleTargetByID(rule.id, l.variable, l.key, l.pattern)
					}
				}
			}
		}
	}
}

// removeTargetsByTag replaces those actions in rules of phase 1. second is the
// plan of phase 2, in which the notes are seen to.
func removeTargetsByTag(rules []compiledRule, dead map[int]bool, second *skipPlan) {
	index := map[int]int32{}
	for i := range second.rules {
		index[second.rules[i].id] = int32(i)
	}
	if mayMiss(rules, 2) {
		index = nil // nobody might see to them
	}
	for i := range rules {
		r := &rules[i]
		if r.phase != 1 || len(r.chain) > 0 || len(r.ctls) != 1 || r.ctls[0].option != ctlTargetByTag {
			continue
		}
		for j := range r.actions {
			if r.actions[j].name == "ctl" {
				a := newTargetRemover(r, rules, dead, index)
				second.late = append(second.late, a.lateTargets)
				*r.actions[j].place = a
			}
		}
	}
}

// mayMiss says that our action of a phase may not run although the phase does: some
// action takes it out, or a jump of a phase before has not ended when it comes.
func mayMiss(rules []compiledRule, phase int) bool {
	id := skipRuleID + phase
	for _, removal := range ruleRemovals(rules) {
		if removal.takes(&compiledRule{id: id}) {
			return true
		}
	}
	ahead := map[string]bool{}
	for i := len(rules) - 1; i >= 0; i-- {
		r := &rules[i]
		if r.phase < phase && r.jumps() && !ahead[r.jumpsTo] {
			return true
		}
		ahead[r.mark] = true
	}
	return false
}

func newTargetRemover(r *compiledRule, rules []compiledRule, dead map[int]bool, index map[int]int32) *targetRemover {
	c := r.ctls[0]
	tag := c.value
	a := &targetRemover{lateTargets: lateTargets{note: r.id, variable: c.variable, key: c.key, pattern: c.pattern}}
	for i := range rules {
		other := &rules[i]
		if dead[other.id] || !hasTag(other, tag) {
			continue
		}
		if at, ok := index[other.id]; ok {
			a.rules = append(a.rules, lateRule{other.id, at})
		} else {
			a.now = append(a.now, other.id)
		}
	}
	return a
}

func hasTag(r *compiledRule, tag string) bool {
	for _, t := range r.tags {
		if t == tag {
			return true
		}
	}
	return false
}
