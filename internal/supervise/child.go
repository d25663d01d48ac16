package supervise

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"syscall"
	"time"

	"github.com/cenkalti/backoff/v5"
)

// child is one Spec over all its processes. One goroutine, keep, owns the
// process; the others ask it through channels.
type child struct {
	spec  Spec
	group *Group
	log   *slog.Logger

	life     context.Context // ends when the child is to stop
	endLife  context.CancelFunc
	restarts chan chan error
	kill     chan struct{} // closed: no more patience
	killOnce sync.Once
	done     chan struct{} // closed: no process, and none will come

	mu     sync.Mutex
	status Status
}

func newChild(s Spec, g *Group) *child {
	c := &child{
		spec: s, group: g, log: g.log.With("child", s.Name),
		restarts: make(chan chan error), kill: make(chan struct{}), done: make(chan struct{}),
		status: Status{Name: s.Name, State: Starting, Since: time.Now()},
	}
	c.life, c.endLife = context.WithCancel(context.Background())
	return c
}

// start runs the first process. Its failure is the caller's, not a reason to
// try again: a wrong flag does not get better.
func (c *child) start(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer context.AfterFunc(c.life, func() { cancel(errors.New("the group was stopped")) })()
	p, err := c.launch(ctx)
	if err != nil {
		c.setState(Stopped, 0)
		close(c.done)
		return err
	}
	go c.keep(p)
	return nil
}

// stop ends the child and returns when no process is left. When ctx ends
// first, the child is killed.
func (c *child) stop(ctx context.Context) {
	c.endLife()
	select {
	case <-c.done:
	case <-ctx.Done():
		c.killOnce.Do(func() { close(c.kill) })
		<-c.done
	}
}

func (c *child) restart(ctx context.Context) error {
	answer := make(chan error, 1)
	select {
	case c.restarts <- answer:
	case <-c.done:
		return fmt.Errorf("restart child %q: it was stopped", c.spec.Name)
	case <-ctx.Done():
		return fmt.Errorf("restart child %q: %w", c.spec.Name, context.Cause(ctx))
	}
	select {
	case err := <-answer:
		return err
	case <-ctx.Done():
		return fmt.Errorf("restart child %q: %w", c.spec.Name, context.Cause(ctx))
	}
}

// keep holds the child to its policy until it stops for good.
func (c *child) keep(p *process) {
	defer close(c.done)
	delay := c.newBackOff()
	for p != nil {
		select {
		case <-c.life.Done():
			c.end(p, true)
			c.setState(Stopped, 0)
			c.log.Info("child stopped", "exit", p.exit)
			return
		case answer := <-c.restarts:
			c.end(p, true)
			var err error
			p, err = c.relaunch()
			if answer <- err; err != nil {
				p = c.revive(delay)
			}
		case <-p.done:
			p = c.afterExit(p, delay)
		}
	}
}

// afterExit decides what follows an end that nobody asked for.
func (c *child) afterExit(p *process, delay *backoff.ExponentialBackOff) *process {
	when := c.spec.Restart.When
	if when == Never || (when == OnFailure && p.ok) {
		c.setState(Stopped, 0)
		c.log.Info("child ended", "exit", p.exit)
		c.group.childEnded()
		return nil
	}
	if p.healthyFor() >= c.spec.Restart.Healthy {
		delay.Reset()
	}
	c.log.Warn("child ended", "exit", p.exit, "last", p.lastWords())
	o := Outage{Name: c.spec.Name, Ready: p.readyAt, Ended: p.endedAt, Exit: p.exit, Fatal: p.out.fatalLine(), Restarts: c.current().Restarts}
	c.group.outage(o)
	next := c.revive(delay)
	if next != nil {
		o.Back, o.Restarts = next.readyAt, c.current().Restarts
		c.group.outage(o)
	}
	return next
}

// revive tries until a process is ready; nil means the child is to stop.
func (c *child) revive(delay *backoff.ExponentialBackOff) *process {
	for {
		wait := delay.NextBackOff()
		c.setState(Waiting, 0)
		c.log.Info("child waits before it starts again", "delay", wait.Round(time.Millisecond))
		var answer chan error
		select {
		case <-c.life.Done():
			c.setState(Stopped, 0)
			return nil
		case answer = <-c.restarts:
		case <-time.After(wait):
		}
		p, err := c.relaunch()
		if answer != nil {
			answer <- err
		}
		if err == nil {
			return p
		}
		if c.life.Err() == nil {
			c.log.Warn("child did not start", "error", err)
		}
	}
}

