package plane

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gabion-io/gabion/internal/netnstest"
	"github.com/gabion-io/gabion/segmentation/datapath"
)

// The test binary is also a proxy: a process of the host, between it and its control
// plane.
func TestMain(m *testing.M) {
	if listen, to, ok := strings.Cut(os.Getenv("GABION_PROXY_UNDER_TEST"), " "); ok {
		fmt.Fprintln(os.Stderr, passOn(listen, to))
		os.Exit(1)
	}
	os.Exit(m.Run())
}

func passOn(listen, to string) error {
	l, err := net.Listen("tcp", listen)
	if err != nil {
		return err
	}
	for {
		c, err := l.Accept()
		if err != nil {
			return err
		}
		go func() {
			defer c.Close()
			up, err := net.Dial("tcp", to)
			if err != nil {
				return
			}
			go func() {
				io.Copy(up, c)
				up.Close()
			}()
			io.Copy(c, up)
		}()
	}
}

// proxy starts one in a cgroup of its own, and returns that.
func (b *bed) proxy(listen, to string) string {
	b.Helper()
	root, err := datapath.CgroupRoot()
	if err != nil && os.Getenv("GABION_REQUIRE") == "" {
		b.Skip(err)
	}
	self, unknown := os.Executable()
	name := "proxy-" + b.net.Host.Name
	dir := filepath.Join(root, name)
	if err := errors.Join(err, unknown, os.Mkdir(dir, 0o755)); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { b.until("the cgroup is empty", func() error { return os.Remove(dir) }) })
	c := b.net.Host.Command("sh", "-c", "echo $$ > "+dir+"/cgroup.procs && exec "+self)
	c.Env = append(os.Environ(), "GABION_PROXY_UNDER_TEST="+listen+" "+to)
	c.Stderr = b.log
	if err := c.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { b.kill(c) })
	b.until("the proxy listens", func() error {
		c, err := b.net.Host.Dial("tcp", netip.Addr{}, netip.MustParseAddrPort(listen), netnstest.Patience)
		if err == nil {
			c.Close()
		}
		return err
	})
	return name
}

// follow starts an agent that takes back what is not confirmed within a time.
func (b *bed) follow(within, says string, env ...string) *exec.Cmd {
	b.Helper()
	return b.start(says, env, "gabion-agent", "--server", b.server, "--host", "node-1", "--state", b.agent, "--bpffs", b.bpffs, "--confirm-within", within)
}

// isOpen is mustOpen, once.
func (b *bed) isOpen(when string, open, closed uint16) {
	b.Helper()
	if b.web.Try("udp", netip.Addr{}, netip.AddrPortFrom(b.cart.Interfaces[0].V4, open), netnstest.Patience) != nil {
		b.Errorf("%s: port %d is closed", when, open)
	}
	if b.try(closed) == nil {
		b.Errorf("%s: port %d is open", when, closed)
	}
}

// says waits until status says all of the words.
func (b *bed) says(when string, words ...string) {
	b.Helper()
	b.until(when, func() error {
		out := b.status()
		for _, w := range words {
			if !strings.Contains(out, w) {
				return fmt.Errorf("status does not say %q:\n%s", w, out)
			}
		}
		return nil
	})
}

// logs waits until one of the programs says something more often than before.
func (b *bed) logs(words string, before int) {
	b.Helper()
	b.until("somebody says "+words, func() error {
		if strings.Count(b.log.String(), words) > before {
			return nil
		}
		return errors.New("not yet")
	})
}

// The host reaches its control plane through a process of its own, of which no
// lifeline knows, and a policy closes that. What was before it returns, whether the
// agent lives through it or is killed in between, and stays while the control plane is
// away; it is told, and the policy is not tried again before it is mended.
func TestTakesBackWhatCutsItOff(t *testing.T) {
	b := newBed(t)
	b.home, b.server = b.cart.Space, netip.AddrPortFrom(b.cart.Interfaces[0].V4, 9443).String()
	plane := b.serve()
	direct := b.server
	b.server = "127.0.0.1:9444"
	cgroup := b.proxy(b.server, direct)
	cart := func(port uint16) string {
		host := fmt.Sprintf("ingress: [{from: [{cidr: %s/32}], ports: [{port: 9443}]}, ", b.cart.Interfaces[0].HostV4)
		return strings.Replace(policy(port), "ingress: [", host, 1)
	}
	b.run(b.workloads()+cart(80)+fmt.Sprintf(`---
apiVersion: gabion.io/v1alpha1
kind: Workload
metadata: {name: proxy, namespace: shop, labels: {app: proxy}}
spec: {node: node-1, cgroup: %s}
`, cgroup), "apply", "-f", "-")
	agent := b.follow("10m", "policy in force", "GABION_JOIN="+strings.TrimSpace(b.run("", "token", "join", "--host", "node-1")))
	b.says("it is confirmed", " ACK")
	b.isOpen("it is confirmed", 80, 81)

	apply := b.command("gabion", "apply", "-f", "-") // it waits for the agent's answer: in vain
	apply.Stdin = strings.NewReader(cart(81) + `---
apiVersion: gabion.io/v1alpha1
kind: SegmentationPolicy
metadata: {name: proxy, namespace: shop}
spec: {mode: enforce, selector: {matchLabels: {app: proxy}}, egress: []}
`)
	if err := apply.Start(); err != nil {
		t.Fatal(err)
	}
	b.Cleanup(func() { b.kill(apply) })
	b.logs("the control plane is not reached yet", 0)
	b.isOpen("the new policy is in the kernel", 81, 80)
	b.says("the control plane waits", "trying for ")
	b.kill(agent)
	b.isOpen("killed before it was confirmed", 81, 80)

	// The next begins with what was confirmed, and stays with it while the control
	// plane is away.
	b.kill(plane)
	agent = b.follow("1s", "the policy of the last run is in force")
	b.mustOpen("begun again, the control plane away", 80, 81)
	b.server = direct
	b.serve()
	b.server = "127.0.0.1:9444"
	b.says("it is tried, and taken back", " taken back ", "TakenBack", "change of SegmentationPolicy/shop/cart, SegmentationPolicy/shop/proxy in force")
	b.isOpen("taken back", 80, 81)
	b.kill(agent)

	before := strings.Count(b.log.String(), "policy refused")
	b.follow("1m", "following the control plane")
	b.logs("policy refused", before)
	b.isOpen("not tried again", 80, 81)
	b.run("", "delete", "SegmentationPolicy", "proxy", "-n", "shop")
	b.wantOpen("mended", 81, 80)
	b.says("mended", " ACK")
}
