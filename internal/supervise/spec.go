package supervise

import (
	"context"
	"io"
	"time"
)

// Spec is one child process. Zero durations mean the defaults.
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
	// Ready says whether the child serves: it is asked every ReadyEvery
	// (25 ms) until it answers nil. Nil means ready as soon as it runs.
	Ready      func(context.Context) error
	ReadyEvery time.Duration
	// ReadyWithin bounds the wait for readiness (15 s). After a restart a
	// child that is not ready in time is ended and started again.
	ReadyWithin time.Duration
	Restart     Restart
	// Drain runs before SIGTERM: tell the child to finish what it has. Its
	// context ends after DrainWithin (10 s).
	Drain       func(context.Context) error
	DrainWithin time.Duration
	// Grace is the time between SIGTERM and SIGKILL (5 s).
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
	// Healthy is how long a child must have been ready for the delay to start
	// over (10 s).
	Healthy time.Duration
}

func (s Spec) withDefaults() Spec {
	orDefault(&s.ReadyEvery, 25*time.Millisecond)
	orDefault(&s.ReadyWithin, 15*time.Second)
	orDefault(&s.DrainWithin, 10*time.Second)
	orDefault(&s.Grace, 5*time.Second)
	orDefault(&s.Restart.First, 200*time.Millisecond)
	orDefault(&s.Restart.Max, 10*time.Second)
	orDefault(&s.Restart.Healthy, 10*time.Second)
	return s
}

func orDefault(d *time.Duration, value time.Duration) {
	if *d == 0 {
		*d = value
	}
}
