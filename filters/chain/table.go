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
	events, records *sink
	learn           *learning       // nil: nothing is told of operations
	keys            map[string]bool // bindings recorded; nil: all
	users           atomic.Int64    // exchanges, and one for the owner
	released        atomic.Bool
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
	if c.Record != nil && len(c.Record.Keys) > 0 {
		t.keys = map[string]bool{}
		for _, k := range c.Record.Keys {
			t.keys[k] = true
		}
	}
	return nil
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
	b, ok := t.config.Bindings[key]
	switch {
	case ok && b.Policy != "":
		x.policy = t.policies[b.Policy]
	case !ok && key != "":
		x.unknown = true
		t.runtime.unknown.Add(1)
	}
	x.binding = b
	if ok {
		x.learn = t.learn
	}
	if r := t.config.Record; r != nil && t.records != nil && (t.keys == nil || t.keys[key]) && ok {
		x.record = r
		x.sampled = t.runtime.o.Random()*100 < r.Percent
	}
	if x.policy != nil || x.unknown || x.record != nil {
		x.id = t.runtime.o.NewID()
	}
	return x
}
