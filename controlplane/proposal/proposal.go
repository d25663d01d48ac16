// Package proposal is what stands between what gabion learned and what it
// enforces: a Proposal is a candidate resource with its evidence, which can be
// rehearsed on recorded traffic, and which a person accepts or rejects.
// Accepting writes a resource through the same front door as any other;
// nothing here enforces anything.
//
// It judges only by the filter's own engine (filters/chain) and holds no
// engine, no compiler and no database of its own: the composition root gives
// it what it needs (Options). The REST server and the composition root import it.
package proposal

import (
	"time"

	wafrules "github.com/gabion-io/gabion/waf-rules"
)

// State is where a proposal stands.
type State string

const (
	Proposed State = "proposed"
	Accepted State = "accepted"
	Rejected State = "rejected"
)

// KindExclusion is a proposal that takes rules away from where they misfire.
const KindExclusion = "exclusion"

// Learned is the author of proposals that no person asked for.
const Learned = "learned"

// Proposal is a candidate resource with its evidence. Its JSON form is stored
// and served; fields are only ever added.
type Proposal struct {
	ID        string    `json:"id"`
	Kind      string    `json:"kind"` // "exclusion", "segmentation", "api"
	State     State     `json:"state"`
	Title     string    `json:"title"` // one line: "exclude 942100 from ARGS:q on GET /search"
	Created   time.Time `json:"created"`
	Author    string    `json:"author"`              // token name, or "learned"
	DecidedBy string    `json:"decidedBy,omitempty"` // who accepted or rejected
	Decided   time.Time `json:"decided,omitzero"`
	Reason    string    `json:"reason,omitempty"` // why it was rejected

	Base       Base                 `json:"base"`
	Exclusions []wafrules.Exclusion `json:"exclusions"` // what the candidate adds
	Candidate  string               `json:"candidate"`  // the resource as it would be written, YAML
	Patch      string               `json:"patch"`      // unified diff from the base to the candidate

	Evidence  Evidence   `json:"evidence"`
	Rehearsal *Rehearsal `json:"rehearsal,omitempty"` // nil: not rehearsed yet

	Network *NetworkEvidence `json:"network,omitempty"` // of kind "segmentation"
	API     *APIEvidence     `json:"api,omitempty"`     // of kind "api"
}

// Base is the resource a proposal was made on.
type Base struct {
	Kind      string `json:"kind"` // "WAFPolicy"
	Namespace string `json:"namespace"`
	Name      string `json:"name"`
	Origin    string `json:"origin,omitempty"` // "file", "store", "cluster"; empty: does not exist yet
	File      string `json:"file,omitempty"`   // where a file-owned resource lies
	Revision  int64  `json:"revision"`         // 0: does not exist yet
	Digest    string `json:"digest,omitempty"` // sha256 of its text, hex
}

func (b Base) String() string { return b.Kind + " " + b.Namespace + "/" + b.Name }
