package supervise

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestStartReportsReadyAndStopEndsAll(t *testing.T) {
	t.Parallel()
	out := &buffer{}
	g := NewGroup(Options{Output: out})
	mark := filepath.Join(t.TempDir(), "ready")
	err := g.Start(t.Context(), withReady(self("a", "serve", mark+"a", "late"), mark+"a"), withReady(self("b", "serve", mark, ""), mark))
	if err != nil {
		t.Fatal(err)
	}
	status := g.Status()
	for _, s := range status {
		if s.State != Running || s.PID == 0 || s.Restarts != 0 {
			t.Errorf("status after start: %+v", s)
		}
		if group, err := syscall.Getpgid(s.PID); err != nil || group != s.PID {
			t.Errorf("%s is in process group %d (%v), not its own: Ctrl-C would reach it", s.Name, group, err)
		}
	}
	if err := g.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, s := range status {
		eventuallyGone(t, s.PID)
	}
	for _, s := range g.Status() {
		if s.State != Stopped || s.PID != 0 || s.LastExit != "exit status 0" {
			t.Errorf("status after stop: %+v", s)
		}
	}
	if !strings.Contains(out.String(), "b | serving\n") {
		t.Errorf("output lacks the prefixed line:\n%s", out)
	}
	if err := g.Start(t.Context(), self("c", "serve", mark, "")); err == nil {
		t.Error("a stopped group started a child")
	}
}

func TestStagesStopInReverseAndDrainFirst(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	var order []string
	note := func(what string) {
		mu.Lock()
		defer mu.Unlock()
		order = append(order, what)
	}
	g := NewGroup(Options{})
	for _, name := range []string{"one", "two", "three"} {
		s := self(name, "serve", filepath.Join(t.TempDir(), "m"), "")
		s.Drain = func(context.Context) error {
			for _, st := range g.Status() {
				if st.Name == name && st.State == Draining && alive(st.PID) {
					note("drain " + name)
				}
			}
			return errors.New("a drain that fails must not keep the child alive")
		}
		s.Log = writerFunc(func(b []byte) (int, error) {
			if strings.Contains(string(b), "terminated") {
				note("end " + name)
			}
			return len(b), nil
		})
		if err := g.Start(t.Context(), withReady(s, s.Args[len(s.Args)-2])); err != nil {
			t.Fatal(err)
		}
	}
	if err := g.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	want := []string{"drain three", "end three", "drain two", "end two", "drain one", "end one"}
	if d := cmp.Diff(want, order); d != "" {
		t.Errorf("order (-want +got):\n%s", d)
	}
}

func TestFirstStartFailureCarriesTheLastLine(t *testing.T) {
	t.Parallel()
	g := NewGroup(Options{})
	defer g.Stop(t.Context())
	good := self("good", "serve", filepath.Join(t.TempDir(), "m"), "")
	bad := withReady(self("bad", "fail", "no such port", ""), "/never")
	err := g.Start(t.Context(), good, bad)
	if err == nil || !strings.Contains(err.Error(), `start child "bad": it ended (exit status 3) before it was ready: no such port`) {
		t.Errorf("error: %v", err)
	}
	if left := g.Status(); len(left) != 0 {
		t.Errorf("the stage is still there: %+v", left)
	}
	if err := g.Start(t.Context(), Spec{Name: "x", Command: "/does/not/exist"}); err == nil || !strings.Contains(err.Error(), "/does/not/exist") {
		t.Errorf("missing command: %v", err)
	}
	slow := withReady(self("slow", "serve", filepath.Join(t.TempDir(), "m"), ""), "/never")
	slow.ReadyWithin = 200 * time.Millisecond
	if err := g.Start(t.Context(), slow); err == nil || !strings.Contains(err.Error(), "not ready within 200ms") {
		t.Errorf("slow child: %v", err)
	}
	if err := g.Start(t.Context(), good, good); err == nil {
		t.Error("two children of one name started")
	}
	if err := g.Start(t.Context()); err == nil {
		t.Error("an empty stage started")
	}
}

