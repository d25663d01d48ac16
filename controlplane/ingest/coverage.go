package ingest

import (
	"maps"
	"slices"
	"sync"

	"github.com/gabion-io/gabion/controlplane/store"
)

// maxSources bounds what proxies can make us count by naming themselves anew.
const maxSources = 1000

// tally collects coverage between two writes.
type tally struct {
	mu      sync.Mutex
	sources map[string]store.CoverageDelta
}

func newTally() *tally { return &tally{sources: map[string]store.CoverageDelta{}} }

func (t *tally) add(d store.CoverageDelta) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if _, known := t.sources[d.Source]; !known && len(t.sources) >= maxSources {
		d.Source = "others"
	}
	sum := t.sources[d.Source]
	sum.Source = d.Source
	sum.Received += d.Received
	sum.Duplicates += d.Duplicates
	sum.Lost += d.Lost
	sum.Garbage += d.Garbage
	t.sources[d.Source] = sum
}

func (t *tally) take() []store.CoverageDelta {
	t.mu.Lock()
	defer t.mu.Unlock()
	ds := slices.Collect(maps.Values(t.sources))
	t.sources = map[string]store.CoverageDelta{}
	return ds
}

// recentSet remembers the newest ids, a bounded number of them.
type recentSet struct {
	mu    sync.Mutex
	ids   map[string]bool
	order []string
	next  int
}

func newRecentSet(n int) *recentSet {
	return &recentSet{ids: make(map[string]bool, n), order: make([]string, n)}
}

// has says whether id is known.
func (r *recentSet) has(id string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.ids[id]
}

// add says whether id is new.
func (r *recentSet) add(id string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.ids[id] {
		return false
	}
	delete(r.ids, r.order[r.next])
	r.order[r.next] = id
	r.ids[id] = true
	r.next = (r.next + 1) % len(r.order)
	return true
}
