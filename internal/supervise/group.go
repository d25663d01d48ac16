// Package supervise runs the child processes of one product in one tree: it
// starts them in order, restarts the ones that die, and stops them in reverse
// order after they have drained.
//
// What it promises: none of its children survives it, not even its own kill -9
// (on Linux, by the parent-death signal); Ctrl-C at the terminal reaches the
// supervisor only, because every child leads a process group of its own; a
// child's own children end with it; a crash loop costs one start per back-off
// step; each change of state is one log line. It is not a service manager: it
// knows stages, not dependencies, and reads no configuration.
//
// It is a leaf: the composition roots in cmd use it, and tests.
package supervise

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"slices"
	"sync"
)

// Options say where a Group writes.
type Options struct {
	// Log takes one line per state change; nil means none.
	Log *slog.Logger
	// Output takes what children print, a whole line at a time with the
	// child's name before it. A child with a sink of its own (Spec.Log) does
	// not write here. Nil means their output is dropped.
	Output io.Writer
	// Outage is told of each end that nobody asked for, when it happens and once
	// more when the child is back. It is called on the way to the next start, by
	// several children at once, so it must not wait for anything. Nil: nobody is.
	Outage func(Outage)
}

// Group is a set of children in stages. Use NewGroup; its methods may be
// called from any goroutine.
type Group struct {
	log    *slog.Logger
	out    *sharedWriter
	outage func(Outage)
	spawn  *spawner

	ended     chan struct{}
	endedOnce sync.Once

	mu      sync.Mutex
	stages  [][]*child
	stopped bool
}

// NewGroup makes an empty group.
func NewGroup(o Options) *Group {
	log := o.Log
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	out := o.Output
	if out == nil {
		out = io.Discard
	}
	outage := o.Outage
	if outage == nil {
		outage = func(Outage) {}
	}
	return &Group{log: log, out: &sharedWriter{w: out}, outage: outage, spawn: newSpawner(), ended: make(chan struct{})}
}

// Start starts the given children together and returns when all are ready.
// If one ends or is not ready in time, Start ends these children again and
// returns an error that carries the last line it printed. Call Start once per
// stage: Stop takes the stages in reverse.
func (g *Group) Start(ctx context.Context, specs ...Spec) error {
	stage, err := g.add(specs)
	if err != nil {
		return err
	}
	first := make(chan error, len(stage))
	for _, c := range stage {
		go func() { first <- c.start(ctx) }()
	}
	var errs error
	for range stage {
		errs = errors.Join(errs, <-first)
	}
	if errs == nil {
		return nil
	}
	stopAll(context.WithoutCancel(ctx), stage)
	g.mu.Lock()
	g.stages = slices.DeleteFunc(g.stages, func(s []*child) bool { return &s[0] == &stage[0] })
	g.mu.Unlock()
	return errs
}

// add makes the children of a stage and enters it, so that a Stop that comes
// while it starts ends it too.
func (g *Group) add(specs []Spec) ([]*child, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.stopped {
		return nil, errors.New("start children: the group was stopped")
	}
	if len(specs) == 0 {
		return nil, errors.New("start children: the stage is empty")
	}
	names := map[string]bool{}
	for _, c := range slices.Concat(g.stages...) {
		names[c.spec.Name] = true
	}
	var stage []*child
	for _, s := range specs {
		if s.Name == "" || s.Command == "" || names[s.Name] {
			return nil, fmt.Errorf("start child %q: it needs a name of its own and a command", s.Name)
		}
		names[s.Name] = true
		stage = append(stage, newChild(s.withDefaults(), g))
	}
	g.stages = append(g.stages, stage)
	return stage, nil
}

// Restart ends a child (drain, SIGTERM, SIGKILL) and starts it again at once,
// without back-off. It returns when the new process is ready, with the first
// start's error otherwise; the restart policy goes on trying.
func (g *Group) Restart(ctx context.Context, name string) error {
	for _, c := range g.children() {
		if c.spec.Name == name {
			return c.restart(ctx)
		}
	}
	return fmt.Errorf("restart child %q: there is none of this name", name)
}

// Status lists the children in start order.
func (g *Group) Status() []Status {
	var all []Status
	for _, c := range g.children() {
		all = append(all, c.current())
	}
	return all
}

// Ended is closed once a child has stopped for good without Stop, by its
// policy; Status tells which.
func (g *Group) Ended() <-chan struct{} { return g.ended }

// Stop drains and ends every child, last stage first, and returns when no
// process is left. When ctx ends it goes straight to SIGKILL, and says so by
// its error. It may be called twice; a group that was stopped starts nothing
// more.
func (g *Group) Stop(ctx context.Context) error {
	g.mu.Lock()
	stages := slices.Clone(g.stages)
	g.stopped = true
	g.mu.Unlock()
	for _, stage := range slices.Backward(stages) {
		stopAll(ctx, stage)
	}
	g.spawn.close()
	if err := context.Cause(ctx); err != nil {
		return fmt.Errorf("stop children in time: %w", err)
	}
	return nil
}

func (g *Group) children() []*child {
	g.mu.Lock()
	defer g.mu.Unlock()
	return slices.Concat(g.stages...)
}

func (g *Group) childEnded() { g.endedOnce.Do(func() { close(g.ended) }) }

func stopAll(ctx context.Context, stage []*child) {
	var wg sync.WaitGroup
	for _, c := range stage {
		wg.Go(func() { c.stop(ctx) })
	}
	wg.Wait()
}
