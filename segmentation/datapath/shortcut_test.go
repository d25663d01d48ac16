package datapath_test

import (
	"encoding/binary"
	"net/netip"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/gabion-io/gabion/internal/netnstest"
	"github.com/gabion-io/gabion/internal/tcx"
	"github.com/gabion-io/gabion/segmentation/bpf"
	"github.com/gabion-io/gabion/segmentation/datapath"
)

// What a shortcut would pass by is foreign programs before the receiver, in whatever
// order, and those that come after ours at the sender.
func TestOthers(t *testing.T) {
	b := newBed(t, "web")
	other, err := datapath.Open(b.dir+"-other", small)
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	pins, index := tcx.Pins{Dir: b.dir + "-other/links"}, b.workloads["web"].Interfaces[0].HostIndex
	b.net.Host.Do(func() {
		for _, c := range []struct {
			hook  tcx.Hook
			place tcx.Place
			want  int
		}{{tcx.Ingress, tcx.First, 0}, {tcx.Ingress, tcx.Last, 1}, {tcx.Egress, tcx.First, 1}, {tcx.Egress, tcx.Last, 1}} {
			if err := pins.Attach(other.Program("sweep_flows"), index, c.hook, c.place); err != nil {
				t.Error(err)
			}
			if n, err := b.dp.Others(index); n != c.want || err != nil {
				t.Errorf("%s, place %d: %d others (%v), want %d", c.hook, c.place, n, err, c.want)
			}
			if err := pins.Detach(index, c.hook); err != nil {
				t.Error(err)
			}
		}
	})
}

// With shortcuts packets between two workloads pass the host's stack by, once both
// have approved the flow; the header is one hop older, and its checksum right, or
// the receiver would not take it. A flow that is revoked is cut all the same.
func TestShortcut(t *testing.T) {
	b := newBed(t, "web", "cart")
	b.serve("cart", 80)
	b.apply(webMayTCP80)
	short, err := b.dp.Shortcuts()
	if err != nil {
		t.Fatal(err)
	}
	defer short.Close()
	want := map[netip.Addr]bpf.Neighbour{}
	for _, name := range b.names {
		i := b.workloads[name].Interfaces[0]
		for _, a := range b.workloads[name].Addresses() {
			want[a] = bpf.Neighbour{Workload: b.numbers.Workload(id(name)), Ifindex: uint32(i.HostIndex), To: [6]byte(i.MAC), From: [6]byte(i.HostMAC), MTU: 1500}
		}
	}
	keep := func() {
		if err := short.Set(want); err != nil {
			t.Fatal(err)
		}
		var now unix.Timespec
		if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &now); err != nil {
			t.Fatal(err)
		}
		if err := short.Keep(uint64(now.Nano()) + uint64(time.Hour)); err != nil {
			t.Fatal(err)
		}
	}
	keep()
	for _, six := range []bool{false, true} {
		before := b.count(bpf.ReasonRedirected)
		c, err := b.workloads["web"].Dial("tcp", netip.Addr{}, b.at("cart", six, 80), netnstest.Patience)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		text := string(make([]byte, 100000)) // segments that the stack has put together
		if err := netnstest.Echo(c, text, netnstest.Patience); err != nil {
			t.Fatalf("IPv6 %v: %v", six, err)
		}
		if b.count(bpf.ReasonRedirected) == before {
			t.Errorf("IPv6 %v: no packet took the shortcut", six)
		}
		if !six {
			// A tag says that it is for another link: what becomes of it the stack says.
			web, i := b.workloads["web"], b.workloads["web"].Interfaces[0]
			p := ip4(i.V4, b.addr("cart", false), 6, 20)
			p = binary.BigEndian.AppendUint16(p, netip.MustParseAddrPort(c.LocalAddr().String()).Port())
			p = append(p, 0, 80, 0, 0, 0, 1, 0, 0, 0, 1, 0x50, 0x10, 0xff, 0xff, 0, 0, 0, 0)
			const n = 50 // more than there may still be to acknowledge
			tagged := slices.Repeat([][]byte{frame(i.HostMAC, i.MAC, 0x8100, append([]byte{0, 5, 8, 0}, p...))}, n)
			redirected, established := b.count(bpf.ReasonRedirected), b.count(bpf.ReasonEstablished)
			if err := web.Raw("eth0", tagged...); err != nil {
				t.Fatal(err)
			}
			b.until("the tagged packets have come", func() bool { return b.count(bpf.ReasonEstablished) >= established+n })
			if b.count(bpf.ReasonRedirected) >= redirected+n {
				t.Error("tagged packets took the shortcut")
			}
		}
		b.publish("policy shop/cart enforces for app=cart\n  ingress from nobody\n")
		denied := b.count(bpf.ReasonDenied)
		if err := netnstest.Echo(c, "cut", 50*time.Millisecond); err == nil {
			t.Errorf("IPv6 %v: the revoked flow passes", six)
		}
		b.until("its packet is counted", func() bool { return b.count(bpf.ReasonDenied) > denied })
		b.publish(webMayTCP80)
	}
	// Taken away, past their time, or to a link that takes less at once than the
	// sender's, packets go the usual way.
	for _, way := range []struct {
		what  string
		leave func() error
	}{
		{"that is gone", func() error { return short.Set(nil) }},
		{"past its time", func() error { return short.Keep(uint64(time.Second)) }},
		{"that is too narrow", func() error {
			narrow := map[netip.Addr]bpf.Neighbour{}
			for a, n := range want {
				narrow[a] = n
			}
			for _, six := range []bool{false, true} {
				to, back := narrow[b.addr("cart", six)], narrow[b.addr("web", six)]
				to.MTU, back.Workload = 1400, 0 // and none the other way
				narrow[b.addr("cart", six)], narrow[b.addr("web", six)] = to, back
			}
			return short.Set(narrow)
		}},
	} {
		keep()
		if err := way.leave(); err != nil {
			t.Fatal(err)
		}
		before := b.count(bpf.ReasonRedirected)
		b.passes("tcp", "web", "cart", 80)
		if b.count(bpf.ReasonRedirected) != before {
			t.Errorf("a packet took a shortcut %s", way.what)
		}
	}
}
