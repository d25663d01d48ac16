package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/gabion-io/gabion/internal/netnstest"
	"github.com/gabion-io/gabion/segmentation/datapath"
)

// The test binary is also a process of the host: it serves, or says what becomes of
// what it is told to reach, one line each.
func beProcess() {
	in := bufio.NewScanner(os.Stdin)
	conns := map[string]net.Conn{}
	for in.Scan() {
		f := strings.Fields(in.Text())
		what, network, at := f[0], f[1], f[2]
		switch what {
		case "serve":
			fmt.Println(served(network, at))
		case "keep": // a connection that stays
			c, err := net.DialTimeout(network, at, netnstest.Patience)
			conns[at] = c
			fmt.Println(said(err))
		case "again": // over it
			fmt.Println(said(netnstest.Echo(conns[at], "again", 300*time.Millisecond)))
		default: // try
			c, err := net.DialTimeout(network, at, 300*time.Millisecond)
			if err == nil {
				err = netnstest.Echo(c, "marco", 300*time.Millisecond)
				c.Close()
			}
			fmt.Println(said(err))
		}
	}
}

func said(err error) string {
	var timeout net.Error
	switch {
	case err == nil:
		return "passes"
	case errors.Is(err, syscall.EPERM):
		return "not permitted"
	case errors.As(err, &timeout) && timeout.Timeout():
		return "no answer"
	}
	return err.Error()
}

func served(network, at string) string {
	if network == "udp" {
		c, err := net.ListenPacket(network, at)
		if err != nil {
			return err.Error()
		}
		go func() {
			b := make([]byte, 2048)
			for {
				n, from, err := c.ReadFrom(b)
				if err != nil {
					return
				}
				c.WriteTo(b[:n], from)
			}
		}()
		return "serves"
	}
	l, err := net.Listen(network, at)
	if err != nil {
		return err.Error()
	}
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go io.Copy(c, c)
		}
	}()
	return "serves"
}

// process is one of the host's, in a cgroup.
type process struct {
	h   *host
	cmd *exec.Cmd
	in  io.Writer
	out *bufio.Scanner
}

// cgroup makes one of the v2 hierarchy, removed after the test.
func (h *host) cgroup(name string) string {
	h.Helper()
	root, err := datapath.CgroupRoot()
	if err != nil && os.Getenv("GABION_REQUIRE") == "" {
		h.Skip(err)
	}
	if err != nil {
		h.Fatal(err)
	}
	dir := filepath.Join(root, name)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		h.Fatal(err)
	}
	h.Cleanup(func() {
		h.until("the cgroup is empty", func() bool { return os.Remove(dir) == nil || !exists(dir) })
	})
	return dir
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// process starts one in a cgroup, in the host's namespace.
func (h *host) process(cgroup string) *process {
	h.Helper()
	self, err := os.Executable()
	if err != nil {
		h.Fatal(err)
	}
	c := h.net.Host.Command("sh", "-c", "echo $$ > "+cgroup+"/cgroup.procs && exec "+self)
	c.Env = append(os.Environ(), "GABION_PROCESS_UNDER_TEST=1")
	c.Stderr = h.log
	in, err := c.StdinPipe()
	if err != nil {
		h.Fatal(err)
	}
	out, err := c.StdoutPipe()
	if err != nil {
		h.Fatal(err)
	}
	if err := c.Start(); err != nil {
		h.Fatal(err)
	}
	h.Cleanup(func() {
		c.Process.Kill()
		c.Wait()
	})
	return &process{h, c, in, bufio.NewScanner(out)}
}

// ask has the process do something, and returns what it says.
func (p *process) ask(what, network string, at netip.AddrPort) string {
	p.h.Helper()
	if _, err := fmt.Fprintln(p.in, what, network, at); err != nil {
		p.h.Fatal(err)
	}
	if !p.out.Scan() {
		p.h.Fatalf("the process ends instead of answering: %v", p.out.Err())
	}
	return p.out.Text()
}

// group is a workload resource for processes, without addresses: those are the
// host's.
func (h *host) group(name, cgroup string) {
	h.write(name+".yaml", fmt.Sprintf(`apiVersion: gabion.io/v1alpha1
kind: Workload
metadata: {name: %[1]s, namespace: shop, labels: {app: %[1]s}}
spec: {cgroup: %[2]s}
`, name, cgroup))
}

