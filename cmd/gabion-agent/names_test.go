package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"

	"github.com/gabion-io/gabion/internal/netnstest"
	"github.com/gabion-io/gabion/segmentation/bpf"
	"github.com/gabion-io/gabion/segmentation/datapath"
)

const (
	typeA    = dnsmessage.TypeA
	typeAAAA = dnsmessage.TypeAAAA
)

// at is an address of the machine outside that has a whole network to itself.
func at(n int) netip.Addr { return netip.AddrFrom4([4]byte{198, 51, 100, byte(n)}) }

func at6(n int) netip.Addr { return netip.MustParseAddr(fmt.Sprintf("2001:db8:99::%x", n)) }

// names is a host whose workload web may reach what has certain names, with a
// resolver and services outside, where no programs are.
type names struct {
	*host
	resolver, outside *netnstest.Workload
	server, fake      *nameServer
}

func newNames(t testing.TB) *names {
	t.Helper()
	n := &names{host: newHost(t)}
	n.resolver, n.outside = n.net.Workload("resolver"), n.net.Workload("outside")
	o := n.outside.Interfaces[0]
	n.net.Host.IP("route add 198.51.100.0/24 via "+o.V4.String(), "-6 route add 2001:db8:99::/64 via "+o.V6.String())
	n.outside.IP("route add local 198.51.100.0/24 dev lo", "-6 route add local 2001:db8:99::/64 dev lo")
	n.outside.ServeTCP(netip.MustParseAddrPort("0.0.0.0:80"))
	n.outside.ServeTCP(netip.MustParseAddrPort("[::]:8080"))
	n.server = serveNames(t, n.resolver)
	n.fake = serveNames(t, n.cart)
	r, c := n.resolver.Interfaces[0], n.cart.Interfaces[0]
	n.write("policy.yaml", fmt.Sprintf(`apiVersion: gabion.io/v1alpha1
kind: SegmentationPolicy
metadata: {name: web, namespace: shop}
spec:
  selector: {matchLabels: {app: web}}
  mode: enforce
  ingress: []
  egress:
  - to: [{cidr: %s/32}, {cidr: %s/128}, {cidr: %s/32}]
    ports: [{protocol: UDP, port: 53}, {protocol: TCP, port: 53}]
  - to: [{dnsName: api.example.com}, {dnsName: "*.wild.example.com"}]
    ports: [{protocol: TCP, port: 80}, {protocol: TCP, port: 8080}]
  - to: [{cidr: 198.51.100.240/28}]
    ports: [{protocol: UDP, port: 9}]
`, r.V4, r.V6, c.V4))
	return n
}

func (n *names) run() *exec.Cmd {
	n.Helper()
	r := n.resolver.Interfaces[0]
	attached := strings.Count(n.log.String(), "msg=attached")
	c := n.start("--resolver", r.V4.String(), "--resolver", r.V6.String(), "--name-grace", "2s")
	if attached == 0 {
		n.until("both workloads are attached", func() bool { return strings.Count(n.log.String(), "msg=attached") == 2 })
	}
	return c
}

// ask asks as a workload and returns the last address of what it is told.
func (n *names) ask(network string, from *netnstest.Workload, server netip.Addr, name string, kind dnsmessage.Type) netip.Addr {
	n.Helper()
	c, err := from.Dial(network, netip.Addr{}, netip.AddrPortFrom(server, 53), netnstest.Patience)
	if err != nil {
		n.Fatal(err)
	}
	defer c.Close()
	q, b := question(uint16(time.Now().UnixNano()), name, kind), make([]byte, 4096)
	c.SetDeadline(time.Now().Add(netnstest.Patience))
	if network == "tcp" {
		q = append(binary.BigEndian.AppendUint16(nil, uint16(len(q))), q...)
	}
	if _, err := c.Write(q); err != nil {
		n.Fatal(err)
	}
	size := 0
	if network == "tcp" {
		b, err = readFramed(c)
		size = len(b)
	} else {
		size, err = c.Read(b)
	}
	if err != nil {
		n.Fatalf("ask for %s over %s: %v", name, network, err)
	}
	var m dnsmessage.Message
	if err := m.Unpack(b[:size]); err != nil {
		n.Fatal(err)
	}
	for _, r := range slices.Backward(m.Answers) {
		switch body := r.Body.(type) {
		case *dnsmessage.AResource:
			return netip.AddrFrom4(body.A)
		case *dnsmessage.AAAAResource:
			return netip.AddrFrom16(body.AAAA)
		}
	}
	return netip.Addr{}
}

