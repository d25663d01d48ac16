package datapath_test

import (
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"syscall"
	"testing"
	"time"

	"github.com/gabion-io/gabion/internal/netnstest"
	"github.com/gabion-io/gabion/segmentation/bpf"
)

// frame is an Ethernet frame between the two ends of a workload's interface.
func frame(to, from []byte, kind uint16, payload []byte) []byte {
	f := append(append([]byte{}, to...), from...)
	f = binary.BigEndian.AppendUint16(f, kind)
	return append(f, payload...)
}

// udp4 is an IPv4 packet with a UDP datagram.
func udp4(from, to netip.Addr, fromPort, toPort uint16, text string) []byte {
	b := ip4(from, to, 17, 8+len(text))
	b = binary.BigEndian.AppendUint16(b, fromPort)
	b = binary.BigEndian.AppendUint16(b, toPort)
	b = binary.BigEndian.AppendUint16(b, uint16(8+len(text)))
	b = append(b, 0, 0) // no checksum
	return append(b, text...)
}

func ip4(from, to netip.Addr, protocol byte, length int) []byte {
	b := []byte{0x45, 0, 0, 0, 0, 1, 0, 0, 64, protocol, 0, 0}
	binary.BigEndian.PutUint16(b[2:], uint16(20+length))
	b = append(append(b, from.AsSlice()...), to.AsSlice()...)
	binary.BigEndian.PutUint16(b[10:], netnstest.Checksum(b))
	return b
}

func TestSpoofedSourceIsDropped(t *testing.T) {
	b := newBed(t, "web", "cart")
	web, cart := b.workloads["web"], b.workloads["cart"]
	i := web.Interfaces[0]
	// In no policy at all, and of a neighbour that would be allowed.
	for _, from := range []netip.Addr{netip.MustParseAddr("192.0.2.7"), cart.Interfaces[0].V4, i.HostV4} {
		before := b.count(bpf.ReasonSpoofed)
		packet := udp4(from, cart.Interfaces[0].V4, 1000, 2000, "spoofed")
		if err := web.Raw("eth0", frame(i.HostMAC, i.MAC, 0x0800, packet)); err != nil {
			t.Fatal(err)
		}
		b.until("the spoofed packet is counted", func() bool { return b.count(bpf.ReasonSpoofed) == before+1 })
	}
	for _, from := range []netip.Addr{netip.MustParseAddr("2001:db8::7"), cart.Interfaces[0].V6, i.HostV6} {
		before := b.count(bpf.ReasonSpoofed)
		packet := append(ipHeader(from, cart.Interfaces[0].V6, 17, 8), 0, 1, 0, 2, 0, 8, 0, 0)
		if err := web.Raw("eth0", frame(i.HostMAC, i.MAC, 0x86dd, packet)); err != nil {
			t.Fatal(err)
		}
		b.until("the spoofed packet is counted", func() bool { return b.count(bpf.ReasonSpoofed) == before+1 })
	}
	// Nor may it answer for a neighbour's address, or advertise it.
	before := b.count(bpf.ReasonSpoofed)
	arp := []byte{0, 1, 8, 0, 6, 4, 0, 2}
	arp = append(append(arp, i.MAC...), cart.Interfaces[0].V4.AsSlice()...)
	arp = append(append(arp, i.HostMAC...), i.HostV4.AsSlice()...)
	if err := web.Raw("eth0", frame(i.HostMAC, i.MAC, 0x0806, arp)); err != nil {
		t.Fatal(err)
	}
	b.until("the false ARP answer is counted", func() bool { return b.count(bpf.ReasonSpoofed) == before+1 })
	na := append(ipHeader(i.V6, i.HostV6, 58, 24), 136, 0, 0, 0, 0x60, 0, 0, 0)
	na[7] = 255 // no router has touched it
	na = append(na, cart.Interfaces[0].V6.AsSlice()...)
	if err := web.Raw("eth0", frame(i.HostMAC, i.MAC, 0x86dd, na)); err != nil {
		t.Fatal(err)
	}
	b.until("the false advertisement is counted", func() bool { return b.count(bpf.ReasonSpoofed) == before+2 })
	// Nor ask in a neighbour's name: who is asked notes the link-layer address with it.
	ns := solicitation(cart.Interfaces[0].V6, i.HostV6, i.HostV6, i.MAC)
	if err := web.Raw("eth0", frame(i.HostMAC, i.MAC, 0x86dd, ns)); err != nil {
		t.Fatal(err)
	}
	b.until("the false question is counted", func() bool { return b.count(bpf.ReasonSpoofed) == before+3 })
}

