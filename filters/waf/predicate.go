package waf

import (
	"fmt"
	"strings"
	"sync"

	"github.com/corazawaf/coraza/v3/experimental/plugins/plugintypes"
)

// predicate is the first link of a rule as a function of one value: transform,
// then ask the operator. Rules that ask the same share one.
type predicate struct {
	node     int // the last transformation, in the table's tree; 0: none
	multi    bool
	negated  bool
	operator plugintypes.Operator
	rx       *rx // operator, if it is one
}

// maxPredicates bounds the table. Rules beyond it are never skipped.
const maxPredicates = 2048

// predicates numbers the predicates and transformations of all engines of a
// compiler, so that what one engine learns of a value serves all. It only grows.
type predicates struct {
	mu    sync.RWMutex
	ids   map[string]int
	list  []predicate
	nodes []node // 0: the value itself
	byID  map[int]int
}

type node struct {
	parent int
	f      plugintypes.Transformation
}

func newPredicates() *predicates {
	return &predicates{ids: map[string]int{}, nodes: make([]node, 1), byID: map[int]int{}}
}

// pure names the operators whose answer follows from the value and the rule's
// text alone.
var pure = map[string]bool{
	"rx": true, "pm": true, "pmfromfile": true, "pmf": true, "contains": true, "streq": true, "beginswith": true,
	"endswith": true, "within": true, "eq": true, "ge": true, "gt": true, "le": true, "lt": true, "strmatch": true,
	"detectsqli": true, "detectxss": true, "gabionsqli": true, "validatebyterange": true, "validateurlencoding": true, "validateutf8encoding": true,
}

// add gives the number of r's predicate; ok is false when it has none, because
// something besides the value decides or trying it has effects.
func (p *predicates) add(r *compiledRule) (id int, ok bool) {
	name := strings.ToLower(strings.TrimPrefix(strings.TrimPrefix(r.function, "!"), "@"))
	switch {
	case r.operator == nil, !pure[name], strings.Contains(r.data, "%{"):
		return 0, false
	case r.negated && r.capture: // a value that does not match the rule is captured
		return 0, false
	}
	last := 0
	if n := len(r.prefixes); n > 0 {
		last = r.prefixes[n-1]
	}
	// The author's rules are kept apart: their files resolve elsewhere.
	key := fmt.Sprintf("%t %t %t %d %s %s", r.id < 100_000, r.negated, r.multi, last, name, r.data)
	p.mu.Lock()
	defer p.mu.Unlock()
	if id, ok := p.ids[key]; ok {
		return id, true
	}
	if len(p.list) == maxPredicates {
		return 0, false
	}
	n := 0
	for i, prefix := range r.prefixes {
		child, known := p.byID[prefix]
		if !known {
			child = len(p.nodes)
			p.byID[prefix] = child
			p.nodes = append(p.nodes, node{parent: n, f: r.transformations[i]})
		}
		n = child
	}
	q := predicate{node: n, multi: r.multi, negated: r.negated, operator: r.operator}
	q.rx, _ = r.operator.(*rx)
	p.ids[key] = len(p.list)
	p.list = append(p.list, q)
	return len(p.list) - 1, true
}

// snapshot is the table as it is now; what is in it never changes.
func (p *predicates) snapshot() ([]predicate, []node) {
	p.mu.RLock()
	defer p.mu.RUnlock()
	return p.list, p.nodes
}

// trial asks predicates about one value, transforming it once for all.
type trial struct {
	nodes []node
	forms []form
	round uint64
}

type form struct {
	round uint64
	known bool // alphabet is
	text  string
	of    alphabet
	read  bool // grams are
	grams grams
}

// begin takes up another value.
func (t *trial) begin(nodes []node, value string) {
	if len(t.forms) < len(nodes) {
		t.forms = make([]form, len(nodes))
		t.round = 0
	}
	t.nodes = nodes
	t.round++
	t.forms[0].set(t.round, value)
}

// end lets go of the value.
func (t *trial) end() {
	for i := range t.forms {
		t.forms[i].text = ""
	}
}

// form is the value after the transformations up to n. One that fails is left
// out, as the engine does.
func (t *trial) form(n int) *form {
	f := &t.forms[n]
	if f.round == t.round {
		return f
	}
	before := t.form(t.nodes[n].parent)
	text, _, err := t.nodes[n].f(before.text)
	if err != nil || text == before.text {
		text = before.text
	}
	f.set(t.round, text)
	return f
}

func (f *form) set(round uint64, text string) {
	f.round, f.text, f.known, f.read = round, text, false, false
}

func (t *trial) matches(tx plugintypes.TransactionState, p *predicate) bool {
	if p.multi {
		return t.anyForm(tx, p)
	}
	f := t.form(p.node)
	if p.rx == nil {
		return p.operator.Evaluate(tx, f.text) != p.negated
	}
	return p.rx.matches(f) != p.negated
}

// anyForm is for rules with multiMatch: every form that a transformation says
// it changed counts.
func (t *trial) anyForm(tx plugintypes.TransactionState, p *predicate) bool {
	var path []int
	for n := p.node; n != 0; n = t.nodes[n].parent {
		path = append(path, n)
	}
	value := t.forms[0].text
	found := p.operator.Evaluate(tx, value) != p.negated
	for i := len(path) - 1; i >= 0 && !found; i-- {
		next, changed, err := t.nodes[path[i]].f(value)
		if err == nil && changed {
			value = next
			found = p.operator.Evaluate(tx, value) != p.negated
		}
	}
	return found
}
