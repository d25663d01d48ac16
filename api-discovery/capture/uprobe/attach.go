package uprobe

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/bits"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
	"golang.org/x/sys/unix"

	"github.com/gabion-io/gabion/api-discovery/capture"
	"github.com/gabion-io/gabion/workload"
)

// Bounds.
const (
	maxProcesses = 1024
	maxLibraries = 1024 // that are remembered
	lookEvery    = time.Second
	// What a new process has mapped is looked at again while it begins: its libraries
	// come after it.
	lookSoon = 20 * time.Millisecond
	soonFor  = 600 * time.Millisecond
	grace    = 30 * time.Second // what an ended process said may still be in the ring
)

// process is one whose libraries have probes.
type process struct {
	birth  birth
	owner  *owner
	files  map[fileKey]bool // looked at
	links  []link.Link
	marked bool
}

// owner is who a process is.
type owner struct {
	workload  *workload.Workload
	process   capture.Process
	namespace uint64    // of the network
	gone      time.Time // when it ended; zero: it runs
}

// close takes the probes off, those that see calls begin first: of a call that began
// with probes its return is seen.
func (p *process) close() (err error) {
	for _, l := range slices.Backward(p.links) {
		err = errors.Join(err, l.Close())
	}
	p.links = nil
	return err
}

// Keep attaches to processes as they come, and lets go of those that end or that are
// not to be seen any more, until the context ends.
func (w *Watch) Keep(ctx context.Context) error {
	defer w.release()
	stop := context.AfterFunc(ctx, func() { w.begun.SetDeadline(time.Now()) })
	defer stop()
	var soon time.Time
	for ctx.Err() == nil {
		w.look()
		wait := lookEvery
		if time.Now().Before(soon) {
			wait = lookSoon
		}
		w.begun.SetDeadline(time.Now().Add(wait))
		if ctx.Err() != nil {
			return nil
		}
		_, err := w.begun.Read()
		switch {
		case err == nil:
			soon = time.Now().Add(soonFor)
			w.forgetBegun()
		case !errors.Is(err, os.ErrDeadlineExceeded):
			return fmt.Errorf("wait for new processes: %w", err)
		}
	}
	return nil
}

// forgetBegun waits a little and forgets what else began meanwhile: one look finds all.
func (w *Watch) forgetBegun() {
	time.Sleep(lookSoon / 4)
	w.begun.SetDeadline(time.Now())
	for {
		if _, err := w.begun.Read(); err != nil {
			return
		}
	}
}

// look makes the probes those that are wanted now.
func (w *Watch) look() {
	members, err := w.o.Find()
	w.say("find processes", err)
	for _, p := range w.processes {
		p.marked = false
	}
	scopes := map[uint64]bool{}
	crowded := uint64(0)
	for _, m := range members {
		if m.PID == os.Getpid() {
			continue
		}
		p := w.processes[m.PID]
		if p == nil && len(w.processes) >= maxProcesses {
			crowded++
			continue
		}
		if p = w.follow(p, m); p != nil {
			p.marked = true
			scopes[w.scopeOf(p)] = true
		}
	}
	if w.crowded.Store(crowded); crowded > 0 {
		w.say("see TLS of every process", fmt.Errorf("there are more than %d", maxProcesses))
	}
	for pid, p := range w.processes {
		if !p.marked {
			w.say("detach", p.close())
			delete(w.processes, pid)
			w.lock.Lock()
			p.owner.gone = time.Now()
			w.lock.Unlock()
		}
	}
	w.watched.Store(uint64(len(w.processes)))
	w.publishScopes(scopes)
	w.forget()
}

// follow attaches to what of a process has no probes yet. It answers nil if the process
// has ended.
func (w *Watch) follow(p *process, m Member) *process {
	b, ok := birthOf(m.PID)
	if !ok {
		return nil
	}
	if p != nil && (p.birth != b || p.owner.workload.ID != m.Workload.ID) {
		w.say("detach", p.close()) // another process, another program
		p = nil
	}
	if p == nil {
		exe, _ := os.Readlink(fmt.Sprintf("/proc/%d/exe", m.PID))
		p = &process{birth: b, files: map[fileKey]bool{}, owner: &owner{
			workload: m.Workload, namespace: namespaceOf(strconv.Itoa(m.PID)), process: capture.Process{PID: uint32(m.PID), Executable: exe, Cgroup: cgroupOf(m.PID)},
		}}
		w.processes[m.PID] = p
		w.lock.Lock()
		w.owners[uint32(m.PID)] = p.owner
		w.lock.Unlock()
	}
	files, err := programsOf(m.PID)
	if err != nil {
		return p // it ends
	}
	for _, f := range files {
		if p.files[f.key] {
			continue
		}
		p.files[f.key] = true
		l, err := w.library(f)
		if err == nil && l != nil {
			if err = w.attach(p, m.PID, f.path, l); err == nil {
				w.attached.Add(1)
				w.o.Log.Info("seeing TLS of a process", "pid", m.PID, "executable", p.owner.process.Executable, "library", l.of, "file", f.name, "workload", m.Workload.ID)
				continue
			}
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, syscall.ESRCH) && !errors.Is(err, errNotELF) {
			w.unattached.Add(1)
			w.say("see TLS of "+f.name, err)
		}
	}
	return p
}

