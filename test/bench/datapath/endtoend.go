package main

import (
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/gabion-io/gabion/segmentation"
	"github.com/gabion-io/gabion/segmentation/bpf"
	"github.com/gabion-io/gabion/segmentation/datapath"
	"github.com/gabion-io/gabion/segmentation/policymap"
	"github.com/gabion-io/gabion/workload"
)

// lane is a host in a namespace with two workloads in others, between which packets
// are judged in one way: by nothing, by the programs, by nftables.
type lane struct {
	what   string
	rules  int
	name   string // prefix of its namespaces
	conn   net.Conn
	to     netip.AddrPort
	ends   [2]end
	closes []func()
}

// end is a workload's link.
type end struct {
	index     int
	host, mac [6]byte
	addr      netip.Addr
}

func (l *lane) space(what string) string { return l.name + "-" + what }

func sh(name string, args ...string) error {
	if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		return fmt.Errorf("%s %s: %w: %s", name, strings.Join(args, " "), err, out)
	}
	return nil
}

// inside runs f on a thread in a namespace.
func inside(space string, f func() error) error {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // for good: the thread ends with the goroutine
		file, err := os.Open("/run/netns/" + space)
		if err == nil {
			err = unix.Setns(int(file.Fd()), unix.CLONE_NEWNET)
			file.Close()
		}
		if err == nil {
			err = f()
		}
		done <- err
	}()
	return <-done
}

// newLane makes the namespaces, 10.9.K.2 in each workload behind 10.9.K.1.
func newLane(n int, what string, rules int) (*lane, error) {
	l := &lane{what: what, rules: rules, name: fmt.Sprintf("bench-datapath-%d-%d", os.Getpid(), n)}
	for _, space := range []string{"host", "0", "1"} {
		if err := sh("ip", "netns", "add", l.space(space)); err != nil {
			return l, err
		}
		l.closes = append(l.closes, func() { sh("ip", "netns", "del", l.space(space)) })
	}
	err := inside(l.space("host"), func() error { return os.WriteFile("/proc/sys/net/ipv4/ip_forward", []byte("1"), 0) })
	if err != nil {
		return l, err
	}
	for k := range l.ends {
		w, own, gate := fmt.Sprintf("w%d", k), fmt.Sprintf("10.9.%d.2", k), fmt.Sprintf("10.9.%d.1", k)
		for _, args := range []string{
			"-n " + l.space("host") + " link add " + w + " type veth peer name eth0 netns " + l.space(fmt.Sprint(k)),
			"-n " + l.space("host") + " addr add " + gate + "/24 dev " + w,
			"-n " + l.space("host") + " link set " + w + " up",
			"-n " + l.space(fmt.Sprint(k)) + " addr add " + own + "/24 dev eth0",
			"-n " + l.space(fmt.Sprint(k)) + " link set eth0 up",
			"-n " + l.space(fmt.Sprint(k)) + " route add default via " + gate,
		} {
			if err := sh("ip", strings.Fields(args)...); err != nil {
				return l, err
			}
		}
		e := &l.ends[k]
		e.addr = netip.MustParseAddr(own)
		err := inside(l.space("host"), func() error {
			i, err := net.InterfaceByName(w)
			if err == nil {
				e.index, e.host = i.Index, [6]byte(i.HardwareAddr)
			}
			return err
		})
		if err == nil {
			err = inside(l.space(fmt.Sprint(k)), func() error {
				i, err := net.InterfaceByName("eth0")
				if err == nil {
					e.mac = [6]byte(i.HardwareAddr)
				}
				return err
			})
		}
		if err != nil {
			return l, err
		}
	}
	return l, l.serve()
}

// serve echoes in the second workload and connects from the first.
func (l *lane) serve() error {
	l.to = netip.AddrPortFrom(l.ends[1].addr, 80)
	var server net.Listener
	err := inside(l.space("1"), func() (err error) {
		server, err = net.Listen("tcp", l.to.String())
		return err
	})
	if err != nil {
		return err
	}
	l.closes = append(l.closes, func() { server.Close() })
	go func() {
		for {
			c, err := server.Accept()
			if err != nil {
				return
			}
			go func() {
				io.Copy(c, c)
				c.Close()
			}()
		}
	}()
	return nil
}

func (l *lane) close() {
	if l.conn != nil {
		l.conn.Close()
	}
	for i := len(l.closes) - 1; i >= 0; i-- {
		l.closes[i]()
	}
}

