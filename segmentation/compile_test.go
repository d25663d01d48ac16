package segmentation

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"net/netip"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/gabion-io/gabion/workload"
)

// dice makes random worlds, small enough that everything meets everything.
type dice struct{ *rand.Rand }

func (d dice) pick(list ...string) string { return list[d.IntN(len(list))] }

func (d dice) labels() workload.Labels {
	l := workload.Labels{}
	for _, name := range []string{"app", "tier"} {
		if d.IntN(3) > 0 {
			l[name] = d.pick("a", "b", "c")
		}
	}
	return l
}

func (d dice) workloads() (out []*workload.Workload) {
	spaces := map[string]workload.Labels{"x": {"env": "p"}, "y": {"env": "q"}, "z": nil}
	for i := range 12 {
		ns := d.pick("x", "y", "z")
		w := &workload.Workload{
			ID: workload.ID{Namespace: ns, Name: fmt.Sprintf("w-%d", i)}, NamespaceLabels: spaces[ns], Labels: d.labels(),
			Addresses: []netip.Addr{netip.AddrFrom4([4]byte{10, 0, byte(d.IntN(3)), byte(i)}), netip.MustParseAddr(fmt.Sprintf("fd00::%d:%x", d.IntN(3), i))},
		}
		if d.IntN(2) == 0 {
			w.Ports = append(w.Ports, workload.Port{Name: "web", Protocol: uint8(TCP), Number: uint16(80 + d.IntN(3))})
		}
		if d.IntN(3) == 0 {
			w.Ports = append(w.Ports, workload.Port{Name: "web", Protocol: uint8(UDP), Number: 81})
		}
		out = append(out, w)
	}
	return out
}

func (d dice) selector(names ...string) (s workload.Selector) {
	for range d.IntN(3) {
		r := workload.Requirement{Label: d.pick(names...), Operator: workload.Operator(d.pick("In", "In", "In", "NotIn", "Exists", "DoesNotExist"))}
		if r.Operator == workload.In || r.Operator == workload.NotIn {
			r.Values = []string{d.pick("a", "b", "p"), d.pick("a", "c", "q")}
		}
		s.Requirements = append(s.Requirements, r)
	}
	return s
}

func (d dice) selection() Selection {
	s := Selection{Labels: d.selector("app", "tier")}
	switch d.IntN(4) {
	case 0:
		s.Namespaces = d.selector("env", workload.NamespaceName)
	case 1, 2:
		s.Namespace = d.pick("x", "y")
	}
	if d.IntN(8) == 0 {
		s.Names = []string{d.pick("w-1*", "w-3", "*5")}
	}
	return s
}

func (d dice) peer() Peer {
	switch d.IntN(6) {
	case 0:
		c := &CIDR{Prefix: netip.MustParsePrefix(d.pick("10.0.0.0/8", "10.0.1.0/24", "0.0.0.0/0", "192.0.2.0/28", "fd00::/64", "::/0", "10.0.2.4/30"))}
		if d.IntN(2) == 0 {
			c.Except = []netip.Prefix{netip.MustParsePrefix(d.pick("10.0.1.0/25", "10.0.2.0/24", "192.0.2.8/29", "fd00::1:0/112"))}
		}
		return Peer{CIDR: c}
	case 1:
		n := &Name{Pattern: d.pick("api.example.com", "*.example.com", "db.example.org")}
		if d.IntN(2) == 0 {
			n.Addresses = []netip.Addr{netip.MustParseAddr(d.pick("192.0.2.1", "192.0.2.9", "2001:db8::1"))}
		}
		return Peer{Name: n}
	}
	s := d.selection()
	return Peer{Workloads: &s}
}

func (d dice) ports() Ports {
	p := Ports{Protocol: []Protocol{TCP, TCP, UDP, SCTP, ICMP, AnyProtocol}[d.IntN(6)]}
	switch {
	case p.Protocol == ICMP || p.Protocol == AnyProtocol:
	case d.IntN(4) == 0:
		p.Name = d.pick("web", "api")
	case d.IntN(3) > 0:
		p.From = uint16(79 + d.IntN(5))
		p.To = p.From + uint16(d.IntN(3))
	}
	return p
}

func (d dice) rules() Rules {
	r := Rules{Governed: d.IntN(3) > 0}
	for range d.IntN(4) {
		rule := Rule{Deny: d.IntN(4) == 0}
		for range d.IntN(3) {
			rule.Peers = append(rule.Peers, d.peer())
		}
		for range d.IntN(3) {
			rule.Ports = append(rule.Ports, d.ports())
		}
		if d.IntN(6) == 0 {
			rule.HTTP = []HTTPRule{{Methods: []string{"GET"}}}
		}
		r.List = append(r.List, rule)
	}
	return r
}

func (d dice) policies() (out []Policy) {
	for i := range 1 + d.IntN(5) {
		out = append(out, Policy{
			Name: PolicyName{"SegmentationPolicy", workload.ID{Namespace: "x", Name: fmt.Sprint("p", i)}},
			Mode: Mode(d.IntN(3)), Subject: d.selection(), Ingress: d.rules(), Egress: d.rules(),
		})
	}
	return out
}