// library looks into a file, once.
func (w *Watch) library(f mapped) (*library, error) {
	if found, ok := w.libraries[f.key]; ok {
		return found.library, found.err
	}
	if len(w.libraries) >= maxLibraries {
		clear(w.libraries)
	}
	l, err := readLibrary(f.path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, err // of the process, not of the file
	}
	w.libraries[f.key] = found{l, err}
	return l, err
}

type found struct {
	library *library
	err     error
}

// attach puts probes at a library in one process. Those that see calls return come
// first: a call whose return is not seen would be remembered in vain.
func (w *Watch) attach(p *process, pid int, path string, l *library) error {
	ex, err := link.OpenExecutable(path)
	if err != nil {
		return fmt.Errorf("open program: %w", err)
	}
	var at, cookies []uint64
	for _, e := range l.enter {
		at, cookies = append(at, e.at), append(cookies, e.cookie)
	}
	options := func(at, cookies []uint64) *link.UprobeMultiOptions {
		return &link.UprobeMultiOptions{Addresses: at, Cookies: cookies, PID: uint32(pid)}
	}
	kind, returns, leave := "c", ex.UretprobeMulti, at
	if len(l.leave) > 0 {
		kind, returns, leave = "go", ex.UprobeMulti, l.leave
	}
	var made []link.Link
	for _, s := range []struct {
		attach      func([]string, *ebpf.Program, *link.UprobeMultiOptions) (link.Link, error)
		program     string
		at, cookies []uint64
	}{
		{ex.UprobeMulti, "_finish", l.finish, nil},
		{returns, "_leave", leave, nil},
		{ex.UprobeMulti, "_enter", at, cookies},
	} {
		if len(s.at) == 0 {
			continue
		}
		one, err := s.attach(nil, w.all.Programs[kind+s.program], options(s.at, s.cookies))
		if err != nil {
			for _, l := range made {
				err = errors.Join(err, l.Close())
			}
			return fmt.Errorf("attach to %s: %w", l.of, err)
		}
		made = append(made, one)
	}
	p.links = append(p.links, made...)
	return nil
}

// scopeOf is where a sibling of a process would begin: in its network namespace, or if
// that is the host's, in its cgroup.
func (w *Watch) scopeOf(p *process) uint64 {
	if n := p.owner.namespace; n != 0 && n != w.namespace {
		return n
	}
	var s unix.Stat_t
	if unix.Stat(filepath.Join(w.o.Cgroups, p.owner.process.Cgroup), &s) != nil {
		return 0
	}
	return s.Ino | 1<<(bits.UintSize-1)
}

// publishScopes tells the programs of which new processes they are to tell.
func (w *Watch) publishScopes(scopes map[uint64]bool) {
	m := w.all.Maps["scopes"]
	for s := range scopes {
		if s != 0 && !w.scopes[s] {
			if err := m.Update(s, uint32(1), ebpf.UpdateAny); err != nil {
				continue // they are found all the same, later
			}
			w.scopes[s] = true
		}
	}
	for s := range w.scopes {
		if !scopes[s] {
			_ = m.Delete(s)
			delete(w.scopes, s)
		}
	}
}

// forget drops owners that ended some time ago.
func (w *Watch) forget() {
	w.lock.Lock()
	defer w.lock.Unlock()
	for pid, o := range w.owners {
		if !o.gone.IsZero() && time.Since(o.gone) > grace {
			delete(w.owners, pid)
		}
	}
}

// say logs what goes wrong, each once.
func (w *Watch) say(what string, err error) {
	if err == nil {
		return
	}
	text := what + ": " + err.Error()
	if w.said[text] {
		return
	}
	if len(w.said) >= 1024 {
		clear(w.said)
	}
	w.said[text] = true
	w.o.Log.Warn("some TLS is not seen", "doing", what, "error", err)
}

// release takes all probes off.
func (w *Watch) release() {
	for pid, p := range w.processes {
		w.say("detach", p.close())
		delete(w.processes, pid)
	}
	w.watched.Store(0)
}
