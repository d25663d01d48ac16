package datapath_test

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gabion-io/gabion/internal/netnstest"
	"github.com/gabion-io/gabion/segmentation/bpf"
)

// datagram is a packet with a UDP datagram.
func datagram(from, to netip.AddrPort, text string) []byte {
	if from.Addr().Is4() {
		return udp4(from.Addr(), to.Addr(), from.Port(), to.Port(), text)
	}
	size := uint16(8 + len(text))
	var b []byte
	for _, field := range []uint16{from.Port(), to.Port(), size, 0} {
		b = binary.BigEndian.AppendUint16(b, field)
	}
	b = append(b, text...)
	pseudo := append(append(from.Addr().AsSlice(), to.Addr().AsSlice()...), 0, 0, byte(size>>8), byte(size), 0, 0, 0, 17)
	binary.BigEndian.PutUint16(b[6:], netnstest.Checksum(append(pseudo, b...)))
	return append(ipHeader(from.Addr(), to.Addr(), 17, len(b)), b...)
}

// pieces cuts a packet into its first fragment and the rest, at a byte of its payload
// that is a multiple of eight.
func pieces(packet []byte, id uint16, at int) (first, rest []byte) {
	return piece(packet, id, 0, at), piece(packet, id, at, 0)
}

// piece is the fragment with the bytes from one up to another, 0: to the end.
func piece(packet []byte, id uint16, from, to int) []byte {
	four := packet[0]>>4 == 4
	header := 40
	if four {
		header = 20
	}
	payload := packet[header+from:]
	if to > 0 {
		payload = packet[header+from : header+to]
	}
	p := append([]byte{}, packet[:header]...)
	if !four {
		offset := uint16(from)
		if to > 0 {
			offset |= 1
		}
		p = append(p, p[6], 0, byte(offset>>8), byte(offset), 0, 0, byte(id>>8), byte(id))
		p[6] = 44
		binary.BigEndian.PutUint16(p[4:], uint16(8+len(payload)))
		return append(p, payload...)
	}
	offset := uint16(from / 8)
	if to > 0 {
		offset |= 0x2000
	}
	binary.BigEndian.PutUint16(p[2:], uint16(header+len(payload)))
	binary.BigEndian.PutUint16(p[4:], id)
	binary.BigEndian.PutUint16(p[6:], offset)
	p[10], p[11] = 0, 0
	binary.BigEndian.PutUint16(p[10:], netnstest.Checksum(p))
	return append(p, payload...)
}

// padded is a text that is long enough to be cut.
func padded(text string) string { return fmt.Sprintf("%-56s", text) }

// sends puts packets on the wire, from a workload.
func (b *bed) sends(from string, packets ...[]byte) {
	b.Helper()
	i := b.workloads[from].Interfaces[0]
	if err := b.workloads[from].Raw("eth0", framed(i.HostMAC, i.MAC, packets)...); err != nil {
		b.Fatal(err)
	}
}

func framed(to, from []byte, packets [][]byte) (out [][]byte) {
	for _, p := range packets {
		kind := uint16(0x0800)
		if p[0]>>4 == 6 {
			kind = 0x86dd
		}
		out = append(out, frame(to, from, kind, p))
	}
	return out
}

// inFragments says that datagrams of four fragments pass from web to a port of cart, and
// back.
func (b *bed) inFragments(port uint16, when string) {
	b.Helper()
	for _, six := range []bool{false, true} {
		c, err := b.workloads["web"].Dial("udp", netip.Addr{}, b.at("cart", six, port), netnstest.Patience)
		if err != nil {
			b.Fatal(err)
		}
		if err := netnstest.Echo(c, string(make([]byte, 5000)), netnstest.Patience); err != nil {
			b.Errorf("%s: a datagram in fragments (IPv6: %v): %v", when, six, err)
		}
		c.Close()
	}
}

func TestFragments(t *testing.T) {
	b := newBed(t, "web", "cart")
	b.serve("cart", 8080)
	b.apply("policy shop/cart enforces for app=cart\n  ingress from app=web on UDP 8080\n  egress to nobody\n")
	b.inFragments(8080, "under default deny")
}

