package supervise

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"syscall"
	"testing"
	"time"
)

// The test binary is its own child: real processes, no shell.
const childMode = "SUPERVISE_TEST_CHILD"

func TestMain(m *testing.M) {
	if mode := os.Getenv(childMode); mode != "" {
		os.Exit(runAs(mode, os.Args[len(os.Args)-2], os.Args[len(os.Args)-1]))
	}
	os.Exit(m.Run())
}

// self is a child that runs in the given mode with two arguments.
func self(name, mode, one, two string) Spec {
	return Spec{Name: name, Command: os.Args[0], Args: []string{"-test.run=^$", one, two}, Env: []string{childMode + "=" + mode}}
}

// withReady makes a child ready once the file is there.
func withReady(s Spec, file string) Spec {
	s.Ready = func(context.Context) error { _, err := os.Stat(file); return err }
	s.ReadyEvery = 2 * time.Millisecond
	s.ReadyWithin = 30 * time.Second
	return s
}

func runAs(mode, one, two string) int {
	switch mode {
	case "serve":
		terminated := make(chan os.Signal, 1)
		signal.Notify(terminated, syscall.SIGTERM)
		if two == "late" {
			time.Sleep(50 * time.Millisecond)
		}
		fmt.Println("serving")
		touch(one, "")
		<-terminated
		fmt.Println("terminated")
	case "stubborn":
		signal.Ignore(syscall.SIGTERM)
		touch(one, "")
		time.Sleep(time.Hour)
	case "fail":
		fmt.Fprintln(os.Stderr, one)
		return 3
	case "flaky":
		return flaky(one)
	case "parent":
		grandchild := exec.Command("sleep", "3600")
		grandchild.Stdout = os.Stdout // holds the pipe open
		if err := grandchild.Start(); err != nil {
			return 4
		}
		touch(one, fmt.Sprintln(grandchild.Process.Pid))
		time.Sleep(time.Hour)
	case "supervisor":
		return supervisor(one)
	}
	return 0
}

// flaky serves until a file says that it is to die, as a Go runtime does; with
// another it does not even begin.
func flaky(mark string) int {
	defer os.Remove(mark) // or the next one would be taken for ready
	die := func() int {
		fmt.Fprintln(os.Stderr, "fatal error: all is lost\n\ngoroutine 1 [running]:\nmain.main()")
		return 2
	}
	if exists(mark+".broken") || exists(mark+".die") {
		return die()
	}
	touch(mark, "")
	terminated := make(chan os.Signal, 1)
	signal.Notify(terminated, syscall.SIGTERM)
	for !exists(mark + ".die") {
		select {
		case <-terminated:
			return 0
		case <-time.After(5 * time.Millisecond):
		}
	}
	return die()
}

func exists(file string) bool {
	_, err := os.Stat(file)
	return err == nil
}

// supervisor starts two children, ends a few threads, and waits to be killed.
func supervisor(pids string) int {
	g := NewGroup(Options{})
	mule := func(name string) Spec { return withReady(self(name, "stubborn", pids+name, ""), pids+name) }
	if err := g.Start(context.Background(), mule("a"), mule("b")); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 5
	}
	for range 20 {
		done := make(chan struct{})
		go func() { runtime.LockOSThread(); close(done) }() // its thread ends with it
		<-done
	}
	time.Sleep(50 * time.Millisecond)
	all := g.Status()
	touch(pids, fmt.Sprintln(all[0].PID, all[1].PID))
	time.Sleep(time.Hour)
	return 0
}

func touch(file, content string) {
	if err := os.WriteFile(file+".new", []byte(content), 0o600); err != nil {
		panic(err)
	}
	if err := os.Rename(file+".new", file); err != nil {
		panic(err)
	}
}
