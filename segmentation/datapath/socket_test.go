package datapath_test

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/gabion-io/gabion/segmentation/datapath"
)

// connectsVariable makes the test binary a process that connects so many sockets of
// its own, says the cookie of the first, which it keeps, and waits to be ended.
const connectsVariable = "GABION_TEST_CONNECTS"

func TestMain(m *testing.M) {
	n, err := strconv.Atoi(os.Getenv(connectsVariable))
	if err != nil {
		os.Exit(m.Run())
	}
	for i := range n {
		c, err := net.Dial("udp", "127.0.0.1:9")
		if err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		if i > 0 {
			c.Close()
			continue
		}
		raw, _ := c.(*net.UDPConn).SyscallConn()
		raw.Control(func(fd uintptr) {
			cookie, err := unix.GetsockoptUint64(int(fd), unix.SOL_SOCKET, unix.SO_COOKIE)
			fmt.Println(cookie, err)
		})
	}
	fmt.Println("done")
	bufio.NewReader(os.Stdin).ReadString('\n')
}

// connecting runs such a process in a cgroup and answers the cookie of its first
// socket once it has connected all.
func connecting(t *testing.T, cgroup string, n int) (cookie uint64, pid int) {
	t.Helper()
	dir, err := os.Open(cgroup)
	if err != nil {
		t.Fatal(err)
	}
	defer dir.Close()
	p := exec.Command(os.Args[0])
	p.Env = append(os.Environ(), fmt.Sprint(connectsVariable, "=", n))
	p.SysProcAttr = &syscall.SysProcAttr{UseCgroupFD: true, CgroupFD: int(dir.Fd())}
	in, err := p.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := p.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { in.Close(); p.Wait() })
	lines := bufio.NewScanner(out)
	lines.Scan()
	if _, err := fmt.Sscan(lines.Text(), &cookie); err != nil {
		t.Fatalf("%q: %v", lines.Text(), err)
	}
	if lines.Scan(); lines.Text() != "done" {
		t.Fatalf("%q", lines.Text())
	}
	return cookie, p.Process.Pid
}

// TestFloodOfSockets: who connects sockets without end is forgotten alone, in a cgroup
// and outside of all.
func TestFloodOfSockets(t *testing.T) {
	b := newBed(t, "web")
	root, err := datapath.CgroupRoot()
	if err != nil {
		t.Fatal(err)
	}
	above := filepath.Join(root, fmt.Sprintf("gabion-test-sockets-%d", os.Getpid()))
	quiet, loud := filepath.Join(above, "quiet"), filepath.Join(above, "loud")
	for _, dir := range []string{above, quiet, loud} {
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { syscall.Rmdir(dir) })
	}
	if err := b.dp.WatchSockets(root); err != nil {
		t.Fatal(err)
	}
	cookie, pid := connecting(t, quiet, 1)
	outside, other := connecting(t, root, 1)
	flood, flooder := connecting(t, loud, 40_000)
	connecting(t, root, 40_000)
	sockets, err := datapath.Sockets(b.dir)
	if err != nil {
		t.Fatal(err)
	}
	defer sockets.Close()
	for _, s := range []struct {
		cookie uint64
		pid    int
		in     string
	}{{cookie, pid, "quiet"}, {outside, other, "none"}} {
		if o, ok := sockets.Of(s.cookie); !ok || int(o.PID) != s.pid {
			t.Errorf("in %s: %+v, %v, want process %d", s.in, o, ok, s.pid)
		}
	}
	if o, ok := sockets.Of(flood); ok {
		t.Errorf("the first socket of the flood is remembered after %d others: %+v, process %d", 39_999, o, flooder)
	}
}