// solicitation asks after a neighbour (RFC 4861, 4.3).
func solicitation(from, to, target netip.Addr, mac []byte, more ...byte) []byte {
	ns := append(ipHeader(from, to, 58, 32+len(more)), 135, 0, 0, 0, 0, 0, 0, 0)
	ns[7] = 255
	ns = append(append(ns, target.AsSlice()...), 1, 1)
	return append(append(ns, mac...), more...)
}

// cart may be asked, and may answer; it opens nothing, whatever it makes a packet look
// like.
func TestOddPackets(t *testing.T) {
	b := newBed(t, "web", "cart")
	b.apply("policy shop/cart enforces for app=cart\n  ingress from anybody on TCP 80, ICMP\n  egress to nobody\n")
	fragmentsCannotHideTheirHeader(t, b)
	neighbourDiscoveryStaysOnTheLink(t, b)
	echoesGoOneWay(t, b)
}

// What a packet's own bytes do not say cannot be read from what stands behind them: the
// receiver puts the true header together from both fragments.
func fragmentsCannotHideTheirHeader(t *testing.T, b *bed) {
	t.Helper()
	cart, i := b.workloads["cart"], b.workloads["cart"].Interfaces[0]
	const syn, answer = 0x02, 0x12
	header := func(flags byte) []byte {
		return []byte{0, 80, 0, 81, 0, 0, 0, 1, 0, 0, 0, 0, 0x50, flags, 255, 255, 0, 0, 0, 0}
	}
	for _, six := range []bool{false, true} {
		fragment := func(at int, payload []byte) []byte {
			if six {
				head := []byte{6, 0, byte(at >> 8), byte(at), 0, 0, 0, 9}
				if at == 0 {
					head[3] = 1
				}
				return append(append(ipHeader(i.V6, b.addr("web", true), 44, 8+len(payload)), head...), payload...)
			}
			p := ip4(i.V4, b.addr("web", false), 6, len(payload))
			p[5], p[7] = 9, byte(at/8)
			if at == 0 {
				p[6] = 0x20
			}
			p[10], p[11] = 0, 0
			binary.BigEndian.PutUint16(p[10:], netnstest.Checksum(p))
			return append(p, payload...)
		}
		kind := etherType(b.addr("web", six))
		// It seems to answer, as it may. What is sent to port 81 is a SYN.
		first := frame(i.HostMAC, i.MAC, kind, append(fragment(0, header(syn)[:8]), header(answer)[8:]...))
		rest := frame(i.HostMAC, i.MAC, kind, fragment(8, header(syn)[8:]))
		before, passed := b.count(bpf.ReasonMalformed), b.count(bpf.ReasonAllowed)
		if err := cart.Raw("eth0", first, rest); err != nil {
			t.Fatal(err)
		}
		b.until("both are dropped", func() bool { return b.count(bpf.ReasonMalformed) == before+2 })
		if n := b.count(bpf.ReasonAllowed); n != passed {
			t.Errorf("IPv6 %v: %d packets are allowed", six, n-passed)
		}
	}
}

