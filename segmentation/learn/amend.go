package learn

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/gabion-io/gabion/segmentation"
	"github.com/gabion-io/gabion/workload"
)

// Usage watches which rules of policies edges use: what they allow needs no
// proposal, what no edge used may go.
type Usage struct {
	policies  []segmentation.Policy
	evaluator *segmentation.Evaluator
	last      map[segmentation.RuleRef]time.Time
	known     int
}

// NewUsage takes the policies as if all were enforced.
func NewUsage(policies []segmentation.Policy, workloads []*workload.Workload) *Usage {
	policies = segmentation.Enforced(policies)
	return &Usage{policies: policies, evaluator: segmentation.NewEvaluator(policies, workloads), last: map[segmentation.RuleRef]time.Time{}}
}

// Add says whether policies of both ends allow an edge, and remembers the rules.
func (u *Usage) Add(e *segmentation.Edge) bool {
	all := true
	for _, d := range []segmentation.Direction{segmentation.Egress, segmentation.Ingress} {
		v, rule := u.evaluator.Judge(e.Flow(), d)
		governed := rule != segmentation.RuleRef{}
		if v == segmentation.Allowed && governed && e.Last.After(u.last[rule]) {
			u.last[rule] = e.Last
		}
		outside := d == segmentation.Egress && e.Src.Workload == nil || d == segmentation.Ingress && e.Dst.Workload == nil
		all = all && v == segmentation.Allowed && (governed || outside)
	}
	if all {
		u.known++
	}
	return all
}

// Known is how many edges were allowed already.
func (u *Usage) Known() int { return u.known }

// Unused lists the rules that no edge used.
func (u *Usage) Unused() (out []segmentation.RuleRef) {
	for i := range u.policies {
		for _, d := range []segmentation.Direction{segmentation.Ingress, segmentation.Egress} {
			for n := range u.policies[i].In(d).List {
				ref := segmentation.RuleRef{Policy: u.policies[i].Name, Direction: d, Index: n}
				if u.last[ref].IsZero() {
					out = append(out, ref)
				}
			}
		}
	}
	return out
}

// LastUse is when a rule was last used; zero: never.
func (u *Usage) LastUse(r segmentation.RuleRef) time.Time { return u.last[r] }

// OnlyRules leaves out proposals without rules: an amendment that adds nothing.
func (d *Draft) OnlyRules() {
	d.Proposals = slices.DeleteFunc(d.Proposals, func(p Proposal) bool {
		return len(p.Policy.Ingress.List)+len(p.Policy.Egress.List) == 0
	})
	for i := range d.Proposals {
		p := &d.Proposals[i].Policy
		p.Name.Name += "-more"
		// An amendment adds rules: whether the direction is governed at all is not
		// its business.
		p.Ingress.Governed, p.Egress.Governed = len(p.Ingress.List) > 0, len(p.Egress.List) > 0
	}
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
