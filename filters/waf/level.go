package waf

import (
	"slices"
	"strconv"
	"strings"
)

// levelRules decides, before any request, the rules that compare the paranoia
// level with a number: the policy sets it, first of all, and nothing changes it.
// Those that cannot match fall, and so do those that always match and only jump
// to a marker, together with all they jump over. The result names the rules of
// the phase that need never run.
func levelRules(rules []compiledRule, phase, paranoia int) map[int]bool {
	dead := map[int]bool{}
	removals, guarded := ruleRemovals(rules), guardedRules(rules)
	for _, name := range []string{"detection_paranoia_level", "blocking_paranoia_level"} {
		if !constant(rules, removals, name) {
			continue
		}
		for i := range rules {
			r := &rules[i]
			if r.id == 0 || r.phase != phase || guarded[r.id] || !r.compares(name) {
				continue
			}
			if r.operator.Evaluate(nil, strconv.Itoa(paranoia)) == r.negated {
				dead[r.id] = true
				continue
			}
			if over, ok := jump(rules, i, removals); ok {
				dead[r.id] = true
				for _, id := range over {
					dead[id] = true
				}
			}
		}
	}
	return dead
}

// compares says that the rule compares TX:name with a plain number.
func (r *compiledRule) compares(name string) bool {
	switch strings.TrimPrefix(r.function, "!") {
	case "@lt", "@le", "@gt", "@ge", "@eq":
	default:
		return false
	}
	if _, err := strconv.Atoi(r.data); err != nil || len(r.targets) != 1 || len(r.transformations) > 0 || r.multi {
		return false
	}
	t := r.targets[0]
	return t.variable.Name() == "TX" && !t.count && !t.excepts && t.pattern == nil && strings.EqualFold(t.key, name)
}

// setup is the rule in which the policy sets the levels.
const setupRule = 900_990

// constant says that TX:name is what the setup rule sets, for every rule after
// it: nothing takes that rule out, and others write the variable only if unset.
func constant(rules []compiledRule, removals []ruleRemoval, name string) bool {
	set := false
	for i := range rules {
		r := &rules[i]
		if r.id == setupRule {
			set = true
			for _, removal := range removals {
				set = set && !removal.takes(r)
			}
			continue
		}
		// Nothing before the setup may read the variable, or jump over the setup.
		if !set && r.phase <= 1 && (r.compares(name) || r.jumps() || r.skips > 0) {
			return false
		}
		if r.sets(name) && !r.onlyIfUnset(name) {
			return false
		}
	}
	return set
}

// sets says that evaluating the rule may set TX:name; cheaper than writes, because
// it is asked of every rule.
func (r *compiledRule) sets(name string) bool {
	for _, l := range r.links() {
		for _, s := range l.setvars {
			before, _, dynamic := strings.Cut(s.name, "%{")
			if s.name == name || dynamic && strings.HasPrefix(name, before) {
				return true
			}
		}
	}
	return false
}

func (r *compiledRule) onlyIfUnset(name string) bool {
	return len(r.targets) == 1 && r.targets[0].count && !r.targets[0].excepts && r.targets[0].variable.Name() == "TX" &&
		strings.EqualFold(r.targets[0].key, name) && r.function == "@eq" && r.data == "0"
}

func (r *compiledRule) jumps() bool {
	return slices.ContainsFunc(r.actions, func(a compiledAction) bool { return a.name == "skipafter" })
}

// jump gives the rules of the phase that the rule at i, which matches, makes the
// engine pass over. ok is false when it does more than jump, or when it may not
// be reached although one of those rules is.
func jump(rules []compiledRule, i int, removals []ruleRemoval) (over []int, ok bool) {
	r := &rules[i]
	to := r.jumpsTo
	if to == "" || len(r.chain) > 0 || r.capture || r.logs {
		return nil, false
	}
	for _, a := range r.actions {
		switch strings.ToLower(a.name) {
		case "skipafter", "pass", "log", "nolog", "auditlog", "noauditlog", "id", "phase", "t", "tag", "ver":
		default:
			return nil, false
		}
	}
	targets := map[string]bool{} // of jumps from before
	for j := range i {
		if rules[j].phase == r.phase && rules[j].jumps() {
			targets[rules[j].jumpsTo] = true
		}
	}
	for j := i + 1; j < len(rules); j++ {
		next := &rules[j]
		if next.mark == to {
			return over, true
		}
		if next.mark != "" && targets[next.mark] {
			return nil, false // a jump from before may land here
		}
		if next.id == 0 || next.phase != r.phase {
			if next.phase == 0 && next.mark == "" {
				return nil, false
			}
			continue
		}
		for _, removal := range removals {
			if removal.takes(r) && !removal.takes(next) {
				return nil, false
			}
		}
		over = append(over, next.id)
	}
	return nil, false
}
