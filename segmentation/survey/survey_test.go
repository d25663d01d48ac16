package survey

import (
	"encoding/binary"
	"net"
	"net/netip"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/gabion-io/gabion/internal/netlink"
	"github.com/gabion-io/gabion/internal/netnstest"
)

func TestDirected(t *testing.T) {
	at := netip.MustParseAddrPort
	const tcp, udp = unix.IPPROTO_TCP, unix.IPPROTO_UDP
	none := netip.AddrPortFrom(netip.IPv4Unspecified(), 0)
	all := []socket{
		{protocol: tcp, state: stateListen, local: at("[::]:80"), remote: none},
		{protocol: tcp, state: stateListen, local: at("10.0.0.1:50000"), remote: none},
		{protocol: udp, state: stateClose, local: at("0.0.0.0:53"), remote: none},
		{protocol: tcp, state: stateEstablished, local: at("10.0.0.1:80"), remote: at("10.0.0.2:40000"), cookie: 1},
		{protocol: tcp, state: stateCloseWait, local: at("[fd00::1]:80"), remote: at("[fd00::2]:40000"), cookie: 2},
		{protocol: tcp, state: stateEstablished, local: at("10.0.0.1:40000"), remote: at("10.0.0.2:80"), cookie: 3},
		{protocol: tcp, state: stateEstablished, local: at("10.0.0.1:50000"), remote: at("10.0.0.2:22"), cookie: 4},
		{protocol: tcp, state: stateEstablished, local: at("10.0.0.3:50000"), remote: at("10.0.0.2:22"), cookie: 5},
		{protocol: tcp, state: stateEstablished, local: at("10.0.0.1:8080"), remote: at("10.0.0.2:40000"), cookie: 6},
		{protocol: udp, state: stateEstablished, local: at("10.0.0.1:40000"), remote: at("10.0.0.2:53"), cookie: 7},
		{protocol: udp, state: stateEstablished, local: at("10.0.0.1:53"), remote: at("10.0.0.2:40000"), cookie: 8},
		{protocol: tcp, state: stateEstablished, local: at("127.0.0.1:80"), remote: at("127.0.0.1:40000"), cookie: 9},
		{protocol: udp, state: stateEstablished, local: at("[fd00::1]:53"), remote: at("[fd00::2]:40000"), cookie: 10},
	}
	want := map[uint64][2]bool{ // in, sure
		1: {true, true}, 2: {true, true}, 3: {false, false}, 4: {true, true}, 5: {false, false},
		6: {true, false}, // its server waits no more
		7: {false, false}, 8: {true, true}, 10: {true, false},
	}
	got := directed(all, portRange("32768\t60999\n"))
	if len(got) != len(want) {
		t.Errorf("%d connections, want %d", len(got), len(want))
	}
	for _, c := range got {
		if w, ok := want[c.Cookie]; !ok || w != [2]bool{c.In, c.Sure} {
			t.Errorf("%v to %v (%d): in %v, sure %v", c.Local, c.Remote, c.Cookie, c.In, c.Sure)
		}
	}
	for _, bad := range []string{"", "1", "a b", "1 70000"} {
		if portRange(bad) != defaultPorts {
			t.Errorf("%q is read as a range of ports", bad)
		}
	}
}

