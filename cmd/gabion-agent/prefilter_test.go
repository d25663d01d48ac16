package main

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gabion-io/gabion/internal/netnstest"
	"github.com/gabion-io/gabion/internal/tcx"
	"github.com/gabion-io/gabion/segmentation/bpf"
	"github.com/gabion-io/gabion/segmentation/datapath"
	"github.com/gabion-io/gabion/segmentation/flowlog"
)

// uplinked is a host with a machine behind an uplink, whose packets cart's policy
// denies.
type uplinked struct {
	*host
	outside *netnstest.Workload
	uplink  string
	seen    *flowlog.Reader
}

func newUplinked(t *testing.T) *uplinked {
	h := newHost(t)
	u := &uplinked{host: h, outside: h.net.Workload("outside")}
	u.uplink = u.outside.Interfaces[0].HostName
	h.policy(1)
	for _, a := range h.cart.Addresses() {
		h.cart.ServeUDP(netip.AddrPortFrom(a, 80))
	}
	return u
}

// early says how many of one denied datagram were dropped on the uplink: by the
// counters it is dropped once, somewhere.
func (u *uplinked) early() uint64 {
	u.Helper()
	pins := filepath.Join(u.bpffs, "gabion")
	if u.seen == nil {
		dp, err := datapath.Open(pins, datapath.Limits{})
		if err != nil {
			u.Fatal(err)
		}
		u.Cleanup(dp.Close)
		if u.seen, err = flowlog.NewReader(dp.Logs()); err != nil {
			u.Fatal(err)
		}
		u.Cleanup(func() { u.seen.Close() })
	}
	count := func() (denied, early uint64) {
		early, err := datapath.Prefiltered(pins)
		if err != nil {
			u.Fatal(err)
		}
		all, err := u.seen.Counters()
		if err != nil {
			u.Fatal(err)
		}
		return all[bpf.ReasonDenied], early
	}
	denied, early := count()
	at := netip.AddrPortFrom(u.cart.Interfaces[0].V4, 80)
	if err := u.outside.Try("udp", netip.Addr{}, at, 50*time.Millisecond); err == nil {
		u.Error("what policy denies passes")
	}
	nowDenied, nowEarly := denied, early
	u.until("the drop is counted", func() bool {
		nowDenied, nowEarly = count()
		return nowDenied > denied
	})
	if nowDenied != denied+1 {
		u.Errorf("one datagram is counted as %d drops", nowDenied-denied)
	}
	return nowEarly - early
}

func (u *uplinked) status() string {
	u.Helper()
	out, err := u.command("status").CombinedOutput()
	if err != nil {
		u.Fatalf("status: %v: %s", err, out)
	}
	return string(out)
}

// watched waits until the agent has said so often that it watches the uplink.
func (u *uplinked) watched(times int) {
	u.Helper()
	u.until("the uplink is watched", func() bool {
		return strings.Count(u.log.String(), `msg="uplink watched" interface=`+u.uplink+" xdp=native") == times
	})
	u.until("nothing translates", func() bool { return u.early() == 1 })
}

// The uplinks that are named drop early what policy denies, however the agent ends,
// and those that are not named any more do not.
func TestUplinks(t *testing.T) {
	u := newUplinked(t)
	u.net.Host.IP("link add br1 type bridge") // its driver runs no programs
	agent := u.start("--uplink", u.uplink, "--uplink", "br1")
	u.watched(1)
	if want := `msg="uplink watched" interface=br1 xdp=generic`; !strings.Contains(u.log.String(), want) {
		t.Errorf("the agent does not say %s", want)
	}
	u.written(`"dst":"shop/cart","protocol":"UDP","port":80,"by":"shop/cart","verdict":"denied","rule":"SegmentationPolicy shop/cart default deny (ingress)","reason":"denied"`)
	for _, want := range []string{"interface w1: of a workload", "interface " + u.uplink + ": uplink, native XDP", "dropped on uplinks: "} {
		if got := u.status(); !strings.Contains(got, want) {
			t.Errorf("status says nothing of %q:\n%s", want, got)
		}
	}
	// Something that could translate addresses is noticed, and that it is gone.
	nft := func(args ...string) {
		t.Helper()
		if out, err := u.net.Host.Command("nft", args...).CombinedOutput(); err != nil {
			t.Fatalf("nft %v: %v: %s", args, err, out)
		}
	}
	nft("table ip t { chain p { type nat hook postrouting priority 100; ip daddr 192.0.2.1 masquerade\n }\n}")
	u.until("translation is noticed", func() bool { return u.early() == 0 })
	nft("delete", "table", "ip", "t")
	u.until("its end is noticed", func() bool { return u.early() == 1 })
	u.programsOfOthers()

	if err := agent.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	agent.Wait()
	if u.early() != 1 {
		t.Error("the uplink is not watched when the agent was killed")
	}
	agent = u.start("--uplink", u.uplink)
	u.until("the next agent has drained", func() bool { return u.early() == 1 })
	u.net.Recreate(u.outside, 0)
	u.watched(2)

	if err := agent.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	agent.Wait()
	agent = u.start()
	u.until("what is not named is not watched", func() bool { return strings.Count(u.log.String(), "uplink not watched any more") == 2 })
	if u.early() != 0 || strings.Contains(u.status(), "uplink") {
		t.Errorf("the uplink is watched:\n%s", u.status())
	}
	if err := agent.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	agent.Wait()
	u.start("--uplink", u.uplink)
	u.watched(3)
	if out, err := u.command("detach").CombinedOutput(); err != nil {
		t.Fatalf("detach: %v: %s", err, out)
	}
	if out, err := u.net.Host.Command("ip", "link", "show", u.uplink).CombinedOutput(); err != nil || strings.Contains(string(out), "xdp") {
		t.Errorf("detach leaves a program (%v): %s", err, out)
	}
}