func port(a netip.Addr) netip.AddrPort {
	if a.Is4() {
		return netip.AddrPortFrom(a, 80)
	}
	return netip.AddrPortFrom(a, 8080)
}

func (n *names) open(what string, a netip.Addr) {
	n.Helper()
	if err := n.web.Try("tcp", netip.Addr{}, port(a), netnstest.Patience); err != nil {
		n.Errorf("%s: %s is shut: %v", what, a, err)
	}
}

// openByGo asks as Go's own resolver does: with EDNS, for both kinds at once.
func (n *names) openByGo(name string, want int) {
	n.Helper()
	r := net.Resolver{PreferGo: true, Dial: func(_ context.Context, network, _ string) (net.Conn, error) {
		return n.web.Dial(network, netip.Addr{}, netip.AddrPortFrom(n.resolver.Interfaces[0].V4, 53), netnstest.Patience)
	}}
	list, err := r.LookupNetIP(n.Context(), "ip", name+".")
	if err != nil || len(list) != want {
		n.Errorf("%s is %v (%v)", name, list, err)
	}
	for _, a := range list {
		n.open("asked by Go's resolver", a.Unmap())
	}
}

func (n *names) shut(what string, a netip.Addr) {
	n.Helper()
	if err := n.web.Try("tcp", netip.Addr{}, port(a), 150*time.Millisecond); err == nil {
		n.Errorf("%s: %s is open", what, a)
	}
}