// firsts are so many first fragments, of as many datagrams.
func firsts(from, to netip.AddrPort, n int) (out [][]byte) {
	for i := range n {
		first, _ := pieces(datagram(from, to, padded("flood")), uint16(i), 32)
		out = append(out, first)
	}
	return out
}

// underWay is datagrams that other sends to cart, of which the first fragments are
// sent, and the rest of them.
type underWay struct {
	conn net.Conn
	rest [][]byte
}

const datagrams = 20

// begin sends first fragments, of datagrams whose ids begin with one.
func (b *bed) begin(six bool, id uint16) (u underWay) {
	b.Helper()
	c, err := b.workloads["other"].Dial("udp", netip.Addr{}, b.at("cart", six, 80), netnstest.Patience)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { c.Close() })
	if err := netnstest.Echo(c, "hello", netnstest.Patience); err != nil {
		b.Fatal(err)
	}
	from := netip.AddrPortFrom(b.addr("other", six), c.LocalAddr().(*net.UDPAddr).AddrPort().Port())
	before := b.count(bpf.ReasonEstablished)
	u.conn = c
	var begun [][]byte
	for i := range uint16(datagrams) {
		first, rest := pieces(datagram(from, b.at("cart", six, 80), padded(fmt.Sprint(i))), id+i, 32)
		begun, u.rest = append(begun, first), append(u.rest, rest)
	}
	b.sends("other", begun...)
	b.until("the first fragments passed both hooks", func() bool { return b.count(bpf.ReasonEstablished) >= before+2*datagrams })
	return u
}

// end sends the rest, and says how many came back as they were.
func (b *bed) end(u underWay) int {
	b.Helper()
	b.sends("other", u.rest...)
	echoed := map[string]bool{}
	buf := make([]byte, 2000)
	for len(echoed) < datagrams {
		u.conn.SetReadDeadline(time.Now().Add(netnstest.Patience / 10))
		n, err := u.conn.Read(buf)
		if err != nil {
			break
		}
		echoed[string(buf[:n])] = true
	}
	n := 0
	for i := range datagrams {
		if echoed[padded(fmt.Sprint(i))] {
			n++
		}
	}
	return n
}

// remembers says whether anything is remembered at a workload's cost.
func (b *bed) remembers(name string) bool {
	b.Helper()
	row, err := b.dp.Map("fragments").LookupBytes(b.numbers.Workload(id(name)))
	if err != nil {
		b.Fatal(err)
	}
	return row != nil
}

// However many first fragments one workload sends, or is sent, datagrams of others arrive
// that are under way meanwhile, at the same receiver too.
func TestFloodOfFragments(t *testing.T) {
	b := newBed(t, "web", "cart", "other", "sink")
	b.serve("cart", 80)
	b.apply("policy shop/cart enforces for app=cart\n  ingress from anybody on UDP 80\n  egress to nobody\n")
	// The receiver's kernel has room for what it puts together: it is not what is tested.
	for _, path := range []string{"net/ipv4/ipfrag_high_thresh", "net/ipv6/ip6frag_high_thresh"} {
		b.workloads["cart"].Sysctl(path, "536870912")
	}
	const flood = 20000
	ids := uint16(flood)
	outside := map[bool]netip.Addr{false: netip.MustParseAddr("192.0.2.7"), true: netip.MustParseAddr("2001:db8::7")}
	web := b.workloads["web"].Interfaces[0]
	for _, six := range []bool{false, true} {
		for what, run := range map[string]func(){
			"to another workload": func() { b.sends("web", firsts(b.at("web", six, 1000), b.at("sink", six, 2000), flood)...) },
			"to the same":         func() { b.sends("web", firsts(b.at("web", six, 1000), b.at("cart", six, 80), flood)...) },
			"from outside": func() {
				packets := firsts(netip.AddrPortFrom(outside[six], 1000), b.at("web", six, 2000), flood)
				if err := b.net.Host.Raw(web.HostName, framed(web.MAC, web.HostMAC, packets)...); err != nil {
					t.Fatal(err)
				}
			},
		} {
			lost := b.count(bpf.ReasonFragment)
			u := b.begin(six, ids)
			ids += datagrams
			run()
			if n := b.end(u); n != datagrams {
				t.Errorf("IPv6 %v, flood %s: %d of %d datagrams arrive, %d fragments are dropped", six, what, n, datagrams, b.count(bpf.ReasonFragment)-lost)
			}
		}
	}
	// Who is only a receiver has not paid.
	if b.remembers("sink") {
		t.Error("sink is charged for what web has sent it")
	}
}

