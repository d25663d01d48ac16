package datapath_test

import (
	"bytes"
	"errors"
	"net/netip"
	"testing"

	"github.com/cilium/ebpf"
	"golang.org/x/sys/unix"

	"github.com/gabion-io/gabion/segmentation"
	"github.com/gabion-io/gabion/workload"
)

// closed is a runner with one workload that may do nothing at all.
func closed(t testing.TB) *runner {
	r := newRunner(t)
	w := &workload.Workload{
		ID:        workload.ID{Namespace: "shop", Name: "cart"},
		Addresses: []netip.Addr{netip.MustParseAddr("10.0.0.2"), netip.MustParseAddr("fd00::2")},
	}
	nothing := segmentation.Rules{Governed: true}
	r.apply([]segmentation.Policy{{Mode: segmentation.Enforce, Ingress: nothing, Egress: nothing}}, segmentation.World{Workloads: []*workload.Workload{w}})
	if err := r.dp.Straight(forever); err != nil {
		t.Fatal(err)
	}
	return r
}

// mayPass says whether a frame is something that passes under default deny: ARP,
// neighbour discovery or MLD. It looks less closely than the programs do.
func mayPass(f []byte) bool {
	at := 12
	for range 2 {
		if len(f) >= at+6 && (f[at] == 0x81 && f[at+1] == 0 || f[at] == 0x88 && f[at+1] == 0xa8) {
			at += 4
		}
	}
	if len(f) < at+2 {
		return false
	}
	if f[at] == 8 && f[at+1] == 6 {
		return true
	}
	if f[at] != 0x86 || f[at+1] != 0xdd || len(f) < at+2+40 {
		return false
	}
	ip := f[at+2:]
	if ip[7] != 255 && ip[7] != 1 {
		return false
	}
	// Between ends that a router leads to only what can hold nothing else.
	near := ip[8] == 0xfe && ip[9]&0xc0 == 0x80 || bytes.Equal(ip[8:24], make([]byte, 16))
	if !near && ip[24] != 0xff && (ip[24] != 0xfe || ip[25]&0xc0 != 0x80) && len(ip) > 40+32 {
		return false
	}
	// The message is somewhere behind the extension headers.
	for _, b := range ip[40:] {
		if b >= 130 && b <= 137 || b == 143 {
			return true
		}
	}
	return false
}

// both runs both programs on a frame. They answer, whatever it is, and let nothing
// through that may not pass; the prefilter drops nothing that its receiver's would not.
func (r *runner) both(frame []byte) {
	r.Helper()
	early := r.early(frame)
	for _, program := range []string{"from_workload", "to_workload"} {
		answer, err := r.dp.Program(program).Run(&ebpf.RunOptions{Data: frame, Context: &skb{Ifindex: uint32(r.index[0])}})
		if errors.Is(err, unix.EINVAL) && len(frame) < 54 {
			return // so short a one the kernel does not run: TestTruncatedPackets sends them
		} else if err != nil {
			r.Fatalf("run %s on %x: %v", program, frame, err)
		}
		if int32(answer) != drops && !mayPass(frame) {
			r.Errorf("%s passes %x", program, frame)
		}
		if early && program == "to_workload" && int32(answer) != drops {
			r.Errorf("the prefilter drops %x, which its receiver's hook passes", frame)
		}
	}
}

