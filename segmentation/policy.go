package segmentation

import (
	"fmt"

	"github.com/gabion-io/gabion/workload"
)

// Policy says what the workloads it selects may do. In a direction that it
// governs they are default-deny: only what some policy's rule allows passes, and
// an explicit deny beats every allow.
type Policy struct {
	Name    PolicyName
	Mode    Mode
	Subject Selection
	Ingress Rules
	Egress  Rules
}

// PolicyName names the resource that a policy was written as.
type PolicyName struct {
	Kind string // SegmentationPolicy, NetworkPolicy
	workload.ID
}

func (n PolicyName) String() string { return n.Kind + " " + n.ID.String() }

// Rules are a policy's rules of one direction.
type Rules struct {
	Governed bool // false: the policy says nothing about this direction
	List     []Rule
}

// In returns the policy's rules of a direction.
func (p *Policy) In(d Direction) *Rules {
	if d == Egress {
		return &p.Egress
	}
	return &p.Ingress
}

// Rule allows, or denies, some flows. Its parts are joined by and, each list's
// elements by or, and an empty list stands for everything.
type Rule struct {
	Deny  bool
	Peers []Peer
	Ports []Ports
	// HTTP, if not empty, narrows the rule to requests. Where no proxy judges
	// them, an allow allows nothing, and a deny denies the whole port.
	HTTP []HTTPRule
}

// matches says whether the rule, of a direction, is about a flow.
func (r *Rule) matches(f *Flow, d Direction) bool {
	return r.matchesPeer(f, d) && r.matchesPorts(f) && r.matchesHTTP(f)
}

func (r *Rule) matchesPeer(f *Flow, d Direction) bool {
	_, peer := f.sides(d)
	for i := range r.Peers {
		if r.Peers[i].matches(peer, d) {
			return true
		}
	}
	return len(r.Peers) == 0
}

func (r *Rule) matchesPorts(f *Flow) bool {
	for _, p := range r.Ports {
		if p.match(f) {
			return true
		}
	}
	return len(r.Ports) == 0
}

func (r *Rule) matchesHTTP(f *Flow) bool {
	switch {
	case len(r.HTTP) == 0:
		return true
	case f.Request == nil:
		return f.Proxied != r.Deny
	}
	for i := range r.HTTP {
		if r.HTTP[i].Matches(f.Request, r.Deny) {
			return true
		}
	}
	return false
}

// RuleRef says what decided. The zero value: no policy selects the workload.
type RuleRef struct {
	Policy    PolicyName
	Direction Direction
	Index     int // of the rule in its list; Default: none matched, and the policy selects the workload
}

// Default as an Index stands for the default deny of a selected workload.
const Default = -1

func (r RuleRef) String() string {
	switch {
	case r == RuleRef{}:
		return "no policy"
	case r.Index == Default:
		return fmt.Sprintf("%s default deny (%s)", r.Policy, r.Direction)
	}
	return fmt.Sprintf("%s %s[%d]", r.Policy, r.Direction, r.Index)
}
