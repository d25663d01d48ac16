package proposal

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/oklog/ulid/v2"

	"github.com/gabion-io/gabion/controlplane/store"
	"github.com/gabion-io/gabion/filters"
	"github.com/gabion-io/gabion/internal/exchange"
	"github.com/gabion-io/gabion/internal/recording"
	wafrules "github.com/gabion-io/gabion/waf-rules"
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
	Resource(context.Context, store.Key) (store.Resource, error)
	Event(ctx context.Context, id string) (store.StoredEvent, error)
	Events(context.Context, store.EventQuery) ([]store.StoredEvent, error)
	Exchanges(context.Context, store.ExchangeQuery) ([]exchange.Exchange, error)
}

// Resource is a resource as it stands, whoever owns it.
type Resource struct {
	store.Resource
	File string // where a file-owned resource lies
}

// World is the resources as they stand and what they come to.
type World interface {
	// Judged makes a change that is judged by what the others answer, which all that
	// was stored before is part of, and written with the mark; again when that moved
	// meanwhile (store.ErrMoved), but not for ever.
	Judged(ctx context.Context, change func(store.Mark) error) error
	// Resource returns one by name, whatever its origin, or ErrNotFound.
	Resource(ctx context.Context, k store.Key) (Resource, error)
	// Effective compiles the resources into the filter's tables, by listener name,
	// with the candidate manifest (nil: none) in place of the resource it names.
	// A candidate that is refused is an error that says where.
	Effective(ctx context.Context, candidate []byte) (map[string]filters.Table, error)
}

// Recordings opens what was recorded; *recording.Opener is one.
type Recordings interface {
	Count(recording.Query) (int, error)
	Each(recording.Query, func(*recording.Exchange) error) (recording.OpenReport, error)
}

// Options are what a Desk works with. Store, World and Engine are required.
type Options struct {
	Store      Store
	World      World
	Engine     Engine
	Recordings Recordings                            // nil: nothing is recorded
	APIs       APIs                                  // nil: no APIPolicies are made
	Network    Network                               // nil: no policies are learned from flows
	Lost       func(context.Context) (uint64, error) // exchanges known to be lost before they were stored; nil: unknown
	Attacks    func() ([]wafrules.Attack, error)     // known attacks, read once when first needed; nil: none are tried
	Now        func() time.Time                      // nil: time.Now
	NewID      func() string                         // nil: ULIDs
	Log        *slog.Logger                          // nil: discarded
	Workers    int                                   // 0: GOMAXPROCS
	Budget     time.Duration                         // for the attacks tried in a proposal; 0: 2 s
}

// Progress is told how far a long piece of work has come. total may grow. It is
// called from one goroutine at a time.
type Progress func(done, total int)

// Desk is where proposals are made, rehearsed and decided. Safe for concurrent use.
type Desk struct {
	o Options

	mu    sync.Mutex
	known []wafrules.Attack
}

// NewDesk gives a desk.
func NewDesk(o Options) *Desk {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.NewID == nil {
		o.NewID = func() string { return ulid.Make().String() }
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Budget == 0 {
		o.Budget = 2 * time.Second
	}
	return &Desk{o: o}
}

func (d *Desk) attacks() ([]wafrules.Attack, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.known != nil {
		return d.known, nil
	}
	if d.o.Attacks == nil {
		return nil, errors.New("no attacks are known")
	}
	attacks, err := d.o.Attacks()
	if err != nil {
		return nil, fmt.Errorf("read known attacks: %w", err)
	}
	d.known = attacks
	return attacks, nil
}

// effective compiles the resources with a candidate; its error is the author's.
func (d *Desk) effective(ctx context.Context, candidate []byte) (side, error) {
	tables, err := d.o.World.Effective(ctx, candidate)
	if err != nil && ctx.Err() == nil && !errors.Is(err, ErrInvalid) {
		err = fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	return tables, err
}
