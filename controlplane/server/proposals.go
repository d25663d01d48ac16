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

// Proposals is the review work; *proposal.Desk is one.
type Proposals interface {
	Propose(context.Context, proposal.ProposeOptions) (proposal.Proposal, error)
	Suggest(context.Context, proposal.SuggestRules) (proposal.Suggestions, error)
	Rehearse(ctx context.Context, id string, o proposal.RehearseOptions) (proposal.Proposal, error)
	RehearseCandidate(ctx context.Context, candidate []byte, o proposal.RehearseOptions) (proposal.Rehearsal, error)
	Accept(ctx context.Context, id, author string) (proposal.Acceptance, error)
	Reject(ctx context.Context, id, author, reason string) (proposal.Proposal, error)
	Get(ctx context.Context, id string) (proposal.Proposal, error)
	List(ctx context.Context, state proposal.State) ([]proposal.Proposal, error)
	ProposeAPI(context.Context, proposal.APIOptions) (proposal.Proposal, error)
	LearnPolicies(ctx context.Context, author string, o proposal.LearnOptions) ([]proposal.Proposal, proposal.NetworkLooked, error)
}

// ProposalList lists proposals, newest first.
type ProposalList struct {
	Items []proposal.Proposal `json:"items"`
}

// ProposeRequest asks for an exclusion made from events.
type ProposeRequest struct {
	Events []string `json:"events" minItems:"1" maxItems:"1000" doc:"ids, or unambiguous prefixes of ids"`
	Full   bool     `json:"full,omitempty" doc:"try every attack of the regression suite, however long it takes"`
	DryRun bool     `json:"dryRun,omitempty" doc:"make it and do not keep it"`
}

// RejectRequest says why.
type RejectRequest struct {
	Reason string `json:"reason,omitempty" maxLength:"1000"`
}

func (a *api) proposalOperations() {
	route(a, operation{id: "list-proposals", method: http.MethodGet, path: "/proposals", tag: "proposals", role: store.RoleViewer,
		summary: "List proposals, newest first"}, a.listProposals)
	route(a, operation{id: "get-proposal", method: http.MethodGet, path: "/proposals/{id}", tag: "proposals", role: store.RoleViewer,
		summary: "Get a proposal with its evidence"}, a.getProposal)
	route(a, operation{id: "propose", method: http.MethodPost, path: "/proposals", tag: "proposals", role: store.RoleEditor, status: http.StatusCreated, long: true,
		summary: "Propose the narrowest exclusion that lets these events pass"}, a.propose)
	route(a, operation{id: "suggest", method: http.MethodPost, path: "/proposals/suggest", tag: "proposals", role: store.RoleEditor, long: true,
		summary: "Let gabion learn exclusions from the stored events, rehearsed and with their price"}, a.suggest)
	route(a, operation{id: "learn-policies", method: http.MethodPost, path: "/segmentation/propose", tag: "proposals", role: store.RoleEditor, long: true,
		summary: "Learn segmentation policies from the edges that are kept, as proposals"}, a.learnPolicies)
	route(a, operation{id: "propose-api", method: http.MethodPost, path: "/apis/propose", tag: "proposals", role: store.RoleEditor, status: http.StatusCreated, long: true,
		summary: "Propose an APIPolicy from what is learned or declared of a service, rehearsed"}, a.proposeAPI)
	route(a, operation{id: "accept-proposal", method: http.MethodPost, path: "/proposals/{id}/accept", tag: "proposals", role: store.RoleEditor, long: true,
		summary: "Write the proposal's resource"}, a.acceptProposal)
	route(a, operation{id: "reject-proposal", method: http.MethodPost, path: "/proposals/{id}/reject", tag: "proposals", role: store.RoleEditor,
		summary: "Close the proposal without writing"}, a.rejectProposal)
}

// desk is the review work, or a clear no where there is none.
func (a *api) desk() (Proposals, error) {
	if a.Proposals == nil {
		return nil, fmt.Errorf("proposals are %w", ErrDisabled)
	}
	return a.Proposals, nil
}

// deskError chooses the answer to what the review work refuses.
func deskError(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, proposal.ErrDecided), errors.Is(err, proposal.ErrBaseChanged):
		return huma.Error409Conflict(err.Error())
	case errors.Is(err, proposal.ErrNoNetwork):
		return fmt.Errorf("%w: %w", err, ErrDisabled)
	case errors.Is(err, proposal.ErrNoAPI), errors.Is(err, proposal.ErrNotExcludable), errors.Is(err, proposal.ErrInvalid):
		return huma.Error422UnprocessableEntity(err.Error())
	}
	return err
}

