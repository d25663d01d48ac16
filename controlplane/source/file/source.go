// Package file reads resources from files and directories and watches them.
//
// A file that is broken, or half written, keeps the last good version of what
// it held, with a condition that says so. So does a path that was given and has
// gone: what disappears by a slip stays in force; a file below a directory is
// removed by removing it. The composition root imports it.
package file

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"sync/atomic"
	"time"

	"github.com/fsnotify/fsnotify"

	"github.com/gabion-io/gabion/controlplane/source"
)

const (
	// settle is how long a path must be quiet before it is read: editors and
	// copies write in several steps.
	settle = 80 * time.Millisecond
	// patience bounds how long a path that is never quiet is waited for.
	patience = time.Second
	// poll is how often files are looked at without being told, for file
	// systems that tell nothing.
	poll = 5 * time.Second
)

// Source watches a fixed list of files and directories.
type Source struct {
	log      *slog.Logger
	paths    []string
	notify   *fsnotify.Watcher // nil: only polled
	shelf    shelf
	snapshot atomic.Pointer[source.Set]
	changed  chan struct{}
	cancel   context.CancelFunc
	done     chan struct{}
}

// Open reads paths once and starts to watch them until ctx ends. It fails only
// when a path does not exist; broken manifests are conditions of the Snapshot.
func Open(ctx context.Context, log *slog.Logger, paths ...string) (*Source, error) {
	if err := exist(paths); err != nil {
		return nil, err
	}
	s := &Source{
		log: log, paths: slices.Clone(paths), shelf: shelf{},
		changed: make(chan struct{}, 1), done: make(chan struct{}),
	}
	ctx, s.cancel = context.WithCancel(ctx)
	if w, err := fsnotify.NewWatcher(); err == nil {
		s.notify = w
	} else {
		log.Warn("files are polled, for the system cannot watch them", "error", err, "every", poll)
	}
	s.read()
	select { // the first Snapshot is not a change
	case <-s.changed:
	default:
	}
	go s.run(ctx)
	return s, nil
}

func exist(paths []string) error {
	var all []error
	for _, p := range paths {
		if _, err := os.Stat(p); err != nil {
			all = append(all, fmt.Errorf("read resources from %s: %w", p, errors.Unwrap(err)))
		}
	}
	return errors.Join(all...)
}

// Snapshot returns the resources as last read.
func (s *Source) Snapshot() source.Set { return *s.snapshot.Load() }

// Changed receives a value after the Snapshot changed; several changes may fold
// into one value.
func (s *Source) Changed() <-chan struct{} { return s.changed }

// Close stops watching and waits for it.
func (s *Source) Close() error {
	s.cancel()
	<-s.done
	return nil
}

func (s *Source) run(ctx context.Context) {
	defer close(s.done)
	var events chan fsnotify.Event
	var failures chan error
	if s.notify != nil {
		defer s.notify.Close()
		events, failures = s.notify.Events, s.notify.Errors
	}
	ticker := time.NewTicker(poll)
	defer ticker.Stop()
	quiet := time.NewTimer(time.Hour)
	quiet.Stop()
	var first time.Time // of the events that wait to be acted upon
	for {
		select {
		case <-ctx.Done():
			return
		case e := <-events:
			if e.Op == fsnotify.Chmod {
				continue // reading a file is one
			}
			if first.IsZero() {
				first = time.Now()
			}
			quiet.Reset(min(settle, max(0, patience-time.Since(first))))
		case err := <-failures:
			// Events were lost: look for ourselves.
			s.log.Warn("watching files went wrong", "error", err)
			quiet.Reset(settle)
		case <-quiet.C:
			first = time.Time{}
			s.read()
		case <-ticker.C:
			s.read()
		}
	}
}

// read looks at all paths and publishes a new Snapshot when a byte differs.
func (s *Source) read() {
	found := scan(s.paths)
	s.watch(found.dirs)
	if s.snapshot.Load() != nil && s.shelf.same(found) {
		return
	}
	set := s.shelf.set(found)
	s.snapshot.Store(&set)
	select {
	case s.changed <- struct{}{}:
	default:
	}
}

// watch adds directories; those that vanish are dropped by the system.
func (s *Source) watch(dirs []string) {
	if s.notify == nil {
		return
	}
	known := s.notify.WatchList()
	for _, dir := range dirs {
		if slices.Contains(known, dir) {
			continue
		}
		if err := s.notify.Add(dir); err != nil {
			s.log.Warn("a directory is polled, for it cannot be watched", "dir", dir, "error", err)
		}
	}
}
