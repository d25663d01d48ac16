package main

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/gabion-io/gabion/internal/netnstest"
	"github.com/gabion-io/gabion/internal/tcx"
	"github.com/gabion-io/gabion/segmentation/bpf"
	"github.com/gabion-io/gabion/segmentation/datapath"
	"github.com/gabion-io/gabion/segmentation/flowlog"
)

// fastPath watches which way packets between web and cart take.
type fastPath struct {
	*host
	other *datapath.Datapath // loaded programs of somebody else
	log   *flowlog.Reader
	conns []net.Conn // an echo at the other end of each
}

func newFastPath(h *host) *fastPath {
	h.Helper()
	f := &fastPath{host: h}
	var dp *datapath.Datapath
	var err error
	if dp, err = datapath.Open(filepath.Join(h.bpffs, "gabion"), datapath.Limits{}); err == nil {
		h.Cleanup(dp.Close)
		f.log, err = flowlog.NewReader(dp.Logs())
	}
	if err != nil {
		h.Fatal(err)
	}
	h.Cleanup(func() { f.log.Close() })
	if f.other, err = datapath.Open(filepath.Join(h.bpffs, "other"), datapath.Limits{}); err != nil {
		h.Fatal(err)
	}
	h.Cleanup(f.other.Close)
	for _, a := range []netip.Addr{h.cart.Interfaces[0].V4, h.cart.Interfaces[0].V6} {
		h.cart.ServeTCP(netip.AddrPortFrom(a, 80))
		c, err := h.web.Dial("tcp", netip.Addr{}, netip.AddrPortFrom(a, 80), netnstest.Patience)
		if err != nil {
			h.Fatal(err)
		}
		h.Cleanup(func() { c.Close() })
		f.conns = append(f.conns, c)
	}
	return f
}

// redirected echoes once over a connection, and says how many packets took the
// shortcut.
func (f *fastPath) redirected(c net.Conn) uint64 {
	f.Helper()
	before, err := f.log.Counters()
	if err == nil {
		err = netnstest.Echo(c, strings.Repeat("gabion", 5000), netnstest.Patience)
	}
	if err != nil {
		f.Fatal(err)
	}
	after, err := f.log.Counters()
	if err != nil {
		f.Fatal(err)
	}
	return after[bpf.ReasonRedirected] - before[bpf.ReasonRedirected]
}

// on and off wait until packets of both families do, or do not, take it.
func (f *fastPath) on(when string) {
	f.Helper()
	for i, c := range f.conns {
		f.until(fmt.Sprintf("packets take the shortcut %s (connection %d)", when, i), func() bool { return f.redirected(c) > 0 })
	}
}

func (f *fastPath) off(when string) {
	f.Helper()
	for i, c := range f.conns {
		f.until(fmt.Sprintf("no packet takes the shortcut %s (connection %d)", when, i), func() bool { return f.redirected(c) == 0 })
	}
}

// Packets between two workloads go straight from one to the other where nothing on
// the way would look at them, and only there, and only while somebody sees to it.
func TestFastPath(t *testing.T) {
	h := newHost(t)
	agent := h.start()
	h.until("both are attached", func() bool { return strings.Count(h.log.String(), "msg=attached") == 2 })
	f := newFastPath(h)
	f.on("when nothing is in the way")
	f.ages()

	i := h.cart.Interfaces[0]
	pins := tcx.Pins{Dir: filepath.Join(h.bpffs, "other", "links")}
	h.net.Host.Do(func() {
		if err := pins.Attach(f.other.Program("sweep_flows"), i.HostIndex, tcx.Egress, tcx.Last); err != nil {
			t.Error(err)
		}
	})
	f.off("past a foreign program")
	if err := pins.Detach(i.HostIndex, tcx.Egress); err != nil {
		t.Fatal(err)
	}
	f.on("when it is gone")

	seen := f.listen(i.HostIndex)
	f.off("past who listens")
	seen(true) // what filled it before
	f.redirected(f.conns[0])
	if n := seen(false); n == 0 {
		t.Error("who listens sees nothing")
	}
	f.on("when nobody listens any more")

	// An agent that is killed can see to nothing, and one that comes back can.
	if err := agent.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	agent.Wait()
	f.off("long after the agent was killed")
	h.start()
	f.on("when the agent is back")
}

