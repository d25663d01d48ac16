package plane

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/gabion-io/gabion/controlplane/server"
	"github.com/gabion-io/gabion/internal/netnstest"
)

// flowBed is a bed whose flows are counted: no source port comes back.
type flowBed struct {
	*bed
	next      int
	good, bad uint64
}

// agentOf starts an agent that reports every second.
func (b *flowBed) agentOf(env ...string) *exec.Cmd {
	b.Helper()
	return b.start("enforcing;", env, "gabion-agent", "--server", "127.0.0.1:9443", "--host", "node-1", "--state", b.agent, "--bpffs", b.bpffs, "--window", "1s")
}

// round opens n flows to the open port, and a quarter of that to the closed one.
func (b *flowBed) round(n int) {
	b.Helper()
	b.good, b.bad = b.good+uint64(n), b.bad+uint64(n/4)
	b.web.Do(func() {
		for i := range n + n/4 {
			if err := b.flow(i < n); err != nil {
				b.Error(err)
				return
			}
		}
	})
}

func (b *flowBed) flow(open bool) error {
	port := uint16(81)
	if open {
		port = 80
	}
	b.next++
	from := netip.AddrPortFrom(b.web.Interfaces[0].V4, uint16(3000+b.next))
	to := netip.AddrPortFrom(b.cart.Interfaces[0].V4, port)
	c, err := net.DialUDP("udp", net.UDPAddrFromAddrPort(from), net.UDPAddrFromAddrPort(to))
	if err != nil {
		return err
	}
	defer c.Close()
	if open {
		return netnstest.Echo(c, "marco", netnstest.Patience)
	}
	_, err = c.Write([]byte("never"))
	return err
}

// edge is what `gabion seg edges -o json` says of a port of cart.
func (b *flowBed) edge(port uint16) (flows, denied uint64) {
	out, err := b.command("gabion", "seg", "edges", "--from", "shop/web", "-o", "json").Output()
	if err != nil {
		return 0, 0 // the control plane is not there yet
	}
	var list server.EdgeList
	if err := json.Unmarshal(out, &list); err != nil {
		b.Fatal(err)
	}
	for _, e := range list.Items {
		if e.Port == port && e.Dst.Workload == "shop/cart" && e.Dst.Labels["app"] == "cart" {
			return e.Flows, e.Denied
		}
	}
	return 0, 0
}

func (b *flowBed) all(when string) {
	b.Helper()
	b.until("all flows are there, "+when, func() error {
		flows, _ := b.edge(80)
		_, denied := b.edge(81)
		if flows >= b.good && denied >= b.bad {
			return nil
		}
		return fmt.Errorf("%d of %d, %d denied of %d", flows, b.good, denied, b.bad)
	})
}

// Traffic between two namespaces shows in `gabion seg edges`, all of it, whichever
// of the agent and the control plane is killed in its middle; and what was denied
// is told with the process that tried.
func TestFlowsFromTheKernel(t *testing.T) {
	b := &flowBed{bed: newBed(t)}
	plane := b.serve()
	token := strings.TrimSpace(b.run("", "token", "join", "--host", "node-1", "--ttl", "10m"))
	b.run(b.workloads()+policy(80), "apply", "-f", "-")
	agent := b.agentOf("GABION_JOIN=" + token)
	b.until("the policy is in the kernel", func() error {
		if b.try(82) == nil {
			return errors.New("port 82 is open")
		}
		if flows, denied := b.edge(82); flows == 0 || denied == 0 {
			return errors.New("nothing was denied at port 82")
		}
		return nil
	})
	b.round(20)
	b.all("nobody was killed")
	b.attributed()

	b.kill(plane)
	b.round(40)
	plane = b.serve()
	b.round(20)
	b.all("the control plane was killed")

	for range 3 {
		b.round(20)
		b.kill(agent)
		b.round(20)
		agent = b.agentOf()
	}
	b.all("the agent was killed")
	flows, _ := b.edge(80)
	if _, denied := b.edge(81); flows != b.good || denied != b.bad {
		t.Errorf("%d flows of %d are counted, %d denied of %d", flows, b.good, denied, b.bad)
	}
	if out := b.run("", "seg", "status"); !strings.Contains(out, "coverage: 1 agent reports") || !strings.Contains(out, "SegmentationPolicy shop/cart   enforce") {
		t.Errorf("status says:\n%s", out)
	}
	b.kill(plane)
}

// attributed holds that a denied flow is told with the process that tried: us.
func (b *flowBed) attributed() {
	b.Helper()
	self, err := os.Executable()
	if err != nil {
		b.Fatal(err)
	}
	var list server.FlowList
	if err := json.Unmarshal([]byte(b.run("", "seg", "flows", "--verdict", "denied", "-o", "json")), &list); err != nil {
		b.Fatal(err)
	}
	for _, f := range list.Items {
		if f.Port == 81 && f.PID == uint32(os.Getpid()) && f.Process == self {
			return
		}
	}
	b.Errorf("no denied flow is attributed to process %d, %s", os.Getpid(), self)
}