// What kernels cut passes while another workload floods.
func TestFragmentsUnderAFlood(t *testing.T) {
	b := newBed(t, "web", "cart", "other", "sink")
	b.serve("cart", 80)
	b.apply("policy shop/cart enforces for app=cart\n  ingress from anybody on UDP 80\n  egress to nobody\n")
	other := b.workloads["other"]
	i := other.Interfaces[0]
	flood := framed(i.HostMAC, i.MAC, firsts(b.at("other", false, 1000), b.at("sink", false, 2000), 20000))
	var stop atomic.Bool
	stopped := make(chan error, 1)
	go func() {
		var err error
		for err == nil && !stop.Load() {
			err = other.Raw("eth0", flood...)
		}
		stopped <- err
	}()
	for range 50 {
		b.inFragments(80, "under a flood")
	}
	stop.Store(true)
	if err := <-stopped; err != nil {
		t.Fatal(err)
	}
	if n := b.count(bpf.ReasonFragment); n != 0 {
		t.Errorf("%d fragments are dropped", n)
	}
}

// asTCP is a fragment of UDP said to be one of TCP.
func asTCP(packet []byte) []byte {
	p := append([]byte{}, packet...)
	if p[0]>>4 == 6 {
		p[40] = 6
		return p
	}
	p[9], p[10], p[11] = 6, 0, 0
	binary.BigEndian.PutUint16(p[10:], netnstest.Checksum(p[:20]))
	return p
}

// A later fragment is judged like its first, and without that not at all.
func TestLaterFragmentsAreJudged(t *testing.T) {
	b := newBed(t, "web", "cart", "other")
	const policy = "policy shop/cart enforces for app=cart\n  ingress from app=web or app=other on UDP 80, TCP 80\n  egress to nobody\n"
	for _, six := range []bool{false, true} {
		b.apply(policy)
		id := uint16(0)
		cut := func(port uint16) (first, rest []byte) {
			id++
			return pieces(datagram(b.at("web", six, 1000), b.at("cart", six, port), padded("fragments")), id, 32)
		}
		// Of what passes each of both hooks counts.
		expect := func(what string, packet []byte, from string, r bpf.Reason, times uint64) {
			t.Helper()
			before := b.count(r)
			b.sends(from, packet)
			b.until(fmt.Sprintf("IPv6 %v: %s is counted as %s", six, what, r), func() bool { return b.count(r) == before+times })
		}
		first, rest := cut(81)
		expect("a first fragment to another port", first, "web", bpf.ReasonDenied, 1)
		expect("its rest", rest, "web", bpf.ReasonFragment, 1)

		first, rest = cut(80)
		expect("a first fragment", first, "web", bpf.ReasonAllowed, 2)
		other := piece(datagram(b.at("other", six, 1000), b.at("cart", six, 80), padded("fragments")), id, 32, 0)
		expect("the rest of another's datagram", other, "other", bpf.ReasonFragment, 1)
		expect("the rest of one by another protocol", asTCP(rest), "web", bpf.ReasonFragment, 1)
		expect("its rest", rest, "web", bpf.ReasonEstablished, 2)

		first, rest = cut(80)
		expect("a first fragment", first, "web", bpf.ReasonEstablished, 2)
		b.apply("policy shop/cart enforces for app=cart\n  ingress from app=other\n  egress to nobody\n")
		expect("what policy denies by now", rest, "web", bpf.ReasonDenied, 1)
	}
	// Nothing is remembered of what has no first.
	const lone = 20000
	var packets [][]byte
	for i := range lone {
		packets = append(packets, piece(datagram(b.at("other", false, 1000), b.at("cart", false, 80), padded("lone")), uint16(i), 32, 0))
	}
	before := b.count(bpf.ReasonFragment)
	b.sends("other", packets...)
	b.until("lone fragments are dropped", func() bool { return b.count(bpf.ReasonFragment) == before+lone })
	if b.remembers("other") {
		t.Error("lone fragments are remembered")
	}
}