// An ICMP error passes only if it is about a flow that was allowed.
func TestICMPErrors(t *testing.T) {
	b := newBed(t, "web", "cart", "other")
	b.apply(`
policy shop/cart enforces for app=cart
  ingress from app=web on UDP 8080
  egress to nobody
policy shop/web enforces for app=web
  ingress from nobody
  egress to app=cart on UDP 8080
`)
	for _, six := range []bool{false, true} {
		before := b.count(bpf.ReasonRelated)
		c, err := b.workloads["web"].Dial("udp", netip.Addr{}, b.at("cart", six, 8080), netnstest.Patience)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		// Nobody listens: cart's kernel answers port unreachable, through both hooks.
		if _, err := c.Write([]byte("anybody?")); err != nil {
			t.Fatal(err)
		}
		if err := c.SetReadDeadline(time.Now().Add(netnstest.Patience)); err != nil {
			t.Fatal(err)
		}
		if _, err = c.Read(make([]byte, 10)); !isRefused(err) {
			t.Errorf("IPv6 %v: the error does not arrive: %v", six, err)
		}
		if n := b.count(bpf.ReasonRelated); n != before+2 {
			t.Errorf("IPv6 %v: %d errors passed as related, want 2", six, n-before)
		}
	}
	// About a flow that nobody opened.
	cart, i := b.workloads["cart"], b.workloads["cart"].Interfaces[0]
	inner := udp4(b.addr("web", false), i.V4, 1234, 8080, "never sent")
	body := append([]byte{3, 3, 0, 0, 0, 0, 0, 0}, inner...)
	binary.BigEndian.PutUint16(body[2:], netnstest.Checksum(body))
	before := b.count(bpf.ReasonDenied)
	packet := append(ip4(i.V4, b.addr("web", false), 1, len(body)), body...)
	if err := cart.Raw("eth0", frame(i.HostMAC, i.MAC, 0x0800, packet)); err != nil {
		t.Fatal(err)
	}
	b.until("the forged error is counted", func() bool { return b.count(bpf.ReasonDenied) == before+1 })
	// About one that is there, to somebody who has no part in it.
	c, err := b.workloads["web"].Dial("udp", netip.Addr{}, b.at("cart", false, 8080), netnstest.Patience)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	related := b.count(bpf.ReasonRelated)
	if _, err := c.Write([]byte("anybody?")); err != nil {
		t.Fatal(err)
	}
	b.until("the true error is counted", func() bool { return b.count(bpf.ReasonRelated) == related+2 })
	inner = udp4(b.addr("web", false), i.V4, netip.MustParseAddrPort(c.LocalAddr().String()).Port(), 8080, "sent")
	body = append([]byte{3, 3, 0, 0, 0, 0, 0, 0}, inner...)
	for to, reason := range map[string]bpf.Reason{"web": bpf.ReasonRelated, "other": bpf.ReasonDenied} {
		before := b.count(reason)
		packet := append(ip4(i.V4, b.addr(to, false), 1, len(body)), body...)
		if err := cart.Raw("eth0", frame(i.HostMAC, i.MAC, 0x0800, packet)); err != nil {
			t.Fatal(err)
		}
		b.until("the error to "+to+" is counted as "+reason.String(), func() bool { return b.count(reason) > before })
	}
}

// Who may be pinged may answer, and not ping back under the same id.
func echoesGoOneWay(t *testing.T, b *bed) {
	t.Helper()
	const request, reply = 8, 0
	send := func(from, to string, kind byte) {
		t.Helper()
		body := []byte{kind, 0, 0, 0, 0x12, 0x34, 0, 1}
		binary.BigEndian.PutUint16(body[2:], netnstest.Checksum(body))
		i := b.workloads[from].Interfaces[0]
		packet := append(ip4(i.V4, b.addr(to, false), 1, len(body)), body...)
		if err := b.workloads[from].Raw("eth0", frame(i.HostMAC, i.MAC, 0x0800, packet)); err != nil {
			t.Fatal(err)
		}
	}
	before := b.count(bpf.ReasonEstablished)
	send("web", "cart", request) // cart's kernel answers, through both hooks
	b.until("the answer passes", func() bool { return b.count(bpf.ReasonEstablished) >= before+2 })
	before, denied := b.count(bpf.ReasonEstablished), b.count(bpf.ReasonDenied)
	send("cart", "web", reply)
	b.until("another answer passes", func() bool { return b.count(bpf.ReasonEstablished) >= before+2 })
	send("cart", "web", request)
	b.until("a request is denied", func() bool { return b.count(bpf.ReasonDenied) == denied+1 })
}

func isRefused(err error) bool {
	var n syscall.Errno
	return errors.As(err, &n) && n == syscall.ECONNREFUSED
}

