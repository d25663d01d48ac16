package proposal

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"github.com/gabion-io/gabion/controlplane/api/v1alpha1"
	"github.com/gabion-io/gabion/controlplane/store"
)

// Acceptance is what came of accepting.
type Acceptance struct {
	Proposal Proposal `json:"proposal"`
	Written  bool     `json:"written"`            // the resource was written by this call
	Revision int64    `json:"revision,omitempty"` // of the resource written
	// Patch and File are set for a resource owned by a file: nothing was changed,
	// this is what to change. After it is, accept again closes the proposal.
	Patch string `json:"patch,omitempty"`
	File  string `json:"file,omitempty"`
}

// Accept writes the candidate. Accepting what is accepted changes nothing. What the
// candidate is judged by is what it is written into.
func (d *Desk) Accept(ctx context.Context, id, author string) (a Acceptance, err error) {
	err = d.o.World.Judged(ctx, func(mark store.Mark) (err error) {
		a, err = d.accept(ctx, id, store.PutOptions{Author: author, Action: "accept", Judged: &mark})
		return err
	})
	if errors.Is(err, store.ErrMoved) {
		return Acceptance{}, fmt.Errorf("%w: others change resources all the time; accept %s again", ErrBaseChanged, id)
	}
	return a, err
}

func (d *Desk) accept(ctx context.Context, id string, o store.PutOptions) (Acceptance, error) {
	p, err := d.Get(ctx, id)
	if err != nil {
		return Acceptance{}, err
	}
	switch p.State {
	case Accepted:
		return Acceptance{Proposal: p}, nil
	case Rejected:
		return Acceptance{}, fmt.Errorf("%w: %s was rejected by %s", ErrDecided, id, p.DecidedBy)
	case Proposed:
	}
	base, text, err := d.current(ctx, p.Base)
	if err != nil {
		return Acceptance{}, err
	}
	if text != nil && contains(text, p) { // a person made the change: nothing is left to write
		return d.decide(ctx, p, nil, o)
	}
	if !base.same(p.Base) {
		return Acceptance{}, fmt.Errorf("%w: %s; rehearse %s again, then accept it", ErrBaseChanged, base, id)
	}
	if _, err := d.effective(ctx, []byte(p.Candidate)); err != nil {
		return Acceptance{}, fmt.Errorf("check the candidate of proposal %s: %w", id, err)
	}
	if base.Origin == string(store.OriginFile) {
		return Acceptance{Proposal: p, Patch: p.Patch, File: base.File}, nil
	}
	o.ExpectRevision = &base.Revision
	return d.decide(ctx, p, &store.Resource{Key: base.key(), Origin: store.OriginStore, Manifest: []byte(p.Candidate), Author: o.Author}, o)
}

// contains: the resource excludes already what the proposal adds, or is the policy
// it proposes.
func contains(text []byte, p Proposal) bool {
	if p.Kind == KindSegmentation || p.Kind == KindAPI {
		return sameResource(text, []byte(p.Candidate))
	}
	policy, err := decodePolicy(text)
	return err == nil && len(p.Exclusions) > 0 && len(missing(policy, p.Exclusions)) == 0
}

// sameResource says whether two manifests say the same.
func sameResource(a, b []byte) bool {
	var canonical [2][]byte
	for i, text := range [][]byte{a, b} {
		objects, problems := v1alpha1.Decode("manifest", text)
		if len(objects) != 1 || len(problems) > 0 {
			return false
		}
		var err error
		if canonical[i], err = v1alpha1.Encode(objects[0]); err != nil {
			return false
		}
	}
	return bytes.Equal(canonical[0], canonical[1])
}

func (d *Desk) decide(ctx context.Context, p Proposal, r *store.Resource, o store.PutOptions) (Acceptance, error) {
	decided, err := d.o.Store.DecideProposal(ctx, p.ID, store.ProposalAccepted, r, o)
	var conflict *store.ConflictError
	switch {
	case errors.As(err, &conflict):
		return Acceptance{}, fmt.Errorf("%w: %w; rehearse %s again, then accept it", ErrBaseChanged, err, p.ID)
	case errors.Is(err, store.ErrExists): // someone else was faster
		if now, again := d.Get(ctx, p.ID); again == nil && now.State == Accepted {
			return Acceptance{Proposal: now}, nil
		}
		return Acceptance{}, fmt.Errorf("%w: %s", ErrDecided, p.ID)
	case err != nil:
		return Acceptance{}, fmt.Errorf("accept proposal %s: %w", p.ID, err)
	}
	out := Acceptance{Written: r != nil}
	if out.Proposal, err = fromStored(decided); err != nil {
		return Acceptance{}, err
	}
	if r != nil {
		written, err := d.o.Store.Resource(ctx, r.Key)
		if err != nil {
			return out, fmt.Errorf("read %s after writing it: %w", r.Key, err)
		}
		out.Revision = written.Revision
	}
	return out, nil
}

// current reads the resource as it stands; one that is not there is a base of
// revision 0 without text.
func (d *Desk) current(ctx context.Context, b Base) (Base, []byte, error) {
	r, err := d.o.World.Resource(ctx, b.key())
	if errors.Is(err, ErrNotFound) {
		return Base{Kind: b.Kind, Namespace: b.Namespace, Name: b.Name}, nil, nil
	}
	if err != nil {
		return Base{}, nil, fmt.Errorf("read %s: %w", b, err)
	}
	return baseOf(r), r.Manifest, nil
}

// Reject closes the proposal. Rejecting what is rejected changes nothing.
func (d *Desk) Reject(ctx context.Context, id, author, reason string) (Proposal, error) {
	p, err := d.Get(ctx, id)
	if err != nil {
		return Proposal{}, err
	}
	switch p.State {
	case Rejected:
		return p, nil
	case Accepted:
		return Proposal{}, fmt.Errorf("%w: %s was accepted by %s; to undo it, roll %s back", ErrDecided, id, p.DecidedBy, p.Base)
	case Proposed:
	}
	if reason != "" {
		p.Reason = reason
		if p, err = d.put(ctx, p); err != nil {
			return Proposal{}, err
		}
	}
	decided, err := d.o.Store.DecideProposal(ctx, id, store.ProposalRejected, nil, store.PutOptions{Author: author, Action: "reject", Note: reason})
	if errors.Is(err, store.ErrExists) {
		if now, again := d.Get(ctx, id); again == nil && now.State == Rejected {
			return now, nil
		}
		return Proposal{}, fmt.Errorf("%w: %s", ErrDecided, id)
	}
	if err != nil {
		return Proposal{}, fmt.Errorf("reject proposal %s: %w", id, err)
	}
	return fromStored(decided)
}

// Get returns one proposal or ErrNotFound.
func (d *Desk) Get(ctx context.Context, id string) (Proposal, error) {
	s, err := d.o.Store.Proposal(ctx, id)
	if err != nil {
		return Proposal{}, fmt.Errorf("read proposal %s: %w", id, err)
	}
	return fromStored(s)
}

// List returns proposals, newest first; state "": all.
func (d *Desk) List(ctx context.Context, state State) ([]Proposal, error) {
	stored, err := d.o.Store.Proposals(ctx, statusOf(state))
	if err != nil {
		return nil, fmt.Errorf("list proposals: %w", err)
	}
	out := make([]Proposal, 0, len(stored))
	for _, s := range stored {
		p, err := fromStored(s)
		if err != nil {
			d.o.Log.Warn("proposal cannot be read", "id", s.ID, "error", err)
			continue
		}
		out = append(out, p)
	}
	return out, nil
}
