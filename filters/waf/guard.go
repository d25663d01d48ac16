package waf

import (
	"regexp"
	"strconv"
	"strings"
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
		left := rules[i].skips()
		if left == 0 {
			continue
		}
		open := false
		for j := i + 1; j < len(rules) && (left > 0 || open); j++ {
			next := &rules[j]
			if next.phase != rules[i].phase && next.phase != 0 {
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

var skipCount = regexp.MustCompile(`(?i)\bskip:'?([0-9]+)`)

// skips is the n of "skip:n", 0 without; unreadable counts as endless.
func (r *compiledRule) skips() int {
	for _, a := range r.actions {
		if a.name != "skip" {
			continue
		}
		if m := skipCount.FindStringSubmatch(r.raw[0]); m != nil {
			if n, err := strconv.Atoi(m[1]); err == nil {
				return n
			}
		}
		return 1 << 30
	}
	return 0
}

// ruleRemoval is a "ctl:ruleRemoveBy…" action.
type ruleRemoval struct{ by, what string }

var ctlRemove = regexp.MustCompile(`(?i)ctl:\s*'?\s*ruleRemoveBy(Id|Tag|Msg)\s*=\s*([^,'"]*)`)

func ruleRemovals(rules []compiledRule) []ruleRemoval {
	var out []ruleRemoval
	for i := range rules {
		for _, raw := range rules[i].raw {
			if !mentions(raw, "ctl:") {
				continue
			}
			for _, m := range ctlRemove.FindAllStringSubmatch(raw, -1) {
				out = append(out, ruleRemoval{strings.ToLower(m[1]), strings.TrimSpace(m[2])})
			}
		}
	}
	return out
}

// takes says that the action may take rule out; by message it may take any, by
// number one, a range, or what cannot be read.
func (a ruleRemoval) takes(rule *compiledRule) bool {
	switch a.by {
	case "tag":
		for _, tag := range rule.tags {
			if strings.EqualFold(tag, a.what) {
				return true
			}
		}
		return strings.Contains(a.what, "%{")
	case "id":
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
