package proposal

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/gabion-io/gabion/controlplane/api/v1alpha1"
	"github.com/gabion-io/gabion/controlplane/store"
	"github.com/gabion-io/gabion/internal/recording"
)

// RehearseOptions bound a rehearsal.
type RehearseOptions struct {
	Since, Until time.Time // zero: all there is
	Progress     Progress
}

// Rehearse runs a stored proposal over the recordings and stores the outcome.
// A proposal whose base changed is written anew on the base of today first. Known
// attacks are tried again: what an exclusion opens is a matter of what else is in
// force. Its evidence about events stays that of the day it was made.
func (d *Desk) Rehearse(ctx context.Context, id string, o RehearseOptions) (Proposal, error) {
	p, err := d.Get(ctx, id)
	if err != nil {
		return Proposal{}, err
	}
	if p.State != Proposed {
		return Proposal{}, fmt.Errorf("%w: %s was %s by %s", ErrDecided, id, p.State, p.DecidedBy)
	}
	if p.Kind == KindSegmentation {
		return d.rehearsePolicy(ctx, p, o)
	}
	if p, err = d.rebase(ctx, p); err != nil {
		return Proposal{}, err
	}
	r, err := d.RehearseCandidate(ctx, []byte(p.Candidate), o)
	if err != nil {
		return Proposal{}, err
	}
	r.Base = p.Base
	p.Rehearsal = &r
	if p.Kind == KindExclusion {
		if p.Evidence.Opens, err = d.reprice(ctx, p); err != nil {
			return Proposal{}, err
		}
	}
	return d.put(ctx, p)
}

// reprice tries the known attacks against what is in force now, where the events
// were that the proposal is about: all of them if all were tried before.
func (d *Desk) reprice(ctx context.Context, p Proposal) (Opens, error) {
	before, err := d.o.World.Effective(ctx, nil)
	if err != nil {
		return Opens{}, fmt.Errorf("compile the policies in force: %w", err)
	}
	after, err := d.effective(ctx, []byte(p.Candidate))
	if err != nil {
		return Opens{}, fmt.Errorf("compile the candidate: %w", err)
	}
	for _, id := range p.Evidence.Events {
		e, err := d.o.Store.Event(ctx, id)
		if errors.Is(err, store.ErrNotFound) { // no longer kept
			continue
		}
		if err != nil {
			return Opens{}, fmt.Errorf("read event %s: %w", id, err)
		}
		budget := learnedBudget * d.o.Budget
		if p.Evidence.Opens.Complete {
			budget = 0
		}
		return d.opens(ctx, AttackTrial{Exclusions: p.Exclusions, Budget: budget}, before, after, e.Event), nil
	}
	return Opens{Error: "none of its events is kept any more, so nobody knows where attacks would be tried"}, ctx.Err()
}

// rebase writes the candidate anew when the resource is not what it was.
func (d *Desk) rebase(ctx context.Context, p Proposal) (Proposal, error) {
	base, text, err := d.current(ctx, p.Base)
	if err != nil || base.same(p.Base) {
		return p, err
	}
	if p.Kind == KindAPI {
		return d.rebaseAPI(p, base, text)
	}
	h := home{base: base, text: text}
	if text == nil {
		old, err := decodePolicy([]byte(p.Candidate))
		if err != nil {
			return p, err
		}
		h.targets = old.Spec.TargetRefs
	}
	candidate, err := h.with(p.Exclusions)
	if err != nil {
		return p, fmt.Errorf("write proposal %s on %s of today: %w", p.ID, base, err)
	}
	p.Base, p.Candidate = base, string(candidate)
	p.Patch = h.patch(candidate)
	return p, nil
}

// RehearseCandidate runs any manifest over the recordings and stores nothing.
func (d *Desk) RehearseCandidate(ctx context.Context, candidate []byte, o RehearseOptions) (Rehearsal, error) {
	if d.o.Network != nil && isPolicy(candidate) {
		r, err := d.rehearseNetwork(ctx, candidate, o)
		r.Base = d.baseOfCandidate(ctx, candidate)
		return r, err
	}
	before, err := d.o.World.Effective(ctx, nil)
	if err != nil {
		return Rehearsal{}, fmt.Errorf("compile the policies in force: %w", err)
	}
	after, err := d.effective(ctx, candidate)
	if err != nil {
		return Rehearsal{}, fmt.Errorf("compile the candidate: %w", err)
	}
	r, err := Rehearse(ctx, Trial{
		Engine: d.o.Engine,
		Before: before, After: after, Recordings: d.o.Recordings, Workers: d.o.Workers, Progress: o.Progress,
		Query: recording.Query{Since: o.Since, Until: o.Until},
	})
	if err != nil {
		return Rehearsal{}, fmt.Errorf("rehearse: %w", err)
	}
	r.At, r.Candidate = d.o.Now().UTC(), digest(candidate)
	r.Base = d.baseOfCandidate(ctx, candidate)
	if d.o.Lost != nil {
		if r.Coverage.Lost, err = d.o.Lost(ctx); err != nil {
			r.Coverage.LostUnknown = err.Error()
		}
		r.Coverage.Summary = summary(r)
	}
	return r, nil
}

// baseOfCandidate names the resource a candidate would replace; of several, the
// first.
func (d *Desk) baseOfCandidate(ctx context.Context, candidate []byte) Base {
	objects, _ := v1alpha1.Decode("candidate", candidate)
	if len(objects) == 0 {
		return Base{}
	}
	k := store.Key(v1alpha1.KeyOf(objects[0]))
	base, _, err := d.current(ctx, Base{Kind: k.Kind, Namespace: k.Namespace, Name: k.Name})
	if err != nil {
		return Base{Kind: k.Kind, Namespace: k.Namespace, Name: k.Name}
	}
	return base
}
