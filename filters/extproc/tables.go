package extproc

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/gabion-io/gabion/filters"
	"github.com/gabion-io/gabion/filters/chain"
)

// shipped is one table as the control plane sent it.
type shipped struct {
	Name    string `json:"name"`
	Version string `json:"version"`
	Table   string `json:"table"` // JSON of filters.Table
}

// tables are the loaded tables by name. An exchange finishes on the table it
// began with; set and remove affect the next one.
type tables struct {
	runtime *chain.Runtime

	mu   sync.RWMutex
	live map[string]loaded

	first sync.Once
	some  chan struct{} // closed when the first table is loaded
}

type loaded struct {
	shipped
	table *chain.Table
}

func newTables(r *chain.Runtime) *tables {
	return &tables{runtime: r, live: map[string]loaded{}, some: make(chan struct{})}
}

// await waits for the first table; false when ctx ended before.
func (t *tables) await(ctx context.Context) bool {
	select {
	case <-t.some:
		return true
	case <-ctx.Done():
		return false
	}
}

// set compiles a table and puts it in the place of the old one; on error the
// old one stays.
func (t *tables) set(s shipped) error {
	t.mu.RLock()
	old, had := t.live[s.Name]
	t.mu.RUnlock()
	if had && old.Table == s.Table {
		t.mu.Lock()
		old.Version = s.Version
		t.live[s.Name] = old
		t.mu.Unlock()
		return nil
	}
	table, err := t.runtime.Load([]byte(s.Table))
	if err != nil {
		return fmt.Errorf("load %q: %w", s.Name, err)
	}
	t.mu.Lock()
	t.live[s.Name] = loaded{s, table}
	t.mu.Unlock()
	t.first.Do(func() { close(t.some) })
	if had {
		old.table.Release()
	}
	return nil
}

func (t *tables) remove(name string) {
	t.mu.Lock()
	old, had := t.live[name]
	delete(t.live, name)
	t.mu.Unlock()
	if had {
		old.table.Release()
	}
}

// begin starts an exchange. It runs under the lock, because a table must not be
// released between being found and being used.
func (t *tables) begin(name, key string) (*chain.Exchange, *filters.Table, error) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	l, ok := t.live[name]
	if !ok {
		return nil, nil, unknownTable(name)
	}
	return l.table.Begin(key), l.table.Config(), nil
}

// list gives what is loaded, by name.
func (t *tables) list() []shipped {
	t.mu.RLock()
	defer t.mu.RUnlock()
	out := make([]shipped, 0, len(t.live))
	for _, l := range t.live {
		out = append(out, l.shipped)
	}
	slices.SortFunc(out, func(a, b shipped) int { return strings.Compare(a.Name, b.Name) })
	return out
}

func (t *tables) release() {
	for _, s := range t.list() {
		t.remove(s.Name)
	}
}
