package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/gabion-io/gabion/controlplane/api/v1alpha1"
	"github.com/gabion-io/gabion/controlplane/segment"
	"github.com/gabion-io/gabion/internal/netnstest"
	"github.com/gabion-io/gabion/segmentation"
	"github.com/gabion-io/gabion/segmentation/learn"
	"github.com/gabion-io/gabion/workload"
)

// pair is a connection with both its ends in our hands.
type pair struct {
	what           string
	client, server net.Conn
}

// connect opens a connection that outlives what happens in between.
func (h *host) connect(what string, from, to *netnstest.Workload, six bool, port uint16) pair {
	h.Helper()
	at := netip.AddrPortFrom(to.Interfaces[0].V4, port)
	if six {
		at = netip.AddrPortFrom(to.Interfaces[0].V6, port)
	}
	var l net.Listener
	var err error
	to.Do(func() { l, err = net.Listen("tcp", at.String()) })
	if err != nil {
		h.Fatal(err)
	}
	h.Cleanup(func() { l.Close() })
	client, err := from.Dial("tcp", netip.Addr{}, at, netnstest.Patience)
	if err != nil {
		h.Fatal(err)
	}
	server, err := l.Accept()
	if err != nil {
		h.Fatal(err)
	}
	h.Cleanup(func() { client.Close(); server.Close() })
	return pair{what, client, server}
}

// shell has a process of web open a connection to a port, and keep it.
func (h *host) shell(to *netnstest.Workload, port uint16) *exec.Cmd {
	h.Helper()
	at := netip.AddrPortFrom(to.Interfaces[0].V4, port)
	var l net.Listener
	var err error
	to.Do(func() { l, err = net.Listen("tcp", at.String()) })
	if err != nil {
		h.Fatal(err)
	}
	c := h.web.Command("bash", "-c", fmt.Sprintf("exec 3<>/dev/tcp/%s/%d; read -u 3", at.Addr(), port))
	if err := c.Start(); err != nil {
		h.Fatal(err)
	}
	server, err := l.Accept()
	h.Cleanup(func() {
		if err == nil {
			server.Close() // ends the shell's reading
		}
		l.Close()
		c.Process.Kill()
		c.Wait()
	})
	if err != nil {
		h.Fatal(err)
	}
	return c
}

// says sends a text one way and waits for it.
func says(from, to net.Conn, wait time.Duration) error {
	if _, err := from.Write([]byte("marco")); err != nil {
		return err
	}
	b := make([]byte, 5)
	if err := to.SetReadDeadline(time.Now().Add(wait)); err != nil {
		return err
	}
	_, err := to.Read(b)
	return err
}

// lines are the flows that were written.
func (h *host) lines() (out []line) {
	h.Helper()
	b, err := os.ReadFile(h.flows)
	if err != nil {
		return nil
	}
	for text := range bytes.Lines(b) {
		var l line
		if bytes.HasSuffix(text, []byte("\n")) && json.Unmarshal(text, &l) == nil {
			out = append(out, l)
		}
	}
	return out
}

// found says whether a flow that was there before is written, as its source or its
// destination saw it.
func (h *host) found(src, dst string, p segmentation.Protocol, port uint16, by string) *line {
	for _, l := range h.lines() {
		if l.Src == src && l.Dst == dst && l.Protocol == p && l.Port == port && l.By == by && l.Reason == "seen at start" {
			return &l
		}
	}
	return nil
}

