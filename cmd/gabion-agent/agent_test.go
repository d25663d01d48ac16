package main

import (
	"bytes"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/gabion-io/gabion/internal/lockedbuffer"
	"github.com/gabion-io/gabion/internal/netnstest"
	"github.com/gabion-io/gabion/segmentation/bpf"
	"github.com/gabion-io/gabion/segmentation/datapath"
	"github.com/gabion-io/gabion/segmentation/flowlog"
)

// The test binary is the agent when it is told so: what is killed below is a real
// process of the real program.
func TestMain(m *testing.M) {
	if os.Getenv("GABION_PROCESS_UNDER_TEST") != "" {
		beProcess()
		return
	}
	if os.Getenv("GABION_AGENT_UNDER_TEST") != "" {
		main()
		return
	}
	os.Exit(m.Run())
}

// host is a network with the files of an agent.
type host struct {
	testing.TB
	net       *netnstest.Net
	web, cart *netnstest.Workload
	bpffs     string
	state     string
	files     string
	flows     string
	log       *lockedbuffer.Buffer
}

func newHost(t testing.TB) *host {
	h := &host{TB: t, net: netnstest.New(t), bpffs: netnstest.Pins(t), state: t.TempDir(), files: t.TempDir(), log: &lockedbuffer.Buffer{}}
	h.flows = filepath.Join(h.state, "flows.jsonl")
	h.web, h.cart = h.net.Workload("web"), h.net.Workload("cart")
	h.workload("web", h.web)
	h.workload("cart", h.cart)
	t.Cleanup(func() {
		if out, err := h.command("detach").CombinedOutput(); err != nil {
			t.Errorf("detach: %v: %s", err, out)
		}
		if t.Failed() {
			t.Logf("the agent said:\n%s", h.log)
		}
	})
	return h
}

func (h *host) write(name, text string) {
	h.Helper()
	tmp := filepath.Join(h.files, "."+name)
	if err := os.WriteFile(tmp, []byte(text), 0o600); err != nil {
		h.Fatal(err)
	}
	if err := os.Rename(tmp, filepath.Join(h.files, name)); err != nil {
		h.Fatal(err)
	}
}

func (h *host) workload(name string, w *netnstest.Workload) {
	i := w.Interfaces[0]
	h.write(name+".yaml", fmt.Sprintf(`apiVersion: gabion.io/v1alpha1
kind: Workload
metadata: {name: %[1]s, namespace: shop, labels: {app: %[1]s}}
spec:
  addresses: ["%[2]s", "%[3]s"]
  interface: %[4]s
`, name, i.V4, i.V6, i.HostName))
}

// policy lets web reach cart at UDP 80, and others something that does not matter.
func (h *host) policy(other int) {
	h.write("policy.yaml", fmt.Sprintf(`apiVersion: gabion.io/v1alpha1
kind: SegmentationPolicy
metadata: {name: cart, namespace: shop}
spec:
  selector: {matchLabels: {app: cart}}
  mode: enforce
  ingress:
  - from: [{selector: {matchLabels: {app: web}}}]
    ports: [{protocol: UDP, port: 80}, {protocol: TCP, port: %d}]
`, other))
}

func (h *host) command(args ...string) *exec.Cmd {
	self, err := os.Executable()
	if err != nil {
		h.Fatal(err)
	}
	c := h.net.Host.Command(self, append([]string{"--bpffs", h.bpffs}, args...)...)
	c.Env = append(os.Environ(), "GABION_AGENT_UNDER_TEST=1")
	return c
}

// start runs an agent until it says that it enforces, and has drained once.
func (h *host) start(args ...string) *exec.Cmd {
	h.Helper()
	c := h.command(append([]string{"-f", h.files, "--state", h.state, "--flows", h.flows, "--window", "1s"}, args...)...)
	c.Stderr, c.Stdout = h.log, h.log
	said := strings.Count(h.log.String(), "enforcing")
	if err := c.Start(); err != nil {
		h.Fatal(err)
	}
	h.Cleanup(func() {
		if c.ProcessState == nil {
			c.Process.Kill()
			c.Wait()
		}
	})
	h.until("the agent enforces", func() bool {
		return strings.Count(h.log.String(), "enforcing") > said
	})
	return c
}

func (h *host) until(what string, true func() bool) {
	h.Helper()
	for end := time.Now().Add(patience); !true(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			h.Fatalf("waited in vain until %s; the agent said:\n%s", what, h.log)
		}
	}
}

