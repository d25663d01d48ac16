package supervise

import (
	"errors"
	"runtime"
	"sync"
)

// spawner starts processes from one operating system thread that lives as long
// as the group. The parent-death signal is sent when the *thread* that started
// the child ends, and Go ends threads at will: a child started from any other
// goroutine could be killed at any moment.
type spawner struct {
	work chan func()
	quit chan struct{}
	once sync.Once
}

func newSpawner() *spawner {
	s := &spawner{work: make(chan func()), quit: make(chan struct{})}
	go func() {
		// Never unlocked: the thread ends with the goroutine, and with it,
		// as a last resort, whatever it started.
		runtime.LockOSThread()
		for {
			select {
			case f := <-s.work:
				f()
			case <-s.quit:
				return
			}
		}
	}()
	return s
}

func (s *spawner) start(spec Spec, shared *sharedWriter) (*process, error) {
	p := command(spec, shared)
	result := make(chan error, 1)
	select {
	case s.work <- func() { result <- p.cmd.Start() }:
	case <-s.quit:
		return nil, errors.New("the group was stopped")
	}
	if err := <-result; err != nil {
		return nil, err
	}
	return p, nil
}

func (s *spawner) close() { s.once.Do(func() { close(s.quit) }) }
