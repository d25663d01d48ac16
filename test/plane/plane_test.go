// Package plane holds the way of a policy from the REST API of a real `gabion serve`,
// over real TLS, into the kernel under a real `gabion-agent`, on a network of
// namespaces: what arrives, what is dropped, and what stays when either is killed.
package plane

import (
	"bytes"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/gabion-io/gabion/internal/lockedbuffer"
	"github.com/gabion-io/gabion/internal/netnstest"
)

// patience is how long a test waits for something that should come at once.
const patience = 2 * time.Minute

// bed is a host with two workloads, on which everything runs.
type bed struct {
	*testing.T
	net       *netnstest.Net
	home      netnstest.Space // where the control plane runs
	server    string          // and agents find it
	web, cart *netnstest.Workload
	bpffs     string
	state     string // of the control plane
	agent     string // of the agent
	log       *lockedbuffer.Buffer
}

func binary(t testing.TB, name string) string {
	t.Helper()
	dir := os.Getenv("GABION_BIN")
	if dir == "" {
		dir = filepath.Join("..", "..", "bin")
	}
	path, err := filepath.Abs(filepath.Join(dir, name))
	if err == nil {
		_, err = os.Stat(path)
	}
	if err != nil && os.Getenv("GABION_REQUIRE") == "" {
		t.Skipf("%s is not built: run `make build`", path)
	}
	if err != nil {
		t.Fatal(err)
	}
	return path
}

func newBed(t *testing.T) *bed {
	netnstest.Need(t)
	binary(t, "gabion")
	b := &bed{T: t, net: netnstest.New(t), bpffs: netnstest.Pins(t), state: t.TempDir(), agent: t.TempDir(), log: &lockedbuffer.Buffer{}}
	b.home, b.server = b.net.Host, "127.0.0.1:9443"
	b.web, b.cart = b.net.Workload("web"), b.net.Workload("cart")
	for _, port := range []uint16{80, 81} {
		b.cart.ServeUDP(netip.AddrPortFrom(b.cart.Interfaces[0].V4, port))
	}
	t.Cleanup(func() {
		if out, err := b.command("gabion-agent", "detach", "--bpffs", b.bpffs).CombinedOutput(); err != nil {
			t.Errorf("detach: %v: %s", err, out)
		}
		if t.Failed() {
			t.Logf("they said:\n%s", b.log)
		}
	})
	return b
}

// command is one of the programs; gabion's where the control plane is.
func (b *bed) command(name string, args ...string) *exec.Cmd {
	space := b.net.Host
	if name == "gabion" {
		space = b.home
	}
	c := space.Command(binary(b.T, name), args...)
	for _, e := range os.Environ() {
		if !strings.HasPrefix(e, "GABION_") {
			c.Env = append(c.Env, e)
		}
	}
	c.Env = append(c.Env, "GABION_STATE="+b.state)
	return c
}

// status is what the command says, without the headings: they hold the words too.
func (b *bed) status() string {
	b.Helper()
	lines := strings.SplitAfter(b.run("", "status"), "\n")
	return strings.Join(slices.DeleteFunc(lines, func(l string) bool { return strings.HasPrefix(l, "AGENT OF ") || strings.HasPrefix(l, "PROXY ") }), "")
}

// start runs a program until it says something new.
func (b *bed) start(says string, env []string, name string, args ...string) *exec.Cmd {
	b.Helper()
	c := b.command(name, args...)
	c.Env = append(c.Env, env...)
	c.Stdout, c.Stderr = b.log, b.log
	before := strings.Count(b.log.String(), says)
	if err := c.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { b.kill(c) })
	b.until(name+" says "+says, func() error {
		if strings.Count(b.log.String(), says) > before {
			return nil
		}
		return errors.New("not yet")
	})
	return c
}

// kill is kill -9.
func (b *bed) kill(c *exec.Cmd) {
	if c.ProcessState == nil {
		c.Process.Kill()
		c.Wait()
	}
}

func (b *bed) serve() *exec.Cmd {
	b.Helper()
	return b.start("gabion serve is up", nil, "gabion", "serve", "--agents", b.server)
}

func (b *bed) enforce(says string, env ...string) *exec.Cmd {
	b.Helper()
	return b.start(says, env, "gabion-agent", "--server", b.server, "--host", "node-1", "--state", b.agent, "--bpffs", b.bpffs)
}

// run is a gabion command that must succeed.
func (b *bed) run(in string, args ...string) string {
	b.Helper()
	out, errs, err := b.attempt(in, args...)
	if err != nil {
		b.Fatalf("gabion %s: %v\n%s%s", strings.Join(args, " "), err, out, errs)
	}
	return out
}

// attempt is a gabion command that may fail.
func (b *bed) attempt(in string, args ...string) (out, errs string, err error) {
	c := b.command("gabion", args...)
	c.Stdin = strings.NewReader(in)
	var stdout, stderr bytes.Buffer
	c.Stdout, c.Stderr = &stdout, &stderr
	err = c.Run()
	return stdout.String(), stderr.String(), err
}

