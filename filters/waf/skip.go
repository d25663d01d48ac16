package waf

import (
	"fmt"
	"math"
	"math/bits"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/corazawaf/coraza/v3/collection"
	"github.com/corazawaf/coraza/v3/experimental/plugins/plugintypes"
	"github.com/corazawaf/coraza/v3/types"
	"github.com/corazawaf/coraza/v3/types/variables"
)

// skip is the action at the head of each phase. It takes those rules out of the
// transaction that cannot match, or would change nothing. Whether a rule could
// match a value is remembered by predicate and value; rules that could are left
// to the engine, which alone decides.
type skip struct{ plan atomic.Pointer[skipPlan] }

const (
	skipName   = "gabionskip"
	placeName  = "gabionplace"
	skipRuleID = 200_080 // + phase
	skipPhases = 4
)

func newSkip() plugintypes.Action { return &skip{} }

func (*skip) Init(plugintypes.RuleMetadata, string) error { return nil }

func (*skip) Type() plugintypes.ActionType { return plugintypes.ActionTypeNondisruptive }

func (s *skip) Evaluate(_ plugintypes.RuleMetadata, tx plugintypes.TransactionState) {
	if p := s.plan.Load(); p != nil {
		if t, ok := tx.(ruleRemover); ok {
			p.run(tx, t)
		}
	}
}

// skipDirectives put the action where every rule of the phase comes after it.
func skipDirectives() string {
	var b strings.Builder
	for phase := 1; phase <= skipPhases; phase++ {
		fmt.Fprintf(&b, "SecAction \"id:%d,phase:%d,pass,nolog,%s\"\n", skipRuleID+phase, phase, skipName)
	}
	return b.String()
}

// placeDirective stands where the rule set begins.
func placeDirective() string {
	return fmt.Sprintf("SecAction \"id:%d,phase:1,pass,nolog,%s\"\n", placeRule, placeName)
}

// place is the action there: it writes what the setup comes to.
type place struct{ writes atomic.Pointer[[]setVar] }

func newPlace() plugintypes.Action { return &place{} }

func (*place) Init(plugintypes.RuleMetadata, string) error { return nil }

func (*place) Type() plugintypes.ActionType { return plugintypes.ActionTypeNondisruptive }

func (p *place) Evaluate(_ plugintypes.RuleMetadata, tx plugintypes.TransactionState) {
	if w := p.writes.Load(); w != nil {
		write(tx, *w)
	}
}

func write(tx plugintypes.TransactionState, sets []setVar) {
	to := tx.Variables().TX()
	var value [1]string
	for i := range sets {
		value[0] = sets[i].value
		to.Set(sets[i].name, value[:])
	}
}

// skipPlan is one phase of one engine: what to ask about which values, and which
// rules fall when the answer is no. It does not change.
type skipPlan struct {
	predicates []predicate
	nodes      []node
	table      *wordTable // of what predicates look for
	words      int        // of 64 predicates each
	targets    []skipTarget
	rules      []skipRule // of the phase, in order of evaluation, without the dead
	order      []int      // ids of all of the phase, sorted
	writes     []setVar   // of the setup
	late       []lateTargets
	opener     opener
	remember   *verdicts // nil: ask anew each time
	stats      *skipStats
	prospects  prospects
	scratch    sync.Pool
}

// skipRule is what decides whether a rule may be left out.
type skipRule struct {
	id       int
	place    int       // of id in skipPlan.order
	want     uint8     // links that must be able to match; 0: nothing is known by values
	guards   []int32   // rules that, when they run, count this one
	jumps    bool      // markers matter when it runs
	plumbing *plumbing // it looks only at TX
	touches  uint64    // TX names that plumbing depends on
	writes   uint64    // TX names that it may change
}

// skipTarget is a variable, or one key of it, and who looks at it.
type skipTarget struct {
	compiledTarget
	small  string    // key, in small letters
	asks   []uint64  // bits of predicates
	asked  []skipAsk // sorted by predicate
	scalar bool      // a number or a whole made of many values: not remembered
}

type skipAsk struct {
	predicate int32
	rule      int32 // index into skipPlan.rules
	link      uint8 // bit
}

