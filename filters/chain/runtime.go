package chain

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"runtime"
	"runtime/debug"
	"sort"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/gabion-io/gabion/filters"
	"github.com/gabion-io/gabion/filters/waf"
	"github.com/gabion-io/gabion/internal/exchange"
)

// Runtime holds the compiled policies of a process. A policy is compiled once
// per distinct content, shared by every Table that names it, and freed when the
// last of them is released. Safe for concurrent use.
type Runtime struct {
	o        Options
	compiler *waf.Compiler

	mu       sync.Mutex
	policies map[string]*policy
	sinks    map[string]*sink

	effort  effort
	sampler sampler
	names   exchange.Names // of headers, cookies and members of bodies

	pool     *pool
	timeless bool         // nothing is broken off: the result must not depend on the clock
	held     atomic.Int64 // bytes of bodies kept for inspection or recording
	maxHeld  atomic.Int64

	compiled, panics, eventsDropped, recordsDropped, unknown atomic.Uint64
	overdue, unheld, slow                                    atomic.Uint64
}

// sink is an open spool shared by the tables that name it.
type sink struct {
	key     string
	events  EventSink
	records RecordSink
	users   int
}

// defaultHeld bounds the bytes of bodies kept at a time; with a memory limit it
// is a quarter of that, if less.
const defaultHeld = 128 << 20

// NewRuntime gives an empty runtime.
func NewRuntime(o Options) *Runtime {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.NewID == nil {
		o.NewID = newULID
	}
	if o.Random == nil {
		o.Random = rand.Float64
	}
	if o.Spools == nil {
		o.Spools = diskSpools{}
	}
	if o.Workers <= 0 {
		o.Workers = runtime.GOMAXPROCS(0)
	}
	r := &Runtime{o: o, compiler: waf.NewCompiler(), policies: map[string]*policy{}, sinks: map[string]*sink{}, effort: effort{instance: newULID()}}
	r.maxHeld.Store(defaultHeld)
	r.pool = newPool(o.Workers, func(v any, stack []byte) {
		r.panics.Add(1)
		r.o.Log.Error("recovered a panic in the filter", "where", "evaluate", "panic", fmt.Sprint(v), "stack", string(stack))
	})
	return r
}