func (b *bed) until(what string, try func() error) {
	b.Helper()
	for end := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
		err := try()
		if err == nil {
			return
		}
		if time.Now().After(end) {
			b.Fatalf("waited in vain until %s: %v", what, err)
		}
	}
}

// try opens a new flow from web to cart.
func (b *bed) try(port uint16) error {
	return b.web.Try("udp", netip.Addr{}, netip.AddrPortFrom(b.cart.Interfaces[0].V4, port), 100*time.Millisecond)
}

// wantOpen waits until new flows to the open port pass and those to the closed one
// do not, five times each in a row.
func (b *bed) wantOpen(when string, open, closed uint16) {
	b.Helper()
	b.until(when, func() error {
		for range 5 {
			if err := b.try(open); err != nil {
				return fmt.Errorf("port %d is closed: %w", open, err)
			}
			if b.try(closed) == nil {
				return fmt.Errorf("port %d is open", closed)
			}
		}
		return nil
	})
}

// mustOpen is wantOpen with no wait: it must be so already.
func (b *bed) mustOpen(when string, open, closed uint16) {
	b.Helper()
	for range 5 {
		b.isOpen(when, open, closed)
	}
}

// resident is how many KB of memory a process has. nsenter has become it.
func resident(t *testing.T, pid int) int {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	_, after, _ := strings.Cut(string(text), "VmRSS:")
	kb, err := strconv.Atoi(strings.Fields(after)[0])
	if err != nil {
		t.Fatal(err)
	}
	return kb
}

// workloads are both, as resources of this host.
func (b *bed) workloads() (out string) {
	for name, w := range map[string]*netnstest.Workload{"web": b.web, "cart": b.cart} {
		i := w.Interfaces[0]
		out += fmt.Sprintf(`---
apiVersion: gabion.io/v1alpha1
kind: Workload
metadata: {name: %[1]s, namespace: shop, labels: {app: %[1]s}}
spec: {node: node-1, addresses: ["%[2]s", "%[3]s"], interface: %[4]s}
`, name, i.V4, i.V6, i.HostName)
	}
	return out
}

func policy(port uint16) string {
	return fmt.Sprintf(`---
apiVersion: gabion.io/v1alpha1
kind: SegmentationPolicy
metadata: {name: cart, namespace: shop}
spec:
  mode: enforce
  selector: {matchLabels: {app: cart}}
  ingress: [{from: [{selector: {matchLabels: {app: web}}}], ports: [{protocol: UDP, port: %d}]}]
`, port)
}

func TestPolicyReachesTheKernel(t *testing.T) {
	b := newBed(t)
	plane := b.serve()
	token := strings.TrimSpace(b.run("", "token", "join", "--host", "node-1", "--ttl", "10m"))
	b.run(b.workloads(), "apply", "-f", "-")
	if out := b.run("", "status"); !strings.Contains(out, "no agent of host node-1 is connected") {
		t.Errorf("without an agent status says:\n%s", out)
	}
	agent := b.enforce("policy in force", "GABION_JOIN="+token)
	if err := errors.Join(b.try(80), b.try(81)); err != nil {
		t.Errorf("without a policy: %v", err)
	}
	switch out := b.run(policy(80), "apply", "-f", "-"); {
	case strings.Contains(out, "in force on 1 agent"):
		b.mustOpen("apply says that it is in force", 80, 81)
	case !strings.Contains(out, "have not answered yet"):
		t.Errorf("apply says\n%s", out)
	}
	b.wantOpen("the policy is in the kernel", 80, 81)
	b.until("status shows it", func() error {
		out := b.status()
		if strings.Contains(out, "node-1") && strings.Contains(out, " ACK") && !strings.Contains(out, "no agent") {
			return nil
		}
		return errors.New(out)
	})
	b.run(policy(81), "apply", "-f", "-")
	b.wantOpen("its change is in the kernel", 81, 80)

	if kb := resident(t, agent.Process.Pid); kb > 60<<10 {
		t.Errorf("an agent that follows a control plane has %d MB in memory", kb>>10)
	} else {
		t.Logf("an agent that follows a control plane has %d MB in memory", kb>>10)
	}

	// Killed, neither is needed for what is in force.
	b.kill(plane)
	b.mustOpen("the control plane is killed", 81, 80)
	b.kill(agent)
	b.mustOpen("the agent is killed too", 81, 80)

	// The agent alone begins with what it had: also on an interface made anew.
	b.net.Recreate(b.cart, 0)
	b.enforce("the policy of the last run is in force")
	b.wantOpen("the last good set is in the kernel", 81, 80)

	// And follows the control plane when that is back, without a token.
	b.serve()
	b.run(policy(80), "apply", "-f", "-")
	b.wantOpen("a later change is in the kernel", 80, 81)

	// What the kernel or the agent cannot take is a condition; the rest stays.
	if out := b.run("", "status", "-o", "json"); strings.Contains(out, "nacked") {
		t.Errorf("something was refused:\n%s", out)
	}
	b.run("", "delete", "SegmentationPolicy", "cart", "-n", "shop")
	b.until("without the policy all is open", func() error { return errors.Join(b.try(80), b.try(81)) })
}

