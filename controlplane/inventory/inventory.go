// Package inventory keeps what is learned of the operations of services while
// traffic flows: it folds observations, stores what they add in parts, and says
// what the operations are, with what persons decided and declared.
//
// It does not learn (api-discovery/learn does, behind Fold), does not write
// documents, and sees no exchange before the door (controlplane/ingest). The
// composition root and controlplane/server import it.
package inventory

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gabion-io/gabion/api-discovery"
	"github.com/gabion-io/gabion/controlplane/store"
	"github.com/gabion-io/gabion/internal/exchange"
)

// Fold is what was learned; *learn.Learner is one. It may be used by many
// goroutines.
type Fold interface {
	Add(*exchange.Observation)
	Services() []string
	// Encode writes what is known of a service; settled is for what is kept long.
	Encode(service string, settled bool) []byte
	// Merge adds another fold of the same kind, and uses it up.
	Merge(Fold)
	ConcludeService(service string, overrides []apidiscovery.Override) (apidiscovery.Spec, bool)
	// Forget removes what was last called before a time.
	Forget(service string, before time.Time) int
	// Last is the time before which a share of what there is was last called.
	Last(service string, share float64) time.Time
}

// Learning makes folds.
type Learning interface {
	New() Fold
	Decode([]byte) (Fold, error)
}

// Store is where parts, overrides and declarations lie; *store.Store is one.
type Store interface {
	AddOperationParts(context.Context, []store.OperationPart) ([]int64, error)
	ReplaceOperationParts(ctx context.Context, old []int64, p store.OperationPart) (int64, error)
	OperationParts(context.Context, func(store.OperationPart) error) error
	Changed() <-chan struct{} // closed when somebody, here or elsewhere, has changed something
	Overrides(context.Context) ([]store.StoredOverride, error)
	AddOverride(context.Context, apidiscovery.Override) (store.StoredOverride, error)
	RemoveOverride(ctx context.Context, id int64, author string) error
	PutDeclared(context.Context, store.DeclaredAPI) (bool, error)
	Declared(context.Context) ([]store.DeclaredAPI, error)
	DeclaredHeads(context.Context) ([]store.DeclaredAPI, error) // without bodies
	MergeEvidence(ctx context.Context, merge func(stored []byte) ([]byte, error)) error
	AddObserved(context.Context, store.ObservedAPI) (store.ObservedAPI, bool, error)
	Observed(ctx context.Context, service string) ([]store.ObservedAPI, error)
	ObservedAt(ctx context.Context, service string, revision int64) (store.ObservedAPI, error)
}

// Evidence is what findings rest on beside what operations hold: who asked for
// which object. It keeps no value, is bounded, and lasts beyond a restart.
type Evidence interface {
	Add(*exchange.Observation)
	Encode() []byte
	Merge([]byte) error // what was stored; twice is once
}

// Options wire an Inventory.
type Options struct {
	Store     Store
	Learning  Learning
	Documents Documents // nil: nothing is declared or compared
	Evidence  Evidence  // nil: none beside what operations hold
	// Given are declarations that are not stored: a stored one of the same service
	// goes before it.
	Given []store.DeclaredAPI
	Limit store.Limit // of what is stored; zero fields: 400 days, 256 MiB
	Log   *slog.Logger
	Now   func() time.Time
	Every time.Duration // between two writes; default 1 s
}

// Inventory is safe for concurrent use. Open it, Run it, and Flush it at the end.
type Inventory struct {
	o     Options
	mu    sync.Mutex // of fresh
	fresh Fold       // what came since the last write
	added uint64     // to fresh

	turn    sync.Mutex // of all below: one flush at a time
	whole   Fold
	stored  map[string]*stored // by service
	warned  time.Time
	broken  int    // parts that could not be read
	evicted uint64 // operations forgotten to stay within the bound

	words words // what persons decided and declared

	noted atomic.Uint64 // what was added to the evidence
	saved uint64        // of it, stored; Run's own

	specs map[string]*concluded // as long as nothing new came

	revised map[string]string // by service, the day of its last revision; Run's own
}

// concluded is what is known of one service, worked out.
type concluded struct {
	spec   apidiscovery.Spec
	report *Report // nil: not yet
}

// stored is what lies in the store of one service.
type stored struct {
	ids     []int64
	base    int64 // bytes of the part that holds nearly all
	deltas  int64 // bytes of the others
	unsaved bool  // something is known that no part says
}

// Open reads what is stored.
func Open(ctx context.Context, o Options) (*Inventory, error) {
	if o.Store == nil || o.Learning == nil {
		return nil, errors.New("an inventory needs a store and a learner")
	}
	o.Every = cmp.Or(o.Every, time.Second)
	o.Limit.Age = cmp.Or(o.Limit.Age, 400*24*time.Hour)
	o.Limit.Bytes = cmp.Or(o.Limit.Bytes, 256<<20)
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	in := &Inventory{o: o, fresh: o.Learning.New(), revised: map[string]string{}}
	if err := in.load(ctx); err != nil {
		return nil, err
	}
	if in.o.Evidence != nil {
		if err := o.Store.MergeEvidence(ctx, in.readEvidence); err != nil {
			return nil, err
		}
	}
	return in, in.readWords(ctx)
}

