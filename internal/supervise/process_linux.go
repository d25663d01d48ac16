package supervise

import (
	"errors"
	"syscall"

	"golang.org/x/sys/unix"
)

// attributes put a child in a process group of its own, out of reach of the
// terminal's Ctrl-C, and have the kernel end it with its parent.
func attributes() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}

// awaitExit blocks until the process has ended and says whether it is still to
// be collected.
func awaitExit(pid int) bool {
	for {
		err := unix.Waitid(unix.P_PID, pid, nil, unix.WEXITED|unix.WNOWAIT, nil)
		if !errors.Is(err, unix.EINTR) {
			return err == nil
		}
	}
}