// ProposalPath names a proposal in a path. Its fields are exported, as those of
// every embedded input, because only such are read from the request.
type ProposalPath struct {
	ID string `path:"id" minLength:"1" maxLength:"64" pattern:"^[0-9A-Za-z_-]+$"`
}

type proposalsInput struct {
	State proposal.State `query:"state" enum:"proposed,accepted,rejected"`
}

func (a *api) listProposals(ctx context.Context, in *proposalsInput) (*bodyOf[ProposalList], error) {
	desk, err := a.desk()
	if err != nil {
		return nil, err
	}
	ps, err := desk.List(ctx, in.State)
	return &bodyOf[ProposalList]{ProposalList{orEmpty(ps)}}, deskError(err)
}

func (a *api) getProposal(ctx context.Context, in *ProposalPath) (*bodyOf[proposal.Proposal], error) {
	desk, err := a.desk()
	if err != nil {
		return nil, err
	}
	p, err := desk.Get(ctx, in.ID)
	return &bodyOf[proposal.Proposal]{p}, deskError(err)
}

func (a *api) propose(ctx context.Context, in *bodyOf[ProposeRequest]) (*bodyOf[proposal.Proposal], error) {
	desk, err := a.desk()
	if err != nil {
		return nil, err
	}
	ids := make([]string, len(in.Body.Events))
	for i, prefix := range in.Body.Events {
		e, err := a.findEvent(ctx, prefix)
		if err != nil {
			return nil, err
		}
		ids[i] = e.ID
	}
	p, err := desk.Propose(ctx, proposal.ProposeOptions{Events: ids, Author: caller(ctx).Name, Full: in.Body.Full, DryRun: in.Body.DryRun})
	if err != nil {
		return nil, deskError(err)
	}
	a.noteProposal(ctx, p, in.Body.DryRun)
	return &bodyOf[proposal.Proposal]{p}, nil
}

// SuggestRequest asks gabion to learn exclusions; what is absent has the default.
type SuggestRequest struct {
	Since      time.Time `json:"since,omitzero" required:"false" doc:"events looked at; absent: the last seven days"`
	Route      string    `json:"route,omitempty" maxLength:"256" doc:"for this route only: default/shop; absent: all"`
	MinClients int       `json:"minClients,omitempty" minimum:"2" maximum:"10000" doc:"distinct client networks behind each rule; absent: 5"`
	MinHours   int       `json:"minHours,omitempty" minimum:"1" maximum:"10000" doc:"distinct hours in which they came first; absent: 5"`
	MinSpan    string    `json:"minSpan,omitempty" example:"24h" doc:"time from the first client to the last, a Go duration; absent: 24h"`
	Limit      int       `json:"limit,omitempty" minimum:"1" maximum:"200" doc:"proposals at most; absent: 20"`
}

// SuggestionList lists what one run of learning proposed, and what it looked at.
type SuggestionList struct {
	Items  []proposal.Proposal `json:"items" doc:"new proposals, rehearsed; most clients first"`
	Looked proposal.Looked     `json:"looked"`
}

func (a *api) suggest(ctx context.Context, in *bodyOf[SuggestRequest]) (*bodyOf[SuggestionList], error) {
	desk, err := a.desk()
	if err != nil {
		return nil, err
	}
	r := proposal.SuggestRules{Since: in.Body.Since, Route: in.Body.Route, Clients: in.Body.MinClients, Buckets: in.Body.MinHours, Limit: in.Body.Limit}
	if in.Body.MinSpan != "" {
		if r.Spread, err = time.ParseDuration(in.Body.MinSpan); err != nil || r.Spread <= 0 {
			return nil, huma.Error422UnprocessableEntity(fmt.Sprintf("minSpan %q: want a duration, for example 24h", in.Body.MinSpan))
		}
	}
	found, err := desk.Suggest(ctx, r)
	if err != nil {
		return nil, deskError(err)
	}
	a.note(ctx, "suggest", "", fmt.Sprintf("%d proposals", len(found.Proposals)))
	return &bodyOf[SuggestionList]{SuggestionList{orEmpty(found.Proposals), found.Looked}}, nil
}

// LearnRequest asks gabion to learn policies; what is absent has the default.
type LearnRequest struct {
	Since     time.Time `json:"since,omitzero" required:"false" doc:"edges seen since; absent: all that are kept"`
	Namespace string    `json:"namespace,omitempty" maxLength:"253" doc:"policies of this namespace only"`
}

// PolicyProposals are what one run of learning proposed, what it looked at, and how
// much of the network that was.
type PolicyProposals struct {
	Items    []proposal.Proposal    `json:"items"`
	Looked   proposal.NetworkLooked `json:"looked"`
	Coverage FlowCoverage           `json:"coverage"`
}

