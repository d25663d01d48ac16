// Package supervise runs the child processes of one product in one tree: it
// starts them in order, restarts the ones that die, and stops them in reverse
// order after they have drained.
//
// What it promises: nothing it started survives it, not even its own kill -9
// (on Linux, by the parent-death signal); Ctrl-C at the terminal reaches the
// supervisor only, because every child leads a process group of its own; a
// crash loop costs one start per back-off step and one log line per state
// change. It is not a service manager: no dependencies between names, no
// configuration of its own, no goroutines of the caller's.
//
// It is a leaf: the composition roots in cmd use it, and tests.
package supervise

import (
	"context"
	"io"
	"log/slog"
	"time"
)

// Options say where a Group writes.
type Options struct {
	// Log takes one line per state change; nil means none.
	Log *slog.Logger
	// Output takes what children print, a whole line at a time with the
	// child's name before it. A child with a sink of its own (Spec.Log) does
	// not write here. Nil means their output is dropped.
	Output io.Writer
}

// Spec is one child process.
type Spec struct {
	// Name is unique in the group.
	Name string
	// Command is a path or a name on PATH; Args exclude it.
	Command string
	Args    []string
	// Env is added to the supervisor's own environment.
	Env []string
	Dir string
	// Log takes the child's output as it is; nil means Options.Output.
	Log io.Writer
	// Ready says whether the child serves: it is asked every ReadyEvery until
	// it answers nil. Nil means ready as soon as it runs.
	Ready      func(context.Context) error
	ReadyEvery time.Duration // 25 ms
	// ReadyWithin bounds the wait for the first start; 15 s.
	ReadyWithin time.Duration
	Restart     Restart
	// Drain runs before SIGTERM: tell the child to finish what it has. Its
	// context ends after DrainWithin (10 s).
	Drain       func(context.Context) error
	DrainWithin time.Duration
	// Grace is the time between SIGTERM and SIGKILL; 5 s.
	Grace time.Duration
}

// When says after which ends a child is started again.
type When int

const (
	// Always restarts after every end that Stop did not cause.
	Always When = iota
	// OnFailure leaves a child alone that ended with status 0.
	OnFailure
	// Never leaves it alone.
	Never
)

// Restart is a child's restart policy. Zero fields mean the defaults.
type Restart struct {
	When When
	// First is the first delay (200 ms), Max the longest (10 s); each delay
	// is twice the one before, give or take a fifth.
	First, Max time.Duration
	// Healthy is how long a child must have run for the delay to start over
	// (10 s).
	Healthy time.Duration
}

// State is where a child is in its life.
type State string

// The states, in the order of a life.
const (
	Starting State = "starting"
	Running  State = "running" // ready
	Waiting  State = "waiting" // for its back-off delay to pass
	Draining State = "draining"
	Stopped  State = "stopped" // by Stop, or ended and not to be restarted
)

// Status is a child at one moment.
type Status struct {
	Name     string    `json:"name"`
	State    State     `json:"state"`
	PID      int       `json:"pid,omitempty"` // 0 when no process runs
	Restarts int       `json:"restarts"`
	Since    time.Time `json:"since"`              // when State was entered
	LastExit string    `json:"lastExit,omitempty"` // "exit status 1", "signal: killed"
}

// Group is a set of children. Use NewGroup.
type Group struct{}

// NewGroup makes an empty group.
func NewGroup(Options) *Group { panic("todo") }

// Start starts the given children together and returns when all are ready.
// If one ends or is not ready in time, Start stops these children again and
// returns an error that carries the last line it printed. Call Start once per
// stage: Stop takes the stages in reverse.
func (g *Group) Start(ctx context.Context, specs ...Spec) error { panic("todo") }

// Restart ends a running child (drain, SIGTERM, SIGKILL) and starts it again
// at once, without back-off.
func (g *Group) Restart(ctx context.Context, name string) error { panic("todo") }

// Status lists the children in start order.
func (g *Group) Status() []Status { panic("todo") }

// Ended is closed once a child has stopped for good without Stop, by its
// policy; Status tells which.
func (g *Group) Ended() <-chan struct{} { panic("todo") }

// Stop drains and ends every child, last stage first, and returns when no
// process is left. When ctx ends it goes straight to SIGKILL. It may be called
// twice.
func (g *Group) Stop(ctx context.Context) error { panic("todo") }
