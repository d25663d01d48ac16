package main

import (
	"syscall"
	"time"
)

// cpuTime is what the process has used, the garbage collector included: time on
// the wall says little on a shared machine.
func cpuTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