func (a *api) learnPolicies(ctx context.Context, in *bodyOf[LearnRequest]) (*bodyOf[PolicyProposals], error) {
	desk, err := a.desk()
	if err != nil {
		return nil, err
	}
	ps, looked, err := desk.LearnPolicies(ctx, caller(ctx).Name, proposal.LearnOptions{Since: in.Body.Since, Namespace: in.Body.Namespace})
	if err != nil {
		return nil, deskError(err)
	}
	a.note(ctx, "learn policies", "", fmt.Sprintf("%d proposals", len(ps)))
	coverage, err := a.flowCoverage(ctx)
	return &bodyOf[PolicyProposals]{PolicyProposals{orEmpty(ps), looked, coverage}}, err
}

// ProposeAPIRequest asks for an APIPolicy of a service, or of one of its operations.
type ProposeAPIRequest struct {
	Service   string `json:"service,omitempty" maxLength:"512" doc:"namespace/name, or the name alone; this or an operation"`
	Operation string `json:"operation,omitempty" maxLength:"32" doc:"id, or an unambiguous beginning of it"`
	Declared  bool   `json:"declared,omitempty" doc:"from what is declared, not from what was learned"`
	DryRun    bool   `json:"dryRun,omitempty" doc:"make it and do not keep it"`
}

func (a *api) proposeAPI(ctx context.Context, in *bodyOf[ProposeAPIRequest]) (*bodyOf[proposal.Proposal], error) {
	desk, err := a.desk()
	if err != nil {
		return nil, err
	}
	o := proposal.APIOptions{Declared: in.Body.Declared, DryRun: in.Body.DryRun, Author: caller(ctx).Name}
	switch {
	case (in.Body.Service == "") == (in.Body.Operation == ""):
		return nil, huma.Error422UnprocessableEntity("name either a service or an operation")
	case in.Body.Service != "":
		if _, o.Service, err = a.knownService(ctx, in.Body.Service); err != nil {
			return nil, err
		}
	default:
		found, err := a.getOperation(ctx, &OperationPath{ID: in.Body.Operation})
		if err != nil {
			return nil, err
		}
		o.Service, o.Operation = found.Body.Service, found.Body.ID
	}
	p, err := desk.ProposeAPI(ctx, o)
	if err != nil {
		return nil, deskError(err)
	}
	a.noteProposal(ctx, p, in.Body.DryRun)
	return &bodyOf[proposal.Proposal]{p}, nil
}

// Acceptance is what came of accepting, and what the proxies made of it.
type Acceptance struct {
	proposal.Acceptance
	Rollout *Rollout `json:"rollout,omitempty" doc:"when the resource was written by this call"`
}

func (a *api) acceptProposal(ctx context.Context, in *ProposalPath) (*bodyOf[Acceptance], error) {
	desk, err := a.desk()
	if err != nil {
		return nil, err
	}
	accepted, err := desk.Accept(ctx, in.ID, caller(ctx).Name)
	if err != nil {
		return nil, deskError(err)
	}
	out := Acceptance{Acceptance: accepted}
	if out.Written {
		_, out.Rollout = a.settle(ctx)
	}
	return &bodyOf[Acceptance]{out}, nil
}

type rejectInput struct {
	ProposalPath
	Body RejectRequest
}

func (a *api) rejectProposal(ctx context.Context, in *rejectInput) (*bodyOf[proposal.Proposal], error) {
	desk, err := a.desk()
	if err != nil {
		return nil, err
	}
	p, err := desk.Reject(ctx, in.ID, caller(ctx).Name, in.Body.Reason)
	return &bodyOf[proposal.Proposal]{p}, deskError(err)
}

// noteProposal is the note of a proposal, kept or not: recordings were opened for it.
func (a *api) noteProposal(ctx context.Context, p proposal.Proposal, dryRun bool) {
	if dryRun {
		a.note(ctx, "propose dry run", "", p.Title)
		return
	}
	a.note(ctx, "propose", p.ID, p.Title)
}

// note writes an audit entry for what changed no resource. The work is done; that
// the note could not be written is for the log, loudly.
func (a *api) note(ctx context.Context, action, subject, text string) {
	entry := store.AuditEntry{Author: caller(ctx).Name, Action: action, Resource: subject, Note: text}
	if _, err := a.Store.Audit(context.WithoutCancel(ctx), entry); err != nil {
		a.Log.Error("audit entry could not be written", "action", action, "subject", subject, "error", err)
	}
}