// programsOfOthers may translate too; those by which HTTP is seen only look.
func (u *uplinked) programsOfOthers() {
	u.Helper()
	other, err := datapath.Open(filepath.Join(u.bpffs, "other"), datapath.Limits{})
	if err != nil {
		u.Fatal(err)
	}
	defer other.Close()
	index := u.cart.Interfaces[0].HostIndex
	attached := func(dir string, do func()) {
		u.Helper()
		pins := tcx.Pins{Dir: filepath.Join(u.bpffs, dir)}
		u.net.Host.Do(func() {
			if err := pins.Attach(other.Program("sweep_flows"), index, tcx.Egress, tcx.Last); err != nil {
				u.Error(err)
			}
		})
		do()
		if err := pins.Detach(index, tcx.Egress); err != nil {
			u.Error(err)
		}
	}
	attached("gabion/capture", func() {
		time.Sleep(1100 * time.Millisecond) // the agent has looked
		if u.early() != 1 {
			u.Error("a program that only looks is taken for one that translates")
		}
	})
	attached("other", func() {
		u.until("a program of others is noticed", func() bool { return u.early() == 0 })
	})
	u.until("its end is noticed", func() bool { return u.early() == 1 })
}

// written waits until a flow is in the file of flows.
func (h *host) written(want string) {
	h.Helper()
	h.until("the flow is written: "+want, func() bool {
		b, _ := os.ReadFile(h.flows)
		return strings.Contains(string(b), want)
	})
}

// What is no uplink is refused, with a reason.
func TestUplinksThatAreNone(t *testing.T) {
	u := newUplinked(t)
	refused := func(uplink, want string) {
		t.Helper()
		out, err := u.command("-f", u.files, "--state", u.state, "--uplink", uplink).CombinedOutput()
		if err == nil || !strings.Contains(string(out), want) {
			t.Errorf("uplink %s: %v: %s", uplink, err, out)
		}
	}
	refused("lo", "it is the host's loopback")
	refused("w1", "uplink w1: it is the interface of Workload/shop/web, and judged there")
	agent := u.start()
	u.until("both are attached", func() bool { return strings.Count(u.log.String(), "msg=attached") == 2 })
	if err := agent.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	agent.Wait()
	if err := os.Remove(filepath.Join(u.files, "web.yaml")); err != nil {
		t.Fatal(err)
	}
	refused("w1", "uplink w1: it is a workload's interface")

	// And a Workload that would be on one that is named.
	u.start("--uplink", u.uplink)
	u.watched(1)
	u.workload("outside", u.outside)
	u.until("it is left out", func() bool {
		return strings.Contains(u.log.String(), "interface "+u.uplink+" is one of this host's uplinks (--uplink)")
	})
}

// A workload that claims an address of the host does not have it shut on the uplink:
// the host's own packets never come to the workload's interface.
func TestUplinksLeaveTheHostAlone(t *testing.T) {
	u := newUplinked(t)
	i, host := u.cart.Interfaces[0], u.outside.Interfaces[0].HostV4
	u.net.Host.ServeUDP(netip.AddrPortFrom(host, 81))
	u.write("cart.yaml", fmt.Sprintf(`apiVersion: gabion.io/v1alpha1
kind: Workload
metadata: {name: cart, namespace: shop, labels: {app: cart}}
spec: {addresses: ["%s", "%s"], interface: %s}
`, i.V4, host, i.HostName))
	u.start("--uplink", u.uplink)
	u.until("nothing translates", func() bool { return strings.Contains(u.log.String(), "by=none") })
	if err := u.outside.Try("udp", netip.Addr{}, netip.AddrPortFrom(host, 81), time.Second); err != nil {
		t.Errorf("the host is not reached: %v", err)
	}
	if n := strings.Count(u.log.String(), "it claims an address of this host"); n != 1 {
		t.Errorf("that cart is not judged on uplinks is told %d times", n)
	}
}