// gabion judges by the programs: as many rules as there are, the flow's the last.
func (l *lane) gabion(shortcut bool) error {
	dir, err := os.MkdirTemp("", "bench-datapath")
	if err != nil {
		return err
	}
	if err := unix.Mount("bpf", dir, "bpf", 0, "mode=0700"); err != nil {
		return fmt.Errorf("mount a BPF file system: %w", err)
	}
	l.closes = append(l.closes, func() {
		unix.Unmount(dir, unix.MNT_DETACH)
		os.Remove(dir)
	})
	dp, err := datapath.Open(filepath.Join(dir, "gabion"), datapath.Limits{OpenRate: 1 << 30})
	if err != nil {
		return err
	}
	l.closes = append(l.closes, func() {
		dp.Close()
		datapath.Remove(filepath.Join(dir, "gabion"))
	})
	w, err := policymap.NewWriter(dp.Tables())
	if err != nil {
		return err
	}
	l.closes = append(l.closes, func() { w.Close() })
	numbers := policymap.NewNumbers()
	if err := w.Publish(l.image(numbers)); err != nil {
		return err
	}
	err = inside(l.space("host"), func() error {
		for _, e := range l.ends {
			if err := dp.Attach(e.index); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil || !shortcut {
		return err
	}
	short, err := dp.Shortcuts()
	if err != nil {
		return err
	}
	l.closes = append(l.closes, func() { short.Close() })
	ways := map[netip.Addr]bpf.Neighbour{}
	for k, e := range l.ends {
		ways[e.addr] = bpf.Neighbour{Workload: numbers.Workload(ids[k]), Ifindex: uint32(e.index), To: e.mac, From: e.host, MTU: 1500}
	}
	if err := short.Set(ways); err != nil {
		return err
	}
	return short.Keep(1 << 62)
}

var ids = [2]workload.ID{{Namespace: "bench", Name: "web"}, {Namespace: "bench", Name: "cart"}}

// image allows web to reach cart, among as many other peers as there are rules.
func (l *lane) image(numbers *policymap.Numbers) *policymap.Image {
	tab := &segmentation.Table{
		Subjects:  []segmentation.Subject{{Key: "web", Governed: [2]bool{true, true}}, {Key: "cart", Governed: [2]bool{true, true}}},
		SubjectOf: map[workload.ID]int{ids[0]: 0, ids[1]: 1}, Peers: []segmentation.PeerClass{{Key: "outside"}, {Key: "web"}, {Key: "cart"}},
	}
	var world segmentation.World
	var interfaces []policymap.Interface
	for k, e := range l.ends {
		tab.Prefixes = append(tab.Prefixes, segmentation.PrefixPeer{Prefix: netip.PrefixFrom(e.addr, 32), Peer: 1 + k})
		world.Workloads = append(world.Workloads, &workload.Workload{ID: ids[k], Addresses: []netip.Addr{e.addr}})
		interfaces = append(interfaces, policymap.Interface{Index: e.index, Workload: ids[k]})
	}
	allow := func(subject int, d segmentation.Direction, peer int) {
		tab.Entries = append(tab.Entries, segmentation.Entry{Subject: subject, Direction: d, Peer: peer, Protocol: segmentation.TCP, From: 80, To: 80, Verdict: segmentation.Allowed})
	}
	for s := range 2 {
		for _, d := range []segmentation.Direction{segmentation.Ingress, segmentation.Egress} {
			tab.Entries = append(tab.Entries, segmentation.Entry{Subject: s, Direction: d, Peer: segmentation.AnyPeer, Protocol: segmentation.AnyProtocol, To: 65535, Verdict: segmentation.Denied})
		}
	}
	for i := range l.rules - 1 {
		tab.Peers = append(tab.Peers, segmentation.PeerClass{Key: fmt.Sprint(i)})
		tab.Prefixes = append(tab.Prefixes, segmentation.PrefixPeer{Prefix: netip.PrefixFrom(peerAddr(i), 32), Peer: 3 + i})
		allow(0, segmentation.Egress, 3+i)
		allow(1, segmentation.Ingress, 3+i)
	}
	allow(0, segmentation.Egress, 2)
	allow(1, segmentation.Ingress, 1)
	return policymap.Render(tab, world, interfaces, numbers)
}

// nftables judges what the host forwards. A list is walked for the first packet of a
// flow, and, where the kernel is to remember nothing, for each; the flow's rules are
// the last. A set is looked up.
func (l *lane) nftables(set, stateful bool) error {
	var b strings.Builder
	b.WriteString("table ip bench {\n")
	if set {
		b.WriteString(" set allowed { type ipv4_addr . ipv4_addr . inet_service ; elements = { ")
		for i := range l.rules - 1 {
			fmt.Fprintf(&b, "%s . %s . 80, ", l.ends[0].addr, peerAddr(i))
		}
		fmt.Fprintf(&b, "%s . %s . 80 } ; }\n", l.ends[0].addr, l.ends[1].addr)
	}
	b.WriteString(" chain forward {\n  type filter hook forward priority 0 ; policy drop ;\n")
	if stateful {
		b.WriteString("  ct state established,related accept\n")
	} else {
		fmt.Fprintf(&b, "  ip saddr %s tcp sport 80 accept\n", l.ends[1].addr)
	}
	if set {
		b.WriteString("  ip saddr . ip daddr . tcp dport @allowed accept\n")
	} else {
		for i := range l.rules - 1 {
			fmt.Fprintf(&b, "  ip saddr %s ip daddr %s tcp dport 80 accept\n", l.ends[0].addr, peerAddr(i))
		}
		fmt.Fprintf(&b, "  ip saddr %s ip daddr %s tcp dport 80 accept\n", l.ends[0].addr, l.ends[1].addr)
	}
	b.WriteString(" }\n}\n")
	c := exec.Command("ip", "netns", "exec", l.space("host"), "nft", "-f", "-")
	c.Stdin = strings.NewReader(b.String())
	if out, err := c.CombinedOutput(); err != nil {
		return fmt.Errorf("nft: %w: %s", err, out)
	}
	return nil
}

// requests measures requests of 64 bytes over a connection that stays.
func (l *lane) requests(n int) (out []time.Duration, err error) {
	if l.conn == nil {
		err := inside(l.space("0"), func() (err error) {
			l.conn, err = net.DialTimeout("tcp", l.to.String(), 10*time.Second)
			return err
		})
		if err != nil {
			return nil, err
		}
	}
	b := make([]byte, 64)
	for range n {
		begin := time.Now()
		if _, err := l.conn.Write(b); err != nil {
			return nil, err
		}
		if _, err := io.ReadFull(l.conn, b); err != nil {
			return nil, err
		}
		out = append(out, time.Since(begin))
	}
	return out, nil
}

// connects measures connections that are opened, used once and closed.
func (l *lane) connects(n int) (out []time.Duration, err error) {
	b := make([]byte, 64)
	err = inside(l.space("0"), func() error {
		for range n {
			begin := time.Now()
			c, err := net.DialTimeout("tcp", l.to.String(), 10*time.Second)
			if err != nil {
				return err
			}
			if _, err = c.Write(b); err == nil {
				_, err = io.ReadFull(c, b)
			}
			c.Close()
			if err != nil {
				return err
			}
			out = append(out, time.Since(begin))
		}
		return nil
	})
	return out, err
}

// lanes are what is compared, the plain one first.
func lanes() (out []*lane, err error) {
	add := func(what string, rules int, judge func(*lane) error) {
		if err != nil {
			return
		}
		var l *lane
		l, err = newLane(len(out), what, rules)
		out = append(out, l)
		if err == nil {
			err = judge(l)
		}
	}
	add("no program", 0, func(*lane) error { return nil })
	for _, rules := range []int{10, 1000, 10000} {
		add("programs", rules, func(l *lane) error { return l.gabion(false) })
		add("programs with shortcuts", rules, func(l *lane) error { return l.gabion(true) })
		add("nftables, list for every packet", rules, func(l *lane) error { return l.nftables(false, false) })
		add("nftables, list for new flows", rules, func(l *lane) error { return l.nftables(false, true) })
		add("nftables, set", rules, func(l *lane) error { return l.nftables(true, true) })
	}
	return out, err
}

// batch is how many requests are made in one go: few, so that what else the machine
// does meets all that is compared.
const batch = 20

// endToEnd measures requests between namespaces, everything in turn.
func endToEnd(rounds, each int) error {
	list, err := lanes()
	defer func() {
		for _, l := range list {
			l.close()
		}
	}()
	if err != nil {
		return err
	}
	for _, m := range []struct {
		what string
		do   func(*lane) ([]time.Duration, error)
	}{
		{"request and response", func(l *lane) ([]time.Duration, error) { return l.requests(batch) }},
		{"connect, request, close", func(l *lane) ([]time.Duration, error) { return l.connects(batch / 4) }},
	} {
		times := make([][]time.Duration, len(list))
		for range rounds * each / batch {
			for i, l := range list {
				some, err := m.do(l)
				if err != nil {
					return fmt.Errorf("measure %s, %s, %d rules: %w", m.what, l.what, l.rules, err)
				}
				times[i] = append(times[i], some...)
			}
		}
		plain := quantile(times[0], 0.1)
		for i, l := range list {
			p10 := quantile(times[i], 0.1)
			result{What: m.what + ": " + l.what, Rules: l.rules, P10: p10, P50: quantile(times[i], 0.5), Unit: "ns", Ratio: p10 / plain, To: "no program"}.print()
		}
	}
	return nil
}
