package datapath_test

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/gabion-io/gabion/internal/netnstest"
	"github.com/gabion-io/gabion/segmentation"
	"github.com/gabion-io/gabion/segmentation/bpf"
	"github.com/gabion-io/gabion/segmentation/datapath"
	"github.com/gabion-io/gabion/segmentation/flowlog"
	"github.com/gabion-io/gabion/segmentation/policymap"
	"github.com/gabion-io/gabion/segmentation/verdicttest"
	"github.com/gabion-io/gabion/workload"
)

// bed is a host with workloads, each named and labelled app=NAME in the namespace
// shop, under the policies of a script.
type bed struct {
	*testing.T
	net       *netnstest.Net
	dir       string
	dp        *datapath.Datapath
	writer    *policymap.Writer
	log       *flowlog.Reader
	numbers   *policymap.Numbers
	workloads map[string]*netnstest.Workload
	names     []string
	adopt     uint64
	limits    datapath.Limits
	uplink    int    // the interface that has the prefilter; 0: none
	seen      uint64 // packets in rows of drops, so far
}

// small are limits that a test can afford.
var small = datapath.Limits{Flows: 16384, HalfOpen: 8192}

// unhurried are those of tests under a load that is as fast as the machine: none of
// its flows is to meet its workload's budget.
var unhurried = datapath.Limits{Flows: 65536, HalfOpen: 8192, PerWorkload: 65536, OpenRate: 1 << 20}

func newBed(t *testing.T, names ...string) *bed {
	t.Helper()
	return newBedWith(t, small, names...)
}

func newBedWith(t *testing.T, limits datapath.Limits, names ...string) *bed {
	t.Helper()
	b := bareBed(t, limits, names...)
	b.open()
	b.apply("")
	return b
}

// bareBed is a host that no agent was on.
func bareBed(t *testing.T, limits datapath.Limits, names ...string) *bed {
	t.Helper()
	b := &bed{
		T: t, net: netnstest.New(t), dir: filepath.Join(netnstest.Pins(t), "gabion"), limits: limits,
		numbers: policymap.NewNumbers(), workloads: map[string]*netnstest.Workload{},
	}
	for _, n := range names {
		b.workloads[n] = b.net.Workload(n)
		b.names = append(b.names, n)
	}
	t.Cleanup(func() {
		if b.dp != nil {
			b.close()
		}
		if err := datapath.Remove(b.dir); err != nil {
			t.Error(err)
		}
	})
	return b
}

// open is what an agent does when it starts.
func (b *bed) open() {
	b.Helper()
	var err error
	if b.dp, err = datapath.Open(b.dir, b.limits); err != nil {
		b.Fatal(err)
	}
	if b.writer, err = policymap.NewWriter(b.dp.Tables()); err != nil {
		b.Fatal(err)
	}
	if b.log, err = flowlog.NewReader(b.dp.Logs()); err != nil {
		b.Fatal(err)
	}
}

// close is what becomes of it when the agent ends.
func (b *bed) close() {
	b.Helper()
	if err := b.log.Close(); err != nil {
		b.Error(err)
	}
	if err := b.writer.Close(); err != nil {
		b.Error(err)
	}
	b.dp.Close()
}

// world reads policies, in the language of .verdict scripts.
func (b *bed) world(policies string) ([]segmentation.Policy, segmentation.World) {
	b.Helper()
	var text strings.Builder
	for _, name := range b.names {
		var list []string
		for _, a := range b.workloads[name].Addresses() {
			list = append(list, a.String())
		}
		fmt.Fprintf(&text, "workload shop/%s has app=%s at %s\n", name, name, strings.Join(list, ", "))
	}
	fmt.Fprintf(&text, "%s\nshop/%s to shop/%s on TCP 1 is allowed\n", policies, b.names[0], b.names[0])
	script, err := verdicttest.Parse("test", text.String())
	if err != nil {
		b.Fatal(err)
	}
	return script.Policies[script.Checks[0].Policies], script.World
}

func id(name string) workload.ID { return workload.ID{Namespace: "shop", Name: name} }

func (b *bed) interfaces() (out []policymap.Interface) {
	for _, name := range b.names {
		for _, i := range b.workloads[name].Interfaces {
			out = append(out, policymap.Interface{Index: i.HostIndex, Workload: id(name), Adopt: b.adopt})
		}
	}
	return out
}

