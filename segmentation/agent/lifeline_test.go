package agent

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/gabion-io/gabion/segmentation"
	"github.com/gabion-io/gabion/workload"
)

// As the kernel of a little-endian machine writes it.
const tcp4 = `  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:0016 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1 1 0000000000000000 100 0 0 10 0
   1: 0101090A:0016 0201090A:C350 01 00000000:00000000 02:000A0000 00000000     0        0 2 2 0000000000000000 20 4 30 10 -1
   2: 0101090A:C351 0202090A:24E3 01 00000000:00000000 02:000A0000 00000000     0        0 3 2 0000000000000000 20 4 30 10 -1
`

const tcp6 = `  sl  local_address                         remote_address                        st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 000000FD00000900000000001000000A:0016 0000000000000000FFFF00000201090A:C350 01 00000000:00000000 00:00000000 00000000     0        0 1 1 0000000000000000 100 0 0 10 0
`

func TestConnections(t *testing.T) {
	four, err := connections(strings.NewReader(tcp4))
	if err != nil || len(four) != 2 {
		t.Fatal(four, err)
	}
	if four[0].local != netip.MustParseAddrPort("10.9.1.1:22") || four[0].remote != netip.MustParseAddrPort("10.9.1.2:50000") {
		t.Errorf("read %v", four[0])
	}
	six, err := connections(strings.NewReader(tcp6))
	if err != nil || len(six) != 1 || !six[0].local.Addr().Is6() || six[0].remote != netip.MustParseAddrPort("10.9.1.2:50000") {
		t.Errorf("read %v, %v", six, err)
	}
	if list, err := connections(strings.NewReader("head\n 0: zz:1 00:00 01\n")); err == nil {
		t.Errorf("garbage is read as %v", list)
	}
	if _, err := SSHPeers(); err != nil {
		t.Errorf("of this machine: %v", err)
	}
}

func TestDefaultRoutes(t *testing.T) {
	four, err := defaultRoutes4(strings.NewReader(`Iface	Destination	Gateway 	Flags	RefCnt	Use	Metric	Mask		MTU	Window	IRTT
eth0	00000000	0101090A	0003	0	0	0	00000000	0	0	0
w1	0001090A	00000000	0001	0	0	0	00FFFFFF	0	0	0
`))
	if d := cmp.Diff([]string{"eth0"}, four); d != "" || err != nil {
		t.Error(d, err)
	}
	zero := strings.Repeat("0", 32)
	six, err := defaultRoutes6(strings.NewReader(
		zero + " 00 " + zero + " 00 fe800000000000000000000000000001 00000400 00000001 00000000 00000003     eth1\n" +
			zero + " 00 " + zero + " 00 " + zero + " ffffffff 00000001 00000000 00200200       lo\n" +
			"fd000009000000000000000000000000 40 " + zero + " 00 " + zero + " 00000100 00000001 00000000 00000001       w1\n"))
	if d := cmp.Diff([]string{"eth1"}, six); d != "" || err != nil {
		t.Error(d, err)
	}
	if CheckInterface("lo") == nil {
		t.Error("loopback is taken for a workload's")
	}
}

