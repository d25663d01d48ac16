// Package netnstest makes small real networks for tests: a host's namespace with
// forwarding on, and workloads in namespaces of their own, each behind a veth pair
// whose host end is in the host's. Nothing of the machine's own network is touched.
//
// It is for tests only; tests of any area may import it. They need root: without
// it they skip, and fail where everything must run (GABION_REQUIRE is set).
package netnstest

import (
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// Need skips the test, or fails it where everything must run.
func Need(t testing.TB) {
	t.Helper()
	missing := ""
	if os.Geteuid() != 0 {
		missing = "network namespaces and eBPF need root"
	} else if _, err := exec.LookPath("ip"); err != nil {
		missing = "the ip command is missing (Debian: iproute2)"
	}
	switch {
	case missing == "":
	case os.Getenv("GABION_REQUIRE") != "":
		t.Fatal(missing)
	default:
		t.Skip(missing)
	}
}

// Space is a network namespace.
type Space struct {
	Name string
	t    testing.TB
}

// Net is a host with workloads.
type Net struct {
	Host      Space
	t         testing.TB
	workloads int
}

// Workload is a namespace with one or more interfaces.
type Workload struct {
	Space
	Interfaces []Interface
}

// Interface is one of a workload's, with both its ends.
type Interface struct {
	HostName     string
	HostIndex    int
	HostMAC, MAC net.HardwareAddr
	V4, V6       netip.Addr
	HostV4       netip.Addr
	HostV6       netip.Addr
}

// Addresses lists all of the workload's addresses.
func (w *Workload) Addresses() (out []netip.Addr) {
	for _, i := range w.Interfaces {
		out = append(out, i.V4, i.V6)
	}
	return out
}

// Path is where the namespace can be entered.
func (s Space) Path() string { return "/run/netns/" + s.Name }

// New makes a host's namespace and removes it, with every workload's, after the
// test.
func New(t testing.TB) *Net {
	t.Helper()
	Need(t)
	n := &Net{t: t}
	n.Host = n.space("host")
	n.Host.IP("link set lo up")
	n.Host.Sysctl("net/ipv4/ip_forward", "1")
	n.Host.Sysctl("net/ipv6/conf/all/forwarding", "1")
	n.Host.Sysctl("net/ipv4/icmp_ratelimit", "0")
	n.Host.Sysctl("net/ipv6/icmp/ratelimit", "0")
	return n
}

func (n *Net) space(what string) Space {
	s := Space{Name: fmt.Sprintf("datapath-%08x-%s", rand.Uint32(), what), t: n.t}
	run(n.t, "ip", "netns", "add", s.Name)
	n.t.Cleanup(func() {
		if out, err := exec.Command("ip", "netns", "del", s.Name).CombinedOutput(); err != nil {
			n.t.Logf("remove namespace: %v: %s", err, out)
		}
	})
	return s
}

// Workload makes a workload with one interface: 10.9.N.2 and fd00:9:N::2, behind
// 10.9.N.1 and fd00:9:N::1.
func (n *Net) Workload(name string) *Workload {
	n.t.Helper()
	w := &Workload{Space: n.space(name)}
	w.IP("link set lo up")
	n.Connect(w)
	return w
}

// Connect gives a workload one interface more. The first is its default route.
func (n *Net) Connect(w *Workload) {
	n.t.Helper()
	n.workloads++
	k := n.workloads
	at := func(text string, last int) netip.Addr { return netip.MustParseAddr(fmt.Sprintf(text, k, last)) }
	i := Interface{
		HostName: fmt.Sprintf("w%d", k),
		V4:       at("10.9.%d.%d", 2), V6: at("fd00:9:%x::%d", 2),
		HostV4: at("10.9.%d.%d", 1), HostV6: at("fd00:9:%x::%d", 1),
	}
	n.plug(w, &i, len(w.Interfaces))
	w.Interfaces = append(w.Interfaces, i)
}

// Recreate removes a workload's interface and makes it again, as a restarted
// container would.
func (n *Net) Recreate(w *Workload, which int) {
	n.t.Helper()
	i := w.Interfaces[which]
	n.Host.IP("link del " + i.HostName)
	n.plug(w, &i, which)
	w.Interfaces[which] = i
}

func (n *Net) plug(w *Workload, i *Interface, which int) {
	n.t.Helper()
	inside := fmt.Sprintf("eth%d", which)
	n.Host.IP(
		"link add "+i.HostName+" type veth peer name "+inside+" netns "+w.Name,
		"addr add "+i.HostV4.String()+"/24 dev "+i.HostName,
		"addr add "+i.HostV6.String()+"/64 dev "+i.HostName+" nodad",
		"link set "+i.HostName+" up",
	)
	lines := []string{
		"addr add " + i.V4.String() + "/24 dev " + inside,
		"addr add " + i.V6.String() + "/64 dev " + inside + " nodad",
		"link set " + inside + " up",
	}
	if which == 0 {
		lines = append(lines, "route add default via "+i.HostV4.String(), "-6 route add default via "+i.HostV6.String())
	}
	w.IP(lines...)
	n.Host.Do(func() {
		l, err := net.InterfaceByName(i.HostName)
		if err != nil {
			n.t.Error(err)
			return
		}
		i.HostIndex, i.HostMAC = l.Index, l.HardwareAddr
	})
	w.Do(func() {
		l, err := net.InterfaceByName(inside)
		if err != nil {
			n.t.Error(err)
			return
		}
		i.MAC = l.HardwareAddr
	})
}

// IP runs commands of ip in the namespace, "link set lo up" for example.
func (s Space) IP(lines ...string) {
	s.t.Helper()
	for _, line := range lines {
		args := append([]string{"-n", s.Name}, strings.Fields(line)...)
		run(s.t, "ip", args...)
	}
}

// Sysctl sets one of the namespace's settings, by its path below /proc/sys.
func (s Space) Sysctl(path, value string) {
	s.t.Helper()
	s.Do(func() {
		if err := os.WriteFile(filepath.Join("/proc/sys", path), []byte(value), 0); err != nil {
			s.t.Errorf("set %s: %v", path, err)
		}
	})
}

// Do runs f on a thread inside the namespace and waits for it. Sockets that f
// itself opens belong there for good; goroutines that it starts are elsewhere.
func (s Space) Do(f func()) {
	s.t.Helper()
	done := make(chan error, 1)
	go func() {
		// Never unlocked: the thread ends with the goroutine, and so no other one
		// can find itself in the namespace.
		runtime.LockOSThread()
		file, err := os.Open(s.Path())
		if err == nil {
			err = unix.Setns(int(file.Fd()), unix.CLONE_NEWNET)
			file.Close()
		}
		if err == nil {
			f()
		}
		done <- err
	}()
	if err := <-done; err != nil {
		s.t.Errorf("enter namespace %s: %v", s.Name, err)
	}
}

// Command is a command that will run inside the namespace.
func (s Space) Command(name string, args ...string) *exec.Cmd {
	return exec.Command("nsenter", append([]string{"--net=" + s.Path(), name}, args...)...)
}

// Pins mounts a BPF file system of the test's own.
func Pins(t testing.TB) string {
	t.Helper()
	Need(t)
	dir := t.TempDir()
	if err := unix.Mount("bpf", dir, "bpf", 0, "mode=0700"); err != nil {
		t.Fatalf("mount a BPF file system: %v", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Errorf("unmount: %v", err)
		}
	})
	return dir
}

func run(t testing.TB, name string, args ...string) {
	t.Helper()
	if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		t.Fatalf("%s %s: %v: %s", name, strings.Join(args, " "), err, out)
	}
}
