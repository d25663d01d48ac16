package waf

import (
	"reflect"
	"regexp"
	"strconv"
	"strings"

	"github.com/corazawaf/coraza/v3/types/variables"
)

// guardedRules are those that a "skip:n" action before them counts: the engine
// passes over the next n rules that are still in the transaction, so taking one
// of these out would make it pass over another. If a ctl action may take out
// one of them, but not the rule that skips, the count ends anywhere: then every
// later rule of the phase is guarded.
func guardedRules(rules []compiledRule) map[int]bool {
	out := map[int]bool{}
	for id := range guardsOf(rules) {
		out[id] = true
	}
	return out
}

// guardsOf names, for each guarded rule, those that count it.
func guardsOf(rules []compiledRule) map[int][]int {
	out := map[int][]int{}
	removals := ruleRemovals(rules)
	for i := range rules {
		left := rules[i].skips
		if left == 0 {
			continue
		}
		open := false
		for j := i + 1; j < len(rules) && (left > 0 || open); j++ {
			next := &rules[j]
			if next.phase != rules[i].phase && next.phase != 0 {
				continue
			}
			if next.id == placeRule { // it falls where something would count it
				out[next.id] = append(out[next.id], rules[i].id)
				continue
			}
			left--
			if next.id == 0 {
				continue
			}
			out[next.id] = append(out[next.id], rules[i].id)
			for _, r := range removals {
				open = open || r.takes(next) && !r.takes(&rules[i])
			}
		}
	}
	return out
}

// ctl is a "ctl:" action.
type ctl struct {
	option   int
	value    string
	variable variables.RuleVariable // of those that remove targets
	key      string
	pattern  *regexp.Regexp
}

// The options that matter here, by the engine's own numbers.
const (
	ctlTargetByID  = 1
	ctlTargetByTag = 2
	ctlTargetByMsg = 3
	ctlRuleByID    = 10
	ctlRuleByMsg   = 11
	ctlRuleByTag   = 12
)

func readCtl(v reflect.Value) ctl {
	return ctl{
		option: int(v.FieldByName("action").Int()), value: v.FieldByName("value").String(),
		variable: field[variables.RuleVariable](v, "collection"), key: v.FieldByName("colKey").String(), pattern: field[*regexp.Regexp](v, "colKeyRx"),
	}
}

// ruleRemoval is a "ctl:ruleRemoveBy…" action.
type ruleRemoval struct {
	by   int
	what string
}

func ruleRemovals(rules []compiledRule) (out []ruleRemoval) {
	for i := range rules {
		for _, l := range rules[i].links() {
			for _, c := range l.ctls {
				if c.option >= ctlRuleByID && c.option <= ctlRuleByTag {
					out = append(out, ruleRemoval{c.option, c.value})
				}
			}
		}
	}
	return out
}

// takes says that the action may take rule out; by message it may take any, by
// number one, a range, or what cannot be read.
func (a ruleRemoval) takes(rule *compiledRule) bool {
	switch a.by {
	case ctlRuleByTag:
		for _, tag := range rule.tags {
			if tag == a.what {
				return true
			}
		}
		return false
	case ctlRuleByID:
		from, to, isRange := strings.Cut(a.what, "-")
		first, err := strconv.Atoi(strings.TrimSpace(from))
		last := first
		if isRange && err == nil {
			last, err = strconv.Atoi(strings.TrimSpace(to))
		}
		return err != nil || rule.id >= first && rule.id <= last
	}
	return true
}

// mentions says, cheaply, that text has word in any case: most rules have no such
// action, and a policy's rules are read several times when it is compiled. word
// is in lower case.
func mentions(text, word string) bool {
	for i := 0; i+len(word) <= len(text); i++ {
		if text[i]|0x20 == word[0] && strings.EqualFold(text[i:i+len(word)], word) {
			return true
		}
	}
	return false
}
