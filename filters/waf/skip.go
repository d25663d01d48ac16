package waf

import (
	"fmt"
	"math"
	"math/bits"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/corazawaf/coraza/v3/collection"
	"github.com/corazawaf/coraza/v3/experimental/plugins/plugintypes"
	"github.com/corazawaf/coraza/v3/types"
	"github.com/corazawaf/coraza/v3/types/variables"
)

// skip is the action at the head of phases 1 and 2. It takes those rules out of
// the transaction that cannot match any value they look at. Whether a rule could
// match a value is remembered by predicate and value; rules that could are left
// to the engine, which alone decides.
type skip struct{ plan atomic.Pointer[skipPlan] }

const (
	skipName   = "gabionskip"
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

// skipPlan is one phase of one engine: what to ask about which values, and which
// rules fall when the answer is no. It does not change.
type skipPlan struct {
	predicates []predicate
	nodes      []node
	words      int
	targets    []skipTarget
	rules      []int      // ids of the rules that can be skipped
	order      []skipSlot // all rules of the phase, by id
	remember   *verdicts  // nil: ask anew each time
	stats      *skipStats
	scratch    sync.Pool
	prospects  prospects
}

// skipTarget is a variable, or one key of it, and who looks at it.
type skipTarget struct {
	compiledTarget
	asks   []uint64  // bits of predicates
	asked  [][]int32 // by predicate: indexes into skipPlan.rules
	scalar bool      // a number or a whole made of many values: not remembered
}

type skipSlot struct {
	id   int
	rule int32 // index into skipPlan.rules, or one of the following
}

const (
	neverSkipped  = -1
	alwaysSkipped = -2
)

type skipStats struct{ values, known, asked, considered, skipped atomic.Uint64 }

type skipScratch struct {
	trial trial
	keep  []bool
	many  bool // values: none of them is remembered
	seen  map[string]struct{}
	hits  []uint64
}

func (p *skipPlan) run(tx plugintypes.TransactionState, remover ruleRemover) {
	s, _ := p.scratch.Get().(*skipScratch)
	if s == nil {
		s = &skipScratch{keep: make([]bool, len(p.rules)), hits: make([]uint64, p.words)}
	}
	clear(s.keep)
	for i := range p.targets {
		if late(tx) {
			break
		}
		p.look(tx, &p.targets[i], s)
	}
	s.trial.end()
	p.remove(remover, s.keep)
	p.scratch.Put(s)
}

// look marks the rules to keep for what is under one target.
func (p *skipPlan) look(tx plugintypes.TransactionState, t *skipTarget, s *skipScratch) {
	col := tx.Collection(t.variable)
	if col == nil {
		return
	}
	clear(s.hits)
	switch c := col.(type) {
	case collection.Single:
		p.judge(tx, t, "", c.Get(), s)
	case collection.Keyed:
		found := c.FindAll
		switch {
		case t.pattern != nil:
			found = func() (m []types.MatchData) { return c.FindRegex(t.pattern) }
		case t.key != "":
			found = func() (m []types.MatchData) { return c.FindString(t.key) }
		}
		p.judgeAll(tx, t, found(), s)
	default:
		p.judgeAll(tx, t, c.FindAll(), s)
	}
	for w, word := range s.hits {
		for ; word != 0; word &= word - 1 {
			for _, rule := range t.asked[w*64+bits.TrailingZeros64(word)] {
				s.keep[rule] = true
			}
		}
	}
}

// judge adds to s.hits what matches the value.
func (p *skipPlan) judge(tx plugintypes.TransactionState, t *skipTarget, key, value string, s *skipScratch) {
	p.stats.values.Add(1)
	var v *verdict
	if p.remember != nil && !s.many && !t.scalar && len(value) <= maxRemembered && !sensitive(t.variable, key) && !composite(t.variable, value) {
		v = p.remember.of(value, p.words)
	}
	begun := false
	var asked uint64
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
			prospects = p.prospects.of(s.trial.forms[0].alphabet(), p)
			begun = true
		}
		var hits uint64
		for left := unknown & prospects[w]; left != 0; left &= left - 1 {
			asked++
			bit := left & -left
			if len(value) > longValue && late(tx) {
				return
			}
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
		p.stats.known.Add(1)
	}
	p.stats.asked.Add(asked)
}

// remove takes runs of rules out at once: the engine compares every rule with
// every range. A range may cover rules of other phases, endSkip takes it back.
func (p *skipPlan) remove(tx ruleRemover, keep []bool) {
	from, to, skipped := 0, 0, 0
	tx.RemoveRuleByIDRange(skipMark, skipMark)
	for _, slot := range p.order {
		if slot.rule == alwaysSkipped || slot.rule >= 0 && !keep[slot.rule] {
			if from == 0 {
				from = slot.id
			}
			to = slot.id
			skipped++
			continue
		}
		if from != 0 {
			tx.RemoveRuleByIDRange(from, to)
			from = 0
		}
	}
	if from != 0 {
		tx.RemoveRuleByIDRange(from, to)
	}
	tx.RemoveRuleByIDRange(skipMark, skipMark)
	p.stats.considered.Add(uint64(len(p.rules)))
	p.stats.skipped.Add(uint64(skipped))
}

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