// seeds are frames of every kind that the programs know, between the workload and
// somebody.
func seeds() (out [][]byte) {
	mine4, mine6 := netip.MustParseAddr("10.0.0.2"), netip.MustParseAddr("fd00::2")
	other4, other6 := netip.MustParseAddr("10.0.0.9"), netip.MustParseAddr("fd00::9")
	for _, ends := range [][2]netip.Addr{{mine4, other4}, {other4, mine4}, {mine6, other6}, {other6, mine6}} {
		for _, p := range []segmentation.Protocol{segmentation.TCP, segmentation.UDP, segmentation.SCTP, segmentation.ICMP, 47} {
			f, _ := firstPacket(segmentation.Flow{Src: segmentation.Outside(ends[0]), Dst: segmentation.Outside(ends[1]), Protocol: p, Port: 80})
			out = append(out, f)
			tagged := append(bytes.Clone(f[:12]), 0x81, 0, 0, 7)
			out = append(out, append(tagged, f[12:]...))
		}
	}
	udp := []byte{0, 1, 0, 2, 0, 8, 0, 0}
	v6 := func(next byte, rest ...byte) {
		out = append(out, frame(make([]byte, 6), make([]byte, 6), 0x86dd, append(ipHeader(mine6, other6, next, len(rest)), rest...)))
	}
	v6(0, append([]byte{60, 0, 5, 2, 0, 0, 1, 0, 17, 0, 1, 4, 0, 0, 0, 0}, udp...)...)                   // hop-by-hop, destination options
	v6(43, append([]byte{17, 0, 0, 0, 0, 0, 0, 0}, udp...)...)                                           // a routing header that is used up
	v6(43, append([]byte{17, 2, 4, 1, 0, 0, 0, 0}, append(make([]byte, 16), udp...)...)...)              // and one that is not
	v6(44, append([]byte{17, 0, 0, 1, 0, 0, 0, 5}, udp...)...)                                           // a first fragment
	v6(44, append([]byte{17, 0, 0, 9, 0, 0, 0, 5}, udp...)...)                                           // a later one
	v6(51, append([]byte{17, 4, 0, 0, 0, 0, 0, 1}, append(make([]byte, 16), udp...)...)...)              // AH
	v6(58, append([]byte{1, 4, 0, 0, 0, 0, 0, 0}, append(ipHeader(other6, mine6, 17, 8), udp...)...)...) // an ICMP error
	v6(58, 135, 0, 0, 0, 0, 0, 0, 0)
	for _, to := range []netip.Addr{other6, netip.MustParseAddr("ff02::1:ff00:9")} {
		out = append(out, frame(make([]byte, 6), make([]byte, 6), 0x86dd, solicitation(mine6, to, other6, make([]byte, 6))))
	}
	options := ip4(mine4, other4, 17, 12)
	options[0] = 0x46
	out = append(out, frame(make([]byte, 6), make([]byte, 6), 0x0800, append(append(options, 1, 1, 1, 1), udp...)))
	out = append(out, frame(make([]byte, 6), make([]byte, 6), 0x0800, withOptions(udp4(mine4, other4, 1, 2, ""), []byte{131, 7, 4, 10, 0, 0, 7, 1})))
	unreachable := append([]byte{3, 3, 0, 0, 0, 0, 0, 0}, append(ip4(other4, mine4, 17, 8), udp...)...)
	out = append(out, frame(make([]byte, 6), make([]byte, 6), 0x0800, append(ip4(mine4, other4, 1, len(unreachable)), unreachable...)))
	return out
}

// Every packet, cut at every length, and with every byte of its headers changed.
func TestDamagedPackets(t *testing.T) {
	r := closed(t)
	r.enter()
	n := 0
	for _, whole := range seeds() {
		for size := 15; size <= len(whole); size++ {
			r.both(whole[:size])
			n++
		}
		for at := 12; at < len(whole); at++ {
			for _, b := range []byte{0, 0x0f, 0x45, 0xff} {
				f := bytes.Clone(whole)
				f[at] ^= b
				r.both(f)
				n++
			}
		}
	}
	t.Logf("%d packets", n)
}

// Whatever a packet is, the programs answer, and under default deny it stays where
// it is.
func FuzzPackets(f *testing.F) {
	for _, s := range seeds() {
		f.Add(s)
	}
	r := closed(f)
	f.Fuzz(func(t *testing.T, frame []byte) {
		if len(frame) < 15 || len(frame) > 1500 {
			return
		}
		one := *r
		one.TB = t
		one.enter()
		one.both(frame)
	})
}