// The host may come by an address later that a workload claims: from then on it is the
// host's on the uplink too.
func TestUplinksLeaveTheHostItsLaterAddresses(t *testing.T) {
	u := newUplinked(t)
	i, later := u.cart.Interfaces[0], netip.MustParseAddr("192.0.2.9")
	u.write("cart.yaml", fmt.Sprintf(`apiVersion: gabion.io/v1alpha1
kind: Workload
metadata: {name: cart, namespace: shop, labels: {app: cart}}
spec: {addresses: ["%s", "%s"], interface: %s}
`, i.V4, later, i.HostName))
	u.start("--uplink", u.uplink)
	u.watched(1)
	u.net.Host.IP("addr add " + later.String() + "/32 dev lo")
	at := netip.AddrPortFrom(later, 81)
	u.net.Host.ServeUDP(at)
	u.until("the host is reached", func() bool { return u.outside.Try("udp", netip.Addr{}, at, 100*time.Millisecond) == nil })
	u.net.Host.IP("addr del " + later.String() + "/32 dev lo")
	u.until("cart is judged on uplinks again", func() bool { return u.early() == 1 })
}

// At boot the agent may be there before the network card is, and must enforce.
func TestUplinksThatComeLater(t *testing.T) {
	u := newUplinked(t)
	u.start("--uplink", u.uplink, "--uplink", "w9")
	u.watched(1)
	missing := func() int {
		return strings.Count(u.log.String(), `level=WARN msg="cannot watch uplink" interface=w9 error="this host has no such interface (yet)"`)
	}
	u.webAgain() // the agent comes back to it
	if n := missing(); n != 1 {
		t.Errorf("that an uplink is missing is told %d times, want once", n)
	}
	u.net.Host.IP("link add w9 type bridge")
	u.until("it is watched when it comes", func() bool {
		return strings.Contains(u.log.String(), `msg="uplink watched" interface=w9`)
	})
	u.net.Host.IP("link del w9")
	u.until("it is told when it goes", func() bool { return missing() == 2 })
}

// Where somebody else has a program in an uplink's only place, that is told, once.
func TestUplinksThatAreTaken(t *testing.T) {
	u := newUplinked(t)
	other, err := datapath.Open(filepath.Join(u.bpffs, "other"), datapath.Limits{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(other.Close)
	index := u.outside.Interfaces[0].HostIndex
	u.net.Host.Do(func() { err = other.AttachUplink(index) })
	if err != nil {
		t.Fatal(err)
	}
	u.start("--uplink", u.uplink)
	taken := `level=WARN msg="cannot watch uplink" interface=` + u.uplink
	u.until("it is told", func() bool { return strings.Contains(u.log.String(), taken) })
	for range 3 { // the agent comes back to it at each
		u.webAgain()
	}
	if n := strings.Count(u.log.String(), taken); n != 1 {
		t.Errorf("that the uplink is another's is told %d times, want once", n)
	}
	if err := other.DetachUplink(index); err != nil {
		t.Fatal(err)
	}
	u.webAgain()
	u.watched(1)
}

// webAgain makes web's interface again, and waits until that is attached.
func (u *uplinked) webAgain() {
	u.Helper()
	u.net.Recreate(u.web, 0)
	want := fmt.Sprintf("msg=attached interface=%d workload=shop/web", u.web.Interfaces[0].HostIndex)
	u.until("web is attached again", func() bool { return strings.Contains(u.log.String(), want) })
}

// Who asks changes nothing: what an agent's pins held is there for the next one to see.
func TestStatusOnlyLooks(t *testing.T) {
	u := newUplinked(t)
	agent := u.start("--uplink", u.uplink)
	u.watched(1)
	if err := agent.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	agent.Wait()
	u.net.Host.IP("link del "+u.uplink, "link del "+u.cart.Interfaces[0].HostName)
	pins := func() (out []string) {
		for _, dir := range []string{"uplinks", "links"} {
			entries, err := os.ReadDir(filepath.Join(u.bpffs, "gabion", dir))
			if err != nil {
				t.Fatal(err)
			}
			for _, e := range entries {
				out = append(out, dir+"/"+e.Name())
			}
		}
		return out
	}
	before := pins()
	if got := u.status(); strings.Contains(got, "uplink,") || strings.Count(got, "of a workload") != 1 {
		t.Errorf("status shows interfaces that are gone:\n%s", got)
	}
	if after := pins(); !slices.Equal(before, after) || len(before) != 5 {
		t.Errorf("status leaves pins %v of %v, which should be five", after, before)
	}
}