// of gives who asks a predicate.
func (t *skipTarget) of(predicate int) []skipAsk {
	from, _ := slices.BinarySearchFunc(t.asked, predicate, func(a skipAsk, p int) int { return int(a.predicate) - p })
	to := from
	for to < len(t.asked) && int(t.asked[to].predicate) == predicate {
		to++
	}
	return t.asked[from:to]
}

type skipStats struct{ values, known, asked, considered, skipped atomic.Uint64 }

type skipScratch struct {
	trial trial
	got   []uint8 // links that could match
	keep  []bool
	kept  []int // places of the rules to keep
	hits  []uint64
	many  bool // values: none of them is remembered
	fresh int  // alphabets worked out
	made  []alphabet
	rough []uint64
	crowd *crowd
	// fetched is what was gathered in this phase, in entries.
	fetched []fetched
	entries []entry
	stats   struct{ values, known, asked uint64 }
}

func (p *skipPlan) run(tx plugintypes.TransactionState, remover ruleRemover) {
	s, _ := p.scratch.Get().(*skipScratch)
	if s == nil {
		s = &skipScratch{got: make([]uint8, len(p.rules)), keep: make([]bool, len(p.rules)), hits: make([]uint64, p.words), rough: make([]uint64, p.words)}
		s.trial.table = p.table
	}
	clear(s.got)
	s.fresh = 0
	if len(p.writes) > 0 {
		p.opener.open(tx.Variables().TX()).set(p.writes)
	}
	for i := range p.targets {
		if i%8 == 0 && late(tx) {
			break
		}
		p.look(tx, &p.targets[i], s)
	}
	s.trial.end()
	s.letGo()
	p.choose(tx, s)
	p.remove(remover, s)
	p.removeTargets(tx, remover, s.keep)
	p.stats.values.Add(s.stats.values)
	p.stats.known.Add(s.stats.known)
	p.stats.asked.Add(s.stats.asked)
	s.stats.values, s.stats.known, s.stats.asked = 0, 0, 0
	p.scratch.Put(s)
}

// letGo forgets what was gathered.
func (s *skipScratch) letGo() {
	clear(s.fetched)
	clear(s.entries)
	s.fetched, s.entries = s.fetched[:0], s.entries[:0]
	if cap(s.entries) > 4*manyValues {
		s.entries = nil
	}
}

// choose marks the rules to keep, in order: what one of them may change makes
// those keep that look at it.
func (p *skipPlan) choose(tx plugintypes.TransactionState, s *skipScratch) {
	var written uint64
	known := p.opener.open(tx.Variables().TX())
	for i := range p.rules {
		r := &p.rules[i]
		keep := true
		switch {
		case r.plumbing != nil:
			keep = written&r.touches != 0 || !r.plumbing.idle(tx, known)
		case r.want != 0:
			keep = s.got[i]&r.want == r.want
		}
		for _, g := range r.guards {
			keep = keep || s.keep[g]
		}
		s.keep[i] = keep
		if keep {
			written |= r.writes
		}
	}
}

// rests says that evaluating any rule of a phase without targets would change nothing.
func (p *skipPlan) rests(of any) bool {
	tx, ok := of.(plugintypes.TransactionState)
	if !ok {
		return false
	}
	known := p.opener.open(tx.Variables().TX())
	for i := range p.rules {
		if r := &p.rules[i]; r.plumbing == nil || !r.plumbing.idle(tx, known) {
			return false
		}
	}
	p.stats.considered.Add(uint64(len(p.order)))
	p.stats.skipped.Add(uint64(len(p.order)))
	return true
}

// look marks the rules that could match what is under one target.
func (p *skipPlan) look(tx plugintypes.TransactionState, t *skipTarget, s *skipScratch) {
	col := tx.Collection(t.variable)
	if col == nil {
		return
	}
	clear(s.hits)
	if c, ok := col.(collection.Single); ok && !t.count {
		p.judge(tx, t, "", c.Get(), s)
	} else if found := p.find(tx, col, t, s); t.count {
		p.judge(tx, t, "", strconv.Itoa(len(found.of)), s)
	} else {
		p.judgeAll(tx, t, found, s)
	}
	for w, word := range s.hits {
		for ; word != 0; word &= word - 1 {
			for _, ask := range t.of(w*64 + bits.TrailingZeros64(word)) {
				s.got[ask.rule] |= ask.link
			}
		}
	}
}

