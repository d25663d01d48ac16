package learn

import (
	"time"

	"github.com/gabion-io/gabion/segmentation"
	"github.com/gabion-io/gabion/workload"
)

// Draft is everything that was learned.
type Draft struct {
	Observation Observation
	Proposals   []Proposal // by policy name
	Anomalies   []Anomaly  // by time
}

// Observation is what a draft was learned from.
type Observation struct {
	Begin, End time.Time
	Window     time.Duration // in which a second sighting counts no more
	Edges      int           // different ones
	Unanswered int           // of them: no evidence
	Held       int           // of them: shown apart
	Dropped    uint64        // records beyond the bound
	Stray      int           // edges seen far from all others: a clock is wrong
}

// Proposal is a candidate policy for a group of workloads, with its evidence.
type Proposal struct {
	Policy       segmentation.Policy
	Members      []workload.ID
	Ingress      Side
	Egress       Side
	Completeness Completeness // of both directions together
}

// Side is one direction of a proposal.
type Side struct {
	Evidence     []Evidence // of the policy's rules, in their order
	Completeness Completeness
}

// In returns a proposal's side.
func (p *Proposal) In(d segmentation.Direction) *Side {
	if d == segmentation.Egress {
		return &p.Egress
	}
	return &p.Ingress
}

// Evidence is why a rule was proposed.
type Evidence struct {
	What      string // "DNS", "health checks", "the public"; empty: nothing special
	Edges     int    // between workloads
	Flows     uint64
	Bytes     uint64
	First     time.Time
	Last      time.Time
	Windows   int           // of time, in which it was seen
	Sources   int           // workloads or addresses that opened flows
	Rare      string        // why somebody should look at it; empty: it is not rare
	Period    time.Duration // of a job that comes back; 0: none shows
	Processes []string
	Examples  []string // a few edges
}
