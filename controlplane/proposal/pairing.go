package proposal

import (
	"bytes"
	"encoding/json"
	"slices"

	"github.com/gabion-io/gabion/filters"
	wafrules "github.com/gabion-io/gabion/waf-rules"
)

// pairing is what governs one binding on both sides, worked out once.
type pairing struct {
	before, after           *filters.Policy
	beforeID                string
	beforeKnown, afterKnown bool
	same                    bool
	// alike says of a verdict before that the verdict after is the same, without
	// asking the engine again. Nil: it has to be asked.
	alike func(verdict) bool
}

func newPairing(before, after side, listener, key string) *pairing {
	p := &pairing{}
	p.before, p.beforeKnown = before.policy(listener, key)
	p.after, p.afterKnown = after.policy(listener, key)
	p.same = samePolicy(p.before, p.after)
	if p.before != nil {
		p.beforeID = filters.PolicyID(*p.before)
		if p.after != nil && !p.same {
			p.alike = alikeUnless(*p.before, *p.after)
		}
	}
	return p
}

// alikeUnless compares two policies. Two differences leave most exchanges as they
// are, and these are what is rehearsed most: other modes and thresholds do nothing
// where nothing was found, and further exclusions do nothing where no excluded
// rule matched. Any other difference is the engine's to judge.
func alikeUnless(before, after filters.Policy) func(verdict) bool {
	was, is, ok := readSettings(before, after)
	if !ok {
		return nil
	}
	added, ok := furtherExclusions(is.Profile, was.Exclusions, is.Exclusions)
	if !ok || !samePolicyBut(before, after, was, is) {
		return nil
	}
	only := before.Mode == after.Mode && was.Inbound == is.Inbound && was.Outbound == is.Outbound
	return func(v verdict) bool {
		switch {
		case v.event == nil:
			return v.decision == filters.Allow
		case !only, v.event.MoreMatches > 0, v.event.Engine == "chain":
			return false
		}
		return !slices.ContainsFunc(v.event.Matches, func(m filters.Match) bool { return added[m.Rule] })
	}
}

func readSettings(before, after filters.Policy) (was, is wafrules.Settings, ok bool) {
	ok = json.Unmarshal(before.WAF, &was) == nil && json.Unmarshal(after.WAF, &is) == nil && was.Inbound > 0 && is.Inbound > 0
	return was, is, ok
}

// furtherExclusions are the rules that the second list excludes beside the first;
// ok is false when it does not begin with the first, or excludes what may do more
// than find: a rule that finds shows among the matches whenever it acted.
func furtherExclusions(profile string, was, is []wafrules.Exclusion) (rules map[int]bool, ok bool) {
	if len(is) < len(was) {
		return nil, false
	}
	for i := range was {
		if identity(was[i]) != identity(is[i]) {
			return nil, false
		}
	}
	rules = map[int]bool{}
	for _, x := range is[len(was):] {
		if x.Rule == 0 || !finds(profile, x.Rule) {
			return nil, false
		}
		rules[x.Rule] = true
	}
	return rules, true
}

// finds: the rule is one of the profile's that add points, and nothing else.
func finds(profile string, rule int) bool {
	catalogue, err := wafrules.Catalogue(profile)
	if err != nil || (rule < 911_000 || rule >= 949_000) && !confirms(rule) {
		return false
	}
	i := slices.IndexFunc(catalogue, func(r wafrules.Rule) bool { return r.ID == rule })
	return i >= 0 && catalogue[i].Score > 0
}

// samePolicyBut: mode, thresholds and exclusions aside the policies are equal.
func samePolicyBut(before, after filters.Policy, was, is wafrules.Settings) bool {
	was.Exclusions, is.Exclusions = nil, nil
	was.Inbound, was.Outbound = is.Inbound, is.Outbound
	before.Mode, before.FailureMode, before.Block = after.Mode, after.FailureMode, after.Block
	a, errA := json.Marshal(was)
	b, errB := json.Marshal(is)
	if errA != nil || errB != nil || !bytes.Equal(a, b) {
		return false
	}
	before.WAF, after.WAF = nil, nil
	return filters.PolicyID(before) == filters.PolicyID(after)
}