// fetched is what is under a variable or a part of it.
type fetched struct {
	variable variables.RuleVariable
	of       []entry
	names    bool // the keys are meant, not the values
}

func (f *fetched) value(i int) string {
	if f.names {
		return f.of[i].key
	}
	return f.of[i].value
}

// namesOf gives the variable whose keys are the values of another.
func namesOf(v variables.RuleVariable) (of variables.RuleVariable, names bool) {
	switch v {
	case variables.ArgsNames:
		return variables.Args, true
	case variables.ArgsPostNames:
		return variables.ArgsPost, true
	case variables.ArgsGetNames:
		return variables.ArgsGet, true
	case variables.RequestHeadersNames:
		return variables.RequestHeaders, true
	case variables.RequestCookiesNames:
		return variables.RequestCookies, true
	}
	return v, false
}

// find gives what is under a target. What is under a variable as a whole is gathered
// once a phase.
func (p *skipPlan) find(tx plugintypes.TransactionState, col collection.Collection, t *skipTarget, s *skipScratch) fetched {
	if t.pattern != nil || t.key != "" {
		return fetched{of: p.findSome(col, t, s)}
	}
	variable, names := namesOf(t.variable)
	at := slices.IndexFunc(s.fetched, func(f fetched) bool { return f.variable == variable })
	if at < 0 {
		if names {
			col = tx.Collection(variable)
		}
		from := len(s.entries)
		s.entries = p.opener.appendAll(s.entries, col)
		at = len(s.fetched)
		s.fetched = append(s.fetched, fetched{variable: variable, of: s.entries[from:]})
	}
	found := s.fetched[at]
	found.names = names
	return found
}

// findSome gives what is under the keys of a target.
func (p *skipPlan) findSome(col collection.Collection, t *skipTarget, s *skipScratch) []entry {
	m := p.opener.open(col)
	if m != nil && t.pattern == nil {
		return m.under(t.key, t.small)
	}
	from := len(s.entries)
	if m != nil {
		for key, list := range m.data {
			if t.pattern.MatchString(key) {
				s.entries = append(s.entries, list...)
			}
		}
	} else {
		for _, m := range find(col, &t.compiledTarget) {
			s.entries = append(s.entries, entry{m.Key(), m.Value()})
		}
	}
	return s.entries[from:]
}

func find(col collection.Collection, t *compiledTarget) []types.MatchData {
	if c, ok := col.(collection.Keyed); ok {
		switch {
		case t.pattern != nil:
			return c.FindRegex(t.pattern)
		case t.key != "":
			return c.FindString(t.key)
		}
	}
	return col.FindAll()
}

// judge adds to s.hits what matches the value.
func (p *skipPlan) judge(tx plugintypes.TransactionState, t *skipTarget, key, value string, s *skipScratch) {
	s.stats.values++
	var v *verdict
	if p.remember != nil && !s.many && !t.scalar && len(value) <= maxRemembered {
		// Only to remember a value asks what it is: looking leaves no trace of it.
		v = p.remember.look(value, p.words)
		if v == nil && !sensitive(t.variable, key) && !composite(t.variable, value) {
			v = p.remember.of(value, p.words)
		}
	}
	begun := false
	var prospects []uint64
	for w, want := range t.asks {
		unknown := want &^ s.hits[w]
		if v != nil {
			known := v.known(w)
			s.hits[w] |= v.matches(w) & want
			unknown &^= known
		}
		if unknown == 0 {
			continue
		}
		if !begun {
			s.trial.begin(p.nodes, value)
			begun = true
			prospects = p.prospects.of(s.trial.forms[0].alphabet(), p, s)
		}
		var hits uint64
		for left := unknown & prospects[w]; left != 0; left &= left - 1 {
			if len(value) > longValue && late(tx) {
				return
			}
			s.stats.asked++
			bit := left & -left
			if s.trial.matches(tx, &p.predicates[w*64+bits.TrailingZeros64(left)]) {
				hits |= bit
			}
		}
		s.hits[w] |= hits
		if v != nil {
			v.learn(w, unknown, hits)
		}
	}
	if !begun {
		s.stats.known++
	}
}

