package main

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync/atomic"
	"time"

	"github.com/gabion-io/gabion/internal/exchange"
)

// toLearn decodes one exchange; the error says where in the input it is.
type toLearn func() (*exchange.Raw, error)

// intake decodes and observes on all cores, and folds in the order of the input.
// What waits is bounded: a batch a core, and as many that are done.
type intake struct {
	app       *app
	ctx       context.Context
	batch     []toLearn
	queue     chan chan learned
	work      chan job
	done      chan error
	failed    atomic.Bool
	exchanges uint64
}

// folder takes observations in.
type folder interface {
	Add(*exchange.Observation)
}

// errIntakeFailed stops the reading; what failed is the answer of close.
var errIntakeFailed = errors.New("stopped reading")

type job struct {
	batch []toLearn
	out   chan learned
}

// learned is a batch of observations, up to the first error.
type learned struct {
	observations []exchange.Observation
	err          error
}

const intakeBatch = 128

func newIntake(ctx context.Context, a *app, door *exchange.Door, to folder) *intake {
	n := runtime.GOMAXPROCS(0)
	in := &intake{app: a, ctx: ctx, queue: make(chan chan learned, n), work: make(chan job), done: make(chan error, 1)}
	for range n {
		go func() {
			for j := range in.work {
				j.out <- observeBatch(j.batch, door)
			}
		}()
	}
	go func() { in.done <- in.fold(to) }()
	return in
}

func observeBatch(batch []toLearn, door *exchange.Door) (l learned) {
	for _, decode := range batch {
		raw, err := decode()
		if err != nil {
			l.err = err
			return l
		}
		if raw == nil {
			continue
		}
		var o exchange.Observation
		door.Observe(raw, &o)
		l.observations = append(l.observations, o)
	}
	return l
}

// fold takes the batches in turn. After an error it only empties the queue.
func (in *intake) fold(to folder) (failed error) {
	told := in.app.now()
	for out := range in.queue {
		b := <-out
		if failed != nil {
			continue
		}
		for i := range b.observations {
			to.Add(&b.observations[i])
		}
		in.exchanges += uint64(len(b.observations))
		failed = b.err
		in.failed.Store(failed != nil)
		if in.app.errTerminal() && in.app.now().Sub(told) > time.Second {
			told = in.app.now()
			fmt.Fprintf(in.app.err, "\r%d exchanges", in.exchanges)
		}
	}
	if in.app.errTerminal() {
		fmt.Fprint(in.app.err, "\r\x1b[K")
	}
	return failed
}

// offer hands one exchange over; it waits while too many are waiting.
func (in *intake) offer(decode toLearn) error {
	in.batch = append(in.batch, decode)
	if len(in.batch) < intakeBatch {
		return nil
	}
	return in.send()
}

func (in *intake) send() error {
	j := job{in.batch, make(chan learned, 1)}
	in.batch = nil
	if in.failed.Load() {
		return errIntakeFailed
	}
	select {
	case <-in.ctx.Done():
		return in.ctx.Err()
	case in.queue <- j.out:
	}
	in.work <- j
	return nil
}

// close waits for all that was offered, and answers what went wrong first: with
// what is in the input, or else with reading it.
func (in *intake) close(err error) error {
	if err == nil {
		err = in.send()
	}
	close(in.work)
	close(in.queue)
	if failed := <-in.done; failed != nil {
		return failed
	}
	return err
}