var worldNames = map[string][]netip.Addr{
	"api.example.com": {netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("2001:db8::1")},
	"cdn.example.com": {netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2")},
	"db.example.org":  {netip.MustParseAddr("10.0.1.200")},
}

// ends are everything a flow can begin or end at: workloads at each address,
// addresses with the names they have, and others.
func ends(workloads []*workload.Workload) (out []Endpoint) {
	for _, w := range workloads {
		for _, a := range w.Addresses {
			out = append(out, Endpoint{Workload: w, Addr: a})
		}
	}
	names := map[netip.Addr][]string{}
	for _, name := range sortedKeys(worldNames) {
		for _, a := range worldNames[name] {
			names[a] = append(names[a], name)
		}
	}
	for _, a := range slices.SortedFunc(maps.Keys(names), netip.Addr.Compare) {
		out = append(out, Outside(a, names[a]...))
	}
	for _, a := range []string{"192.0.2.9", "192.0.2.14", "10.0.1.77", "10.0.1.177", "203.0.113.1", "fd00::1:ffff", "2001:db8::2"} {
		out = append(out, Outside(netip.MustParseAddr(a)))
	}
	return out
}

// The flat table and the reference never disagree, neither on verdicts nor on
// which rule it was. GABION_FULL=1 tries 100,000 pairs and more.
func TestTableMeansWhatEvaluateMeans(t *testing.T) {
	worlds := 300
	if os.Getenv("GABION_FULL") == "1" {
		worlds = 6000
	}
	checked, seen := 0, map[Verdict]int{}
	for seed := range worlds {
		d := dice{rand.New(rand.NewPCG(7, uint64(seed)))}
		workloads, policies := d.workloads(), d.policies()
		proxied := d.IntN(2) == 0
		table := Compile(policies, World{
			Workloads: workloads, Names: worldNames,
			Proxied: func(*workload.Workload, Direction) bool { return proxied },
		})
		all := ends(workloads)
		for range 200 {
			f := Flow{
				Src: all[d.IntN(len(all))], Dst: all[d.IntN(len(all))], Proxied: proxied,
				Protocol: []Protocol{TCP, UDP, SCTP, ICMP, ICMPv6, 47}[d.IntN(6)],
			}
			if f.Protocol.HasPorts() {
				f.Port = []uint16{0, 78, 79, 80, 81, 82, 83, 84, 85, 65535}[d.IntN(10)]
			}
			for _, dir := range []Direction{Ingress, Egress} {
				want, wantRule := Judge(policies, f, dir)
				got, gotRule := table.Judge(f, dir)
				if got != want || gotRule != wantRule {
					t.Fatalf("seed %d, %s of %+v: the table says %s by %s, Evaluate %s by %s\n%+v", seed, dir, f, got, gotRule, want, wantRule, policies)
				}
				checked++
				seen[want]++
			}
		}
	}
	t.Logf("%d verdicts compared: %v", checked, seen)
	if len(seen) != 3 {
		t.Errorf("the worlds reach only %v", seen)
	}
}

func TestCompileKeepsKeysAndOrder(t *testing.T) {
	d := dice{rand.New(rand.NewPCG(1, 1))}
	workloads, policies := d.workloads(), d.policies()
	one := Compile(policies, World{Workloads: workloads, Names: worldNames})
	d.Shuffle(len(workloads), func(i, j int) { workloads[i], workloads[j] = workloads[j], workloads[i] })
	if diff := cmp.Diff(one, Compile(policies, World{Workloads: workloads, Names: worldNames}), cmp.Comparer(func(a, b netip.Prefix) bool { return a == b })); diff != "" {
		t.Errorf("the order of workloads matters:\n%s", diff)
	}
}

func TestPortBlocks(t *testing.T) {
	for _, r := range [][2]uint16{{0, 65535}, {80, 80}, {0, 0}, {65535, 65535}, {1, 65534}, {8000, 8999}, {32768, 65535}} {
		covered := map[int]bool{}
		for _, b := range PortBlocks(r[0], r[1]) {
			for p := int(b.Port); p < int(b.Port)+1<<(16-b.Bits); p++ {
				if covered[p] {
					t.Fatalf("%v: port %d is covered twice", r, p)
				}
				covered[p] = true
			}
		}
		if len(covered) != int(r[1])-int(r[0])+1 || !covered[int(r[0])] || !covered[int(r[1])] {
			t.Errorf("%v: %d ports are covered", r, len(covered))
		}
	}
}

// The size a host may reach: 10,000 identities, a policy each.
func TestCompileLarge(t *testing.T) {
	if testing.Short() {
		t.Skip("takes seconds")
	}
	var workloads []*workload.Workload
	var policies []Policy
	for i := range 10_000 {
		name := fmt.Sprint("app-", i)
		workloads = append(workloads, labelled(name, workload.Labels{"app": name, "tier": fmt.Sprint(i % 10)}, fmt.Sprintf("10.%d.%d.1", i/250, i%250)))
		p := Policy{Name: named(name), Mode: Enforce, Subject: *app(name), Ingress: Rules{Governed: true}, Egress: Rules{Governed: true}}
		for n := range 5 {
			peer := []Peer{{Workloads: app(fmt.Sprint("app-", (i*7+n)%10_000))}}
			p.Ingress.List = append(p.Ingress.List, Rule{Peers: peer, Ports: []Ports{{Protocol: TCP, From: 8080, To: 8080}}})
		}
		policies = append(policies, p)
	}
	began := time.Now()
	table := Compile(policies, World{Workloads: workloads})
	t.Logf("%d entries, %d peers in %v", len(table.Entries), len(table.Peers), time.Since(began))
	if len(table.Subjects) != 10_000 || len(table.Entries) != 10_000*(2+2*5) {
		t.Errorf("%d subjects, %d entries", len(table.Subjects), len(table.Entries))
	}
}
