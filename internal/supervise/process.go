package supervise

import (
	"cmp"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"time"
)

// process is one run of a child, the leader of a process group of its own.
type process struct {
	cmd     *exec.Cmd
	out     *lineWriter
	readyAt time.Time     // zero: never
	done    chan struct{} // closed: reaped; endedAt, exit and ok may be read
	endedAt time.Time
	exit    string
	ok      bool

	mu     sync.Mutex
	reaped bool // the group's number may belong to others now
}

// command prepares a process; the spawner starts it.
func command(s Spec, shared *sharedWriter) *process {
	sink := s.Log
	prefix := ""
	if sink == nil {
		sink, prefix = shared, s.Name+" | "
	}
	p := &process{out: &lineWriter{w: sink, prefix: prefix}, done: make(chan struct{})}
	p.cmd = exec.Command(s.Command, s.Args...)
	p.cmd.Env = append(os.Environ(), s.Env...)
	p.cmd.Dir = s.Dir
	// One writer for both: exec then uses one pipe, and lines keep their order.
	p.cmd.Stdout, p.cmd.Stderr = p.out, p.out
	// A grandchild that left the group may hold the pipe open.
	p.cmd.WaitDelay = 2 * time.Second
	p.cmd.SysProcAttr = attributes()
	return p
}

func (p *process) pid() int { return p.cmd.Process.Pid }

// reap waits for the process's end, ends what it left behind in its group, and
// collects it. The order matters: until it is collected, its number is its own.
func (p *process) reap(note func(exit string)) {
	uncollected := awaitExit(p.pid())
	p.endedAt = time.Now()
	if uncollected {
		p.mu.Lock()
		_ = syscall.Kill(-p.pid(), syscall.SIGKILL)
		p.reaped = true
		p.mu.Unlock()
	}
	_ = p.cmd.Wait() // its state says more than its error
	p.out.flush()
	p.exit, p.ok = p.cmd.ProcessState.String(), p.cmd.ProcessState.Success()
	note(p.exit)
	close(p.done)
}

func (p *process) gone() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

func (p *process) signal(s syscall.Signal) { _ = p.cmd.Process.Signal(s) }

// killTree ends the process and its own children.
func (p *process) killTree() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.reaped {
		_ = syscall.Kill(-p.pid(), syscall.SIGKILL)
	}
}

func (p *process) healthyFor() time.Duration {
	if p.readyAt.IsZero() {
		return 0
	}
	return time.Since(p.readyAt)
}

// lastWords are what it printed of why it ended, as far as that can be told: what
// a Go runtime said, whose last lines say where it was and not why; else the last.
func (p *process) lastWords() string { return cmp.Or(p.out.fatalLine(), p.out.lastLine()) }