// On one machine the agent comes with everything else, enforces on the interfaces
// that it is told of, and leaves nothing behind.
func TestUpEnforcesAndDetaches(t *testing.T) {
	b := newBed(t)
	before, _ := filepath.Glob("/sys/fs/bpf/gabion-*")
	up := b.start("gabion is up", nil, "gabion", "up", "--transport", "extproc", "--concurrency", "1")
	if !strings.Contains(b.log.String(), "agent    enforces") {
		t.Fatal("the banner does not speak of the agent")
	}
	b.until("the agent is connected", func() error {
		if out := b.run("", "status"); !strings.Contains(out, "AGENT OF") {
			return errors.New(out)
		}
		return nil
	})
	if now, _ := filepath.Glob("/sys/fs/bpf/gabion-*"); len(now) != len(before) {
		t.Errorf("with nothing to enforce something is in the kernel: %v", now)
	}
	b.run(strings.ReplaceAll(b.workloads(), "node: node-1, ", "")+policy(80), "apply", "-f", "-")
	b.wantOpen("the policy is in the kernel", 80, 81)
	if err := up.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if err := up.Wait(); err != nil {
		t.Errorf("gabion up ends with %v", err)
	}
	b.until("it has gone, and enforces nothing", func() error { return errors.Join(b.try(80), b.try(81)) })
	if after, _ := filepath.Glob("/sys/fs/bpf/gabion-*"); len(after) != len(before) {
		t.Errorf("left in the kernel: %v", after)
	}
}

// A policy that allows nothing leaves open what the host is looked after by: who is
// logged in, and the control plane, though both are in workloads that it closes. An
// interface by which the host itself reaches the world is refused.
func TestNeverLocksItsOwnerOut(t *testing.T) {
	b := newBed(t)
	web, cart := b.web.Interfaces[0], b.cart.Interfaces[0]
	b.home, b.server = b.cart.Space, netip.AddrPortFrom(cart.V4, 9443).String()
	for _, port := range []uint16{22, 23} {
		b.net.Host.ServeTCP(netip.AddrPortFrom(web.HostV4, port))
	}
	b.serve()
	b.run(b.workloads(), "apply", "-f", "-")
	agent := b.enforce("policy in force", "GABION_JOIN="+strings.TrimSpace(b.run("", "token", "join", "--host", "node-1")))
	login, err := b.web.Dial("tcp", netip.Addr{}, netip.AddrPortFrom(web.HostV4, 22), netnstest.Patience)
	if err != nil {
		t.Fatal(err)
	}
	defer login.Close()
	if err := netnstest.Echo(login, "before", netnstest.Patience); err != nil {
		t.Fatal(err)
	}
	b.run(`
apiVersion: gabion.io/v1alpha1
kind: SegmentationPolicy
metadata: {name: closed, namespace: shop}
spec: {mode: enforce, selector: {}, ingress: [], egress: []}
`, "apply", "-f", "-")
	host := func(port uint16) error {
		return b.web.Try("tcp", netip.Addr{}, netip.AddrPortFrom(web.HostV4, port), 200*time.Millisecond)
	}
	b.until("the policy is in the kernel", func() error {
		if b.try(80) == nil || host(23) == nil {
			return errors.New("something is open")
		}
		return nil
	})
	if err := netnstest.Echo(login, "after", netnstest.Patience); err != nil {
		t.Errorf("who is logged in was cut off: %v", err)
	}
	if err := b.web.Try("tcp", netip.Addr{}, netip.AddrPortFrom(web.HostV4, 22), netnstest.Patience); err != nil {
		t.Errorf("and cannot come back: %v", err)
	}

	// A new agent finds its control plane under the policy, and hears of a better one.
	b.kill(agent)
	b.enforce("following the control plane")
	b.run(policy(80), "apply", "-f", "-")
	b.run("", "delete", "SegmentationPolicy", "closed", "-n", "shop")
	b.wantOpen("the better policy is in the kernel", 80, 81)

	b.net.Host.IP("route add default via " + web.V4.String())
	if _, errs, err := b.attempt(strings.ReplaceAll(b.workloads(), "labels: {", "labels: {tier: x, "), "apply", "-f", "-"); err == nil || !strings.Contains(errs, "1 of 1 agents refused it") {
		b.Errorf("apply does not say that the agent refused: %v, %s", err, errs)
	}
	b.until("the interface of the default route is refused", func() error {
		if out := b.run("", "status"); !strings.Contains(out, "NACK") || !strings.Contains(out, "way out") {
			return errors.New(out)
		}
		return nil
	})
	b.mustOpen("refused, what was in force stays", 80, 81)
}