func TestNamesOpenWhatTheyMean(t *testing.T) {
	t.Parallel()
	n := newNames(t)
	r, fake := n.resolver.Interfaces[0], n.cart.Interfaces[0].V4
	n.server.set("api.example.com", 600, at(1), at6(1))
	n.server.set("alias.wild.example.com", 600, "edge.example.net", at(2))
	n.server.set("within.wild.example.com", 600, at(245))
	n.server.set("go.wild.example.com", 600, "edge.example.net", at(20), at6(20))
	n.server.set("other.example.com", 600, at(3))
	n.server.set("tcp.wild.example.com", 600, at(4))
	n.fake.set("fake.wild.example.com", 600, at(5))
	n.fake.set("api.example.com", 600, at(5))
	n.server.set("two.wild.example.com", 600, at(6))
	n.server.set("unasked.wild.example.com", 600, at(7))
	n.server.before("two.wild.example.com", "unasked.wild.example.com")
	for i := range 40 {
		n.server.set(fmt.Sprintf("n%d.wild.example.com", i), 600, at(100+i), at6(100+i))
	}
	agent := n.run()

	n.shut("before it is asked for", at(1))
	before := n.counters()[bpf.ReasonDenied]
	// No packet of these is dropped, the first after the answer neither.
	n.open("IPv4", n.ask("udp", n.web, r.V4, "api.example.com", typeA))
	n.open("IPv6", n.ask("udp", n.web, r.V6, "api.example.com", typeAAAA))
	n.open("an alias", n.ask("udp", n.web, r.V4, "alias.wild.example.com", typeA))
	// No address was in that network and had a name before: the tables are made anew.
	n.open("a name within a network that a rule mentions", n.ask("udp", n.web, r.V4, "within.wild.example.com", typeA))
	n.open("over TCP", n.ask("tcp", n.web, r.V4, "tcp.wild.example.com", typeA))
	n.openByGo("go.wild.example.com", 2)
	for i := range 40 {
		kind, server := typeA, r.V4
		if i%2 == 1 {
			kind, server = typeAAAA, r.V6
		}
		n.open("one of many", n.ask("udp", n.web, server, fmt.Sprintf("n%d.wild.example.com", i), kind))
	}
	if after := n.counters()[bpf.ReasonDenied]; after != before {
		t.Errorf("%d packets after an answer were dropped", after-before)
	}

	if a := n.ask("udp", n.web, r.V4, "other.example.com", typeA); a != at(3) {
		t.Errorf("the answer to a name of no rule is %s", a)
	}
	n.shut("a name of no rule", at(3))
	if a := n.ask("udp", n.web, fake, "fake.wild.example.com", typeA); a != at(5) {
		t.Errorf("the answer of another workload is %s", a)
	}
	n.ask("udp", n.web, fake, "api.example.com", typeA)
	n.shut("an answer of a workload that is no resolver", at(5))
	n.until("it is told that the other's answers do not count", func() bool {
		return strings.Contains(n.log.String(), "workload=shop/web resolver="+fake.String())
	})
	n.ask("udp", n.web, r.V4, "two.wild.example.com", typeA)
	n.shut("an answer that nobody has asked for", at(7))

	n.until("flows carry the name", func() bool {
		b, _ := os.ReadFile(n.flows)
		return strings.Contains(string(b), `"dst":"198.51.100.1","dstName":"api.example.com","protocol":"TCP","port":80`)
	})

	b, _ := os.ReadFile(n.flows)
	for line := range strings.Lines(string(b)) {
		if strings.Contains(line, "api.example.com") {
			t.Logf("a flow: %s", line)
			break
		}
	}

	// Killed: what is open stays open, answers still come, and nothing new opens.
	agent.Process.Kill()
	agent.Wait()
	n.open("without an agent", at(1))
	n.server.set("late.wild.example.com", 600, at(8))
	n.eventually("answers come without an agent", func() bool { return n.try(r.V4, "late.wild.example.com") == nil })
	n.shut("without an agent", at(8))
	n.run()
	n.eventually("the next agent opens new names", func() bool {
		return n.try(r.V4, "late.wild.example.com") == nil && n.web.Try("tcp", netip.Addr{}, port(at(8)), time.Second) == nil
	})
	n.open("with the next agent", at(1))
	n.open("with the next agent", at6(1))
	n.shut("with the next agent", at(3))
}

// eventually waits for what takes its time, with pauses in which all flows end.
func (n *names) eventually(what string, true func() bool) {
	n.Helper()
	for end := time.Now().Add(patience); !true(); time.Sleep(300 * time.Millisecond) {
		if time.Now().After(end) {
			n.Fatalf("waited in vain until %s", what)
		}
	}
}

// try asks and waits a second for an answer.
func (n *names) try(server netip.Addr, name string) error {
	c, err := n.web.Dial("udp", netip.Addr{}, netip.AddrPortFrom(server, 53), time.Second)
	if err != nil {
		return err
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(time.Second))
	if _, err := c.Write(question(1, name, typeA)); err != nil {
		return err
	}
	_, err = c.Read(make([]byte, 4096))
	return err
}