// Processes of a host are workloads by their cgroup: what policy denies them they
// are told at once, and what it allows passes, both ways; it holds while no agent
// runs, for a cgroup that is made again, and no longer than until detach.
func TestProcessesAreWorkloads(t *testing.T) {
	h := newHost(t)
	name := "hostproc-" + h.net.Host.Name
	dir := h.cgroup(name)
	h.group("job", name)
	cart := h.cart.Interfaces[0]
	for _, a := range []netip.Addr{cart.V4, cart.V6} {
		for _, port := range []uint16{80, 81} {
			h.cart.ServeTCP(netip.AddrPortFrom(a, port))
			h.cart.ServeUDP(netip.AddrPortFrom(a, port))
		}
	}
	p, free := h.process(dir), h.process(h.cgroup(name+"-free"))
	mine := map[bool]netip.Addr{false: cart.HostV4, true: cart.HostV6}
	theirs := map[bool]netip.Addr{false: cart.V4, true: cart.V6}
	for _, six := range []bool{false, true} {
		for _, network := range []string{"tcp", "udp"} {
			for _, port := range []uint16{90, 91} {
				if got := p.ask("serve", network, netip.AddrPortFrom(mine[six], port)); got != "serves" {
					t.Fatal(got)
				}
			}
		}
	}
	for _, port := range []uint16{80, 81} { // connections from before
		if got := p.ask("keep", "tcp", netip.AddrPortFrom(cart.V4, port)); got != "passes" {
			t.Fatal(got)
		}
	}
	h.write("policy.yaml", `apiVersion: gabion.io/v1alpha1
kind: SegmentationPolicy
metadata: {name: job, namespace: shop}
spec:
  selector: {matchLabels: {app: job}}
  mode: enforce
  egress:
  - to: [{selector: {matchLabels: {app: cart}}}]
    ports: [{protocol: TCP, port: 80}, {protocol: UDP, port: 80}]
  ingress:
  - from: [{selector: {matchLabels: {app: cart}}}]
    ports: [{protocol: TCP, port: 90}, {protocol: UDP, port: 90}]
`)
	agent := h.start()
	h.until("the cgroup is watched", func() bool { return strings.Contains(h.log.String(), "msg=watched") })

	holds := func(when string, p *process) {
		t.Helper()
		for _, six := range []bool{false, true} {
			for _, network := range []string{"tcp", "udp"} {
				for port, want := range map[uint16]string{80: "passes", 81: "not permitted"} {
					at := netip.AddrPortFrom(theirs[six], port)
					if got := p.ask("try", network, at); got != want {
						t.Errorf("%s, %s to %s: %s, want %s", when, network, at, got, want)
					}
				}
			}
		}
	}
	holds("with an agent", p)
	for port, want := range map[uint16]string{80: "passes", 81: "no answer"} {
		at := netip.AddrPortFrom(cart.V4, port)
		if got := p.ask("again", "tcp", at); got != want && !(port == 81 && got != "passes") {
			t.Errorf("the connection from before to %s: %s, want %s", at, got, want)
		}
	}
	for _, six := range []bool{false, true} {
		for _, network := range []string{"tcp", "udp"} {
			if err := h.cart.Try(network, netip.Addr{}, netip.AddrPortFrom(mine[six], 90), netnstest.Patience); err != nil {
				t.Errorf("%s from cart, allowed (IPv6 %v): %v", network, six, err)
			}
			if err := h.cart.Try(network, netip.Addr{}, netip.AddrPortFrom(mine[six], 91), 200*time.Millisecond); err == nil {
				t.Errorf("%s from cart passes, denied (IPv6 %v)", network, six)
			}
		}
	}
	// Its own loopback, and others of the host, are no concern of the policy.
	local := netip.MustParseAddrPort("127.0.0.1:95")
	if got := p.ask("serve", "tcp", local); got != "serves" {
		t.Error(got)
	}
	if got := p.ask("try", "tcp", local); got != "passes" {
		t.Errorf("over loopback: %s", got)
	}
	if got := free.ask("try", "tcp", netip.AddrPortFrom(cart.V4, 81)); got != "passes" {
		t.Errorf("a process in no workload's cgroup: %s", got)
	}
	// What it did is written with the process that did it.
	for _, want := range []struct {
		port    uint16
		verdict string
	}{{80, "allowed"}, {81, "denied"}} {
		h.until(fmt.Sprintf("a flow to port %d is written with its process", want.port), func() bool {
			for _, l := range h.lines() {
				if l.Src == "shop/job" && l.Dst == "shop/cart" && l.By == "shop/job" && l.Port == want.port &&
					l.Verdict.String() == want.verdict && l.PID == uint32(p.cmd.Process.Pid) && strings.HasSuffix(l.Process, ".test") {
					return true
				}
			}
			return false
		})
	}
	if h.found("shop/job", "shop/cart", 6, 80, "shop/job") == nil {
		t.Error("the connection from before is not written")
	}

	if err := agent.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	agent.Wait()
	holds("without an agent", p)
	h.start()
	p.cmd.Process.Kill()
	p.cmd.Wait()
	h.until("the cgroup is gone", func() bool { return os.Remove(dir) == nil })
	said := strings.Count(h.log.String(), "msg=watched")
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	h.until("the cgroup that was made again is watched", func() bool { return strings.Count(h.log.String(), "msg=watched") > said })
	again := h.process(dir)
	holds("made again", again)
	// What is below a workload's cgroup is of it, unless it is another workload's.
	below := name
	for range 9 {
		below += "/deep"
		h.cgroup(below)
	}
	deep := h.process(h.cgroup(below))
	holds("below it", deep)
	h.group("deep", below)
	h.until("the nearest workload counts", func() bool {
		return deep.ask("try", "tcp", netip.AddrPortFrom(cart.V4, 81)) == "passes"
	})

	if out, err := h.command("detach").CombinedOutput(); err != nil {
		t.Fatalf("detach: %v: %s", err, out)
	}
	if got := again.ask("try", "tcp", netip.AddrPortFrom(cart.V4, 81)); got != "passes" {
		t.Errorf("after detach: %s", got)
	}
}
