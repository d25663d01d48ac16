package learn

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/gabion-io/gabion/segmentation"
	"github.com/gabion-io/gabion/workload"
)

// Known says in which directions policies allow an edge already. Where an end is
// outside there is nothing to allow.
type Known struct{ Ingress, Egress bool }

func (k Known) both() bool { return k.Ingress && k.Egress }

func (k Known) and(o Known) Known { return Known{k.Ingress && o.Ingress, k.Egress && o.Egress} }

func (k Known) in(d segmentation.Direction) bool {
	if d == segmentation.Egress {
		return k.Egress
	}
	return k.Ingress
}

// Usage watches which rules of policies edges use: what they allow needs no
// proposal, what was long not used may go.
type Usage struct {
	policies  []segmentation.Policy
	evaluator *segmentation.Evaluator
	last      map[segmentation.RuleRef]time.Time
	newest    time.Time // of all edges
	known     int
}

// NewUsage takes the policies as if all were enforced.
func NewUsage(policies []segmentation.Policy, workloads []*workload.Workload) *Usage {
	policies = segmentation.Enforced(policies)
	return &Usage{policies: policies, evaluator: segmentation.NewEvaluator(policies, workloads), last: map[segmentation.RuleRef]time.Time{}}
}

// Add says where policies allow an edge, and remembers the rules.
func (u *Usage) Add(e *segmentation.Edge) Known {
	k := Known{u.allows(e, segmentation.Ingress, e.Dst.Workload), u.allows(e, segmentation.Egress, e.Src.Workload)}
	if k.both() {
		u.known++
	}
	if e.Last.After(u.newest) {
		u.newest = e.Last
	}
	return k
}

func (u *Usage) allows(e *segmentation.Edge, d segmentation.Direction, subject *workload.Workload) bool {
	if subject == nil {
		return true
	}
	v, rule := u.evaluator.Judge(e.Flow(), d)
	if v != segmentation.Allowed || rule == (segmentation.RuleRef{}) {
		return false
	}
	if e.Last.After(u.last[rule]) {
		u.last[rule] = e.Last
	}
	return true
}

// Known is how many edges were allowed already.
func (u *Usage) Known() int { return u.known }

// idle is after which time without use a rule is told of: what weekly jobs need is
// used more often.
const idle = 8 * 24 * time.Hour

// Unused is a rule that edges have not used for long.
type Unused struct {
	Rule segmentation.RuleRef
	Last time.Time // zero: no edge used it
}

func (u Unused) String() string {
	if u.Last.IsZero() {
		return u.Rule.String() + ": no edge used it"
	}
	return fmt.Sprintf("%s: last used %s UTC", u.Rule, u.Last.UTC().Format("2006-01-02 15:04"))
}

// Unused lists the rules that no edge used in the last eight days before the newest
// one. A deny is there to be used by nobody, and of requests edges say nothing.
func (u *Usage) Unused() (out []Unused) {
	for i := range u.policies {
		for _, d := range []segmentation.Direction{segmentation.Ingress, segmentation.Egress} {
			for n, r := range u.policies[i].In(d).List {
				ref := segmentation.RuleRef{Policy: u.policies[i].Name, Direction: d, Index: n}
				if last := u.last[ref]; !r.Deny && len(r.HTTP) == 0 && (last.IsZero() || u.newest.Sub(last) > idle) {
					out = append(out, Unused{ref, last})
				}
			}
		}
	}
	return out
}

// OnlyRules makes a draft one of amendments to policies: proposals without rules add
// nothing and go, and the others have names that none of the policies has.
func (d *Draft) OnlyRules(base []segmentation.Policy) {
	d.Proposals = slices.DeleteFunc(d.Proposals, func(p Proposal) bool {
		return len(p.Policy.Ingress.List)+len(p.Policy.Egress.List) == 0
	})
	for i := range d.Proposals {
		d.Proposals[i].Amend(base)
	}
}

// Amend makes a proposal one that adds rules to policies: under a name that none of
// them has, for it must not take the place of an earlier amendment, and about the
// directions only that it has rules for.
func (p *Proposal) Amend(base []segmentation.Policy) {
	name := &p.Policy.Name
	stem := name.Name + "-more"
	name.Name = stem
	for n := 2; slices.ContainsFunc(base, func(o segmentation.Policy) bool { return o.Name == *name }); n++ {
		name.Name = fmt.Sprintf("%s-%d", stem, n)
	}
	p.Policy.Ingress.Governed, p.Policy.Egress.Governed = len(p.Policy.Ingress.List) > 0, len(p.Policy.Egress.List) > 0
}

// String is a line for the reviewer: what a rule rests on.
func (e Evidence) String() string {
	var parts []string
	if e.What != "" {
		parts = append(parts, e.What)
	}
	parts = append(parts, fmt.Sprintf("%s in %s by %s, %s to %s", plural(int(e.Flows), "flow"), plural(e.Edges, "edge"), plural(e.Sources, "source"),
		e.First.Format("2006-01-02 15:04"), e.Last.Format("2006-01-02 15:04")))
	if e.Period > 0 {
		parts = append(parts, "about every "+every(e.Period))
	}
	if e.Rare != "" {
		parts = append(parts, "rare: "+e.Rare)
	}
	if len(e.Processes) > 0 {
		parts = append(parts, "by "+strings.Join(e.Processes, ", "))
	}
	if len(e.Examples) > 0 {
		parts = append(parts, "such as "+e.Examples[0])
	}
	return strings.Join(parts, "; ")
}

func every(d time.Duration) string {
	switch {
	case d == 7*24*time.Hour:
		return "week"
	case d == 24*time.Hour:
		return "day"
	}
	return fmt.Sprintf("%d h", int(d.Hours()))
}
