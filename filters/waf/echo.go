package waf

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/corazawaf/coraza/v3/experimental/plugins/plugintypes"
	"github.com/corazawaf/coraza/v3/types/variables"
)

// echo is the second link of a rule whose first puts each value that it matches
// into a TX variable of its own, for the second to look at: what the two come to
// follows from the value.
type echo struct {
	name          string   // of the variable, what matched comes after it
	unless        []string // parts of names that other rules look for
	before, after string   // around what matched
	operator      plugintypes.Operator
	negated       bool
	state         plugintypes.TransactionState
	key           string
}

// echo gives the number of the predicate of both links together; ok is false
// when the rule is of another kind or its traces could be seen.
func (b *planner) echo(r *compiledRule) (id int, ok bool) {
	if len(r.chain) == 0 || !r.capture || r.negated || r.multi || !r.acts(settings) {
		return 0, false
	}
	if o, ok := r.operator.(*rx); !ok || o.bytes != nil {
		return 0, false
	}
	second, sets := &r.chain[0], r.setvars
	if len(sets) != 1 || len(second.targets) != 1 || len(second.transformations) > 0 || second.multi || !pure[second.operatorName()] || second.operatorName() == "rx" {
		return 0, false
	}
	prefix, rest, dynamic := strings.Cut(sets[0].name, "%{")
	before, after, found := strings.Cut(sets[0].value, "%{tx.0}")
	t := second.targets[0]
	if !dynamic || rest != "tx.0}" || !found || before == "" || strings.Contains(before+after, "%{") || strings.ContainsAny(before[:1], "+-") ||
		!plainPrefix.MatchString(prefix) || t.variable != variables.TX || t.pattern == nil || t.count || t.excepts || t.pattern.String() != "^"+prefix {
		return 0, false
	}
	data, ok := b.setup.expand(second.data)
	if !ok {
		return 0, false
	}
	unless, seen := b.seen(r, prefix)
	if seen {
		return 0, false
	}
	e := &echo{name: prefix, unless: unless, before: before, after: after, operator: second.operator, negated: second.negated, state: b.setup.state()}
	e.key = fmt.Sprintf("%q %q %q %q %t %s %s", prefix, unless, before, after, e.negated, second.operatorName(), data)
	return b.table.addEcho(r, r.id, b.setup, e)
}

// seen says that another rule looks at the variables under prefix, or at what a
// rule before it captured. Rules that look for a part of a name do so only when
// it is there.
func (b *planner) seen(own *compiledRule, prefix string) (unless []string, seen bool) {
	traces := names{prefixes: []string{prefix}}
	for i := range b.rules {
		r := &b.rules[i]
		if r.id == own.id || b.dead[r.id] {
			continue
		}
		reads, writes := r.reads(), r.writes()
		unless = append(unless, reads.parts...)
		reads.parts = nil
		if reads.meets(traces) || writes.meets(traces) || r.readsCaptures() {
			return nil, true
		}
	}
	return unless, false
}

// readsCaptures says that the rule decides by what another rule captured.
func (r *compiledRule) readsCaptures() bool {
	captured := false
	for _, l := range r.links() {
		if !captured {
			one := compiledRule{targets: l.targets, texts: []string{l.data}}
			if reads := one.reads(); digits.meets(reads) {
				return true
			}
		}
		captured = captured || l.capture
		one := compiledRule{actions: l.actions}
		if reads := one.reads(); !captured && digits.meets(reads) {
			return true
		}
	}
	return false
}

var digits = names{list: map[string]bool{"0": true, "1": true, "2": true, "3": true, "4": true, "5": true, "6": true, "7": true, "8": true, "9": true}}

func (e *echo) matches(re *regexp.Regexp, text string) bool {
	m := re.FindStringIndex(text)
	if m == nil {
		return false
	}
	for _, part := range e.unless {
		if strings.Contains(e.name+strings.ToLower(text[m[0]:m[1]]), part) {
			return true
		}
	}
	return e.operator.Evaluate(e.state, e.before+text[m[0]:m[1]]+e.after) != e.negated
}
