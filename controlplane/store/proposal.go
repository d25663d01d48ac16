package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/uptrace/bun"
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

type proposalRow struct {
	bun.BaseModel   `bun:"table:proposals"`
	ID              string `bun:",pk"`
	Kind            string
	TargetKind      string
	TargetNamespace string
	TargetName      string
	BaseRevision    int64
	Status          ProposalStatus
	Body            string
	Author          string
	Created         int64
	Updated         int64
	DecidedBy       string
	Size            int64
}

func (r proposalRow) proposal() Proposal {
	return Proposal{r.ID, r.Kind, Key{r.TargetKind, r.TargetNamespace, r.TargetName}, r.BaseRevision, r.Status,
		[]byte(r.Body), r.Author, fromNanos(r.Created), fromNanos(r.Updated), r.DecidedBy}
}

func newProposalRow(p Proposal) proposalRow {
	body := text(string(p.Body))
	return proposalRow{ID: p.ID, Kind: p.Kind, TargetKind: p.Target.Kind, TargetNamespace: p.Target.Namespace,
		TargetName: p.Target.Name, BaseRevision: p.BaseRevision, Status: p.Status, Body: body, Author: text(p.Author),
		Created: nanos(p.Created), Updated: nanos(p.Updated), DecidedBy: text(p.DecidedBy), Size: int64(len(body)) + rowBytes}
}

// PutProposal writes a new or changed open proposal; ID is required, times and
// status are filled in. A decided proposal cannot be changed: ErrExists.
func (s *Store) PutProposal(ctx context.Context, p Proposal) (Proposal, error) {
	err := s.state.update(ctx, func(tx bun.Tx) error {
		if p.ID == "" {
			return errors.New("an id is required")
		}
		old, err := readProposal(ctx, tx, p.ID)
		if err != nil && !errors.Is(err, ErrNotFound) {
			return err
		}
		if err == nil && old.Status != ProposalOpen {
			return fmt.Errorf("it is %s: %w", old.Status, ErrExists)
		}
		p.Status, p.Updated, p.Created = ProposalOpen, s.o.Now().UTC(), old.Created
		if p.Created.IsZero() {
			p.Created = p.Updated
		}
		return writeProposal(ctx, tx, p)
	})
	if err != nil {
		return p, fmt.Errorf("write proposal %q: %w", p.ID, err)
	}
	return p, nil
}

func writeProposal(ctx context.Context, tx bun.Tx, p Proposal) error {
	if _, err := tx.NewDelete().Model((*proposalRow)(nil)).Where("id = ?", p.ID).Exec(ctx); err != nil {
		return err
	}
	row := newProposalRow(p)
	_, err := tx.NewInsert().Model(&row).Exec(ctx)
	return err
}

func readProposal(ctx context.Context, db bun.IDB, id string) (Proposal, error) {
	var rows []proposalRow
	if err := db.NewSelect().Model(&rows).Where("id = ?", id).Scan(ctx); err != nil {
		return Proposal{}, err
	}
	if len(rows) == 0 {
		return Proposal{}, ErrNotFound
	}
	return rows[0].proposal(), nil
}

// DecideProposal closes an open proposal (else ErrExists), with its audit entry.
// When r is given, that resource is written in the same transaction
// (o.ExpectRevision as in PutResource). o.Judged holds also without one.
func (s *Store) DecideProposal(ctx context.Context, id string, status ProposalStatus, r *Resource, o PutOptions) (Proposal, error) {
	var p Proposal
	var changed bool
	err := s.state.update(ctx, func(tx bun.Tx) (err error) {
		if p, err = readProposal(ctx, tx, id); err != nil {
			return err
		}
		if p.Status != ProposalOpen {
			return fmt.Errorf("it is %s: %w", p.Status, ErrExists)
		}
		if status != ProposalAccepted && status != ProposalRejected || o.Author == "" {
			return fmt.Errorf("status %q by author %q: accepted or rejected by somebody is wanted", status, o.Author)
		}
		p.Status, p.DecidedBy, p.Updated = status, o.Author, s.o.Now().UTC()
		if err := o.Judged.still(ctx, tx); err != nil {
			return err
		}
		if r != nil {
			if o.Action == "" {
				o.Action = "accept"
			}
			if _, changed, err = s.put(ctx, tx, *r, o); err != nil {
				return err
			}
		}
		if err := writeProposal(ctx, tx, p); err != nil {
			return err
		}
		action := map[ProposalStatus]string{ProposalAccepted: "proposal accept", ProposalRejected: "proposal reject"}[status]
		_, err = s.appendAudit(ctx, tx, AuditEntry{Author: o.Author, Action: action, Resource: "Proposal " + id, Note: o.Note})
		return err
	})
	if err != nil {
		return Proposal{}, fmt.Errorf("decide proposal %q: %w", id, err)
	}
	if changed {
		s.resources.notify()
	}
	return p, nil
}

// Proposal returns one or ErrNotFound.
func (s *Store) Proposal(ctx context.Context, id string) (Proposal, error) {
	p, err := readProposal(ctx, s.state.read, id)
	if err != nil {
		return p, fmt.Errorf("read proposal %q: %w", id, s.state.explain(err))
	}
	return p, nil
}

// Proposals lists, newest first; status "": all.
func (s *Store) Proposals(ctx context.Context, status ProposalStatus) ([]Proposal, error) {
	var rows []proposalRow
	q := s.state.read.NewSelect().Model(&rows).Order("created DESC", "id DESC")
	if status != "" {
		q = q.Where("status = ?", status)
	}
	if err := q.Scan(ctx); err != nil {
		return nil, fmt.Errorf("list proposals: %w", s.state.explain(err))
	}
	out := make([]Proposal, len(rows))
	for i, r := range rows {
		out[i] = r.proposal()
	}
	return out, nil
}