func TestCrashIsRestartedWithBackOff(t *testing.T) {
	t.Parallel()
	g := NewGroup(Options{})
	defer g.Stop(t.Context())
	s := self("loop", "fail", "again", "")
	s.Restart = Restart{First: 10 * time.Millisecond, Max: 80 * time.Millisecond}
	began := time.Now()
	if err := g.Start(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	eventually(t, "six restarts", func() bool { return g.Status()[0].Restarts >= 6 })
	// 10, 20, 40, 80, 80, 80 ms, each less a fifth at most.
	if took := time.Since(began); took < 240*time.Millisecond {
		t.Errorf("six restarts took %s: the delay does not grow", took)
	}
	eventually(t, "the exit in the status", func() bool { return g.Status()[0].LastExit == "exit status 3" })
}

func TestKilledChildComesBackReady(t *testing.T) {
	t.Parallel()
	g := NewGroup(Options{})
	defer g.Stop(t.Context())
	mark := filepath.Join(t.TempDir(), "m")
	s := withReady(self("envoy", "serve", mark, ""), mark)
	s.Restart.First = time.Millisecond
	if err := g.Start(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	old := g.Status()[0].PID
	if err := syscall.Kill(old, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	eventually(t, "a new process", func() bool {
		now := g.Status()[0]
		return now.State == Running && now.PID != old && now.Restarts == 1
	})
	if exit := g.Status()[0].LastExit; exit != "signal: killed" {
		t.Errorf("last exit %q", exit)
	}
}

// An end that nobody asked for is told at once and again when the child is back,
// however many starts that took; one that was asked for is not.
func TestOutageIsTold(t *testing.T) {
	t.Parallel()
	told := make(chan Outage, 100)
	g := NewGroup(Options{Outage: func(o Outage) { told <- o }})
	mark := filepath.Join(t.TempDir(), "m")
	s := withReady(self("envoy", "flaky", mark, ""), mark)
	s.Restart.First, s.Restart.Max = time.Millisecond, 10*time.Millisecond
	began := time.Now()
	if err := g.Start(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	if err := g.Restart(t.Context(), "envoy"); err != nil {
		t.Fatal(err)
	}
	touch(mark+".broken", "") // the next ones end before they are ready
	os.Remove(mark)
	if err := syscall.Kill(g.Status()[0].PID, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	ended := <-told
	if ended.Name != "envoy" || ended.Exit != "signal: killed" || ended.Fatal != "" || ended.Restarts != 1 || !ended.Back.IsZero() ||
		ended.Ready.Before(began) || ended.Ended.Before(ended.Ready) {
		t.Errorf("told at the end: %+v", ended)
	}
	eventually(t, "three starts in vain", func() bool { return g.Status()[0].Restarts >= 4 })
	if err := os.Remove(mark + ".broken"); err != nil {
		t.Fatal(err)
	}
	back := <-told
	restarts := g.Status()[0].Restarts
	if back.Back.Before(ended.Ended) || back.Restarts != restarts || restarts < 4 {
		t.Errorf("told when it is back, after %d restarts: %+v", restarts, back)
	}
	back.Back, back.Restarts = time.Time{}, 1
	if back != ended {
		t.Errorf("told of another outage: %+v, not %+v", back, ended)
	}
	// Now one that says why, and is away when the group stops.
	touch(mark+".die", "")
	if second := <-told; second.Fatal != "fatal error: all is lost" || second.Exit != "exit status 2" || second.Ready.Before(ended.Ended) {
		t.Errorf("told of the second: %+v", second)
	}
	if err := g.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := len(told); n != 0 {
		t.Errorf("%d told of what was asked for: %+v", n, <-told)
	}
}

func TestPolicyEndsTheGroup(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name   string
		when   When
		mode   string
		closed bool
	}{
		{"never after a failure", Never, "fail", true},
		{"on failure after success", OnFailure, "succeed", true},
		{"on failure after a failure", OnFailure, "fail", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			g := NewGroup(Options{})
			defer g.Stop(t.Context())
			s := self("x", c.mode, "bye", "")
			s.Restart = Restart{When: c.when, First: time.Millisecond}
			if err := g.Start(t.Context(), s); err != nil {
				t.Fatal(err)
			}
			if !c.closed {
				eventually(t, "a restart", func() bool { return g.Status()[0].Restarts > 0 })
				return
			}
			select {
			case <-g.Ended():
			case <-time.After(20 * time.Second):
				t.Fatal("Ended was not closed")
			}
			if s := g.Status()[0]; s.State != Stopped || s.Restarts != 0 {
				t.Errorf("status: %+v", s)
			}
		})
	}
}

func TestRestartGivesANewProcess(t *testing.T) {
	t.Parallel()
	g := NewGroup(Options{})
	mark := filepath.Join(t.TempDir(), "m")
	drained := 0
	s := withReady(self("serve", "serve", mark, ""), mark)
	s.Drain = func(context.Context) error { drained++; return nil }
	if err := g.Start(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	old := g.Status()[0].PID
	if err := g.Restart(t.Context(), "serve"); err != nil {
		t.Fatal(err)
	}
	if now := g.Status()[0]; now.PID == old || now.State != Running || drained != 1 {
		t.Errorf("after restart: %+v, drained %d times, old pid %d", now, drained, old)
	}
	if err := g.Restart(t.Context(), "nobody"); err == nil {
		t.Error("restarted a child that is not there")
	}
	if err := g.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := g.Restart(t.Context(), "serve"); err == nil {
		t.Error("restarted a stopped child")
	}
}

func TestStubbornChildIsKilled(t *testing.T) {
	t.Parallel()
	for name, grace := range map[string]time.Duration{"after its grace": 100 * time.Millisecond, "when patience ends": time.Hour} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := NewGroup(Options{})
			mark := filepath.Join(t.TempDir(), "m")
			s := withReady(self("mule", "stubborn", mark, ""), mark)
			s.Grace = grace
			if err := g.Start(t.Context(), s); err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
			if grace == time.Hour {
				ctx, cancel = context.WithTimeout(t.Context(), 100*time.Millisecond)
			}
			defer cancel()
			if err := g.Stop(ctx); (err != nil) != (grace == time.Hour) {
				t.Errorf("stop: %v", err)
			}
			if s := g.Status()[0]; s.LastExit != "signal: killed" {
				t.Errorf("status: %+v", s)
			}
		})
	}
}

func TestStopInterruptsStart(t *testing.T) {
	t.Parallel()
	g := NewGroup(Options{})
	s := withReady(self("slow", "serve", filepath.Join(t.TempDir(), "m"), ""), "/never")
	s.ReadyWithin = time.Hour
	failed := make(chan error, 1)
	go func() { failed <- g.Start(context.Background(), s) }()
	eventually(t, "the process", func() bool { all := g.Status(); return len(all) == 1 && all[0].PID != 0 })
	pid := g.Status()[0].PID
	if err := g.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := <-failed; err == nil {
		t.Error("start says the child is ready")
	}
	eventuallyGone(t, pid)
}

func TestGrandchildrenEndWithTheChild(t *testing.T) {
	t.Parallel()
	mark := filepath.Join(t.TempDir(), "pid")
	g := NewGroup(Options{})
	s := withReady(self("parent", "parent", mark, ""), mark)
	s.Restart.When = Never
	if err := g.Start(t.Context(), s); err != nil {
		t.Fatal(err)
	}
	grandchild := readPIDs(t, mark)[0]
	if !alive(grandchild) {
		t.Fatal("the grandchild never lived")
	}
	if err := syscall.Kill(g.Status()[0].PID, syscall.SIGKILL); err != nil {
		t.Fatal(err)
	}
	<-g.Ended()
	eventuallyGone(t, grandchild)
	if err := g.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// The supervisor ends threads on purpose before it is killed: children must
// neither die with such a thread nor outlive the supervisor.
func TestNothingSurvivesKillMinusNine(t *testing.T) {
	t.Parallel()
	mark := filepath.Join(t.TempDir(), "pids")
	supervisor := self("supervisor", "supervisor", mark, "")
	cmd := command(supervisor, &sharedWriter{w: os.Stderr}).cmd
	cmd.SysProcAttr = nil // or it ends with whatever thread this test runs on
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	eventually(t, "two children", func() bool { b, _ := os.ReadFile(mark); return strings.HasSuffix(string(b), "\n") })
	pids := readPIDs(t, mark)
	if slices.ContainsFunc(pids, func(pid int) bool { return !alive(pid) }) {
		t.Errorf("a child died with a thread of its supervisor: %v", pids)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	for _, pid := range pids {
		eventuallyGone(t, pid)
	}
}

func readPIDs(t *testing.T, file string) []int {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var pids []int
	for _, f := range strings.Fields(string(b)) {
		pid, err := strconv.Atoi(f)
		if err != nil {
			t.Fatal(err)
		}
		pids = append(pids, pid)
	}
	return pids
}

func alive(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return false
	}
	_, after, _ := strings.Cut(string(stat), ") ")
	return !strings.HasPrefix(after, "Z")
}

func eventuallyGone(t *testing.T, pid int) {
	t.Helper()
	eventually(t, fmt.Sprintf("the end of process %d", pid), func() bool { return !alive(pid) })
}

func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for end := time.Now().Add(30 * time.Second); time.Now().Before(end); time.Sleep(5 * time.Millisecond) {
		if holds() {
			return
		}
	}
	t.Fatalf("waited 30 s for %s", what)
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(b []byte) (int, error) { return f(b) }

type buffer struct {
	mu sync.Mutex
	b  strings.Builder
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}
