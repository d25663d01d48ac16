package datapath_test

import (
	"net/netip"
	"os"
	"os/exec"
	"testing"

	"github.com/gabion-io/gabion/internal/netnstest"
	"github.com/gabion-io/gabion/segmentation"
	"github.com/gabion-io/gabion/segmentation/bpf"
)

// What a workload sends to itself over loopback never leaves it; what comes back
// through its interface is judged like anything else.
func TestWorkloadToItself(t *testing.T) {
	b := newBed(t, "web", "cart")
	b.serve("web", 80)
	b.apply("policy shop/web enforces for app=web\n  ingress from nobody\n  egress to nobody\n")
	b.passes("tcp", "web", "web", 80)
	b.passes("udp", "web", "web", 80)
}

// Hairpin: a workload reaches itself through an address that its host translates,
// out of its interface and in again.
func TestHairpin(t *testing.T) {
	if _, err := exec.LookPath("nft"); err != nil {
		if os.Getenv("GABION_REQUIRE") != "" {
			t.Fatal("nft is missing: run scripts/setup test")
		}
		t.Skip("nft, which translates the address, is missing (Debian: nftables)")
	}
	b := newBed(t, "web", "cart")
	b.serve("web", 80)
	service := netip.MustParseAddr("10.96.0.1")
	for _, rule := range []string{
		"add table ip hairpin",
		"add chain ip hairpin pre { type nat hook prerouting priority -100 ; }",
		"add chain ip hairpin post { type nat hook postrouting priority 100 ; }",
		"add rule ip hairpin pre ip daddr 10.96.0.1 tcp dport 8000 dnat to " + b.addr("web", false).String() + ":80",
		"add rule ip hairpin post ip saddr " + b.addr("web", false).String() + " ip daddr " + b.addr("web", false).String() + " masquerade",
	} {
		if out, err := b.net.Host.Command("nft", rule).CombinedOutput(); err != nil {
			t.Fatalf("nft %s: %v: %s", rule, err, out)
		}
	}
	try := func() error {
		return b.workloads["web"].Try("tcp", netip.Addr{}, netip.AddrPortFrom(service, 8000), netnstest.Patience)
	}
	if err := try(); err != nil {
		t.Fatalf("without policy: %v", err)
	}
	// The workload sees its host's address as the peer on the way in.
	b.apply("policy shop/web enforces for app=web\n  egress to 10.96.0.1 on TCP 8000\n  ingress from " + b.workloads["web"].Interfaces[0].HostV4.String() + " on TCP 80\n")
	if err := try(); err != nil {
		t.Errorf("allowed both ways: %v", err)
	}
	b.apply("policy shop/web enforces for app=web\n  egress to nobody\n  ingress from anybody\n")
	before := b.count(bpf.ReasonDenied)
	if err := b.workloads["web"].Try("tcp", netip.Addr{}, netip.AddrPortFrom(service, 8000), 100e6); err == nil {
		t.Error("passes although egress is closed")
	}
	b.until("the drop is counted", func() bool { return b.count(bpf.ReasonDenied) > before })
}

// A workload with two interfaces is one subject: each of its addresses is its own
// on either, and a flow may come in by one and leave by the other.
func TestMultiHomed(t *testing.T) {
	b := newBed(t, "web", "cart")
	web := b.workloads["web"]
	b.net.Connect(web)
	web.Sysctl("net/ipv4/conf/all/rp_filter", "0")
	b.net.Host.Sysctl("net/ipv4/conf/all/rp_filter", "0")
	for _, i := range b.workloads["web"].Interfaces {
		b.net.Host.Sysctl("net/ipv4/conf/"+i.HostName+"/rp_filter", "0")
	}
	b.serve("cart", 80)
	second := web.Interfaces[1]
	web.ServeTCP(netip.AddrPortFrom(second.V4, 81))
	web.ServeTCP(netip.AddrPortFrom(second.V6, 81))
	b.apply(`
policy shop/cart enforces for app=cart
  ingress from app=web on TCP 80
  egress to app=web on TCP 81
policy shop/web enforces for app=web
  ingress from app=cart on TCP 81
  egress to app=cart on TCP 80
`)
	b.passes("tcp", "web", "cart", 80)
	for _, from := range []netip.Addr{second.V4, second.V6} {
		// Out by the first interface, where the default route is, and back in by
		// the second, where the address is.
		if err := web.Try("tcp", from, b.at("cart", from.Is6(), 80), netnstest.Patience); err != nil {
			t.Errorf("from the second address: %v", err)
		}
		// And the other way round.
		if err := b.workloads["cart"].Try("tcp", netip.Addr{}, netip.AddrPortFrom(from, 81), netnstest.Patience); err != nil {
			t.Errorf("to the second address: %v", err)
		}
	}
	b.denied("tcp", "cart", "web", 82)
}

// Audit lets pass and records what enforcing would drop.
func TestAudit(t *testing.T) {
	b := newBed(t, "web", "cart", "other")
	b.serve("cart", 80)
	b.apply(`
policy shop/cart audits for app=cart
  ingress from app=web on TCP 80
`)
	b.passes("tcp", "other", "cart", 80)
	b.passes("tcp", "web", "cart", 80)
	if n := b.count(bpf.ReasonAudited); n != 2 {
		t.Errorf("%d flows are audited, want 2", n)
	}
	rows, err := b.log.Drain()
	if err != nil {
		t.Fatal(err)
	}
	got := map[netip.Addr]segmentation.Verdict{}
	for _, r := range rows {
		if r.Workload == b.numbers.Workload(id("cart")) && r.Direction() == segmentation.Ingress && r.Flows > 0 {
			got[r.Peer.Addr()] = r.Verdict()
		}
	}
	for _, six := range []bool{false, true} {
		if v, ok := got[b.addr("other", six)]; !ok || v != segmentation.Audited {
			t.Errorf("other's flow is recorded as %v (%v), want audited", v, ok)
		}
		if v, ok := got[b.addr("web", six)]; !ok || v != segmentation.Allowed {
			t.Errorf("web's flow is recorded as %v (%v), want allowed", v, ok)
		}
	}
	// What the enforced policies deny stays denied.
	b.apply(`
policy shop/cart enforces for app=cart
  ingress from app=other on TCP 80
policy shop/more audits for app=cart
  ingress from app=web on TCP 80
`)
	b.passes("tcp", "other", "cart", 80)
	b.denied("tcp", "web", "cart", 80)
}