// counters reads the pinned maps.
func (h *host) counters() [bpf.Reasons]uint64 {
	h.Helper()
	dp, err := datapath.Open(filepath.Join(h.bpffs, "gabion"), datapath.Limits{})
	if err != nil {
		h.Fatal(err)
	}
	defer dp.Close()
	log, err := flowlog.NewReader(dp.Logs())
	if err != nil {
		h.Fatal(err)
	}
	defer log.Close()
	all, err := log.Counters()
	if err != nil {
		h.Fatal(err)
	}
	return all
}

// load opens new flows without end: one to a port that is always allowed, whose
// answer it waits for, and one to a port that never is. Nobody sends a datagram
// again, so each flow is judged once.
type load struct {
	lock      sync.Mutex
	good, bad uint64
	stop      chan struct{}
	done      chan struct{}
}

func (h *host) load() *load {
	l := &load{stop: make(chan struct{}), done: make(chan struct{})}
	i := h.cart.Interfaces[0]
	// What the kernel chooses must not meet the ports that the load counts through.
	h.web.Sysctl("net/ipv4/ip_local_port_range", "40000 60000")
	go func() {
		defer close(l.done)
		h.web.Do(func() {
			for n := 0; n < 60000 && !h.Failed(); n++ {
				select {
				case <-l.stop:
					return
				default:
				}
				l.one(h, i.V4, i.V6, n)
			}
		})
	}()
	return l
}

func (l *load) one(h *host, v4, v6 netip.Addr, n int) {
	to, from := v4, h.web.Interfaces[0].V4
	if n%2 == 1 {
		to, from = v6, h.web.Interfaces[0].V6
	}
	for _, port := range []uint16{81, 80} {
		at := net.UDPAddrFromAddrPort(netip.AddrPortFrom(from, 0))
		if port == 80 {
			at.Port = 2000 + n/2 // never comes back, unlike those that the kernel chooses
		}
		c, err := net.DialUDP("udp", at, net.UDPAddrFromAddrPort(netip.AddrPortFrom(to, port)))
		if err != nil {
			h.Error(err)
			return
		}
		if port == 81 {
			_, err = c.Write([]byte("never"))
		} else {
			err = netnstest.Echo(c, "always", netnstest.Patience)
		}
		c.Close()
		if err != nil {
			h.Errorf("flow %d to port %d: %v", n, port, err)
			return
		}
		l.lock.Lock()
		if port == 81 {
			l.bad++
		} else {
			l.good++
		}
		l.lock.Unlock()
	}
}

func (l *load) passed() uint64 {
	l.lock.Lock()
	defer l.lock.Unlock()
	return l.good
}

// The agent is killed, started again, and told other policies, under a load of new
// flows: none that is allowed is lost, and none that is denied passes.
func TestKilledAndUpgradedUnderLoad(t *testing.T) {
	h := newHost(t)
	for _, a := range []netip.Addr{h.cart.Interfaces[0].V4, h.cart.Interfaces[0].V6} {
		h.cart.ServeUDP(netip.AddrPortFrom(a, 80))
		h.cart.ServeUDP(netip.AddrPortFrom(a, 81))
	}
	h.policy(1)
	agent := h.start()
	h.until("both workloads are attached", func() bool { return strings.Count(h.log.String(), "attached") >= 2 })
	l := h.load()
	for round := range 4 {
		reach := l.passed() + 20
		h.until("flows pass", func() bool { return l.passed() > reach || t.Failed() })
		if err := agent.Process.Kill(); err != nil { // SIGKILL
			t.Fatal(err)
		}
		agent.Wait()
		reach = l.passed() + 20
		h.until("flows pass while there is no agent", func() bool { return l.passed() > reach || t.Failed() })
		h.policy(2 + round)
		agent = h.start()
	}
	close(l.stop)
	<-l.done
	if err := agent.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := agent.Wait(); err != nil {
		t.Errorf("the agent ends with %v", err)
	}
	c := h.counters()
	if c[bpf.ReasonDenied] != l.bad {
		t.Errorf("%d packets were denied, %d flows to the closed port were opened", c[bpf.ReasonDenied], l.bad)
	}
	t.Logf("%d flows passed, %d were denied, over 4 kills", l.good, l.bad)

	// Ended in peace, it still enforces; detached, nothing does.
	try := func(wait time.Duration) error {
		return h.web.Try("udp", netip.Addr{}, netip.AddrPortFrom(h.cart.Interfaces[0].V4, 81), wait)
	}
	if err := try(100 * time.Millisecond); err == nil {
		t.Error("the closed port is open when the agent has ended")
	}
	if out, err := h.command("detach").CombinedOutput(); err != nil {
		t.Fatalf("detach: %v: %s", err, out)
	}
	if err := try(netnstest.Patience); err != nil {
		t.Errorf("after detach: %v", err)
	}
	if _, err := os.Stat(filepath.Join(h.bpffs, "gabion")); !os.IsNotExist(err) {
		t.Errorf("detach leaves pins (%v)", err)
	}
}

