package server

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/oklog/ulid/v2"
)

// Bounds of long work: maxRunning jobs at a time, and finished ones are
// remembered for a while.
const (
	maxRunning  = 2
	maxJobs     = 64
	jobKeep     = time.Hour
	jobLongest  = 30 * time.Minute
	progressGap = 100 * time.Millisecond
)

// JobState is how far a job is.
type JobState string

const (
	JobRunning  JobState = "running"
	JobDone     JobState = "done"
	JobFailed   JobState = "failed"
	JobCanceled JobState = "canceled"
)

// jobs are long pieces of work that outlive the request that began them.
type jobs struct {
	ctx context.Context
	now func() time.Time
	log *slog.Logger

	mu   sync.Mutex
	byID map[string]*job
}

type job struct {
	cancel context.CancelFunc

	mu      sync.Mutex
	view    Rehearsing
	changed chan struct{} // closed and replaced at every change
}

func newJobs(ctx context.Context, now func() time.Time, log *slog.Logger) *jobs {
	return &jobs{ctx: ctx, now: now, log: log, byID: map[string]*job{}}
}

// start begins work in the background; ok is false when enough is running.
// work reports its outcome by the function it is given.
func (j *jobs) start(author string, work func(context.Context, *job) error) (started *job, ok bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.forget()
	running := 0
	for _, other := range j.byID {
		if other.snapshot().State == JobRunning {
			running++
		}
	}
	if running >= maxRunning || len(j.byID) >= maxJobs {
		return nil, false
	}
	ctx, cancel := context.WithTimeout(j.ctx, jobLongest)
	started = &job{cancel: cancel, changed: make(chan struct{})}
	started.view = Rehearsing{ID: ulid.Make().String(), State: JobRunning, Author: author, Started: j.now()}
	j.byID[started.view.ID] = started
	go func() {
		defer cancel()
		err := guarded(j.log, func() error { return work(ctx, started) })
		started.update(func(v *Rehearsing) { v.finish(ctx, err, j.now()) })
	}()
	return started, true
}

// forget drops finished jobs that are old, and the oldest when there are many.
func (j *jobs) forget() {
	for id, other := range j.byID {
		v := other.snapshot()
		if v.State != JobRunning && (j.now().Sub(v.Ended) > jobKeep || len(j.byID) >= maxJobs) {
			delete(j.byID, id)
		}
	}
}

func (j *jobs) get(id string) (*job, bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	found, ok := j.byID[id]
	return found, ok
}

func (j *job) snapshot() Rehearsing {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.view
}

// watch gives the state and a channel that closes at the next change.
func (j *job) watch() (Rehearsing, <-chan struct{}) {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.view, j.changed
}

func (j *job) update(change func(*Rehearsing)) {
	j.mu.Lock()
	defer j.mu.Unlock()
	change(&j.view)
	close(j.changed)
	j.changed = make(chan struct{})
}
