package waf

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"unicode/utf8"

	"github.com/corazawaf/coraza/v3/experimental/plugins/plugintypes"
)

// predicate is the first link of a rule as a function of one value: transform,
// then ask the operator. Rules that ask the same share one.
type predicate struct {
	node     int // the last transformation, in the table's tree; 0: none
	multi    bool
	negated  bool
	operator plugintypes.Operator
	rx       *rx        // operator, if it is one
	phrases  *phrases   // of the operator, if it has any
	ids      []int32    // of the words of rx or phrases, in the table of words
	sqli     *sqlShapes // operator is @detectSQLi or @gabionSQLi; nil: it is not
	reach    *reach     // of the operator's expression, if it has one
	oneOf    alphabet   // a text that matches has one of these; 0: not known

	state plugintypes.TransactionState // what the operator's text refers to; nil: nothing
	echo  *echo                        // asked of what matched; nil: nothing
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
	sql   *sqlShapes
	// What the predicates look for, each word once, and a table of it.
	words   []string
	wordIDs map[string]int32
	table   *wordTable // of the first size words
}

type node struct {
	parent int
	f      plugintypes.Transformation
	effect effect
}

func newPredicates() *predicates {
	return &predicates{ids: map[string]int{}, nodes: make([]node, 1), byID: map[int]int{}, sql: newSQLShapes(), wordIDs: map[string]int32{}}
}

// pure names the operators whose answer follows from the value and the rule's
// text alone.
var pure = map[string]bool{
	"rx": true, "pm": true, "pmfromfile": true, "pmf": true, "contains": true, "streq": true, "beginswith": true,
	"endswith": true, "within": true, "eq": true, "ge": true, "gt": true, "le": true, "lt": true, "strmatch": true,
	"ipmatch": true, "detectsqli": true, "detectxss": true, "gabionsqli": true, "validatebyterange": true, "validateurlencoding": true, "validateutf8encoding": true,
}

// expands names those of them that fill TX variables into the rule's text. The others
// take it as it stands.
var expands = map[string]bool{
	"contains": true, "streq": true, "beginswith": true, "endswith": true, "within": true, "strmatch": true,
	"eq": true, "ge": true, "gt": true, "le": true, "lt": true,
}

// add gives the number of the predicate of link r of a rule; ok is false when it
// has none, because something besides the value decides or trying it has effects.
func (p *predicates) add(r *compiledRule, rule int, setup *setup) (id int, ok bool) {
	return p.addEcho(r, rule, setup, nil)
}

func (p *predicates) addEcho(r *compiledRule, rule int, setup *setup, then *echo) (id int, ok bool) {
	name, data := r.operatorName(), r.data
	switch {
	case r.operator == nil, !pure[name]:
		return 0, false
	case r.negated && r.capture: // a value that does not match the rule is captured
		return 0, false
	}
	var state plugintypes.TransactionState
	if expands[name] && strings.Contains(data, "%{") {
		if setup == nil {
			return 0, false
		}
		if data, ok = setup.expand(data); !ok {
			return 0, false
		}
		state = setup.state()
	}
	last := 0
	if n := len(r.prefixes); n > 0 {
		last = r.prefixes[n-1]
	}
	o, isRX := r.operator.(*rx)
	of, isPM := r.operator.(*pm)
	// The author's rules are kept apart: their files resolve elsewhere. So are those
	// that do without the alphabet, or without literals: others would have to do
	// without them, too.
	plain := isRX && o.words == nil || isPM && of.list == nil
	key := fmt.Sprintf("%t %t %t %t %t %d %s %s", rule < 100_000, isRX && o.reach == nil, plain, r.negated, r.multi, last, name, data)
	if then != nil {
		key += "\x00" + then.key
	}
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
			p.nodes = append(p.nodes, node{parent: n, f: r.transformations[i], effect: effectOf(r.transformations[i])})
		}
		n = child
	}
	q := predicate{node: n, multi: r.multi, negated: r.negated, operator: r.operator, state: state, echo: then}
	if isRX {
		q.rx, q.reach = o, o.reach
	}
	if q.oneOf = oneOfFor(name, r.operator); name == "detectsqli" || name == "gabionsqli" {
		q.sqli = p.sql
	}
	if isPM && of.list != nil {
		q.phrases = newPhrases(of.list)
	}
	switch {
	case q.phrases != nil:
		q.ids = p.number(q.phrases.all)
	case isRX:
		q.ids = p.number(o.words)
	}
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

// number gives the numbers of literals as words; -1 for pairs. p.mu is held.
func (p *predicates) number(l literals) []int32 {
	out := make([]int32, len(l))
	for i := range l {
		word := l[i].text
		if out[i] = -1; len(word) < minWord {
			continue
		}
		id, known := p.wordIDs[word]
		if !known {
			id = int32(len(p.words))
			p.wordIDs[word] = id
			p.words = append(p.words, word)
		}
		out[i] = id
	}
	return out
}

// wordTable has the words of all predicates so far.
func (p *predicates) wordTable() *wordTable {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.table == nil || p.table.size < len(p.words) {
		p.table = newWordTable(p.words)
	}
	return p.table
}

