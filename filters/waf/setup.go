package waf

import (
	"slices"
	"strings"

	"github.com/corazawaf/coraza/v3/collection"
	"github.com/corazawaf/coraza/v3/debuglog"
	"github.com/corazawaf/coraza/v3/experimental/plugins/plugintypes"
	"github.com/corazawaf/coraza/v3/types"
	"github.com/corazawaf/coraza/v3/types/variables"
)

// setup is what follows, before any request, from the rules of phase 1 that only
// compare and set TX variables: which of them need not run because their result
// is written in one go, which rules of any phase can never match, and which TX
// variables keep one value for the whole transaction.
type setup struct {
	values map[string]txValue // as far as known; others are unset
	vague  names              // not known
	dead   map[int]bool       // rules that need not run
	writes []setVar           // what they leave behind
	atHead bool               // write it before every rule; else where the rule set begins

	guarded  map[int]bool
	removals []ruleRemoval // of the rules before

	pending []int // decided rules before the place of the writes
	placed  bool
	stopped bool // the order of what follows is not known
	passed  []*compiledRule
	since   int // passed before the place of the writes
	last    int // passed before the last decided rule
}

// txValue is a TX variable with at most one value.
type txValue struct {
	text string
	set  bool
}

// placeRule is where the rule set begins: our rule before its first.
const placeRule = skipRuleID + 9

// decideSetup works the setup out. dead are rules that never run for another
// reason. The result is nil when the order of the rules cannot be followed.
func decideSetup(rules []compiledRule, dead map[int]bool) *setup {
	s := &setup{values: map[string]txValue{}, dead: map[int]bool{}, guarded: guardedRules(rules)}
	for _, digit := range strings.Fields("0 1 2 3 4 5 6 7 8 9 10") {
		s.vague.add(digit)
	}
	jump := ""
	for i := range rules {
		r := &rules[i]
		switch {
		case r.mark != "":
			if r.mark == jump {
				jump = ""
			}
		case r.phase == 0:
			return nil
		case r.phase != 1 || r.id == 0:
		case r.id == placeRule:
			if s.guarded[r.id] || slices.ContainsFunc(s.removals, func(a ruleRemoval) bool { return a.takes(r) }) {
				return nil // nothing would be written there
			}
			s.place()
		case r.id > skipRuleID && r.id < placeRule:
		case jump != "":
			if s.guarded[r.id] {
				return nil
			}
			s.dead[r.id] = true
		case dead[r.id]:
		case !s.guarded[r.id] && s.never(r):
			s.dead[r.id] = true
		case !s.stopped && s.decide(r):
			jump = r.jumpsTo
		default:
			s.pass(r)
		}
	}
	if jump != "" || !s.placed {
		return nil
	}
	s.conclude(rules, dead)
	return s
}

// decide runs a rule that matches for certain and only sets TX variables.
func (s *setup) decide(r *compiledRule) bool {
	if match, known := s.condition(r); !known || !match {
		return false
	}
	if r.id < 100_000 || len(r.chain) > 0 || r.logs || r.stops() || s.guarded[r.id] || r.skips > 0 || r.capture || !r.acts(settings) {
		return false
	}
	for _, removal := range s.removals {
		if removal.takes(r) {
			return false
		}
	}
	sets := slices.Clone(r.setvars)
	for i, v := range sets {
		text, ok := s.expand(v.value)
		if !ok || v.remove || text == "" || text[0] == '+' || text[0] == '-' || strings.Contains(v.name, "%{") {
			return false
		}
		sets[i].value = text
	}
	if s.placed {
		written := r.writes()
		for _, p := range s.passed[s.since:] {
			if p.touches(written) {
				return false
			}
		}
	} else {
		s.pending = append(s.pending, r.id)
	}
	for _, v := range sets {
		s.values[v.name] = txValue{v.value, true}
		s.writes = slices.DeleteFunc(s.writes, func(w setVar) bool { return w.name == v.name })
		s.writes = append(s.writes, v)
	}
	s.dead[r.id] = true
	s.last = len(s.passed)
	return true
}

var settings = append(slices.Clone(plain), "setvar")

// pass leaves a rule to the engine.
func (s *setup) pass(r *compiledRule) {
	s.passed = append(s.passed, r)
	s.removals = append(s.removals, ruleRemovals([]compiledRule{*r})...)
	if r.jumps() || r.skips > 0 || r.stops() {
		if s.placed {
			s.stopped = true
		} else {
			s.unsettle()
		}
	}
	for _, w := range s.writes {
		var one names
		one.add(w.name)
		if !s.placed && r.touches(one) {
			s.unsettle()
			break
		}
	}
	s.vague.merge(r.writes())
}