// Under default deny in both directions the link itself works: otherwise nothing
// that is allowed would.
func TestNeighbourDiscoveryUnderDefaultDeny(t *testing.T) {
	b := newBed(t, "web", "cart")
	b.serve("cart", 80)
	b.apply(`
policy shop/cart enforces for app=cart
  ingress from app=web on TCP 80
  egress to nobody
`)
	w := b.workloads["cart"]
	w.IP("neigh flush all", "-6 neigh flush all")
	b.net.Host.IP("neigh flush all", "-6 neigh flush all")
	before := b.count(bpf.ReasonNeighbour)
	b.passes("tcp", "web", "cart", 80)
	if b.count(bpf.ReasonNeighbour) == before {
		t.Error("no neighbour discovery was seen")
	}
}

// What looks like neighbour discovery and a router would carry on is judged like any
// message of ICMP; what is it passes.
func neighbourDiscoveryStaysOnTheLink(t *testing.T, b *bed) {
	t.Helper()
	cart, i, web := b.workloads["cart"], b.workloads["cart"].Interfaces[0], b.addr("web", true)
	group := netip.MustParseAddr("ff02::1:ff00:1")
	extended := append(ipHeader(i.V6, web, 60, 8+32), 58, 0, 1, 4, 1, 2, 3, 4)
	extended[7] = 255
	extended = append(extended, solicitation(i.V6, web, web, i.MAC)[40:]...)
	for _, c := range []struct {
		what   string
		packet []byte
		reason bpf.Reason
	}{
		{"a question to a group", solicitation(i.V6, group, i.HostV6, i.MAC), bpf.ReasonNeighbour},
		{"a question to a neighbour", solicitation(i.V6, i.HostV6, i.HostV6, i.MAC), bpf.ReasonNeighbour},
		{"one after somebody else", solicitation(i.V6, web, i.HostV6, i.MAC), bpf.ReasonDenied},
		{"one that says more", solicitation(i.V6, web, web, i.MAC, []byte("exfiltrated data")...), bpf.ReasonDenied},
		{"one with another's link-layer address", solicitation(i.V6, web, web, i.HostMAC), bpf.ReasonDenied},
		{"one behind other headers", extended, bpf.ReasonDenied},
	} {
		before := b.count(c.reason)
		if err := cart.Raw("eth0", frame(i.HostMAC, i.MAC, 0x86dd, c.packet)); err != nil {
			t.Fatal(err)
		}
		b.until(c.what+" is counted as "+c.reason.String(), func() bool { return b.count(c.reason) > before })
	}
}

func TestVLAN(t *testing.T) {
	b := newBed(t, "web", "cart")
	b.apply("policy shop/web enforces for app=web\n  egress to nobody\n")
	web, i := b.workloads["web"], b.workloads["web"].Interfaces[0]
	for _, tags := range [][]byte{{0x81, 0, 0, 5}, {0x88, 0xa8, 0, 6, 0x81, 0, 0, 5}} {
		before := b.count(bpf.ReasonDenied)
		f := append(append([]byte{}, i.HostMAC...), i.MAC...)
		f = append(append(f, tags...), 8, 0)
		f = append(f, udp4(i.V4, b.addr("cart", false), 1, 2, "tagged")...)
		if err := web.Raw("eth0", f); err != nil {
			t.Fatal(err)
		}
		b.until("the tagged packet is judged as what it holds", func() bool { return b.count(bpf.ReasonDenied) == before+1 })
	}
	// What is behind more tags cannot be read, and so not be found to be allowed.
	b.apply("policy shop/web enforces for app=web\n  egress to anybody\n  egress denies to app=cart\n")
	before := b.count(bpf.ReasonMalformed)
	f := append(append([]byte{}, i.HostMAC...), i.MAC...)
	f = append(f, 0x88, 0xa8, 0, 6, 0x81, 0, 0, 5, 0x81, 0, 0, 5, 0x81, 0, 0, 5, 8, 0)
	if err := web.Raw("eth0", append(f, udp4(i.V4, b.addr("cart", false), 1, 2, "tagged")...)); err != nil {
		t.Fatal(err)
	}
	b.until("what has too many tags is dropped", func() bool { return b.count(bpf.ReasonMalformed) == before+1 })
}

