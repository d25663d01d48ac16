package main

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"
)

// cpuTime is the user and system time that processes have used so far.
func cpuTime(pids []int) (total time.Duration, err error) {
	for _, pid := range pids {
		// schedstat counts nanoseconds on a CPU, over the main thread only; the
		// sum over tasks covers every thread that is alive.
		tasks, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/schedstat", pid))
		if err != nil || len(tasks) == 0 {
			return 0, fmt.Errorf("process %d is gone", pid)
		}
		for _, t := range tasks {
			b, err := os.ReadFile(t)
			if err != nil {
				continue // the thread ended in between
			}
			ns, err := strconv.ParseInt(string(bytes.Fields(b)[0]), 10, 64)
			if err != nil {
				return 0, fmt.Errorf("read %s: %w", t, err)
			}
			total += time.Duration(ns)
		}
	}
	return total, nil
}

// rss is the resident memory of processes, in bytes.
func rss(pids []int) (total int64) {
	for _, pid := range pids {
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid))
		if err != nil {
			continue
		}
		pages, _ := strconv.ParseInt(string(bytes.Fields(b)[1]), 10, 64)
		total += pages * int64(os.Getpagesize())
	}
	return total
}

// descendants are a process and everything below it.
func descendants(pid int) []int {
	out := []int{pid}
	children, _ := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/children", pid))
	for _, c := range children {
		b, _ := os.ReadFile(c)
		for _, f := range bytes.Fields(b) {
			if child, err := strconv.Atoi(string(f)); err == nil {
				out = append(out, descendants(child)...)
			}
		}
	}
	return out
}