// A workload's interface that is made again is enforced again, and flows are
// written.
func TestFollowsInterfacesAndWritesFlows(t *testing.T) {
	h := newHost(t)
	h.policy(1)
	agent := h.start()
	h.until("both workloads are attached", func() bool { return strings.Count(h.log.String(), "msg=attached") == 2 })
	h.net.Recreate(h.cart, 0)
	h.until("the new interface is attached", func() bool { return strings.Count(h.log.String(), "msg=attached") == 3 })
	to := h.cart.Interfaces[0].V4
	h.cart.ServeUDP(netip.AddrPortFrom(to, 80))
	if err := h.web.Try("udp", netip.Addr{}, netip.AddrPortFrom(to, 80), netnstest.Patience); err != nil {
		t.Error(err)
	}
	if err := h.web.Try("udp", netip.Addr{}, netip.AddrPortFrom(to, 82), 50*time.Millisecond); err == nil {
		t.Error("the closed port is open")
	}
	for _, want := range []string{
		`"src":"shop/web","dst":"shop/cart","protocol":"UDP","port":80,"by":"shop/cart","verdict":"allowed","rule":"SegmentationPolicy shop/cart ingress[0]"`,
		`"src":"shop/web","dst":"shop/cart","protocol":"UDP","port":82,"by":"shop/cart","verdict":"denied","rule":"SegmentationPolicy shop/cart default deny (ingress)","reason":"denied"`,
	} {
		h.until("the flow is written: "+want, func() bool {
			b, _ := os.ReadFile(h.flows)
			return bytes.Contains(b, []byte(want))
		})
	}
	if rss := resident(t, agent.Process.Pid); rss > 60<<20 && !raceDetector {
		t.Errorf("an idle agent has %d MB in memory", rss>>20)
	} else {
		t.Logf("an idle agent has %d MB in memory", rss>>20)
	}
}

// resident is how much memory a process has. nsenter has become the agent.
func resident(t *testing.T, pid int) int {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	_, after, _ := strings.Cut(string(b), "VmRSS:")
	kb, err := strconv.Atoi(strings.Fields(after)[0])
	if err != nil {
		t.Fatal(err)
	}
	return kb << 10
}

func TestSaysWhatItNeeds(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	c := exec.Command(self, "-f", dir, "--state", dir)
	c.Env = append(os.Environ(), "GABION_AGENT_UNDER_TEST=1")
	if os.Geteuid() == 0 {
		// A copy that anybody may run.
		b, err := os.ReadFile(self)
		if err != nil {
			t.Fatal(err)
		}
		open, err := os.MkdirTemp("", "agent")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { os.RemoveAll(open) })
		c.Path = filepath.Join(open, "agent")
		if err := os.Chmod(open, 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(c.Path, b, 0o755); err != nil {
			t.Fatal(err)
		}
		c.Dir = "/"
		c.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	}
	out, err := c.CombinedOutput()
	if err == nil || !strings.Contains(string(out), "it needs to run as root") {
		t.Errorf("without root it says %q (%v)", out, err)
	}
}

func TestMistakesOfWhoeverCalls(t *testing.T) {
	for _, args := range [][]string{{"--nonsense"}, {"--window", "soon"}, {"detach", "--nonsense"}, {"nonsense"}, {"detach", "nonsense"}, {"probe", "nonsense"}, {"status", "nonsense"}} {
		c := exec.Command(os.Args[0], args...)
		c.Env = append(os.Environ(), "GABION_AGENT_UNDER_TEST=1")
		out, _ := c.CombinedOutput()
		if c.ProcessState.ExitCode() != 2 || !strings.Contains(string(out), args[len(args)-1]) {
			t.Errorf("%q: exit code %d, %s", args, c.ProcessState.ExitCode(), out)
		}
	}
}
