package waf

import (
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
	link   compiledRule   // only what answers: the rest of the rules is not kept
	target compiledTarget // looked at, if there is an operator
	name   string         // one name, if it is one
	simple bool           // it only sets variables and leaves no other trace
	traces bool           // looking at a value that does not match leaves one
	sets   []setVar
}

// newPlumbing is nil for other rules.
func newPlumbing(r *compiledRule) *plumbing {
	reads, writes := r.reads(), r.writes()
	if reads.all || writes.all || len(writes.prefixes) > 0 || r.multi || r.skips > 0 {
		return nil
	}
	p := &plumbing{link: compiledRule{operator: r.operator, negated: r.negated, transformations: r.transformations}, sets: r.setvars}
	if r.operator != nil {
		if len(r.targets) != 1 || !pure[r.operatorName()] {
			return nil
		}
		p.traces = r.negated && r.capture
		t := r.targets[0]
		if t.variable != variables.TX || t.key == "" && t.pattern == nil || t.excepts || strings.Contains(txMacro.ReplaceAllString(r.data, ""), "%{") {
			return nil
		}
		if p.target = t; t.pattern == nil {
			p.name = strings.ToLower(t.key)
		}
	}
	p.simple = r.id >= 900_000 && len(r.chain) == 0 && !r.logs && !r.capture && !r.stops() && !r.jumps() && r.acts(settings)
	return p
}

// idle says that evaluating the rule now would change nothing.
func (p *plumbing) idle(tx plugintypes.TransactionState) bool {
	if p.link.operator != nil && !p.matches(tx) {
		return true
	}
	if !p.simple {
		return false
	}
	for _, s := range p.sets {
		now, ok := txVariable(tx, s.name)
		if !ok || s.remove || s.value == "" {
			return false
		}
		switch {
		case strings.HasPrefix(s.value, "+%{") && strings.HasSuffix(s.value, "}"):
			m := txMacro.FindStringSubmatch(s.value)
			if m == nil || len(m[0]) != len(s.value)-1 {
				return false
			}
			if by, ok := txVariable(tx, strings.ToLower(m[1])); !ok || by != "0" || !plainNumber(now) {
				return false
			}
		case strings.Contains(s.value, "%{") || s.value[0] == '+' || s.value[0] == '-':
			return false
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
func (p *plumbing) matches(tx plugintypes.TransactionState) bool {
	if p.name == "" || p.target.count {
		found := find(tx.Variables().TX(), &p.target)
		if p.target.count {
			return p.traces || p.asks(tx, strconv.Itoa(len(found)))
		}
		for _, m := range found {
			if p.traces || p.asks(tx, m.Value()) {
				return true
			}
		}
		return false
	}
	for _, value := range tx.Variables().TX().Get(p.name) {
		if p.traces || p.asks(tx, value) {
			return true
		}
	}
	return false
}

func (p *plumbing) asks(tx plugintypes.TransactionState, value string) bool {
	return p.link.operator.Evaluate(tx, p.link.transform(value)) != p.link.negated
}

// txVariable is a TX variable that has one value.
func txVariable(tx plugintypes.TransactionState, name string) (string, bool) {
	if values := tx.Variables().TX().Get(name); len(values) == 1 {
		return values[0], true
	}
	return "", false
}