// newSkipPlan finds what can be skipped in a phase.
func newSkipPlan(rules []compiledRule, phase, paranoia int, table *predicates, dead map[int]bool) *skipPlan {
	p := &skipPlan{}
	guarded := guardedRules(rules)
	index := map[string]int{}
	type use struct{ target, predicate, rule int }
	var uses []use
	for i := range rules {
		r := &rules[i]
		if r.phase != phase && r.phase != 0 || r.id == 0 {
			continue
		}
		slot := skipSlot{id: r.id, rule: neverSkipped}
		if dead[r.id] {
			slot.rule = alwaysSkipped
		} else if phase <= 2 && r.phase == phase && !guarded[r.id] && r.level() <= paranoia && r.looksAtRequest() {
			if predicate, ok := table.add(r); ok {
				slot.rule = int32(len(p.rules))
				p.rules = append(p.rules, r.id)
				for _, t := range r.targets {
					k := fmt.Sprintf("%d %s %v", t.variable, t.key, t.pattern)
					at, known := index[k]
					if !known {
						at = len(p.targets)
						index[k] = at
						p.targets = append(p.targets, skipTarget{compiledTarget: t, scalar: scalar(t.variable)})
					}
					uses = append(uses, use{at, predicate, int(slot.rule)})
				}
			}
		}
		p.order = append(p.order, slot)
	}
	slices.SortFunc(p.order, func(a, b skipSlot) int { return a.id - b.id })
	p.predicates, p.nodes = table.snapshot()
	p.words = (len(p.predicates) + 63) / 64
	for i := range p.targets {
		p.targets[i].asks = make([]uint64, p.words)
		p.targets[i].asked = make([][]int32, len(p.predicates))
	}
	for _, u := range uses {
		t := &p.targets[u.target]
		t.asks[u.predicate/64] |= 1 << (u.predicate % 64)
		t.asked[u.predicate] = append(t.asked[u.predicate], int32(u.rule))
	}
	return p
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

func (r *compiledRule) looksAtRequest() bool {
	for _, t := range r.targets {
		if t.count || !fromRequest[t.variable] {
			return false
		}
	}
	return len(r.targets) > 0
}

// fromRequest names the variables that are complete before the first rule of
// phases 1 and 2 and that no action changes.
var fromRequest = map[variables.RuleVariable]bool{
	variables.Args: true, variables.ArgsGet: true, variables.ArgsPost: true,
	variables.ArgsNames: true, variables.ArgsGetNames: true, variables.ArgsPostNames: true,
	variables.ArgsCombinedSize: true, variables.QueryString: true,
	variables.RequestBasename: true, variables.RequestBody: true, variables.RequestFilename: true,
	variables.RequestLine: true, variables.RequestMethod: true, variables.RequestProtocol: true,
	variables.RequestURI: true, variables.RequestURIRaw: true,
	variables.RequestHeaders: true, variables.RequestHeadersNames: true,
	variables.RequestCookies: true, variables.RequestCookiesNames: true,
	variables.Files: true, variables.FilesNames: true, variables.FilesSizes: true, variables.FilesCombinedSize: true,
	variables.MultipartFilename: true, variables.MultipartName: true, variables.MultipartPartHeaders: true,
	variables.XML: true, variables.RequestXML: true,
}

func scalar(v variables.RuleVariable) bool {
	switch v {
	case variables.ArgsCombinedSize, variables.FilesCombinedSize, variables.FilesSizes,
		variables.QueryString, variables.RequestBody, variables.RequestLine:
		return true
	}
	return false
}

// composite says that a value holds others, which are remembered by themselves:
// a request target with its query.
func composite(v variables.RuleVariable, value string) bool {
	return (v == variables.RequestURI || v == variables.RequestURIRaw) && strings.Contains(value, "?")
}

var sensitiveName = regexp.MustCompile(`(?i)passw|pwd|secret|token|session|credential|api_?key|csrf|card|cvv|ssn`)

// sensitive values are judged like others and never remembered.
func sensitive(v variables.RuleVariable, key string) bool {
	switch v {
	case variables.RequestHeaders:
		switch strings.ToLower(key) {
		case "authorization", "proxy-authorization", "cookie", "x-api-key":
			return true
		}
	case variables.Args, variables.ArgsGet, variables.ArgsPost, variables.RequestCookies:
		return sensitiveName.MatchString(key)
	}
	return false
}
