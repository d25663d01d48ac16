package waf

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/corazawaf/coraza/v3/types"
	"github.com/corazawaf/coraza/v3/types/variables"

	"github.com/gabion-io/gabion/filters"
	wafrules "github.com/gabion-io/gabion/waf-rules"
)

// ruleFacts is what an event says about a rule, read once from its text. The
// message's macros are dropped: they expand to raw values.
type ruleFacts struct {
	message  string
	severity string
	tags     []string
	phase    int
	score    int
	level    int  // place in the chain of the rule that adds the score
	status   bool // the rule names its own status
}

var anyMacro = regexp.MustCompile(`%\{[^}]*\}`)

func factsOf(rules []wafrules.Rule) map[int]ruleFacts {
	out := make(map[int]ruleFacts, len(rules))
	for _, r := range rules {
		f := ruleFacts{message: anyMacro.ReplaceAllString(r.Message, "…"), severity: r.Severity, phase: r.Phase, score: r.Score, status: r.Status != 0}
		for i, link := range r.Chain {
			if link.Score > 0 {
				f.level = i + 1
			}
		}
		for _, tag := range r.Tags {
			if keepTag(tag) {
				f.tags = append(f.tags, tag)
			}
		}
		out[r.ID] = f
	}
	return out
}

func keepTag(tag string) bool {
	return strings.HasPrefix(tag, "attack-") || strings.HasPrefix(tag, "paranoia-level/") || strings.HasPrefix(tag, "capec/")
}

func (t *Transaction) facts(id int) ruleFacts {
	if f, ok := t.engine.custom[id]; ok {
		return f
	}
	return t.engine.rules[id]
}

// evidence says whether a matched rule belongs into an event: it added to a
// score, it denies by itself, or it is the author's own and meant to be seen.
// The rules that total the scores and set things up do not.
func (t *Transaction) evidence(m types.MatchedRule) bool {
	id := m.Rule().ID()
	if id == 0 {
		return false
	}
	if _, custom := t.engine.custom[id]; custom {
		return logged(m) || t.facts(id).score > 0 || t.denies(id)
	}
	return t.facts(id).score > 0 || wafrules.BaseDenies(id)
}

func (t *Transaction) denies(id int) bool {
	i := t.interruption()
	return i != nil && i.RuleID == id
}

func logged(m types.MatchedRule) bool {
	l, ok := m.(interface{ Log() bool })
	return ok && l.Log()
}

// Logged lists the ids of all rules that matched and log, plumbing included, in
// order of evaluation: what the rule set's own regression tests look at.
func (t *Transaction) Logged() []int {
	var ids []int
	for _, m := range t.tx.MatchedRules() {
		if id := m.Rule().ID(); id != 0 && logged(m) {
			ids = append(ids, id)
		}
	}
	return ids
}

// LogLines gives the engine's log line of each of those matches. It holds raw
// values: for tests of rules only.
func (t *Transaction) LogLines() []string {
	var lines []string
	for _, m := range t.tx.MatchedRules() {
		if logged(m) {
			lines = append(lines, m.ErrorLog())
		}
	}
	return lines
}

// Hits describes every match of every link of every rule, plumbing included, in
// no order. It holds raw values: for tests of rules only.
func (t *Transaction) Hits() []string {
	var out []string
	for _, m := range t.tx.MatchedRules() {
		id := m.Rule().ID()
		if id > skipRuleID && id <= placeRule {
			continue
		}
		for _, d := range m.MatchedDatas() {
			out = append(out, fmt.Sprintf("%d %d %s %q %q", id, d.ChainLevel(), d.Variable().Name(), d.Key(), d.Value()))
		}
	}
	return out
}