// A workload that answers its own question, alone or with another's help, opens
// nothing: the resolver is silent, and the forged answer has the right id and ports.
func TestForgedAnswersOpenNothing(t *testing.T) {
	t.Parallel()
	n := newNames(t)
	r := n.resolver.Interfaces[0]
	n.server.silence("forged.wild.example.com", true)
	n.server.set("true.wild.example.com", 600, at(1))
	n.run()
	var c net.PacketConn
	var err error
	n.web.Do(func() {
		c, err = net.ListenPacket("udp", netip.AddrPortFrom(n.web.Interfaces[0].V4, 40000).String())
	})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	forge := n.fake
	forge.set("forged.wild.example.com", 600, at(9))
	answer := forge.answer(7, "forged.wild.example.com", typeA)
	ask := func() {
		if _, err := c.WriteTo(question(7, "forged.wild.example.com", typeA), net.UDPAddrFromAddrPort(netip.AddrPortFrom(r.V4, 53))); err != nil {
			t.Fatal(err)
		}
	}
	spoofed := n.counters()[bpf.ReasonSpoofed]
	for _, who := range []*netnstest.Workload{n.web, n.cart} {
		ask()
		i := who.Interfaces[0]
		frame := udpFrame(i.HostMAC, i.MAC, netip.AddrPortFrom(r.V4, 53), netip.AddrPortFrom(n.web.Interfaces[0].V4, 40000), answer)
		if err := who.Raw("eth0", frame); err != nil {
			t.Fatal(err)
		}
	}
	n.until("both forged answers are dropped", func() bool { return n.counters()[bpf.ReasonSpoofed] == spoofed+2 })
	n.shut("a forged answer", at(9))
	// Over its own loopback a workload tells itself what it likes.
	n.web.IP("addr add " + r.V4.String() + "/32 dev lo")
	own := serveNames(t, &netnstest.Workload{Space: n.web.Space, Interfaces: []netnstest.Interface{{V4: r.V4, V6: n.web.Interfaces[0].V6}}})
	own.set("forged.wild.example.com", 600, at(9))
	if a := n.ask("udp", n.web, r.V4, "forged.wild.example.com", typeA); a != at(9) {
		t.Errorf("over loopback it is told %s", a)
	}
	n.shut("what a workload tells itself", at(9))
	n.web.IP("addr del " + r.V4.String() + "/32 dev lo")
	// An answer that comes the right way to no open question. It is sent by the
	// resolver's own machine, from its port, with an id that nobody has asked with.
	ask()
	i := n.resolver.Interfaces[0]
	wrong := forge.answer(8, "forged.wild.example.com", typeA)
	garbage := append([]byte{0, 7, 0x80, 0, 0, 1, 0xff, 0xff}, make([]byte, 20)...)
	for _, m := range [][]byte{wrong, garbage, answer[:15]} {
		if err := n.resolver.Raw("eth0", udpFrame(i.HostMAC, i.MAC, netip.AddrPortFrom(r.V4, 53), netip.AddrPortFrom(n.web.Interfaces[0].V4, 40000), m)); err != nil {
			t.Fatal(err)
		}
		c.SetDeadline(time.Now().Add(netnstest.Patience))
		b := make([]byte, 4096)
		if size, _, err := c.ReadFrom(b); err != nil || string(b[:size]) != string(m) {
			t.Errorf("what is not understood does not reach the workload as it was sent: %x (%v)", b[:size], err)
		}
	}
	n.shut("an answer with another id", at(9))
	// Within what the resolver truly says, of a name that the workload's friends own, in a
	// segment that begins there: the workload has asked both on one connection.
	framed := func(m []byte) []byte { return append(binary.BigEndian.AppendUint16(nil, uint16(len(m))), m...) }
	n.server.text("friend.example.com", framed(answer))
	tcp, err := n.web.Dial("tcp", netip.Addr{}, netip.AddrPortFrom(r.V4, 53), netnstest.Patience)
	if err != nil {
		t.Fatal(err)
	}
	defer tcp.Close()
	tcp.SetDeadline(time.Now().Add(netnstest.Patience))
	both := append(framed(question(3, "friend.example.com", dnsmessage.TypeTXT)), framed(question(7, "forged.wild.example.com", typeA))...)
	if _, err := tcp.Write(both); err != nil {
		t.Fatal(err)
	}
	if said, err := readFramed(tcp); err != nil || !bytes.HasSuffix(said, answer) {
		t.Fatalf("the resolver says %q (%v)", said, err)
	}
	n.shut("a part of an answer", at(9))
	n.open("a true answer", n.ask("udp", n.web, r.V4, "true.wild.example.com", typeA))
}

