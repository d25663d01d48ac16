package chain

import (
	"fmt"
	"sync/atomic"

	"github.com/gabion-io/gabion/filters"
)

// Table is one loaded configuration. It is immutable; exchanges that began on
// it finish on it, also after Release.
type Table struct {
	runtime         *Runtime
	config          filters.Table
	policies        map[string]*policy
	bound           map[string]bound
	events, records *sink
	learn           *learning    // nil: nothing is told of operations
	users           atomic.Int64 // exchanges, and one for the owner
	released        atomic.Bool
}

// bound is what a key stands for.
type bound struct {
	filters.Binding
	policy   *policy // nil: nothing governs
	recorded bool
}

// Config is the decoded table. Not to be changed.
func (t *Table) Config() *filters.Table { return &t.config }

// link checks references inside the table.
func (t *Table) link() error {
	c := &t.config
	for _, key := range sortedKeys(c.Bindings) {
		b := c.Bindings[key]
		if _, ok := c.Policies[b.Policy]; b.Policy != "" && !ok {
			return fmt.Errorf("binding %q names policy %s, which is not in the table", key, b.Policy)
		}
	}
	if err := validFailure("unknown", c.Unknown); err != nil {
		return err
	}
	return nil
}

// bind says what each key stands for, when all of it is there.
func (t *Table) bind() {
	keys := map[string]bool{} // whose exchanges are recorded; none: all
	if r := t.config.Record; r != nil {
		for _, k := range r.Keys {
			keys[k] = true
		}
	}
	t.bound = make(map[string]bound, len(t.config.Bindings))
	for key, b := range t.config.Bindings {
		t.bound[key] = bound{Binding: b, policy: t.policies[b.Policy], recorded: t.records != nil && (len(keys) == 0 || keys[key])}
	}
}

// Release says no further Begin will come. Compiled policies are freed when the
// last exchange on it has completed. Idempotent.
func (t *Table) Release() {
	if t.released.CompareAndSwap(false, true) {
		t.done()
	}
}

// done gives back one use of the table.
func (t *Table) done() {
	if t.users.Add(-1) > 0 {
		return
	}
	// The lock is held while policies compile. This may be a proxy's worker
	// thread, which must not wait that long.
	if !t.runtime.mu.TryLock() {
		go t.runtime.reap(t)
		return
	}
	defer t.runtime.mu.Unlock()
	t.runtime.drop(t)
}

// Begin starts an exchange under a route's key. It never fails: an unknown key
// is judged by Table.Unknown. Key "" stands for a route without key: nothing
// governs it.
func (t *Table) Begin(key string) *Exchange {
	t.users.Add(1)
	x := &Exchange{table: t, runtime: t.runtime, key: key, began: t.runtime.o.Now()}
	b, ok := t.bound[key]
	switch {
	case ok:
		x.binding, x.policy, x.learn = b.Binding, b.policy, t.learn
	case key != "":
		x.unknown = true
		t.runtime.unknown.Add(1)
	}
	if b.recorded {
		x.record = t.config.Record
		x.sampled = x.record.Percent > 0 && t.runtime.o.Random()*100 < x.record.Percent
	}
	if x.policy != nil || x.unknown || x.record != nil {
		x.id = t.runtime.o.NewID()
	}
	return x
}