// trial asks predicates about one value, transforming it once for all.
type trial struct {
	nodes []node
	table *wordTable // nil: words are not looked for
	forms []form
	round uint64
	spare []*grams // of which the first used are taken by forms
	used  int
	path  []int // of the predicate asked about
	aside form  // one that is not in forms
}

type form struct {
	round uint64
	known bool // alphabet is
	text  string
	of    alphabet
	grams *grams // nil: not read yet
	// silent: a transformation changed the text and did not say so.
	silent bool
}

// begin takes up another value.
func (t *trial) begin(nodes []node, value string) {
	if len(t.forms) < len(nodes) {
		t.forms = make([]form, len(nodes))
		t.round = 0
	}
	t.nodes, t.used = nodes, 0
	t.round++
	t.forms[0].set(t.round, value)
}

// end lets go of the value.
func (t *trial) end() {
	for i := range t.forms {
		t.forms[i].text, t.forms[i].grams = "", nil
	}
	t.aside = form{}
}

// form is the value after the transformations up to n. One that fails is left
// out, as the engine does.
func (t *trial) form(n int) *form {
	f := &t.forms[n]
	if f.round == t.round {
		return f
	}
	before := t.form(t.nodes[n].parent)
	if !t.nodes[n].effect.mayChange(before.alphabet()) {
		*f = *before
		return f
	}
	text, changed, err := t.nodes[n].f(before.text)
	if err != nil || text == before.text {
		*f = *before
		return f
	}
	f.set(t.round, text)
	f.silent = before.silent || err == nil && !changed && text != before.text
	return f
}

func (f *form) set(round uint64, text string) {
	*f = form{round: round, text: text}
}

func (f *form) alphabet() alphabet {
	if !f.known {
		f.of, f.known = alphabetOf(f.text), true
	}
	return f.of
}

// found gives the pairs and triples of the text, which are read once.
func (t *trial) found(f *form) *grams {
	if f.grams == nil {
		f.grams = t.spareGrams()
		f.grams.read(f.text, t.table)
	}
	return f.grams
}

func (t *trial) spareGrams() *grams {
	if t.used == len(t.spare) {
		t.spare = append(t.spare, new(grams))
	}
	t.used++
	return t.spare[t.used-1]
}

func (t *trial) matches(tx plugintypes.TransactionState, p *predicate) bool {
	if p.state != nil {
		tx = p.state
	}
	if p.echo != nil {
		f := t.form(p.node)
		return p.rx.matches(t, f, p.ids) && p.echo.matches(p.rx.re(), f.text)
	}
	if p.multi {
		return t.anyForm(tx, p)
	}
	f := t.form(p.node)
	return p.holds(tx, t, f) != p.negated
}

// holds asks the operator about one form.
func (p *predicate) holds(tx plugintypes.TransactionState, t *trial, f *form) bool {
	switch {
	case p.rx != nil:
		return p.rx.matches(t, f, p.ids)
	case p.reach != nil && p.reach.lacks(f.alphabet()), p.oneOf != 0 && p.oneOf&f.alphabet() == 0,
		p.phrases != nil && !p.phrases.mayBeIn(t, f, p.ids), p.sqli != nil && p.sqli.harmless(f.text, f.alphabet()):
		return false
	}
	return p.operator.Evaluate(tx, f.text)
}

// tooShort says that no text of as many characters matches, or of fewer.
func (p *predicate) tooShort(text string) bool {
	return p.rx != nil && p.rx.bytes == nil && !p.negated && len(text) < utf8.UTFMax*p.rx.least && utf8.RuneCountInString(text) < p.rx.least
}

// tooShortIn64 is tooShort for what the text says in base64, if e reads that.
func (p *predicate) tooShortIn64(e *effect, text string) bool {
	return e.base64 && p.rx != nil && p.rx.bytes == nil && !p.negated && base64Length(text, p.rx.least) < p.rx.least
}

func (t *trial) grows(n int) bool { return t.nodes[n].effect.grows }

// anyForm is for rules with multiMatch: every form that a transformation says
// it changed counts. One that says so and gave the same text changes no answer.
// One that changed the text and does not say so is passed over, by the engine
// and by what comes after.
func (t *trial) anyForm(tx plugintypes.TransactionState, p *predicate) bool {
	t.path = t.path[:0]
	for n := p.node; n != 0; n = t.nodes[n].parent {
		t.path = append(t.path, n)
	}
	last := t.form(0)
	if p.holds(tx, t, last) != p.negated {
		return true
	}
	left := len(t.path) - 1
	for ; left >= 0; left-- {
		if p.tooShortIn64(&t.nodes[t.path[left]].effect, last.text) && !slices.ContainsFunc(t.path[:left], t.grows) {
			return false
		}
		f := t.form(t.path[left])
		if f.silent {
			break
		}
		if p.tooShort(f.text) && !slices.ContainsFunc(t.path[:left], t.grows) {
			return false
		}
		if f.text != last.text && p.holds(tx, t, f) != p.negated {
			return true
		}
		last = f
	}
	text := last.text
	for ; left >= 0; left-- {
		after, changed, err := t.nodes[t.path[left]].f(text)
		if err != nil || !changed || after == text {
			continue
		}
		text = after
		t.aside.set(t.round, text)
		if p.holds(tx, t, &t.aside) != p.negated {
			return true
		}
	}
	return false
}