// What the sockets of another namespace hold is seen from the host, and whose they
// are.
func TestConnectionsOfANamespace(t *testing.T) {
	n := netnstest.New(t)
	web, cart := n.Workload("web"), n.Workload("cart")
	to := netip.AddrPortFrom(cart.Interfaces[0].V6, 80)
	cart.ServeTCP(to)
	c, err := web.Dial("tcp", netip.Addr{}, to, netnstest.Patience)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if err := netnstest.Echo(c, "there", netnstest.Patience); err != nil {
		t.Fatal(err)
	}
	from := c.LocalAddr().(*net.TCPAddr).AddrPort()
	n.Host.Do(func() {
		peers, err := Peers([]int{web.Interfaces[0].HostIndex, cart.Interfaces[0].HostIndex, 1})
		if err != nil || len(peers) != 2 {
			t.Errorf("found %v (%v), want the two workloads'", peers, err)
			return
		}
		for _, p := range peers {
			defer p.Close()
		}
		out, err := peers[web.Interfaces[0].HostIndex].Connections()
		if err != nil || len(out) != 1 || out[0].In || out[0].Local != from || out[0].Remote != to {
			t.Errorf("web has %+v (%v), want what it opened", out, err)
			return
		}
		in, err := peers[cart.Interfaces[0].HostIndex].Connections()
		if err != nil || len(in) != 1 || !in[0].In || !in[0].Sure || in[0].Local != to || in[0].Remote != from {
			t.Errorf("cart has %+v (%v), want what came in", in, err)
		}
		before, err := os.Readlink("/proc/self/ns/net")
		if err != nil {
			t.Error(err)
			return
		}
		for range 200 { // one of them meets the process's first thread
			if err := peers[web.Interfaces[0].HostIndex].Do(func() error { return nil }); err != nil {
				t.Error(err)
			}
		}
		if after, err := os.Readlink("/proc/self/ns/net"); after != before {
			t.Errorf("the process was in %s, and is left in %s (%v)", before, after, err)
		}
		own, err := Own()
		if err != nil {
			t.Error(err)
			return
		}
		// The threads of this process are in its own namespace, the sockets are not.
		if p := own.Processes(out)[out[0].Cookie]; p.PID != os.Getpid() {
			t.Errorf("the socket is of %+v, want process %d", p, os.Getpid())
		}
	})
}

// A link is direct while nothing of the host, and no XDP program inside, handles the
// packets of who is at its other end.
func TestDirects(t *testing.T) {
	n := netnstest.New(t)
	web, cart := n.Workload("web"), n.Workload("cart")
	one, two := web.Interfaces[0], cart.Interfaces[0]
	both := []int{one.HostIndex, two.HostIndex}
	look := func() (found map[int]Direct, why string) {
		n.Host.Do(func() {
			var err error
			if found, why, err = Directs(both); err != nil {
				t.Error(err)
			}
		})
		return found, why
	}
	found, why := look()
	if d := found[one.HostIndex]; len(found) != 2 || why != "" || d.MAC != [6]byte(one.MAC) || d.Host != [6]byte(one.HostMAC) || d.MTU != 1500 {
		t.Fatalf("found %+v, %q, want both with their addresses", found, why)
	}
	host := func(line string) {
		if out, err := n.Host.Command("sh", "-c", line).CombinedOutput(); err != nil {
			t.Fatalf("%s: %v: %s", line, err, out)
		}
	}
	for _, c := range []struct{ what, do, undo string }{
		{"a classifier", "tc qdisc add dev w1 clsact", "tc qdisc del dev w1 clsact"},
		{"a queue", "tc qdisc add dev w1 root pfifo", "tc qdisc del dev w1 root"},
		{"a bridge", "ip link add b1 type bridge && ip link set w1 master b1", "ip link del b1"},
		{"another size", "ip link set w1 mtu 1400", "ip link set w1 mtu 1500"},
	} {
		host(c.do)
		if found, why := look(); len(found) != 1 || found[two.HostIndex].Index == 0 || why != "" {
			t.Errorf("with %s found %+v, %q, want the other link only", c.what, found, why)
		}
		host(c.undo)
	}
	for rules, direct := range map[string]bool{
		"chain f { type filter hook forward priority 0; policy accept; tcp dport 1 drop\n }": false,
		"chain f { type filter hook forward priority 0; policy drop; }":                      false,
		"chain f { type filter hook forward priority 0; policy accept; }":                    true,
		"chain f { type filter hook input priority 0; policy drop; tcp dport 1 accept\n }":   true,
		"chain f { tcp dport 1 drop\n }":                                                     true,
	} {
		host("nft 'table inet t { " + rules + "\n}'")
		if found, why := look(); (len(found) == 2 && why == "") != direct {
			t.Errorf("with %s found %+v, %q", rules, found, why)
		}
		host("nft delete table inet t")
	}
	if found, _ := look(); len(found) != 2 {
		t.Errorf("with nothing in the way any more found %+v", found)
	}
	for mode, want := range []XDPMode{"", Native, Generic, Native} {
		xdp := netlink.Append(make([]byte, unix.SizeofIfInfomsg), unix.IFLA_XDP, netlink.Append(nil, 2, []byte{byte(mode)}))
		if l, ok := parseLink(xdp); !ok || l.XDP != want {
			t.Errorf("an XDP program of mode %d is seen as %q, want %q", mode, l.XDP, want)
		}
	}
}