func (c *child) relaunch() (*process, error) {
	c.mu.Lock()
	c.status.Restarts++
	c.mu.Unlock()
	return c.launch(c.life)
}

// launch starts a process and waits until it is ready. On an error no process
// is left.
func (c *child) launch(ctx context.Context) (*process, error) {
	if ctx.Err() != nil {
		return nil, fmt.Errorf("start child %q: %w", c.spec.Name, context.Cause(ctx))
	}
	c.setState(Starting, 0)
	p, err := c.group.spawn.start(c.spec, c.group.out)
	if err != nil {
		c.setExit(err.Error())
		return nil, fmt.Errorf("start child %q: %w", c.spec.Name, err)
	}
	go p.reap(c.setExit)
	c.setState(Starting, p.pid())
	c.log.Info("child started", "pid", p.pid())
	if err := c.awaitReady(ctx, p); err != nil {
		c.end(p, false)
		return nil, fmt.Errorf("start child %q: %w", c.spec.Name, err)
	}
	p.readyAt = time.Now()
	c.setState(Running, p.pid())
	if c.spec.Ready != nil {
		c.log.Info("child ready", "pid", p.pid())
	}
	return p, nil
}

// awaitReady asks Ready until it agrees, the process ends, or time is up.
func (c *child) awaitReady(ctx context.Context, p *process) error {
	if c.spec.Ready == nil {
		return nil
	}
	ctx, cancel := context.WithTimeoutCause(ctx, c.spec.ReadyWithin, fmt.Errorf("it was not ready within %s", c.spec.ReadyWithin))
	defer cancel()
	probe, stopProbe := context.WithCancel(ctx)
	defer stopProbe()
	go func() {
		select {
		case <-p.done:
			stopProbe()
		case <-probe.Done():
		}
	}()
	for {
		err := c.spec.Ready(probe)
		if err == nil && !p.gone() {
			return nil
		}
		select {
		case <-p.done:
			return fmt.Errorf("it ended (%s) before it was ready%s", p.exit, colon(p.lastWords()))
		case <-ctx.Done():
			return fmt.Errorf("%w%s%s", context.Cause(ctx), colon(text(err)), colon(p.lastWords()))
		case <-time.After(c.spec.ReadyEvery):
		}
	}
}

// end drains, asks, and then kills. It returns when the process is gone.
func (c *child) end(p *process, drain bool) {
	if p.gone() {
		return
	}
	c.setState(Draining, p.pid())
	if drain && c.spec.Drain != nil {
		c.drain(p)
	}
	p.signal(syscall.SIGTERM)
	select {
	case <-p.done:
		return
	case <-c.kill:
	case <-time.After(c.spec.Grace):
	}
	c.log.Warn("child killed: it did not end in time", "pid", p.pid(), "grace", c.spec.Grace)
	p.killTree()
	<-p.done
}

func (c *child) drain(p *process) {
	c.log.Info("child draining", "pid", p.pid())
	ctx, cancel := context.WithTimeout(context.Background(), c.spec.DrainWithin)
	defer cancel()
	go func() {
		select {
		case <-p.done:
			cancel()
		case <-c.kill:
			cancel()
		case <-ctx.Done():
		}
	}()
	if err := c.spec.Drain(ctx); err != nil {
		c.log.Warn("child did not drain", "error", err)
	}
}

func (c *child) newBackOff() *backoff.ExponentialBackOff {
	b := backoff.NewExponentialBackOff()
	b.InitialInterval, b.MaxInterval = c.spec.Restart.First, c.spec.Restart.Max
	b.Multiplier, b.RandomizationFactor = 2, 0.2
	b.Reset()
	return b
}

func (c *child) setState(s State, pid int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.status.State != s {
		c.status.Since = time.Now()
	}
	c.status.State, c.status.PID = s, pid
}

func (c *child) setExit(exit string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.status.LastExit = exit
}

func (c *child) current() Status {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.status
}

// colon puts a detail behind a sentence, if there is one.
func colon(detail string) string {
	if detail == "" {
		return ""
	}
	return ": " + detail
}

func text(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}