// Matches lists what was found, redacted, in order of evaluation, at most limit
// entries. Every rule is listed before any is listed a second time; more says
// how many entries there was no room for.
func (t *Transaction) Matches(limit int) (out []filters.Match, more int) {
	type entry struct {
		match types.MatchedRule
		data  types.MatchData
		score int
	}
	var all []entry
	var first []bool
	for _, m := range t.tx.MatchedRules() {
		if !t.evidence(m) {
			continue
		}
		data, scores := t.shown(m)
		for i := range data {
			all = append(all, entry{m, data[i], scores[i]})
			first = append(first, i == 0)
		}
	}
	room := limit
	take := make([]bool, len(all))
	for _, wantFirst := range []bool{true, false} {
		for i := range all {
			if room > 0 && first[i] == wantFirst {
				take[i] = true
				room--
			}
		}
	}
	for i, e := range all {
		if !take[i] {
			more++
			continue
		}
		id := e.match.Rule().ID()
		f := t.facts(id)
		name, masked := variableName(e.data)
		out = append(out, filters.Match{Rule: id, Message: f.message, Severity: f.severity, Score: e.score,
			Variable: name, Masked: masked, Value: matchedPart(e.data), Tags: f.tags, Phase: f.phase})
	}
	return out, more
}

// shown picks the variables to name for a matched rule, and the points of each.
// A chain is named by what its first rule looked at: later ones look at copies
// (TX, MATCHED_VARS) that mean nothing to a reader and cannot be excluded.
func (t *Transaction) shown(m types.MatchedRule) (data []types.MatchData, scores []int) {
	f := t.facts(m.Rule().ID())
	hits := 0
	for _, d := range m.MatchedDatas() {
		if d.ChainLevel() == 0 {
			data = append(data, d)
		}
		if d.ChainLevel() == f.level {
			hits++
		}
	}
	if len(data) == 0 && len(m.MatchedDatas()) > 0 {
		data = m.MatchedDatas()[:1]
	}
	scores = make([]int, len(data))
	switch {
	case len(data) == 0:
	case hits == len(data):
		for i := range scores {
			scores[i] = f.score
		}
	default:
		scores[0] = hits * f.score
	}
	return data, scores
}

// plainName is a variable's key that may be shown as it is.
var plainName = regexp.MustCompile(`^[A-Za-z0-9_.\[\]$:*@/-]{1,64}$`)

// variableName names what matched, as an exclusion would. A key is chosen by the
// client: what does not look like a name is masked like a value.
func variableName(d types.MatchData) (name string, masked bool) {
	switch d.Variable() {
	case variables.Unknown:
		return "", false
	case variables.RequestXML:
		name = variables.XML.Name() // one collection under two names; rules use this one
	default:
		name = d.Variable().Name()
	}
	key := d.Key()
	if key == "" {
		return name, false
	}
	if looksLikeName(key) {
		return name + ":" + key, false
	}
	return name + ":" + redact(key, 64), true
}

// looksLikeName refuses what could be a number of a person or card, or an
// address.
func looksLikeName(key string) bool {
	digits := 0
	for i := range len(key) {
		if key[i] >= '0' && key[i] <= '9' {
			digits++
		}
	}
	mail := strings.Contains(key, "@") && strings.Contains(key, ".") && key[0] != '/'
	return digits <= 8 && !mail && plainName.MatchString(key)
}

// matchedPart is the redacted part of the value that matched. Rules that log it
// say "Matched Data: … found within …"; else it is the value's beginning.
func matchedPart(d types.MatchData) string {
	value := d.Value()
	if rest, ok := strings.CutPrefix(d.Data(), "Matched Data: "); ok {
		if part, _, ok := strings.Cut(rest, " found within "); ok && part != "" {
			if at := strings.Index(value, part); at >= 0 {
				from, to := max(0, at-16), min(len(value), at+len(part)+16)
				return redact(value[from:to], maxShown)
			}
		}
	}
	return redact(value, maxShown)
}

// TX gives the variables that rules have set, one line each, in no order. It
// holds raw values: for tests of rules only.
func (t *Transaction) TX() []string {
	v := t.variables()
	if v == nil {
		return nil
	}
	var out []string
	for _, m := range v.TX().FindAll() {
		out = append(out, fmt.Sprintf("%s=%q", strings.ToLower(m.Key()), m.Value()))
	}
	return out
}