// What could translate addresses is seen, and what could not is none.
func TestStraight(t *testing.T) {
	n, modules := netnstest.New(t), t.TempDir()
	n.Workload("web")
	for _, c := range []struct{ do, undo, want string }{
		{"true", "true", ""},
		{"tc qdisc add dev w1 clsact", "tc qdisc del dev w1 clsact", "an interface has classifiers"},
		{"nft 'table ip t { chain p { type nat hook postrouting priority 100; masquerade\n }\n}'", "nft delete table ip t", "nftables has rules for what is forwarded"},
		{"nft 'table ip t { chain i { type filter hook input priority 0; drop\n }\n}'", "nft delete table ip t", ""},
		{"mkdir " + modules + "/nf_nat", "rmdir " + modules + "/nf_nat", ""},
		{"mkdir " + modules + "/openvswitch", "rmdir " + modules + "/openvswitch", "openvswitch may translate"},
		{"mkdir " + modules + "/jool", "rmdir " + modules + "/jool", "jool may translate"},
		{"mkdir " + modules + "/jool_siit", "rmdir " + modules + "/jool_siit", "jool_siit may translate"},
	} {
		if out, err := n.Host.Command("sh", "-c", c.do).CombinedOutput(); err != nil {
			t.Fatalf("%s: %v: %s", c.do, err, out)
		}
		n.Host.Do(func() {
			if why, err := straight(modules); why != c.want || err != nil {
				t.Errorf("with %s: %q (%v), want %q", c.do, why, err, c.want)
			}
		})
		if out, err := n.Host.Command("sh", "-c", c.undo).CombinedOutput(); err != nil {
			t.Fatalf("%s: %v: %s", c.undo, err, out)
		}
	}
	const head = "IP Virtual Server version 1.2.1 (size=4096)\nProt LocalAddress:Port Scheduler Flags\n  -> RemoteAddress:Port Forward Weight ActiveConn InActConn\n"
	if balances(head) || balances("") || !balances(head+"TCP  0A600001:0050 rr\n") {
		t.Error("services of IPVS are not told from none")
	}
}

// As the kernel writes it.
const packetSockets = `sk               RefCnt Type Proto  Iface R Rmem   User   Inode
00000000ab12cd34 3      3    0003   7     1 0      0      31337 
00000000ab12cd35 3      3    88cc   8     1 0      0      31338 
00000000ab12cd36 3      2    0800   0     1 0      0      31339 
`

func TestListeners(t *testing.T) {
	got, err := parseListeners(strings.NewReader(packetSockets))
	if err != nil || len(got) != 2 || !got[7] || !got[0] {
		t.Errorf("read %v (%v), want interface 7 and all", got, err)
	}
	if got, err := parseListeners(strings.NewReader("head\na 1 2 zz 3\n")); err == nil {
		t.Errorf("garbage is read as %v", got)
	}
}

func FuzzKernelAnswers(f *testing.F) {
	b := make([]byte, sizeSocket)
	b[0], b[1] = unix.AF_INET, stateEstablished
	f.Add(netlink.Append(b, attrCgroupID, binary.NativeEndian.AppendUint64(nil, 7)), "socket:[4711]")
	f.Add(make([]byte, unix.SizeofIfInfomsg), packetSockets)
	f.Fuzz(func(t *testing.T, b []byte, text string) {
		if s, ok := parseSocket(b, unix.IPPROTO_TCP); ok && (!s.local.IsValid() || !s.remote.IsValid()) {
			t.Fatalf("%x is read as %+v", b, s)
		}
		parseLink(b)
		judges(b)
		parseListeners(strings.NewReader(text))
		socketInode(text)
		portRange(text)
	})
}