// readEvidence takes what was stored in. What is damaged is said aloud, and what is
// known now takes its place.
func (in *Inventory) readEvidence(stored []byte) ([]byte, error) {
	if len(stored) > 0 {
		if err := in.o.Evidence.Merge(stored); err != nil {
			in.o.Log.Error("what was known of who asked for which object cannot be read and is left out", "error", err)
		}
	}
	return nil, nil // nothing to write
}

// keepEvidence stores it, joined with what others stored meanwhile.
func (in *Inventory) keepEvidence(ctx context.Context) error {
	now := in.noted.Load()
	if in.o.Evidence == nil || now == in.saved {
		return nil
	}
	err := in.o.Store.MergeEvidence(ctx, func(stored []byte) ([]byte, error) {
		if _, err := in.readEvidence(stored); err != nil {
			return nil, err
		}
		return in.o.Evidence.Encode(), nil
	})
	if err == nil {
		in.saved = now
	}
	return err
}

// load replaces what is in memory by what is stored. A part that is damaged is
// said aloud and left out; the next base takes its place.
func (in *Inventory) load(ctx context.Context) error {
	in.whole, in.stored, in.broken = in.o.Learning.New(), map[string]*stored{}, 0
	in.specs = map[string]*concluded{}
	return in.o.Store.OperationParts(ctx, func(p store.OperationPart) error {
		s := in.of(p.Service)
		s.ids = append(s.ids, p.ID)
		s.deltas += int64(len(p.Body))
		f, err := in.o.Learning.Decode(p.Body)
		if err != nil {
			in.broken++
			s.unsaved = true
			in.o.Log.Error("a part of the operations learned cannot be read and is left out", "service", p.Service, "part", p.ID, "error", err)
			return nil
		}
		in.whole.Merge(f)
		return nil
	})
}

func (in *Inventory) of(service string) *stored {
	s := in.stored[service]
	if s == nil {
		s = &stored{}
		in.stored[service] = s
	}
	return s
}

// Add folds an observation in. It never waits for the store. The shapes of o
// belong to the inventory from then on.
func (in *Inventory) Add(o *exchange.Observation) {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.fresh.Add(o)
	in.added++
	if in.o.Evidence != nil {
		in.o.Evidence.Add(o)
		in.noted.Add(1)
	}
}

// Run writes what is learned until ctx ends, and keeps a revision of each API a
// day. What comes after it, or while it ends, Flush writes.
func (in *Inventory) Run(ctx context.Context) error {
	write := time.NewTicker(in.o.Every)
	defer write.Stop()
	revise := time.NewTicker(10 * time.Minute)
	defer revise.Stop()
	keep := time.NewTicker(time.Minute)
	defer keep.Stop()
	changed, heard := in.hear(ctx)
	for {
		select {
		case <-changed:
			changed, heard = in.hear(ctx)
		case <-ctx.Done():
			if err := in.keepEvidence(context.WithoutCancel(ctx)); err != nil {
				in.warn(err)
			}
			return nil
		case <-keep.C:
			if !heard {
				changed, heard = in.hear(ctx)
			}
			if err := in.keepEvidence(ctx); err != nil && ctx.Err() == nil {
				in.warn(err)
			}
		case <-write.C:
			if err := in.Flush(ctx); err != nil && ctx.Err() == nil {
				in.warn(err)
			}
		case <-revise.C:
			if err := in.reviseDaily(ctx); err != nil && ctx.Err() == nil {
				in.warn(err)
			}
		}
	}
}

// hear reads what persons said through other replicas. It answers when to hear again,
// and whether it could.
func (in *Inventory) hear(ctx context.Context) (again <-chan struct{}, heard bool) {
	again = in.o.Store.Changed()
	err := in.readWords(ctx)
	if err != nil && ctx.Err() == nil {
		in.o.Log.Warn("what persons said of APIs cannot be read, and is again in a minute", "error", err)
	}
	return again, err == nil
}

// warn logs a lasting trouble once a minute.
func (in *Inventory) warn(err error) {
	in.turn.Lock()
	defer in.turn.Unlock()
	if now := in.o.Now(); now.Sub(in.warned) >= time.Minute {
		in.warned = now
		in.o.Log.Warn("what is learned of operations is not stored, and kept in memory", "error", err)
	}
}

// Flush makes all that was added visible, and stores it. When it cannot be
// stored it is visible all the same, and is stored later.
func (in *Inventory) Flush(ctx context.Context) error {
	in.turn.Lock()
	defer in.turn.Unlock()
	return in.flush(context.WithoutCancel(ctx))
}

func (in *Inventory) flush(ctx context.Context) error {
	fresh := in.take()
	var errs []error
	if fresh != nil {
		errs = append(errs, in.store(ctx, fresh))
	}
	for _, name := range in.whole.Services() {
		if s := in.of(name); s.unsaved || s.crowded() {
			errs = append(errs, in.compact(ctx, name))
		}
	}
	errs = append(errs, in.shrink(ctx))
	return errors.Join(errs...)
}

