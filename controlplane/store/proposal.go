package store

import (
	"context"
	"time"
)

// ProposalStatus is where a proposal stands.
type ProposalStatus string

const (
	ProposalOpen     ProposalStatus = "open"
	ProposalAccepted ProposalStatus = "accepted"
	ProposalRejected ProposalStatus = "rejected"
)

// Proposal is a candidate change with its evidence; what Body says is
// controlplane/proposal's business.
type Proposal struct {
	ID           string         `json:"id"`
	Kind         string         `json:"kind"` // "exclusion"
	Target       Key            `json:"target"`
	BaseRevision int64          `json:"baseRevision"` // of Target when it was made; 0: did not exist
	Status       ProposalStatus `json:"status"`
	Body         []byte         `json:"body"` // JSON
	Author       string         `json:"author"`
	Created      time.Time      `json:"created"`
	Updated      time.Time      `json:"updated"`
	DecidedBy    string         `json:"decidedBy,omitempty"`
}

// PutProposal writes a new or changed proposal; ID is required, times are
// filled in. A decided proposal cannot be changed: ErrExists.
func (s *Store) PutProposal(ctx context.Context, p Proposal) (Proposal, error) { panic("todo") }

// DecideProposal closes an open proposal, with its audit entry. When accepted
// with a resource, the resource is written in the same transaction
// (o.ExpectRevision as in PutResource).
func (s *Store) DecideProposal(ctx context.Context, id string, status ProposalStatus, r *Resource, o PutOptions) (Proposal, error) {
	panic("todo")
}

func (s *Store) Proposal(ctx context.Context, id string) (Proposal, error) { panic("todo") }

// Proposals lists, newest first; status "": all.
func (s *Store) Proposals(ctx context.Context, status ProposalStatus) ([]Proposal, error) {
	panic("todo")
}