// remove takes runs of rules out at once: the engine compares every rule with
// every range. A range may cover rules of other phases, endSkip takes it back.
func (p *skipPlan) remove(tx ruleRemover, s *skipScratch) {
	marked := false // markers matter
	s.kept = s.kept[:0]
	for i, keep := range s.keep {
		if keep {
			s.kept = append(s.kept, p.rules[i].place)
			marked = marked || p.rules[i].jumps
		}
	}
	slices.Sort(s.kept)
	tx.RemoveRuleByIDRange(skipMark, skipMark)
	if len(s.kept) == 0 { // nothing runs: no marker matters either
		if !p.opener.endPhase(tx) {
			tx.RemoveRuleByIDRange(0, math.MaxInt)
		}
	} else {
		from := 0
		for _, place := range s.kept {
			if place > from {
				tx.RemoveRuleByIDRange(p.order[from], p.order[place-1])
			}
			from = place + 1
		}
		if from < len(p.order) {
			tx.RemoveRuleByIDRange(p.order[from], p.order[len(p.order)-1])
		}
		if !marked {
			tx.RemoveRuleByIDRange(markerID, markerID)
		}
	}
	tx.RemoveRuleByIDRange(skipMark, skipMark)
	p.stats.considered.Add(uint64(len(p.order)))
	p.stats.skipped.Add(uint64(len(p.order) - len(s.kept)))
}

// markerID is the number that all markers have, and no rule. The engine evaluates
// them like rules, in every phase. They may go where nothing that runs jumps: a
// jump from an earlier phase that has not ended passes over the skip action, too.
const markerID = 0

// skipMark stands before and after the ranges that hold for one phase only. No
// rule has such an id.
const skipMark = math.MinInt

// endSkip takes back what skip took out, before another phase begins.
func endSkip(tx any) {
	t, ok := tx.(ruleRemover)
	if !ok {
		return
	}
	inside := false
	for i, r := range t.GetRuleRemoveByIDRanges() {
		if r[0] == skipMark {
			inside = !inside
		} else if inside {
			t.GetRuleRemoveByIDRanges()[i] = [2]int{1, 0}
		}
	}
}

// planner makes the plan of one phase.
type planner struct {
	rules    []compiledRule
	phase    int
	paranoia int
	table    *predicates
	setup    *setup // nil: nothing is known of TX
	dead     map[int]bool
	counted  map[variables.RuleVariable]bool // by variable, whose number of values may change
	paths    bool                            // arguments may be added while the rules of the phase run
	plan     *skipPlan
	targets  map[string]int
	uses     []skipUse
}

type skipUse struct {
	target, predicate, rule int
	link                    uint8
}

// newSkipPlan finds what can be skipped in a phase. dead rules never run.
func newSkipPlan(rules []compiledRule, phase, paranoia int, table *predicates, setup *setup, dead map[int]bool) *skipPlan {
	b := &planner{rules: rules, phase: phase, paranoia: paranoia, table: table, setup: setup, dead: dead,
		counted: countsChange(rules), paths: takesFromPath(rules, phase, dead), plan: &skipPlan{}, targets: map[string]int{}}
	guards := guardsOf(rules)
	at := map[int]int32{}
	var kept []*compiledRule
	// What stands before our action has been evaluated when that runs.
	first := slices.IndexFunc(rules, func(r compiledRule) bool { return r.id == skipRuleID+phase }) + 1
	for i := range rules {
		r := &rules[i]
		switch {
		case i < first, r.phase != phase && r.phase != 0, r.id == 0, r.id > skipRuleID && r.id <= skipRuleID+skipPhases:
			continue
		case dead[r.id]:
			b.plan.order = append(b.plan.order, r.id)
			continue
		}
		at[r.id] = int32(len(b.plan.rules))
		b.plan.order = append(b.plan.order, r.id)
		made := skipRule{id: r.id, jumps: r.jumps() || r.skips > 0}
		for _, g := range guards[r.id] {
			if index, ok := at[g]; ok {
				made.guards = append(made.guards, index)
			}
		}
		b.add(r, &made)
		b.plan.rules = append(b.plan.rules, made)
		kept = append(kept, r)
	}
	b.nameBits(kept)
	b.finish()
	return b.plan
}