// publish puts policies in force.
func (b *bed) publish(policies string) {
	b.Helper()
	list, world := b.world(policies)
	table := segmentation.Compile(list, world)
	places := b.interfaces()
	if b.uplink != 0 {
		for _, name := range b.names {
			places = append(places, policymap.Interface{Index: datapath.ByNumber(b.numbers.Workload(id(name))), Workload: id(name)})
		}
	}
	if err := b.writer.Publish(policymap.Render(table, world, places, b.numbers)); err != nil {
		b.Fatal(err)
	}
}

// apply publishes policies and attaches to every interface.
func (b *bed) apply(policies string) {
	b.Helper()
	b.publish(policies)
	b.attach()
}

func (b *bed) attach() {
	b.Helper()
	b.net.Host.Do(func() {
		for _, i := range b.interfaces() {
			if err := b.dp.Attach(i.Index); err != nil {
				b.Error(err)
			}
		}
	})
}

// addr is a workload's first address of a family.
func (b *bed) addr(name string, six bool) netip.Addr {
	i := b.workloads[name].Interfaces[0]
	if six {
		return i.V6
	}
	return i.V4
}

func (b *bed) at(name string, six bool, port uint16) netip.AddrPort {
	return netip.AddrPortFrom(b.addr(name, six), port)
}

// serve echoes on a port of both families and protocols.
func (b *bed) serve(name string, port uint16) {
	b.Helper()
	for _, six := range []bool{false, true} {
		b.workloads[name].ServeTCP(b.at(name, six, port))
		b.workloads[name].ServeUDP(b.at(name, six, port))
	}
}

// try sends from one workload to another; protocols are tcp, udp, icmp.
func (b *bed) try(protocol, from, to string, six bool, port uint16, wait time.Duration) error {
	b.Helper()
	if protocol == "icmp" {
		return b.workloads[from].Ping(b.addr(from, six), b.addr(to, six), wait)
	}
	return b.workloads[from].Try(protocol, netip.Addr{}, b.at(to, six, port), wait)
}

// openFlows are connections by both protocols and families that stay open.
type openFlows []net.Conn

func (b *bed) openFlows(t *testing.T, from, to string, port uint16) (out openFlows) {
	t.Helper()
	for _, network := range []string{"tcp", "udp"} {
		for _, six := range []bool{false, true} {
			c, err := b.workloads[from].Dial(network, netip.Addr{}, b.at(to, six, port), netnstest.Patience)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { c.Close() })
			out = append(out, c)
		}
	}
	return out
}

// alive says that all of them still pass.
func (f openFlows) alive(t *testing.T, when string) {
	t.Helper()
	for _, c := range f {
		if err := netnstest.Echo(c, "still there?", netnstest.Patience); err != nil {
			t.Errorf("%s: %s %s: %v", when, c.RemoteAddr().Network(), c.RemoteAddr(), err)
		}
	}
}

func (b *bed) passes(protocol, from, to string, port uint16) {
	b.Helper()
	for _, six := range []bool{false, true} {
		if err := b.try(protocol, from, to, six, port, netnstest.Patience); err != nil {
			b.Errorf("%s from %s to %s port %d (IPv6: %v) does not pass: %v", protocol, from, to, port, six, err)
		}
	}
}

// denied waits until the programs have counted a drop and no answer came.
func (b *bed) denied(protocol, from, to string, port uint16) {
	b.Helper()
	for _, six := range []bool{false, true} {
		before := b.count(bpf.ReasonDenied)
		if err := b.try(protocol, from, to, six, port, 100*time.Millisecond); err == nil {
			b.Errorf("%s from %s to %s port %d (IPv6: %v) passes", protocol, from, to, port, six)
			continue
		}
		b.until(fmt.Sprintf("a drop of %s from %s to %s port %d is counted", protocol, from, to, port), func() bool { return b.count(bpf.ReasonDenied) > before })
	}
}

func (b *bed) count(r bpf.Reason) uint64 {
	b.Helper()
	all, err := b.log.Counters()
	if err != nil {
		b.Fatal(err)
	}
	return all[r]
}

// until waits for something that must become true.
func (b *bed) until(what string, true func() bool) {
	b.Helper()
	for end := time.Now().Add(netnstest.Patience); !true(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			b.Fatalf("waited in vain until %s", what)
		}
	}
}

// rounds is how often a test repeats: more where everything is exhaustive.
func rounds(t *testing.T) int {
	if os.Getenv("GABION_FULL") != "" {
		t.Log("exhaustive")
		return 20
	}
	return 3
}