// ages holds that packets grow one hop older, and end where they are too old.
func (f *fastPath) ages() {
	f.Helper()
	for _, six := range []bool{false, true} {
		i, network, level, set, told := f.cart.Interfaces[0], "udp4", unix.IPPROTO_IP, unix.IP_TTL, unix.IP_RECVTTL
		at := netip.AddrPortFrom(i.V4, 90)
		if six {
			at, network, level, set, told = netip.AddrPortFrom(i.V6, 90), "udp6", unix.IPPROTO_IPV6, unix.IPV6_UNICAST_HOPS, unix.IPV6_RECVHOPLIMIT
		}
		var server *net.UDPConn
		var err error
		f.cart.Do(func() { server, err = net.ListenUDP(network, net.UDPAddrFromAddrPort(at)) })
		if err != nil {
			f.Fatal(err)
		}
		defer server.Close()
		c, err := f.web.Dial("udp", netip.Addr{}, at, netnstest.Patience)
		if err != nil {
			f.Fatal(err)
		}
		defer c.Close()
		client := c.(*net.UDPConn)
		option(f, server, level, told, 1)
		hops := func(sent int) (int, error) {
			option(f, client, level, set, sent)
			if _, err := client.Write([]byte("hop")); err != nil {
				return 0, err
			}
			return received(server, 200*time.Millisecond)
		}
		// Both ends must have spoken before a flow takes the shortcut.
		if got, err := hops(64); err != nil || got != 63 {
			f.Errorf("IPv6 %v: by the host's stack 64 hops become %d (%v)", six, got, err)
		}
		if _, err := server.WriteToUDPAddrPort([]byte("back"), client.LocalAddr().(*net.UDPAddr).AddrPort()); err != nil {
			f.Fatal(err)
		}
		if _, err := client.Read(make([]byte, 8)); err != nil {
			f.Fatal(err)
		}
		before, err := f.log.Counters()
		if err != nil {
			f.Fatal(err)
		}
		for sent, want := range map[int]int{64: 63, 2: 1} {
			if got, err := hops(sent); err != nil || got != want {
				f.Errorf("IPv6 %v: %d hops become %d (%v), want %d", six, sent, got, err, want)
			}
		}
		after, err := f.log.Counters()
		if err != nil || after[bpf.ReasonRedirected] < before[bpf.ReasonRedirected]+2 {
			f.Errorf("IPv6 %v: the datagrams did not take the shortcut (%v)", six, err)
		}
		if got, err := hops(1); err == nil {
			f.Errorf("IPv6 %v: a packet on its last hop arrives, with %d", six, got)
		}
	}
}

func option(t testing.TB, c *net.UDPConn, level, name, value int) {
	t.Helper()
	raw, err := c.SyscallConn()
	if err == nil {
		if bad := raw.Control(func(fd uintptr) { err = unix.SetsockoptInt(int(fd), level, name, value) }); bad != nil {
			err = bad
		}
	}
	if err != nil {
		t.Fatal(err)
	}
}

// received is how many hops a datagram had left.
func received(c *net.UDPConn, wait time.Duration) (int, error) {
	if err := c.SetReadDeadline(time.Now().Add(wait)); err != nil {
		return 0, err
	}
	control := make([]byte, 64)
	_, n, _, _, err := c.ReadMsgUDP(make([]byte, 16), control)
	if err != nil {
		return 0, err
	}
	list, err := unix.ParseSocketControlMessage(control[:n])
	if err != nil || len(list) != 1 || len(list[0].Data) < 4 {
		return 0, fmt.Errorf("nothing is said about hops: %v", err)
	}
	return int(binary.NativeEndian.Uint32(list[0].Data)), nil
}

// listen opens a packet socket as tcpdump does. What it returns says how many packets
// for port 80 it saw leave by the interface since, and closes it at last.
func (f *fastPath) listen(ifindex int) func(more bool) int {
	f.Helper()
	fd := -1
	var err error
	f.net.Host.Do(func() {
		const all = 0x0300 // ETH_P_ALL in network order
		if fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, all); err == nil {
			err = unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: all, Ifindex: ifindex})
		}
	})
	if err != nil {
		f.Fatal(err)
	}
	return func(more bool) (n int) {
		if !more {
			defer unix.Close(fd)
		}
		b := make([]byte, 2048)
		for {
			size, from, err := unix.Recvfrom(fd, b, 0)
			if err != nil {
				return n
			}
			l, ok := from.(*unix.SockaddrLinklayer)
			if ok && l.Pkttype == unix.PACKET_OUTGOING && size > 37 && b[12] == 8 && binary.BigEndian.Uint16(b[36:]) == 80 {
				n++
			}
		}
	}
}