// add finds out when the rule may be left out.
func (b *planner) add(r *compiledRule, made *skipRule) {
	if r.id == placeRule || r.level() > b.paranoia {
		return
	}
	made.plumbing = newPlumbing(r)
	if p := made.plumbing; p != nil && p.counts() && b.counted[variables.TX] {
		made.plumbing = nil // its count is another where a target was taken away
	}
	if made.plumbing != nil {
		return
	}
	index := len(b.plan.rules)
	for i, l := range r.links() {
		if i == 8 || i > 0 && b.setup == nil {
			return
		}
		bit := uint8(1) << i
		if b.looksAtRequest(l) {
			if predicate, ok := b.table.add(l, r.id, b.setup); ok {
				made.want |= bit
				b.use(l, predicate, index, bit)
			}
		}
		if i == 0 && !l.silent() && made.want != 0 && b.setup != nil {
			if predicate, ok := b.echo(r); ok {
				made.want |= 2
				b.use(l, predicate, index, 2)
			}
		}
		if !l.silent() {
			return
		}
	}
}

func (b *planner) use(l *compiledRule, predicate, rule int, link uint8) {
	for _, t := range l.targets {
		k := fmt.Sprintf("%d %s %v %t", t.variable, t.key, t.pattern, t.count)
		at, known := b.targets[k]
		if !known {
			at = len(b.plan.targets)
			b.targets[k] = at
			b.plan.targets = append(b.plan.targets, skipTarget{compiledTarget: t, small: strings.ToLower(t.key), scalar: t.count || scalar(t.variable)})
		}
		b.uses = append(b.uses, skipUse{at, predicate, rule, link})
	}
}

// nameBits gives the TX names that plumbing depends on a bit each. Where there are
// more than bits some share one: then a rule may stay for another's sake.
func (b *planner) nameBits(kept []*compiledRule) {
	var list []names
	known := map[string]bool{}
	for i, r := range kept {
		if b.plan.rules[i].plumbing == nil {
			continue
		}
		touched := r.reads()
		touched.merge(r.writes())
		for name := range touched.list {
			if !known[name] {
				known[name] = true
				list = append(list, names{list: map[string]bool{name: true}})
			}
		}
		if len(touched.prefixes)+len(touched.parts) > 0 {
			list = append(list, names{prefixes: touched.prefixes, parts: touched.parts})
		}
	}
	for i, r := range kept {
		made := &b.plan.rules[i]
		writes, reads := r.writes(), r.reads()
		for n, one := range list {
			if writes.meets(one) {
				made.writes |= 1 << (n % 64)
			}
			if made.plumbing != nil && (reads.meets(one) || writes.meets(one)) {
				made.touches |= 1 << (n % 64)
			}
		}
		if r.id == placeRule {
			made.writes = math.MaxUint64
		}
		if made.plumbing != nil && made.touches == 0 {
			made.touches = math.MaxUint64
		}
	}
}

func (b *planner) finish() {
	p := b.plan
	slices.Sort(p.order)
	for i := range p.rules {
		p.rules[i].place, _ = slices.BinarySearch(p.order, p.rules[i].id)
	}
	p.predicates, p.nodes = b.table.snapshot()
	p.table = b.table.wordTable()
	p.words = (len(p.predicates) + 63) / 64
	for i := range p.targets {
		p.targets[i].asks = make([]uint64, p.words)
	}
	for _, u := range b.uses {
		t := &p.targets[u.target]
		t.asks[u.predicate/64] |= 1 << (u.predicate % 64)
		t.asked = append(t.asked, skipAsk{int32(u.predicate), int32(u.rule), u.link})
	}
	for i := range p.targets {
		slices.SortStableFunc(p.targets[i].asked, func(a, b skipAsk) int { return int(a.predicate - b.predicate) })
		p.targets[i].asked = slices.Clip(p.targets[i].asked)
	}
	if b.phase == 1 && b.setup != nil && b.setup.atHead {
		p.writes = b.setup.writes
	}
}

// level is the paranoia level that the rule is for. Those above the policy's
// are passed over by the rule set itself: asking for them is in vain.
func (r *compiledRule) level() int {
	for _, tag := range r.tags {
		if n, ok := strings.CutPrefix(tag, "paranoia-level/"); ok && len(n) == 1 {
			return int(n[0] - '0')
		}
	}
	return 0
}