// What is kept open is what would be closed, and no more.
func TestKeep(t *testing.T) {
	host, cart, web := netip.MustParseAddr("10.9.1.1"), netip.MustParseAddr("10.9.1.2"), netip.MustParseAddr("10.9.2.2")
	workloads := []*workload.Workload{
		{ID: workload.ID{Namespace: "shop", Name: "cart"}, Labels: workload.Labels{"app": "cart"}, Addresses: []netip.Addr{cart}},
		{ID: workload.ID{Namespace: "shop", Name: "web"}, Labels: workload.Labels{"app": "web"}, Addresses: []netip.Addr{web}},
	}
	deny := func(mode segmentation.Mode, rules ...segmentation.Rule) []segmentation.Policy {
		all := segmentation.Rules{Governed: true, List: rules}
		return []segmentation.Policy{{
			Name: segmentation.PolicyName{Kind: "SegmentationPolicy", ID: workload.ID{Namespace: "shop", Name: "cart"}}, Mode: mode,
			Subject: segmentation.Selection{Namespace: "shop", Labels: workload.MatchLabels(workload.Labels{"app": "cart"})}, Ingress: all, Egress: all,
		}}
	}
	lines := []Lifeline{
		{What: "ssh", Host: host, Remote: cart, Port: 22, In: true},
		{What: "ssh", Host: host, Remote: web, Port: 22, In: true},
		{What: "control-plane", Host: host, Remote: cart, Port: 9443},
		{What: "ssh", Host: host, Remote: netip.MustParseAddr("192.0.2.1"), Port: 22, In: true},
	}
	judge := func(policies []segmentation.Policy, in bool, port uint16) segmentation.Verdict {
		d := Desired{Policies: policies, World: segmentation.World{Workloads: workloads}}
		all := append(d.Policies, Keep(d, lines)...)
		f := segmentation.Flow{Src: segmentation.Outside(host), Dst: segmentation.Endpoint{Workload: workloads[0], Addr: cart}, Protocol: segmentation.TCP, Port: port}
		if in {
			f.Src, f.Dst = f.Dst, f.Src
		}
		v, _ := segmentation.Evaluate(all, f)
		return v
	}
	enforced := deny(segmentation.Enforce)
	for _, c := range []struct {
		what     string
		policies []segmentation.Policy
		in       bool
		port     uint16
		want     segmentation.Verdict
	}{
		{"SSH", enforced, true, 22, segmentation.Allowed},
		{"beside SSH", enforced, true, 23, segmentation.Denied},
		{"the control plane", enforced, false, 9443, segmentation.Allowed},
		{"beside the control plane", enforced, false, 22, segmentation.Denied},
		{"SSH, denied by somebody", deny(segmentation.Enforce, segmentation.Rule{Deny: true}), true, 22, segmentation.Denied},
		{"what is only audited", deny(segmentation.Audit), true, 22, segmentation.Audited},
		{"no policy", nil, true, 23, segmentation.Allowed},
	} {
		if got := judge(c.policies, c.in, c.port); got != c.want {
			t.Errorf("%s: %v, want %v", c.what, got, c.want)
		}
	}
	d := Desired{Policies: enforced, World: segmentation.World{Workloads: workloads}}
	if kept := Keep(d, lines); len(kept) != 2 {
		t.Errorf("%d lifelines are kept, want those of the one that is governed: %v", len(kept), kept)
	}
}

func FuzzConnections(f *testing.F) {
	f.Add(tcp4)
	f.Add(tcp6)
	f.Fuzz(func(t *testing.T, text string) {
		list, err := connections(strings.NewReader(text))
		for _, c := range list {
			if err == nil && (!c.local.IsValid() || !c.remote.IsValid()) {
				t.Fatalf("%q is read as %v", text, c)
			}
		}
		defaultRoutes4(strings.NewReader(text))
		defaultRoutes6(strings.NewReader(text))
	})
}

// A workload that is processes of the host may be the host's own end of a lifeline.
func TestKeepForProcesses(t *testing.T) {
	admin, plane := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2")
	job := &workload.Workload{ID: workload.ID{Namespace: "shop", Name: "job"}, Labels: workload.Labels{"app": "job"}}
	all := segmentation.Rules{Governed: true}
	d := Desired{
		World:      segmentation.World{Workloads: []*workload.Workload{job}},
		Interfaces: []Interface{{Cgroup: "system.slice/ssh.service", Workload: job.ID}},
		Policies: []segmentation.Policy{{
			Name: segmentation.PolicyName{Kind: "SegmentationPolicy", ID: job.ID}, Mode: segmentation.Enforce,
			Subject: segmentation.Selection{Namespace: "shop", Labels: workload.MatchLabels(job.Labels)}, Ingress: all, Egress: all,
		}},
	}
	kept := append(d.Policies, Keep(d, []Lifeline{
		{What: "ssh", Host: netip.MustParseAddr("10.9.1.1"), Remote: admin, Port: 22, In: true},
		{What: "control-plane", Host: netip.MustParseAddr("10.9.1.1"), Remote: plane, Port: 9443},
	})...)
	own := segmentation.Endpoint{Workload: job, Addr: netip.MustParseAddr("10.9.1.1")}
	for _, c := range []struct {
		from, to segmentation.Endpoint
		port     uint16
		want     segmentation.Verdict
	}{
		{segmentation.Outside(admin), own, 22, segmentation.Allowed},
		{segmentation.Outside(admin), own, 23, segmentation.Denied},
		{segmentation.Outside(plane), own, 22, segmentation.Denied},
		{own, segmentation.Outside(plane), 9443, segmentation.Allowed},
		{own, segmentation.Outside(admin), 22, segmentation.Denied},
	} {
		f := segmentation.Flow{Src: c.from, Dst: c.to, Protocol: segmentation.TCP, Port: c.port}
		if got, rule := segmentation.Evaluate(kept, f); got != c.want {
			t.Errorf("from %v to %v port %d: %v by %v, want %v", c.from.Addr, c.to.Addr, c.port, got, rule, c.want)
		}
	}
	for name, ok := range map[string]bool{"": false, "/": false, "a/..": false, "system.slice/x": true, strings.Repeat("a/", 15) + "a": true, strings.Repeat("a/", 16) + "a": false} {
		if err := CheckCgroup(name); (err == nil) != ok {
			t.Errorf("cgroup %q: %v", name, err)
		}
	}
}
