package survey

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/gabion-io/gabion/internal/netlink"
)

// Namespace is a network namespace, and the processes in it.
type Namespace struct {
	file *os.File // nil: our own
	pids []int
}

// Own is the namespace that the calling process is in.
func Own() (*Namespace, error) {
	own, err := os.Stat("/proc/self/ns/net")
	if err != nil {
		return nil, fmt.Errorf("find own namespace: %w", err)
	}
	n := &Namespace{}
	for _, pid := range processes() {
		if at, err := os.Stat(netOf(pid)); err == nil && os.SameFile(own, at) {
			n.pids = append(n.pids, pid)
		}
	}
	return n, nil
}

// PIDs are the processes in it when it was found (Peers).
func (n *Namespace) PIDs() []int { return n.pids }

// Close lets the namespace go.
func (n *Namespace) Close() error {
	if n.file == nil {
		return nil
	}
	return n.file.Close()
}

// Do runs f on a thread inside the namespace and waits for it. Sockets that f opens
// belong there for good; goroutines that it starts are elsewhere.
func (n *Namespace) Do(f func() error) error {
	if n.file == nil {
		return f()
	}
	done := make(chan error, 1)
	go func() { done <- n.enter(f) }()
	return <-done
}

// enter is for a goroutine that ends afterwards.
func (n *Namespace) enter(f func() error) error {
	runtime.LockOSThread()
	if unix.Gettid() == unix.Getpid() {
		// A process's first thread does not end before the process, and what it sees
		// is what /proc/self shows. While we hold it another one does the work.
		defer runtime.UnlockOSThread()
		return n.Do(f)
	}
	// Never unlocked: the thread ends with the goroutine, so that no other one can
	// find itself in the namespace.
	if err := unix.Setns(int(n.file.Fd()), unix.CLONE_NEWNET); err != nil {
		return fmt.Errorf("enter namespace: %w", err)
	}
	return f()
}

// Peers finds the namespaces at the other ends of links of this host (veth, netkit),
// by the links' indexes. A link whose other end is in no namespace that a process or
// a name below /run/netns leads to is left out.
func Peers(indexes []int) (map[int]*Namespace, error) {
	c, err := netlink.Dial(unix.NETLINK_ROUTE)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	// The kernel numbers other namespaces as it lists the links that lead there.
	links, err := list(c)
	if err != nil {
		return nil, err
	}
	wanted := map[int32][]int{}
	for _, l := range links {
		if l.away && slices.Contains(indexes, l.Index) {
			wanted[l.number] = append(wanted[l.number], l.Index)
		}
	}
	out := map[int]*Namespace{}
	if len(wanted) == 0 {
		return out, nil
	}
	found := map[uint64]*Namespace{} // by inode; nil: none that is wanted
	look := func(path string, pid int) {
		info, err := os.Stat(path)
		if err != nil {
			return // the process has ended
		}
		inode := inodeOf(info)
		n, known := found[inode]
		if !known {
			n = open(c, path, wanted, out)
			found[inode] = n
		}
		if n != nil && pid != 0 {
			n.pids = append(n.pids, pid)
		}
	}
	for _, pid := range processes() {
		look(netOf(pid), pid)
	}
	named, _ := filepath.Glob("/run/netns/*") // the pattern is sound
	for _, path := range named {
		look(path, 0)
	}
	return out, nil
}

// open opens a namespace if a wanted link leads there, and notes for which.
func open(c *netlink.Conn, path string, wanted map[int32][]int, out map[int]*Namespace) *Namespace {
	f, err := os.Open(path)
	if err != nil {
		return nil
	}
	number, err := numberOf(c, f)
	if links := wanted[number]; err == nil && len(links) > 0 {
		n := &Namespace{file: f}
		for _, index := range links {
			out[index] = n
		}
		return n
	}
	f.Close()
	return nil
}

// numberOf is the number by which our namespace knows another (RTM_GETNSID).
func numberOf(c *netlink.Conn, f *os.File) (int32, error) {
	const byFD, number = 3, 1 // NETNSA_FD, NETNSA_NSID
	fd := uint32(f.Fd())
	body := netlink.Append(make([]byte, 4), byFD, []byte{byte(fd), byte(fd >> 8), byte(fd >> 16), byte(fd >> 24)})
	answer, err := c.Ask(unix.RTM_GETNSID, body)
	if err != nil {
		return 0, err
	}
	if len(answer) < 4 {
		return 0, errors.New("read the number of a namespace: the answer is cut")
	}
	for kind, value := range netlink.Attributes(answer[4:]) {
		if n, ok := netlink.Uint32(value); ok && kind == number && int32(n) >= 0 {
			return int32(n), nil
		}
	}
	return 0, errors.New("the namespace has no number")
}

// processes lists all there are.
func processes() (out []int) {
	d, err := os.Open("/proc")
	if err != nil {
		return nil
	}
	defer d.Close()
	names, err := d.Readdirnames(-1)
	if err != nil {
		return nil
	}
	for _, name := range names {
		if pid, err := strconv.Atoi(name); err == nil {
			out = append(out, pid)
		}
	}
	slices.Sort(out)
	return out
}

func netOf(pid int) string { return fmt.Sprintf("/proc/%d/ns/net", pid) }

func inodeOf(info os.FileInfo) uint64 {
	if s, ok := info.Sys().(*syscall.Stat_t); ok {
		return s.Ino
	}
	return 0
}
