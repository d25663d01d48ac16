package proposal

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/gabion-io/gabion/controlplane/api/v1alpha1"
)

// KindSegmentation is a proposal of a policy for the network.
const KindSegmentation = "segmentation"

// ErrNoNetwork: this control plane keeps no flows.
var ErrNoNetwork = errors.New("there is nothing here that learns from flows")

// Network learns policies from the edges that are kept, and tries them on these.
type Network interface {
	Learn(ctx context.Context, o LearnOptions) (Lesson, error)
	// Rehearse judges the edges seen since then by the policies in force, and by
	// these with the candidate, enforced, in place of the resource it names.
	Rehearse(ctx context.Context, candidate []byte, o RehearseOptions) (NetworkRehearsal, error)
}

// LearnOptions narrow what is learned.
type LearnOptions struct {
	Since     time.Time // edges seen since; zero: all that are kept
	Namespace string    // policies of this namespace only; empty: all
}

// Lesson is what was learned at once.
type Lesson struct {
	Policies []LearnedPolicy
	Looked   NetworkLooked
}

// NetworkLooked is what a lesson was learned from.
type NetworkLooked struct {
	Begin      time.Time `json:"begin,omitzero"`
	End        time.Time `json:"end,omitzero"`
	Edges      int       `json:"edges"`      // different ones
	Known      int       `json:"known"`      // that policies in force allow already
	Unanswered int       `json:"unanswered"` // attempts, which are no evidence
	Held       int       `json:"held"`       // of the shape of an attack
	Dropped    uint64    `json:"dropped"`    // beyond the bound
	Silent     int       `json:"silent"`     // workloads of which no edge was learned: nothing is proposed for them
	Anomalies  []string  `json:"anomalies"`  // shown apart, and not learned
	Unused     []string  `json:"unused"`     // rules in force that no edge used for long, with their last use
}

// LearnedPolicy is a policy with what it rests on.
type LearnedPolicy struct {
	Namespace, Name string
	Manifest        []byte
	Evidence        NetworkEvidence
}

// NetworkEvidence is why a policy was proposed.
type NetworkEvidence struct {
	Begin     time.Time      `json:"begin"`
	End       time.Time      `json:"end"`
	Selects   string         `json:"selects"`
	Workloads int            `json:"workloads"`
	Members   []string       `json:"members"`          // at most MaxMembers
	Amends    bool           `json:"amends,omitempty"` // it adds to policies in force
	Ingress   NetworkSide    `json:"ingress"`
	Egress    NetworkSide    `json:"egress"`
	Complete  CompletenessOf `json:"completeness"`        // of both sides
	Anomalies []string       `json:"anomalies,omitempty"` // of its workloads, shown apart
}

// MaxMembers bounds the workloads listed in evidence.
const MaxMembers = 50

// NetworkSide is one direction of a learned policy.
type NetworkSide struct {
	Governed bool            `json:"governed"` // with no rule: nothing is allowed
	Rules    []NetworkReason `json:"rules"`
	Complete CompletenessOf  `json:"completeness"`
}

// NetworkReason is a rule and what it rests on.
type NetworkReason struct {
	Rule      string    `json:"rule"` // "to app=db TCP 5432"
	Why       string    `json:"why"`
	Rare      string    `json:"rare,omitempty"` // why somebody should look at it
	Flows     uint64    `json:"flows"`
	Edges     int       `json:"edges"`
	First     time.Time `json:"first"`
	Last      time.Time `json:"last"`
	Processes []string  `json:"processes,omitempty"`
}

// CompletenessOf is the probability that the next sighting is of an edge that no
// rule allows, with its 90 % interval.
type CompletenessOf struct {
	Sightings int     `json:"sightings"`
	Unseen    float64 `json:"unseen"`
	Low       float64 `json:"low"`
	High      float64 `json:"high"`
}

// NetworkRehearsal is what a candidate would have done to recorded edges.
type NetworkRehearsal struct {
	NetworkOutcome
	Coverage Coverage
}

// NetworkOutcome is the part of it that is about the network.
type NetworkOutcome struct {
	Edges     int             `json:"edges"`
	Denied    int             `json:"newlyDenied"`
	Allowed   int             `json:"newlyAllowed"`
	WasDenied []NetworkChange `json:"deniedExamples"`
	NowOpen   []NetworkChange `json:"allowedExamples"`
	Workloads int             `json:"workloads"`
	Ports     int             `json:"ports"` // that anybody was seen to serve
	Reach     []NetworkReach  `json:"reach"` // the policy's workloads first
}

// NetworkChange is an edge whose verdict changes.
type NetworkChange struct {
	Src     string `json:"src"`
	Dst     string `json:"dst"`
	Service string `json:"service"`
	Flows   uint64 `json:"flows"`
	Rule    string `json:"rule"`
}

