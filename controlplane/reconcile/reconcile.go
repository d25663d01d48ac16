// Package reconcile turns what people wrote into what proxies are served, again
// and again: it collects resources from their sources, compiles them to intent,
// translates the intent to a snapshot, publishes it, and keeps beside it every
// condition the authors should know of, refusals by proxies included.
//
// It decides nothing itself: compile and xds are pure, ads serves. The
// composition root of the control plane imports it.
package reconcile

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gabion-io/gabion/controlplane/ads"
	"github.com/gabion-io/gabion/controlplane/api/v1alpha1"
	"github.com/gabion-io/gabion/controlplane/compile"
	"github.com/gabion-io/gabion/controlplane/ir"
	"github.com/gabion-io/gabion/controlplane/segment"
	"github.com/gabion-io/gabion/controlplane/source"
	"github.com/gabion-io/gabion/controlplane/store"
	"github.com/gabion-io/gabion/controlplane/xds"
)

// Source is one place resources come from. Changed yields a value after the
// resources changed; several changes may fold into one.
type Source interface {
	Read(ctx context.Context) (source.Set, error)
	Changed() <-chan struct{}
}

// Publisher serves snapshots; *ads.Server is one.
type Publisher interface {
	SetSnapshot(*xds.Snapshot) error
	SetEndpoints(map[string][]ir.Endpoint) error
	Nacks() []ads.Nack
}

// Hosts serves hosts what they are to enforce; *hosts.Server is one.
type Hosts interface {
	Publish(objects []v1alpha1.Object, compiled segment.Result)
	Conditions() []v1alpha1.Condition
}

// Options wire a Loop.
type Options struct {
	Sources   []Source
	Compile   compile.Options // Now and Good are the loop's
	XDS       xds.Options
	Publisher Publisher
	Hosts     Hosts // nil: segmentation is compiled and served to nobody
	// Mark is the store's of the moment, if one of the sources is a store.
	Mark func(context.Context) (store.Mark, error)
	// Observe is told every new state before State gives it out; nil: none.
	Observe func(context.Context, *State)
	Log     *slog.Logger
	Now     func() time.Time
}

// State is one round's result. It is immutable.
type State struct {
	Set        source.Set
	Compiled   compile.Result
	Segments   segment.Result // what the same resources say about the network
	Snapshot   *xds.Snapshot
	Conditions []v1alpha1.Condition // of sources, compilation, translation and proxies; sorted
	At         time.Time
}

// Loop is the reconciler. Use New, then Run.
type Loop struct {
	o     Options
	state atomic.Pointer[State]
	nudge chan struct{}
	alone chan struct{} // holds a value while somebody goes on alone; see Judged

	mu       sync.Mutex
	began    uint64        // rounds begun
	ended    uint64        // the last round ended, well or not
	failure  error         // of that round
	finished chan struct{} // closed and replaced when a round ends
}

// New makes a loop; nothing happens before Run.
func New(o Options) *Loop {
	return &Loop{o: o, nudge: make(chan struct{}, 1), alone: make(chan struct{}, 1), finished: make(chan struct{})}
}

// State is the latest result; nil before the first round.
func (l *Loop) State() *State { return l.state.Load() }

// Fresh is a state with all that the store held at this call, whoever wrote it.
// Where rounds fail it is what there is, so that what is in their way can be written
// over.
func (l *Loop) Fresh(ctx context.Context) (*State, error) {
	s, _, err := l.marked(ctx)
	return s, err
}

// maxJudged bounds how often one change is judged; each time but the last somebody
// else's went before it.
const maxJudged = 30

// Judged makes a change that is judged by all the resources, again when they changed
// before it was written (store.ErrMoved, which is the answer when that happened each
// time): it is written into what it was judged by. Who was overtaken goes on alone,
// so that many callers do not overtake each other on and on.
func (l *Loop) Judged(ctx context.Context, change func(*State, store.Mark) error) error {
	var err error
	for n := range maxJudged {
		if n == 1 {
			select {
			case <-ctx.Done():
				return context.Cause(ctx)
			case l.alone <- struct{}{}:
			}
			defer func() { <-l.alone }()
		}
		state, mark, lost := l.marked(ctx)
		if lost != nil {
			return lost
		}
		if err = change(state, mark); !errors.Is(err, store.ErrMoved) {
			return err
		}
	}
	return err
}

// marked is Fresh, with the mark to write with what is judged by it.
func (l *Loop) marked(ctx context.Context) (*State, store.Mark, error) {
	mark, err := l.o.Mark(ctx)
	if err != nil {
		return nil, 0, err
	}
	s := l.State()
	if s == nil || s.Set.Mark() != int64(mark) {
		if s, err = l.Settle(ctx); err == nil {
			mark = store.Mark(s.Set.Mark())
		} else if s == nil || ctx.Err() != nil {
			return nil, 0, err
		}
	}
	return s, mark, nil
}

// Settle waits until everything the sources held before the call is part of what
// is published, and returns the state then. The error is that round's.
func (l *Loop) Settle(ctx context.Context) (*State, error) {
	l.mu.Lock()
	want := l.began + 1 // a round under way may have read before the call
	l.mu.Unlock()
	l.Nudge()
	for {
		l.mu.Lock()
		ended, failure, finished := l.ended, l.failure, l.finished
		l.mu.Unlock()
		if ended >= want {
			return l.State(), failure
		}
		select {
		case <-ctx.Done():
			return l.State(), ctx.Err()
		case <-finished:
		}
	}
}

