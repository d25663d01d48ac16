package survey

import (
	"fmt"
	"os"
	"strconv"
	"strings"
)

// Process has a socket open.
type Process struct {
	PID     int
	Command string
}

// Processes says which of the namespace's processes have the sockets of connections,
// by the sockets' cookies. Of several that share one it is the oldest.
func (n *Namespace) Processes(list []Connection) map[uint64]Process {
	wanted := map[uint32]uint64{}
	for _, c := range list {
		if c.inode != 0 {
			wanted[c.inode] = c.Cookie
		}
	}
	out := map[uint64]Process{}
	for _, pid := range n.pids {
		if len(out) == len(wanted) {
			break
		}
		dir := fmt.Sprintf("/proc/%d/fd", pid)
		names, err := readNames(dir)
		if err != nil {
			continue // it has ended
		}
		for _, name := range names {
			to, err := os.Readlink(dir + "/" + name)
			inode, ok := socketInode(to)
			if err != nil || !ok {
				continue
			}
			cookie, asked := wanted[inode]
			if _, known := out[cookie]; asked && !known {
				out[cookie] = Process{PID: pid, Command: commandOf(pid)}
			}
		}
	}
	return out
}

func readNames(dir string) ([]string, error) {
	d, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	defer d.Close()
	return d.Readdirnames(-1)
}

// socketInode reads "socket:[4711]" (proc(5)).
func socketInode(link string) (uint32, bool) {
	text, ok := strings.CutPrefix(link, "socket:[")
	if !ok {
		return 0, false
	}
	n, err := strconv.ParseUint(strings.TrimSuffix(text, "]"), 10, 32)
	return uint32(n), err == nil
}

func commandOf(pid int) string {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/comm", pid))
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(b))
}