// Connections that were there before the agent are learned as they were opened, with
// no restart; what is learned from them lets them live, whoever speaks next, and cuts
// the others.
func TestConnectionsFromBefore(t *testing.T) {
	h := newHost(t)
	h.cart.ServeUDP(netip.AddrPortFrom(h.cart.Interfaces[0].V4, 53))
	query, err := h.web.Dial("udp", netip.Addr{}, netip.AddrPortFrom(h.cart.Interfaces[0].V4, 53), netnstest.Patience)
	if err != nil {
		t.Fatal(err)
	}
	defer query.Close()
	four, six := h.connect("IPv4", h.web, h.cart, false, 80), h.connect("IPv6", h.web, h.cart, true, 80)
	back := h.connect("the other way", h.cart, h.web, false, 9000)
	client := h.shell(h.cart, 81)

	agent := h.start()
	for _, want := range []struct {
		src, dst, by string
		p            segmentation.Protocol
		port         uint16
		flows        uint64
	}{
		{"shop/web", "shop/cart", "shop/web", segmentation.TCP, 80, 1}, // a row an address of the peer
		{"shop/web", "shop/cart", "shop/cart", segmentation.TCP, 80, 1},
		{"shop/cart", "shop/web", "shop/cart", segmentation.TCP, 9000, 1},
		{"shop/cart", "shop/web", "shop/web", segmentation.TCP, 9000, 1},
		{"shop/web", "shop/cart", "shop/web", segmentation.UDP, 53, 1},
		{"shop/web", "shop/cart", "shop/web", segmentation.TCP, 81, 1},
	} {
		var l *line
		h.until("a connection from before is written", func() bool {
			l = h.found(want.src, want.dst, want.p, want.port, want.by)
			return l != nil
		})
		if l.Flows != want.flows || l.Answered != want.flows {
			t.Errorf("%+v is written with %d flows, %d answered", want, l.Flows, l.Answered)
		}
	}
	if l := h.found("shop/web", "shop/cart", segmentation.TCP, 81, "shop/web"); l.PID != uint32(client.Process.Pid) || !strings.HasSuffix(l.Process, "bash") {
		t.Errorf("it is said to be of process %d (%s), and is of bash, %d", l.PID, l.Process, client.Process.Pid)
	}
	count := 0
	for _, l := range h.lines() {
		if l.Reason == "seen at start" && l.By == "shop/web" && l.Port == 80 {
			count++
		}
		if l.Port > 10000 {
			t.Errorf("a flow is taken for one that the server opened: %+v", l)
		}
	}
	if count != 2 {
		t.Errorf("web has %d connections to port 80 from before, want one of each family", count)
	}
	// Nothing of it depends on who speaks first afterwards.
	for _, p := range []pair{four, six, back} {
		if err := says(p.server, p.client, netnstest.Patience); err != nil {
			t.Errorf("%s: the server's word does not reach the client: %v", p.what, err)
		}
	}

	h.write("policy.yaml", h.learned(func(l *line) bool { return l.Src == "shop/web" }))
	h.until("the policy is in force", func() bool {
		return says(back.server, back.client, 50*time.Millisecond) != nil
	})
	for _, p := range []pair{four, six} {
		if err := says(p.server, p.client, netnstest.Patience); err != nil {
			t.Errorf("%s: what was learned cuts the server's word: %v", p.what, err)
		}
		if err := says(p.client, p.server, netnstest.Patience); err != nil {
			t.Errorf("%s: what was learned cuts the client's word: %v", p.what, err)
		}
	}
	if err := netnstest.Echo(query, "query", netnstest.Patience); err != nil {
		t.Errorf("what was learned cuts the datagrams: %v", err)
	}
	if err := says(back.client, back.server, 50*time.Millisecond); err == nil {
		t.Error("the connection that was not learned passes")
	}
	if err := agent.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	agent.Wait()

	// Begun anew under the policy, the denied connection is never taken for one that
	// the other end opened, which would be allowed.
	if out, err := h.command("detach").CombinedOutput(); err != nil {
		t.Fatalf("detach: %v: %s", err, out)
	}
	other := h.connect("the other way", h.cart, h.web, true, 9001)
	said := strings.Count(h.log.String(), "msg=attached")
	h.start()
	h.until("both are attached", func() bool { return strings.Count(h.log.String(), "msg=attached") == said+2 })
	if err := says(other.server, other.client, 50*time.Millisecond); err == nil {
		t.Error("a connection that policy denies passes because its server spoke first")
	}
	if err := says(four.server, four.client, netnstest.Patience); err != nil {
		t.Errorf("a connection that policy allows is cut: %v", err)
	}
}

// learned is the policies that are learned from some of the flows, as resources.
func (h *host) learned(of func(*line) bool) string {
	h.Helper()
	var all []*workload.Workload
	for name, w := range map[string]*netnstest.Workload{"web": h.web, "cart": h.cart} {
		all = append(all, &workload.Workload{ID: workload.ID{Namespace: "shop", Name: name}, Labels: workload.Labels{"app": name}, Addresses: w.Addresses()})
	}
	byID := map[string]*workload.Workload{}
	for _, w := range all {
		byID[w.ID.String()] = w
	}
	l := learn.New(all, learn.Options{Mode: segmentation.Enforce})
	for _, one := range h.lines() {
		if one.By != one.Src || !of(&one) {
			continue
		}
		l.Add(&segmentation.Edge{
			Src: segmentation.At(byID[one.Src]), Dst: segmentation.At(byID[one.Dst]), Protocol: one.Protocol, Port: one.Port,
			Flows: one.Flows, Answered: &one.Answered, Bytes: one.Bytes, First: one.First, Last: one.Last,
		})
	}
	var text strings.Builder
	for _, p := range l.Propose().Proposals {
		b, err := v1alpha1.Encode(segment.Resource(p.Policy, func(segmentation.Direction, int) string { return "" }))
		if err != nil {
			h.Fatal(err)
		}
		text.WriteString("---\n")
		text.Write(b)
	}
	return text.String()
}