// Load decodes a filters.Table strictly (unknown fields are errors) and compiles
// its policies. The error names the policy and where it is used. A Table that
// was loaded is ready: Begin on it compiles nothing.
func (r *Runtime) Load(config []byte) (*Table, error) {
	t := &Table{runtime: r, policies: map[string]*policy{}}
	t.users.Store(1)
	if err := decodeStrict(config, &t.config); err != nil {
		return nil, fmt.Errorf("decode filter table: %w", err)
	}
	if err := t.link(); err != nil {
		return nil, fmt.Errorf("load filter table of listener %q: %w", t.config.Listener, err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if err := r.fill(t); err != nil {
		r.drop(t)
		return nil, fmt.Errorf("load filter table of listener %q: %w", t.config.Listener, err)
	}
	if n := t.config.MemLimit; n > 0 {
		debug.SetMemoryLimit(n)
		r.maxHeld.Store(min(defaultHeld, n/4))
	}
	return t, nil
}

// fill compiles and opens what t names; r.mu is held.
func (r *Runtime) fill(t *Table) error {
	for _, id := range sortedKeys(t.config.Policies) {
		p, err := r.acquire(id, t.config.Policies[id])
		if err != nil {
			return fmt.Errorf("policy %s of %s: %w", id, t.usedBy(id), err)
		}
		t.policies[id] = p
	}
	if s := t.config.Spool; s != nil {
		open := func() (*sink, error) {
			e, err := r.o.Spools.Events(*s)
			return &sink{events: e}, err
		}
		if err := r.attach(t, "events", s, open); err != nil {
			return err
		}
	}
	t.learn = r.learning(t.config.Learn)
	if s := t.config.Record; s != nil {
		open := func() (*sink, error) {
			e, err := r.o.Spools.Recordings(*s)
			return &sink{records: e}, err
		}
		// Which exchanges are kept is the table's business, where they go is the sink's.
		place := filters.Record{Name: s.Name, Dir: s.Dir, MaxBytes: s.MaxBytes, PublicKey: s.PublicKey}
		if err := r.attach(t, "records", place, open); err != nil {
			return err
		}
	}
	t.bind()
	return nil
}

// acquire compiles or shares a policy; r.mu is held. Policies are told apart by
// their content, not by the name they come under.
func (r *Runtime) acquire(id string, p filters.Policy) (*policy, error) {
	hash := filters.PolicyID(p)
	if have := r.policies[hash]; have != nil {
		have.users++
		return have, nil
	}
	made, err := compile(r.compiler, hash, p)
	if err != nil {
		return nil, err
	}
	r.compiled.Add(1)
	if made.engine != nil && made.engine.Slow() != nil {
		r.o.Log.Warn("the engine skips no rules", "policy", hash, "reason", made.engine.Slow())
	}
	made.users = 1
	r.policies[hash] = made
	return made, nil
}

func (r *Runtime) attach(t *Table, kind string, place any, open func() (*sink, error)) error {
	b, err := json.Marshal(place)
	if err != nil {
		return err
	}
	key := kind + string(b)
	s := r.sinks[key]
	if s == nil {
		if s, err = open(); err != nil {
			return err
		}
		s.key = key
		r.sinks[key] = s
	}
	s.users++
	if s.events != nil {
		t.events = s
	} else {
		t.records = s
	}
	return nil
}

// drop gives back what t holds; r.mu is held.
func (r *Runtime) drop(t *Table) {
	for _, p := range t.policies {
		if p.users--; p.users > 0 {
			continue
		}
		delete(r.policies, p.id)
		if p.engine != nil {
			p.engine.Release()
		}
	}
	for _, s := range []*sink{t.events, t.records} {
		if s == nil {
			continue
		}
		if s.users--; s.users > 0 {
			continue
		}
		delete(r.sinks, s.key)
		// A sink may flush when it is closed; that must not hold up a request.
		go r.closeSink(s)
	}
	t.policies, t.bound, t.events, t.records = nil, nil, nil, nil
}

func (r *Runtime) reap(t *Table) {
	defer func() {
		if recover() != nil {
			r.panics.Add(1)
		}
	}()
	r.mu.Lock()
	defer r.mu.Unlock()
	r.drop(t)
}

func (r *Runtime) closeSink(s *sink) {
	defer func() {
		if recover() != nil {
			r.panics.Add(1)
		}
	}()
	if err := s.close(); err != nil {
		r.o.Log.Warn("spool did not close", "error", err)
	}
}

func (s *sink) close() error {
	if s.events != nil {
		return s.events.Close()
	}
	return s.records.Close()
}

// Stats are counters since the runtime began.
type Stats struct {
	Policies       int    // compiled and in use
	Compiled       uint64 // compilations
	Panics         uint64 // recovered in the chain or an engine
	EventsDropped  uint64 // spool full
	RecordsDropped uint64 // recording queue or spool full
	UnknownKeys    uint64 // exchanges whose key no table knew
	Refused        uint64 // judgements that found the queue full
	Overdue        uint64 // judgements broken off at the policy's time limit
	Unheld         uint64 // bodies for which there was no room
	SlowUploads    uint64 // held uploads cut for their rate
	Held           int64  // bytes of bodies kept now
}

// Stats reads the counters.
func (r *Runtime) Stats() Stats {
	r.mu.Lock()
	defer r.mu.Unlock()
	return Stats{Policies: len(r.policies), Compiled: r.compiled.Load(), Panics: r.panics.Load(),
		EventsDropped: r.eventsDropped.Load(), RecordsDropped: r.recordsDropped.Load(), UnknownKeys: r.unknown.Load(),
		Refused: r.pool.refused.Load(), Overdue: r.overdue.Load(), Unheld: r.unheld.Load(), SlowUploads: r.slow.Load(), Held: r.held.Load()}
}

// Close closes the spools that are still open and returns when they are on
// disk. Tables should have been released.
func (r *Runtime) Close() error {
	r.mu.Lock()
	sinks := r.sinks
	r.sinks = map[string]*sink{}
	r.mu.Unlock()
	var errs []error
	for _, s := range sinks {
		errs = append(errs, s.close())
	}
	return errors.Join(errs...)
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	sort.Strings(keys)
	return keys
}

// usedBy names the bindings of a policy for an error.
func (t *Table) usedBy(id string) string {
	var names []string
	for _, key := range sortedKeys(t.config.Bindings) {
		if b := t.config.Bindings[key]; b.Policy == id {
			names = append(names, b.Source+" at "+key)
		}
	}
	if len(names) == 0 {
		return "no route"
	}
	if len(names) > 3 {
		names = append(names[:3], fmt.Sprintf("%d more", len(names)-3))
	}
	return strings.Join(names, ", ")
}
