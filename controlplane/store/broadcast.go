package store

import (
	"context"
	"sync"
)

// broadcast wakes everyone who waits: the channel of the moment is closed.
type broadcast struct {
	mu sync.Mutex
	ch chan struct{}
}

func (b *broadcast) wait() <-chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.ch == nil {
		b.ch = make(chan struct{})
	}
	return b.ch
}

func (b *broadcast) notify() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.ch != nil {
		close(b.ch)
		b.ch = nil
	}
}

// watermarks are the newest things the watcher has seen. The first look sees all
// that was there as new: somebody may have written since the process read it.
type watermarks struct {
	audit      int64
	lastCursor int64
	lastFlow   int64
}

// look wakes waiters for what another replica wrote. What this process wrote
// wakes them a second time, which costs a query and nothing else.
func (s *Store) look(ctx context.Context, seen watermarks) watermarks {
	var now watermarks
	err := s.state.read.NewRaw("SELECT coalesce(max(seq), 0) FROM audit").Scan(ctx, &now.audit)
	if err == nil {
		err = s.telemetry.read.NewRaw("SELECT coalesce(max(cursor), 0) FROM events").Scan(ctx, &now.lastCursor)
	}
	if err == nil {
		err = s.telemetry.read.NewRaw("SELECT coalesce(max(cursor), 0) FROM flows").Scan(ctx, &now.lastFlow)
	}
	if err != nil {
		return seen
	}
	if now.lastFlow != seen.lastFlow {
		s.flows.notify()
	}
	if now.audit != seen.audit {
		s.resources.notify()
	}
	if now.lastCursor != seen.lastCursor {
		s.events.notify()
	}
	return now
}