// unsettle gives back to the engine what was decided before the place where it
// would be written: a rule in between could tell.
func (s *setup) unsettle() {
	for _, id := range s.pending {
		delete(s.dead, id)
	}
	for _, w := range s.writes {
		s.vague.add(w.name)
	}
	s.pending, s.writes = nil, nil
}

func (s *setup) place() { s.placed, s.since = true, len(s.passed) }

func (r *compiledRule) touches(n names) bool {
	reads, writes := r.reads(), r.writes()
	return reads.meets(n) || writes.meets(n)
}

// conclude finds out where to write, which variables stay what they are, and
// what can therefore never match in the phases after.
func (s *setup) conclude(rules []compiledRule, dead map[int]bool) {
	var written names
	for _, w := range s.writes {
		written.add(w.name)
	}
	s.atHead = true
	for _, r := range s.passed[:s.last] {
		s.atHead = s.atHead && !r.stops() && !r.jumps() && r.skips == 0 && !r.touches(written)
	}
	for i := range rules {
		if r := &rules[i]; !s.dead[r.id] && !dead[r.id] {
			s.vague.merge(r.writes())
		}
	}
	for i := range rules {
		if r := &rules[i]; r.phase > 1 && r.id != 0 && !s.guarded[r.id] && s.never(r) {
			s.dead[r.id] = true
		}
	}
}

// never says that a link whose answer is known does not match, and that those
// before it leave no trace.
func (s *setup) never(r *compiledRule) bool {
	for _, l := range r.links() {
		if match, known := s.condition(l); known && !match {
			return true
		}
		if !l.silent() {
			return false
		}
	}
	return false
}

// condition is the answer of a link that asks for TX variables that are known.
func (s *setup) condition(l *compiledRule) (match, known bool) {
	if l.operator == nil {
		return true, true
	}
	if len(l.targets) != 1 || l.multi || !pure[l.operatorName()] {
		return false, false
	}
	t := l.targets[0]
	if t.variable != variables.TX || t.pattern != nil || t.key == "" || t.excepts {
		return false, false
	}
	name := strings.ToLower(t.key)
	if s.vague.has(name) {
		return false, false
	}
	if _, ok := s.expand(l.data); !ok {
		return false, false
	}
	v := s.values[name]
	switch {
	case t.count && v.set:
		v.text = "1"
	case t.count:
		v.text = "0"
	case !v.set:
		return false, true
	}
	return l.operator.Evaluate(s.state(), l.transform(v.text)) != l.negated, true
}

// transform leaves a transformation that fails out, as the engine does.
func (r *compiledRule) transform(value string) string {
	for _, t := range r.transformations {
		if next, _, err := t(value); err == nil {
			value = next
		}
	}
	return value
}

// expand fills known TX variables in; ok is false when anything else is in it.
func (s *setup) expand(text string) (out string, ok bool) {
	ok = true
	out = txMacro.ReplaceAllStringFunc(text, func(m string) string {
		name := strings.ToLower(txMacro.FindStringSubmatch(m)[1])
		v := s.values[name]
		ok = ok && v.set && !s.vague.has(name)
		return v.text
	})
	return out, ok && !strings.Contains(out, "%{")
}

// state is a transaction of which only TX exists.
func (s *setup) state() plugintypes.TransactionState { return knownState{values: s.values} }

type knownState struct {
	plugintypes.TransactionState
	values map[string]txValue
}

func (s knownState) Collection(v variables.RuleVariable) collection.Collection {
	if v != variables.TX {
		return nothing{}
	}
	return knownTX{values: s.values}
}

func (knownState) DebugLogger() debuglog.Logger { return debuglog.Noop() }
func (knownState) Capturing() bool              { return false }
func (knownState) CaptureField(int, string)     {}

type knownTX struct {
	collection.Keyed
	values map[string]txValue
}

func (t knownTX) Get(key string) []string {
	if v := t.values[key]; v.set {
		return []string{v.text}
	}
	return nil
}

type nothing struct{}

func (nothing) FindAll() []types.MatchData { return nil }
func (nothing) Name() string               { return "" }

func (r *compiledRule) operatorName() string {
	return strings.ToLower(strings.TrimPrefix(strings.TrimPrefix(r.function, "!"), "@"))
}