// take answers what came since the last time, nil if nothing did.
func (in *Inventory) take() Fold {
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.added == 0 {
		return nil
	}
	f := in.fresh
	in.fresh, in.added = in.o.Learning.New(), 0
	return f
}

// store adds what is fresh to what is known, and to the store as parts.
func (in *Inventory) store(ctx context.Context, fresh Fold) error {
	names := fresh.Services()
	parts := make([]store.OperationPart, len(names))
	for i, name := range names {
		parts[i] = store.OperationPart{Service: name, Body: fresh.Encode(name, false)}
	}
	ids, err := in.o.Store.AddOperationParts(ctx, parts)
	for i, name := range names {
		delete(in.specs, name)
		s := in.of(name)
		if err != nil {
			s.unsaved = true
			continue
		}
		s.ids = append(s.ids, ids[i])
		s.deltas += int64(len(parts[i].Body))
	}
	in.whole.Merge(fresh)
	return err
}

// Bounds of the parts of one service: beyond, they are made one.
const (
	maxParts  = 100
	minDeltas = 256 << 10 // bytes
)

func (s *stored) crowded() bool {
	return len(s.ids) > maxParts || s.deltas > max(minDeltas, s.base)
}

// compact makes the parts of a service one, without what is too old.
func (in *Inventory) compact(ctx context.Context, name string) error {
	if n := in.whole.Forget(name, in.o.Now().Add(-in.o.Limit.Age)); n > 0 {
		delete(in.specs, name)
	}
	s := in.of(name)
	body := in.whole.Encode(name, true)
	id, err := in.o.Store.ReplaceOperationParts(ctx, s.ids, store.OperationPart{Service: name, Body: body})
	if errors.Is(err, store.ErrNotFound) { // somebody else has: what they made holds ours
		in.o.Log.Warn("the operations stored were replaced by somebody else and are read again", "service", name)
		return in.load(ctx)
	}
	if err != nil {
		s.unsaved = true
		return fmt.Errorf("compact operations of %s: %w", name, err)
	}
	in.stored[name] = &stored{ids: []int64{id}, base: int64(len(body))}
	return nil
}

// shrink forgets what was not called for longest, of the service that takes most,
// until all fits into its bound.
func (in *Inventory) shrink(ctx context.Context) error {
	for range 100 {
		total, largest := int64(0), ""
		for name, s := range in.stored {
			n := s.base + s.deltas
			total += n
			if largest == "" || n > in.stored[largest].base+in.stored[largest].deltas {
				largest = name
			}
		}
		if total <= in.o.Limit.Bytes || largest == "" {
			return nil
		}
		n := in.whole.Forget(largest, in.whole.Last(largest, 0.1).Add(1))
		in.evicted += uint64(n)
		delete(in.specs, largest)
		if err := in.compact(ctx, largest); err != nil {
			return err
		}
	}
	return nil
}

// State is how much there is, for status.
type State struct {
	Services int    `json:"services"`
	Broken   int    `json:"broken,omitempty" doc:"parts that could not be read at start"`
	Evicted  uint64 `json:"evicted,omitempty" doc:"operations of places forgotten to stay within the bound"`
	Unsaved  int    `json:"unsaved,omitempty" doc:"services of which something is in memory only: the store refused it"`
}

// State reports.
func (in *Inventory) State() State {
	in.turn.Lock()
	defer in.turn.Unlock()
	st := State{Services: len(in.whole.Services()), Broken: in.broken, Evicted: in.evicted}
	for _, s := range in.stored {
		if s.unsaved {
			st.Unsaved++
		}
	}
	return st
}

// Spec is the observed API of a service; ErrNotFound when it was never called.
func (in *Inventory) Spec(ctx context.Context, service string) (apidiscovery.Spec, error) {
	in.see(ctx)
	in.turn.Lock()
	defer in.turn.Unlock()
	c := in.conclude(service)
	if c == nil {
		return apidiscovery.Spec{}, fmt.Errorf("service %q: %w", service, store.ErrNotFound)
	}
	return c.spec, nil
}

// Specs are the observed APIs of all services, by name. They are shared: readers
// must not change them.
func (in *Inventory) Specs(ctx context.Context) (list []apidiscovery.Spec) {
	in.see(ctx)
	in.turn.Lock()
	defer in.turn.Unlock()
	for _, name := range in.whole.Services() {
		if c := in.conclude(name); c != nil {
			list = append(list, c.spec)
		}
	}
	return list
}

// see makes visible what came; that it could not be stored is for the log.
func (in *Inventory) see(ctx context.Context) {
	if err := in.Flush(ctx); err != nil {
		in.warn(err)
	}
}

// conclude works out what is known of a service, nil when nothing is. Whoever
// calls it holds the turn.
func (in *Inventory) conclude(name string) *concluded {
	if c := in.specs[name]; c != nil {
		return c
	}
	spec, known := in.whole.ConcludeService(name, in.words.of(name))
	if !known {
		return nil
	}
	c := &concluded{spec: spec}
	in.specs[name] = c
	return c
}