// Nudge asks for a round, for instance because a proxy refused something.
// It never blocks.
func (l *Loop) Nudge() {
	select {
	case l.nudge <- struct{}{}:
	default:
	}
}

// Run reconciles until ctx ends. A round that fails keeps the state before and
// is tried again; only a cancelled context ends the loop.
func (l *Loop) Run(ctx context.Context) error {
	wake := make(chan struct{}, 1)
	var watchers sync.WaitGroup
	defer watchers.Wait()
	watch := func(changed func() <-chan struct{}) {
		first := changed() // before the first round reads
		watchers.Go(func() { forward(ctx, first, changed, wake) })
	}
	for _, s := range l.o.Sources {
		watch(s.Changed)
	}
	watch(func() <-chan struct{} { return l.nudge })
	for {
		next := l.o.Now().Add(time.Minute) // the clock alone can change intent: expiries
		if err := l.Round(ctx); err != nil {
			if ctx.Err() != nil {
				return nil
			}
			l.o.Log.Error("reconciling went wrong; the state before stays in force", "error", err)
			next = l.o.Now().Add(2 * time.Second)
		} else if s := l.State(); !s.Compiled.Next.IsZero() && s.Compiled.Next.Before(next) {
			next = s.Compiled.Next
		}
		timer := time.NewTimer(max(next.Sub(l.o.Now()), 50*time.Millisecond))
		select {
		case <-ctx.Done():
			timer.Stop()
			return nil
		case <-wake:
			timer.Stop()
		case <-timer.C:
		}
	}
}

// forward turns a source's changes into wake-ups. The channel is asked for anew
// each time, because some sources close theirs with every change; and before the
// wake-up, so that no change falls between a round's reading and the asking.
func forward(ctx context.Context, next <-chan struct{}, changed func() <-chan struct{}, wake chan<- struct{}) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-next:
		}
		next = changed()
		select {
		case wake <- struct{}{}:
		default:
		}
	}
}

// Round reads, compiles, translates and publishes once. Run calls it; two rounds
// never overlap.
func (l *Loop) Round(ctx context.Context) error {
	l.mu.Lock()
	l.began++
	round := l.began
	l.mu.Unlock()

	err := l.round(ctx)

	l.mu.Lock()
	defer l.mu.Unlock()
	l.ended, l.failure = round, err
	close(l.finished)
	l.finished = make(chan struct{})
	return err
}

func (l *Loop) round(ctx context.Context) error {
	set, err := l.read(ctx)
	if err != nil {
		return err
	}
	before := l.State()
	now, err := l.derive(set, before)
	if err != nil {
		return err
	}
	if err := l.publish(before, now); err != nil {
		return err
	}
	now.Conditions = sortConditions(now.Conditions, nackConditions(l.o.Publisher.Nacks()))
	if l.o.Hosts != nil {
		l.o.Hosts.Publish(objectsOf(set), now.Segments)
		now.Conditions = sortConditions(now.Conditions, l.o.Hosts.Conditions())
	}
	if l.o.Observe != nil {
		l.o.Observe(ctx, now)
	}
	l.state.Store(now)
	return nil
}

func (l *Loop) read(ctx context.Context) (source.Set, error) {
	sets := make([]source.Set, 0, len(l.o.Sources))
	for _, s := range l.o.Sources {
		set, err := s.Read(ctx)
		if err != nil {
			return source.Set{}, fmt.Errorf("read resources: %w", err)
		}
		sets = append(sets, set)
	}
	return source.Merge(sets...), nil
}

// derive is the pure middle of a round.
func (l *Loop) derive(set source.Set, before *State) (*State, error) {
	o := l.o.Compile
	o.Now = l.o.Now()
	if before != nil {
		o.Good = before.Compiled.Good
	}
	compiled := compile.Compile(set, o)
	segments := segment.Compile(objectsOf(set), segment.Options{Routed: segment.Routed(compiled.IR)})
	compiled.IR = segment.WithAccess(compiled.IR, segments)
	snapshot, err := xds.Translate(compiled.IR, l.o.XDS)
	if err != nil {
		return nil, fmt.Errorf("translate to Envoy: %w", err)
	}
	conditions := sortConditions(set.Conditions(), compiled.Conditions, problemConditions(snapshot.Problems), segments.Conditions)
	return &State{Set: set, Compiled: compiled, Segments: segments, Snapshot: snapshot, Conditions: conditions, At: o.Now}, nil
}

func objectsOf(set source.Set) []v1alpha1.Object {
	out := make([]v1alpha1.Object, len(set.Items()))
	for i, item := range set.Items() {
		out[i] = item.Object
	}
	return out
}

// publish takes the endpoints' fast path when nothing else changed.
func (l *Loop) publish(before, now *State) error {
	if before != nil {
		if eps, only := onlyEndpoints(before.Compiled.IR, now.Compiled.IR); only {
			if len(eps) == 0 {
				return nil
			}
			if l.o.Publisher.SetEndpoints(eps) == nil {
				return nil
			}
			// Not a plain endpoint change after all: publish everything.
		}
	}
	if err := l.o.Publisher.SetSnapshot(now.Snapshot); err != nil {
		return fmt.Errorf("publish to the proxies: %w", err)
	}
	return nil
}

// Preview derives what set would become if it were what the sources hold;
// nothing is published.
func (l *Loop) Preview(set source.Set) (*State, error) { return l.derive(set, l.State()) }

// CompileOptions are what the latest state was compiled with.
func (l *Loop) CompileOptions() compile.Options {
	o := l.o.Compile
	o.Now = l.o.Now()
	return o
}