// NetworkReach is what somebody who has taken over a workload reaches.
type NetworkReach struct {
	From            string `json:"from"`
	WorkloadsBefore int    `json:"workloadsBefore"`
	WorkloadsAfter  int    `json:"workloadsAfter"`
	PortsBefore     int    `json:"portsBefore"`
	PortsAfter      int    `json:"portsAfter"`
}

// LearnPolicies makes a proposal of every policy that can be learned now. One that
// is open already for the same resource is amended, not doubled.
func (d *Desk) LearnPolicies(ctx context.Context, author string, o LearnOptions) ([]Proposal, NetworkLooked, error) {
	if d.o.Network == nil {
		return nil, NetworkLooked{}, ErrNoNetwork
	}
	lesson, err := d.o.Network.Learn(ctx, o)
	if err != nil {
		return nil, NetworkLooked{}, fmt.Errorf("learn policies: %w", err)
	}
	open, err := d.List(ctx, Proposed)
	if err != nil {
		return nil, lesson.Looked, err
	}
	var out []Proposal
	for _, l := range lesson.Policies {
		p, err := d.policyProposal(ctx, author, l, open)
		if err != nil {
			return out, lesson.Looked, err
		}
		out = append(out, p)
	}
	return out, lesson.Looked, nil
}

func (d *Desk) policyProposal(ctx context.Context, author string, l LearnedPolicy, open []Proposal) (Proposal, error) {
	base, text, err := d.current(ctx, Base{Kind: v1alpha1.KindSegmentation, Namespace: l.Namespace, Name: l.Name})
	if err != nil {
		return Proposal{}, err
	}
	p := Proposal{ID: d.o.NewID(), Created: d.o.Now().UTC()}
	for _, old := range open {
		if old.Kind == KindSegmentation && old.Base.key() == base.key() {
			p = Proposal{ID: old.ID, Created: old.Created}
		}
	}
	e := l.Evidence
	p.Kind, p.State, p.Author, p.Base, p.Candidate = KindSegmentation, Proposed, author, base, string(l.Manifest)
	p.Patch = home{base: base, text: text}.patch(l.Manifest)
	who := fmt.Sprintf("%d workloads", e.Workloads)
	if e.Workloads == 1 {
		who = "1 workload"
	}
	p.Title = fmt.Sprintf("let %s (%s/%s) do what was seen, and no more", who, l.Namespace, l.Name)
	if e.Amends {
		p.Title = fmt.Sprintf("allow %s (%s/%s) what was seen since", who, l.Namespace, l.Name)
	}
	p.Evidence.Supplied, p.Evidence.First, p.Evidence.Last = "learned from "+edgesText(e.edges()), e.Begin, e.End
	p.Evidence.Events = []string{}
	p.Network = &e
	return d.put(ctx, p)
}

func edgesText(n int) string {
	if n == 1 {
		return "1 edge"
	}
	return fmt.Sprintf("%d edges", n)
}

func (e *NetworkEvidence) edges() (n int) {
	for _, s := range []NetworkSide{e.Ingress, e.Egress} {
		for _, r := range s.Rules {
			n += r.Edges
		}
	}
	return n
}

// rehearsePolicy runs a policy over the recorded edges and stores the outcome.
func (d *Desk) rehearsePolicy(ctx context.Context, p Proposal, o RehearseOptions) (Proposal, error) {
	if d.o.Network == nil {
		return Proposal{}, ErrNoNetwork
	}
	base, text, err := d.current(ctx, p.Base)
	if err != nil {
		return Proposal{}, err
	}
	if !base.same(p.Base) {
		p.Base, p.Patch = base, home{base: base, text: text}.patch([]byte(p.Candidate))
	}
	r, err := d.rehearseNetwork(ctx, []byte(p.Candidate), o)
	if err != nil {
		return Proposal{}, err
	}
	r.Base = p.Base
	p.Rehearsal = &r
	return d.put(ctx, p)
}

func (d *Desk) rehearseNetwork(ctx context.Context, candidate []byte, o RehearseOptions) (Rehearsal, error) {
	n, err := d.o.Network.Rehearse(ctx, candidate, o)
	if err != nil {
		return Rehearsal{}, fmt.Errorf("rehearse: %w", err)
	}
	return Rehearsal{
		At: d.o.Now().UTC(), Candidate: digest(candidate), Judged: n.Edges, NewlyBlocked: n.Denied, NewlyPassed: n.Allowed,
		Unchanged: n.Edges - n.Denied - n.Allowed, Coverage: n.Coverage, Network: &n.NetworkOutcome,
	}, nil
}

// isPolicy says whether a manifest is a policy for the network.
func isPolicy(candidate []byte) bool {
	objects, _ := v1alpha1.Decode("candidate", candidate)
	if len(objects) != 1 {
		return false
	}
	return v1alpha1.KeyOf(objects[0]).Kind == v1alpha1.KindSegmentation
}
