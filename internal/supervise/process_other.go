//go:build unix && !linux

package supervise

import "syscall"

// attributes put a child in a process group of its own. Without Linux there is
// no parent-death signal: a supervisor that is killed leaves its children.
func attributes() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }

// awaitExit cannot wait without collecting here: grandchildren are ended when
// the child is killed, not when it ends by itself.
func awaitExit(int) bool { return false }
