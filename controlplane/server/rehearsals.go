package server

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/gabion-io/gabion/controlplane/proposal"
	"github.com/gabion-io/gabion/controlplane/store"
)

// Rehearsing is a rehearsal that runs or has run: poll it, or follow its stream.
type Rehearsing struct {
	ID       string              `json:"id"`
	State    JobState            `json:"state" enum:"running,done,failed,canceled"`
	Author   string              `json:"author"`
	Proposal string              `json:"proposal,omitempty" doc:"the proposal rehearsed; absent: a candidate that was sent"`
	Started  time.Time           `json:"started"`
	Ended    time.Time           `json:"ended,omitzero"`
	Done     int                 `json:"done" doc:"exchanges judged so far"`
	Total    int                 `json:"total" doc:"exchanges to judge, as far as known"`
	Error    string              `json:"error,omitempty"`
	Result   *proposal.Rehearsal `json:"result,omitempty"`
}

// finish notes the end of the work.
func (v *Rehearsing) finish(ctx context.Context, err error, now time.Time) {
	v.Ended = now
	switch {
	case err == nil:
		v.State = JobDone
	case errors.Is(ctx.Err(), context.Canceled):
		v.State, v.Error = JobCanceled, "canceled"
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		v.State, v.Error = JobFailed, fmt.Sprintf("not finished after %s; rehearse a shorter time with --since", jobLongest)
	default:
		v.State, v.Error = JobFailed, err.Error()
	}
}

func (a *api) rehearsalOperations() {
	route(a, operation{id: "rehearse", method: http.MethodPost, path: "/rehearsals", tag: "rehearsals", role: store.RoleEditor, status: http.StatusAccepted,
		summary: "Rehearse a candidate on recorded traffic"}, a.rehearse)
	route(a, operation{id: "rehearse-proposal", method: http.MethodPost, path: "/proposals/{id}/rehearse", tag: "rehearsals", role: store.RoleEditor, status: http.StatusAccepted,
		summary: "Rehearse a proposal on recorded traffic"}, a.rehearseProposal)
	route(a, operation{id: "get-rehearsal", method: http.MethodGet, path: "/rehearsals/{id}", tag: "rehearsals", role: store.RoleViewer,
		summary: "Get a rehearsal: how far it is, or its outcome"}, a.getRehearsal)
	route(a, operation{id: "follow-rehearsal", method: http.MethodGet, path: "/rehearsals/{id}/stream", tag: "rehearsals", role: store.RoleViewer,
		summary: "Follow a rehearsal as server-sent events"}, a.followRehearsal)
	route(a, operation{id: "cancel-rehearsal", method: http.MethodDelete, path: "/rehearsals/{id}", tag: "rehearsals", role: store.RoleEditor, status: http.StatusNoContent,
		summary: "Stop a rehearsal"}, a.cancelRehearsal)
}

// Span is a time to look at.
type Span struct {
	Since time.Time `query:"since" doc:"exchanges from then on; absent: all"`
	Until time.Time `query:"until"`
}

type rehearseInput struct {
	Span
	Name    string `query:"name" maxLength:"1024"`
	RawBody []byte `contentType:"application/yaml" doc:"the candidate, one manifest"`
}

func (a *api) rehearse(ctx context.Context, in *rehearseInput) (*bodyOf[Rehearsing], error) {
	desk, err := a.desk()
	if err != nil {
		return nil, err
	}
	docs, err := decodeManifests(in.Name, in.RawBody)
	if err != nil {
		return nil, err
	}
	if len(docs) != 1 {
		return nil, huma.Error422UnprocessableEntity("a rehearsal takes one resource at a time")
	}
	return a.begin(ctx, "", func(ctx context.Context, p proposal.Progress) (*proposal.Rehearsal, error) {
		r, err := desk.RehearseCandidate(ctx, docs[0].canonical, proposal.RehearseOptions{Since: in.Since, Until: in.Until, Progress: p})
		return &r, err
	})
}

type rehearseProposalInput struct {
	ProposalPath
	Span
}

func (a *api) rehearseProposal(ctx context.Context, in *rehearseProposalInput) (*bodyOf[Rehearsing], error) {
	desk, err := a.desk()
	if err != nil {
		return nil, err
	}
	found, err := desk.Get(ctx, in.ID)
	if err != nil {
		return nil, deskError(err)
	}
	return a.begin(ctx, found.ID, func(ctx context.Context, p proposal.Progress) (*proposal.Rehearsal, error) {
		done, err := desk.Rehearse(ctx, found.ID, proposal.RehearseOptions{Since: in.Since, Until: in.Until, Progress: p})
		return done.Rehearsal, err
	})
}

// begin starts a rehearsal in the background, with its audit entry: recordings
// are opened for it.
func (a *api) begin(ctx context.Context, proposalID string, work func(context.Context, proposal.Progress) (*proposal.Rehearsal, error)) (*bodyOf[Rehearsing], error) {
	j, ok := a.jobs.start(caller(ctx).Name, func(ctx context.Context, j *job) error {
		j.update(func(v *Rehearsing) { v.Proposal = proposalID })
		result, err := work(ctx, a.throttled(j))
		if err == nil {
			j.update(func(v *Rehearsing) { v.Result = result })
		}
		return err
	})
	if !ok {
		return nil, huma.Error429TooManyRequests(fmt.Sprintf("%d rehearsals are running; wait for one to end or stop it", maxRunning))
	}
	a.note(ctx, "rehearse", proposalID, "rehearsal "+j.snapshot().ID)
	return &bodyOf[Rehearsing]{j.snapshot()}, nil
}

// throttled passes progress on a few times a second.
func (a *api) throttled(j *job) proposal.Progress {
	var last time.Time
	return func(done, total int) {
		if now := a.Now(); done == total || now.Sub(last) >= progressGap {
			last = now
			j.update(func(v *Rehearsing) { v.Done, v.Total = done, total })
		}
	}
}

type rehearsalInput struct {
	ID string `path:"id" maxLength:"64"`
}

func (a *api) job(id string) (*job, error) {
	j, ok := a.jobs.get(id)
	if !ok {
		return nil, fmt.Errorf("rehearsal %s: %w", id, ErrNotFound)
	}
	return j, nil
}

func (a *api) getRehearsal(_ context.Context, in *rehearsalInput) (*bodyOf[Rehearsing], error) {
	j, err := a.job(in.ID)
	if err != nil {
		return nil, err
	}
	return &bodyOf[Rehearsing]{j.snapshot()}, nil
}

func (a *api) followRehearsal(_ context.Context, in *rehearsalInput) (*huma.StreamResponse, error) {
	j, err := a.job(in.ID)
	if err != nil {
		return nil, err
	}
	return a.streaming(func(ctx context.Context, s *stream) error {
		for {
			v, changed := j.watch()
			if err := s.send("", "rehearsal", v); err != nil || v.State != JobRunning {
				return err
			}
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-changed:
			case <-s.beats.C:
				if err := s.beat(); err != nil {
					return err
				}
			}
		}
	}), nil
}

func (a *api) cancelRehearsal(ctx context.Context, in *rehearsalInput) (*struct{}, error) {
	j, err := a.job(in.ID)
	if err != nil {
		return nil, err
	}
	j.cancel()
	a.note(ctx, "rehearse cancel", in.ID, "")
	return nil, nil
}
