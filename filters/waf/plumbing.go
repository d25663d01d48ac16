package waf

import (
	"slices"
	"strconv"
	"strings"

	"github.com/corazawaf/coraza/v3/experimental/plugins/plugintypes"
	"github.com/corazawaf/coraza/v3/types/variables"
)

// plumbing is a rule that looks at nothing but TX variables: comparisons with a
// threshold, sums of scores. As long as no rule before it changes those, it can
// be left out when it does not match, or when all it would do is write what is
// there already: nothing was scored.
type plumbing struct {
	link    compiledRule     // only what answers: the rest of the rules is not kept
	targets []compiledTarget // looked at, if there is an operator
	names   []string         // of targets, "" where it is not one name
	simple  bool             // it only sets variables and leaves no other trace
	traces  bool             // looking at a value that does not match leaves one
	sets    []plumbingSet
}

// plumbingSet is what the rule writes into one variable.
type plumbingSet struct {
	name   string
	adds   string // adds the value of the variable of this name
	value  string // writes this, if it does not add
	unsure bool   // whether it changes anything cannot be told
}

func newPlumbingSet(v setVar) plumbingSet {
	s := plumbingSet{name: v.name, value: v.value}
	m := txMacro.FindStringSubmatch(v.value)
	switch {
	case v.remove || v.value == "":
		s.unsure = true
	case m != nil && v.value == "+"+m[0]:
		s.adds = strings.ToLower(m[1])
	default:
		s.unsure = strings.Contains(v.value, "%{") || v.value[0] == '+' || v.value[0] == '-'
	}
	return s
}

// newPlumbing is nil for other rules.
func newPlumbing(r *compiledRule) *plumbing {
	reads, writes := r.reads(), r.writes()
	if reads.all || writes.all || len(writes.prefixes) > 0 || r.multi || r.skips > 0 {
		return nil
	}
	p := &plumbing{link: compiledRule{operator: r.operator, negated: r.negated, transformations: r.transformations}}
	for _, v := range r.setvars {
		p.sets = append(p.sets, newPlumbingSet(v))
	}
	if r.operator != nil {
		if len(r.targets) == 0 || !pure[r.operatorName()] || strings.Contains(txMacro.ReplaceAllString(r.data, ""), "%{") {
			return nil
		}
		p.traces, p.targets = r.negated && r.capture, r.targets
		for _, t := range r.targets {
			if t.variable != variables.TX || t.key == "" && t.pattern == nil || t.excepts {
				return nil
			}
			name := ""
			if t.pattern == nil {
				name = strings.ToLower(t.key)
			}
			p.names = append(p.names, name)
		}
	}
	p.simple = r.id >= 900_000 && len(r.chain) == 0 && !r.logs && !r.capture && !r.stops() && !r.jumps() && r.acts(settings)
	return p
}

// idle says that evaluating the rule now would change nothing. known is what is
// under TX; nil: it cannot be told.
func (p *plumbing) idle(tx plugintypes.TransactionState, known *engineMap) bool {
	if known == nil {
		return false
	}
	if p.link.operator != nil && !p.matches(tx, known) {
		return true
	}
	if !p.simple {
		return false
	}
	for i := range p.sets {
		s := &p.sets[i]
		if s.unsure {
			return false
		}
		now, ok := known.one(s.name)
		switch {
		case !ok:
			return false
		case s.adds != "":
			if by, ok := known.one(s.adds); !ok || by != "0" || !plainNumber(now) {
				return false
			}
		case s.value != now:
			return false
		}
	}
	return true
}

// plainNumber says that adding zero to s gives s.
func plainNumber(s string) bool {
	n, err := strconv.Atoi(s)
	return err == nil && strconv.Itoa(n) == s
}

// matches says that the rule matches, or would leave a trace all the same.
func (p *plumbing) matches(tx plugintypes.TransactionState, known *engineMap) bool {
	for i := range p.targets {
		if p.matchesOne(tx, known, &p.targets[i], p.names[i]) {
			return true
		}
	}
	return false
}

func (p *plumbing) matchesOne(tx plugintypes.TransactionState, known *engineMap, t *compiledTarget, name string) bool {
	if name == "" || t.count {
		found := find(tx.Variables().TX(), t)
		if t.count {
			return p.traces || p.asks(tx, strconv.Itoa(len(found)))
		}
		for _, m := range found {
			if p.traces || p.asks(tx, m.Value()) {
				return true
			}
		}
		return false
	}
	for _, found := range known.data[name] {
		if p.traces || p.asks(tx, found.value) {
			return true
		}
	}
	return false
}

// counts says that it looks at how many there are of something.
func (p *plumbing) counts() bool {
	return slices.ContainsFunc(p.targets, func(t compiledTarget) bool { return t.count })
}

func (p *plumbing) asks(tx plugintypes.TransactionState, value string) bool {
	return p.link.operator.Evaluate(tx, p.link.transform(value)) != p.link.negated
}