// An address is its name's for the TTL and a grace; a flow that uses it is not cut.
func TestNamesExpire(t *testing.T) {
	t.Parallel()
	n := newNames(t)
	r := n.resolver.Interfaces[0]
	n.server.set("short.wild.example.com", 1, at(1))
	n.server.set("used.wild.example.com", 1, at(2))
	n.server.set("long.wild.example.com", 600, at(3))
	agent := n.run()
	n.open("while it lasts", n.ask("udp", n.web, r.V4, "short.wild.example.com", typeA))
	n.open("a long one", n.ask("udp", n.web, r.V4, "long.wild.example.com", typeA))
	c, err := n.web.Dial("tcp", netip.Addr{}, port(n.ask("udp", n.web, r.V4, "used.wild.example.com", typeA)), netnstest.Patience)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := netnstest.Echo(c, "before", netnstest.Patience); err != nil {
		t.Fatal(err)
	}
	// The echo of open above has ended its flow: nothing holds the first address.
	n.eventually("the short name's address is shut", func() bool {
		return n.web.Try("tcp", netip.Addr{}, port(at(1)), 100*time.Millisecond) != nil
	})
	// The other's time was over no later.
	if err := netnstest.Echo(c, "after", netnstest.Patience); err != nil {
		t.Fatalf("a flow is cut because its name's time is over: %v", err)
	}
	n.open("a long one", at(3))
	c.Close()
	n.eventually("nobody uses the other address, and it is shut", func() bool {
		return n.web.Try("tcp", netip.Addr{}, port(at(2)), 100*time.Millisecond) != nil
	})
	if text, err := os.ReadFile(filepath.Join(n.state, "names.jsonl")); err != nil || !strings.Contains(string(text), "long.wild.example.com") {
		t.Errorf("names are kept as %s (%v)", text, err)
	}
	// One that ends in peace leaves no answer behind: the first question is answered.
	if err := agent.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := agent.Wait(); err != nil {
		t.Errorf("the agent ends with %v", err)
	}
	if a := n.ask("udp", n.web, r.V4, "long.wild.example.com", typeA); a != at(3) {
		t.Errorf("without an agent it is told %s", a)
	}
}

// notCopied counts the messages that the programs let pass unseen.
func (n *names) notCopied() (lost uint64) {
	n.Helper()
	dp, err := datapath.Open(filepath.Join(n.bpffs, "gabion"), datapath.Limits{})
	if err != nil {
		n.Fatal(err)
	}
	defer dp.Close()
	var workload uint32
	var a bpf.Asking
	for all := dp.Names().Askings.Iterate(); all.Next(&workload, &a); {
		lost += a.Lost
	}
	return lost
}

// A workload that asks without end is cut off from being watched, not from its
// answers; what others ask is seen as before.
func TestFloodOfQuestionsHarmsNobodyElse(t *testing.T) {
	t.Parallel()
	n := newNames(t)
	r := n.resolver.Interfaces[0]
	n.server.set("api.example.com", 600, at(1))
	n.server.silence("flood.example.com", true)
	n.run()
	c, err := n.cart.Dial("udp", netip.Addr{}, netip.AddrPortFrom(r.V4, 53), netnstest.Patience)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	q := question(1, "flood.example.com", typeA)
	n.eventually("messages are not copied any more", func() bool {
		for range 5000 { // of which a thousand may be copied at once, and a thousand a second
			if _, err := c.Write(q); err != nil {
				t.Fatal(err)
			}
		}
		return n.notCopied() > 0
	})
	// Until the resolver has read all of it, it drops others' questions by itself.
	n.eventually("the resolver answers again", func() bool { return n.try(r.V4, "other.example.com") == nil })
	before := n.counters()[bpf.ReasonDenied]
	n.open("beside a flood", n.ask("udp", n.web, r.V4, "api.example.com", typeA))
	if after := n.counters()[bpf.ReasonDenied]; after != before {
		t.Errorf("%d packets after an answer were dropped", after-before)
	}
	n.server.silence("flood.example.com", false)
	n.ask("udp", n.cart, r.V4, "flood.example.com", typeA)
}