// Packets that end within their headers are dropped and counted, wherever they end.
func TestTruncatedPackets(t *testing.T) {
	b := newBed(t, "web", "cart")
	b.apply("policy shop/web enforces for app=web\n  egress to nobody\n")
	web, i := b.workloads["web"], b.workloads["web"].Interfaces[0]
	before := b.count(bpf.ReasonMalformed)
	var frames [][]byte
	for _, kind := range []uint16{0x0800, 0x86dd} {
		packet := udp4(i.V4, b.addr("cart", false), 1, 2, "")
		if kind == 0x86dd {
			packet = append(ipHeader(i.V6, b.addr("cart", true), 17, 8), 0, 1, 0, 2, 0, 8, 0, 0)
		}
		for size := 1; size < len(packet); size++ {
			frames = append(frames, frame(i.HostMAC, i.MAC, kind, packet[:size]))
		}
	}
	if err := web.Raw("eth0", frames...); err != nil {
		t.Fatal(err)
	}
	b.until("every truncated packet is counted", func() bool { return b.count(bpf.ReasonMalformed) == before+uint64(len(frames)) })
}

// A packet that its source routes on goes where its address does not say: it is not
// found to be allowed by that address. One that has come through is judged by it.
func TestSourceRoutes(t *testing.T) {
	b := newBed(t, "web", "cart")
	i, gate := b.workloads["web"].Interfaces[0], b.workloads["web"].Interfaces[0].HostV4
	// Kernels forward and take such packets only where they are told to.
	for _, s := range []netnstest.Space{b.net.Host, b.workloads["cart"].Space} {
		s.Sysctl("net/ipv4/conf/all/accept_source_route", "1")
		s.Sysctl("net/ipv4/conf/all/rp_filter", "0")
	}
	var listener net.PacketConn
	b.workloads["cart"].Do(func() {
		var err error
		if listener, err = net.ListenPacket("udp4", ":80"); err != nil {
			t.Error(err)
		}
	})
	defer listener.Close()
	arrives := func(wait time.Duration) bool {
		listener.SetReadDeadline(time.Now().Add(wait))
		_, _, err := listener.ReadFrom(make([]byte, 100))
		return err == nil
	}
	cart := b.addr("cart", false)
	route := func(kind, at byte) []byte { return append([]byte{kind, 7, at}, append(cart.AsSlice(), 1)...) }
	for _, kind := range []byte{131, 137} {
		b.apply("")
		b.sends("web", withOptions(udp4(i.V4, gate, 1000, 80, "routed"), route(kind, 4)))
		if !arrives(netnstest.Patience) {
			t.Fatalf("kernels do not route by option %d: the test proves nothing", kind)
		}
		b.apply("policy shop/web enforces for app=web\n  egress to " + gate.String() + " on UDP 80\n")
		for what, options := range map[string][]byte{
			"alone":             route(kind, 4),
			"behind others":     append([]byte{1, 7, 3, 4}, route(kind, 4)...),
			"behind a long one": append(append([]byte{148, 4, 0, 0}, route(kind, 4)...), 1, 1, 1, 1),
		} {
			before := b.count(bpf.ReasonMalformed)
			b.sends("web", withOptions(udp4(i.V4, gate, 1000, 80, "routed"), options))
			if arrives(50 * time.Millisecond) {
				t.Errorf("a packet to %s arrives at cart: option %d %s", gate, kind, what)
			} else if n := b.count(bpf.ReasonMalformed); n != before+1 {
				t.Errorf("%d packets are counted, by option %d %s", n-before, kind, what)
			}
		}
	}
	b.apply("policy shop/web enforces for app=web\n  egress to app=cart on UDP 80\n")
	b.sends("web", withOptions(udp4(i.V4, cart, 1000, 80, "routed"), route(131, 8)))
	if !arrives(netnstest.Patience) {
		t.Error("a packet with a route that is used up does not arrive")
	}
}

// withOptions is an IPv4 packet with options, whose length is a multiple of four.
func withOptions(packet, options []byte) []byte {
	p := append(append(append([]byte{}, packet[:20]...), options...), packet[20:]...)
	p[0] += byte(len(options) / 4)
	binary.BigEndian.PutUint16(p[2:], uint16(len(p)))
	p[10], p[11] = 0, 0
	binary.BigEndian.PutUint16(p[10:], netnstest.Checksum(p[:20+len(options)]))
	return p
}
