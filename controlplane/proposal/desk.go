package proposal

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/gabion-io/gabion/controlplane/store"
	"github.com/gabion-io/gabion/filters"
	"github.com/gabion-io/gabion/internal/recording"
	"github.com/gabion-io/gabion/waf-rules/regression"
)

// Errors a caller tells apart with errors.Is.
var (
	// ErrNotFound: no such proposal, event or resource.
	ErrNotFound = store.ErrNotFound
	// ErrDecided: the proposal was decided before, the other way.
	ErrDecided = errors.New("proposal is already decided")
	// ErrBaseChanged: the resource changed since; rehearse the proposal again.
	ErrBaseChanged = errors.New("the resource has changed since the proposal was made")
	// ErrNotExcludable: no exclusion lets these events pass.
	ErrNotExcludable = errors.New("no exclusion would let the event pass")
	// ErrInvalid: the candidate is no resource that could be written.
	ErrInvalid = errors.New("candidate is not valid")
)

// Store keeps proposals and knows events; *store.Store is one.
type Store interface {
	PutProposal(context.Context, store.Proposal) (store.Proposal, error)
	DecideProposal(ctx context.Context, id string, status store.ProposalStatus, r *store.Resource, o store.PutOptions) (store.Proposal, error)
	Proposal(ctx context.Context, id string) (store.Proposal, error)
	Proposals(ctx context.Context, status store.ProposalStatus) ([]store.Proposal, error)
	Event(ctx context.Context, id string) (store.StoredEvent, error)
	Events(context.Context, store.EventQuery) ([]store.StoredEvent, error)
}

// Resource is a resource as it stands, whoever owns it.
type Resource struct {
	store.Resource
	File string // where a file-owned resource lies
}

// World is the resources as they stand and what they come to.
type World interface {
	// Resource returns one by name, whatever its origin, or ErrNotFound.
	Resource(ctx context.Context, k store.Key) (Resource, error)
	// Effective compiles the resources into the filter's tables, by listener name,
	// with the candidate manifest (nil: none) in place of the resource it names.
	// A candidate that is refused anywhere is an error that says where.
	Effective(ctx context.Context, candidate []byte) (map[string]filters.Table, error)
}

// Recordings opens what was recorded; *recording.Opener is one.
type Recordings interface {
	Count(recording.Query) (int, error)
	Each(recording.Query, func(*recording.Exchange) error) (recording.OpenReport, error)
}

// Options are what a Desk works with. Store and World are required.
type Options struct {
	Store      Store
	World      World
	Recordings Recordings                        // nil: nothing is recorded
	Lost       func(context.Context) uint64      // exchanges known to be lost before they were stored; nil: unknown
	Suite      func() ([]regression.Case, error) // nil: regression.Load
	Now        func() time.Time                  // nil: time.Now
	NewID      func() string                     // nil: ULIDs
	Log        *slog.Logger                      // nil: discarded
	Workers    int                               // 0: GOMAXPROCS
	Budget     time.Duration                     // for the attacks tried in a proposal; 0: 2 s
}

// Progress is told how far a long piece of work has come. total may grow. It is
// called from one goroutine at a time.
type Progress func(done, total int)

// Desk is where proposals are made, rehearsed and decided. Safe for concurrent use.
type Desk struct{ o Options }

// NewDesk gives a desk.
func NewDesk(o Options) *Desk { return &Desk{o: o} }

// ProposeOptions say what a proposal is to be made of.
type ProposeOptions struct {
	Events   []string // event ids, at least one
	Author   string   // token name
	Full     bool     // try every attack, however long it takes
	Progress Progress
	DryRun   bool // make it, do not store it
}

// Propose makes the narrowest exclusion that would have let the events pass.
func (d *Desk) Propose(ctx context.Context, o ProposeOptions) (Proposal, error) { panic("todo") }

// Suggest learns from the stored events and stores what it proposes; a
// suggestion that is open or was rejected is not made again.
func (d *Desk) Suggest(ctx context.Context, r SuggestRules) ([]Proposal, error) { panic("todo") }

// RehearseOptions bound a rehearsal.
type RehearseOptions struct {
	Since, Until time.Time // zero: all there is
	Progress     Progress
}

// Rehearse runs a stored proposal over the recordings and stores the outcome.
// A proposal whose base changed is made again on the new base first.
func (d *Desk) Rehearse(ctx context.Context, id string, o RehearseOptions) (Proposal, error) {
	panic("todo")
}

// RehearseCandidate runs any manifest over the recordings and stores nothing.
func (d *Desk) RehearseCandidate(ctx context.Context, candidate []byte, o RehearseOptions) (Rehearsal, error) {
	panic("todo")
}

// Acceptance is what came of accepting.
type Acceptance struct {
	Proposal Proposal `json:"proposal"`
	Written  bool     `json:"written"`            // the resource is in force
	Revision int64    `json:"revision,omitempty"` // of the resource written
	// Patch and File are set for a resource owned by a file: nothing was changed,
	// this is what to change. After it is, accept again closes the proposal.
	Patch string `json:"patch,omitempty"`
	File  string `json:"file,omitempty"`
}

// Accept writes the candidate. Accepting what is accepted changes nothing.
func (d *Desk) Accept(ctx context.Context, id, author string) (Acceptance, error) { panic("todo") }

// Reject closes the proposal. Rejecting what is rejected changes nothing.
func (d *Desk) Reject(ctx context.Context, id, author, reason string) (Proposal, error) {
	panic("todo")
}

// Get returns one proposal or ErrNotFound.
func (d *Desk) Get(ctx context.Context, id string) (Proposal, error) { panic("todo") }

// List returns proposals, newest first; state "": all.
func (d *Desk) List(ctx context.Context, state State) ([]Proposal, error) { panic("todo") }
