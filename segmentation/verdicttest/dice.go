package verdicttest

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"net/netip"
	"slices"

	"github.com/gabion-io/gabion/segmentation"
	"github.com/gabion-io/gabion/workload"
)

// Dice make random worlds, so small that everything meets everything: for tests
// that compare two judges.
type Dice struct{ *rand.Rand }

// NewDice gives the dice of a seed.
func NewDice(seed uint64) Dice { return Dice{rand.New(rand.NewPCG(7, seed))} }

func (d Dice) pick(list ...string) string { return list[d.IntN(len(list))] }

func (d Dice) labels() workload.Labels {
	l := workload.Labels{}
	for _, name := range []string{"app", "tier"} {
		if d.IntN(3) > 0 {
			l[name] = d.pick("a", "b", "c")
		}
	}
	return l
}

// Workloads are a dozen, in three namespaces, with an address of each family.
func (d Dice) Workloads() (out []*workload.Workload) {
	spaces := map[string]workload.Labels{"x": {"env": "p"}, "y": {"env": "q"}, "z": nil}
	for i := range 12 {
		ns := d.pick("x", "y", "z")
		w := &workload.Workload{
			ID: workload.ID{Namespace: ns, Name: fmt.Sprintf("w-%d", i)}, NamespaceLabels: spaces[ns], Labels: d.labels(),
			Addresses: []netip.Addr{netip.AddrFrom4([4]byte{10, 0, byte(d.IntN(3)), byte(i)}), netip.MustParseAddr(fmt.Sprintf("fd00::%d:%x", d.IntN(3), i))},
		}
		if d.IntN(2) == 0 {
			w.Ports = append(w.Ports, workload.Port{Name: "web", Protocol: uint8(segmentation.TCP), Number: uint16(80 + d.IntN(3))})
		}
		if d.IntN(3) == 0 {
			w.Ports = append(w.Ports, workload.Port{Name: "web", Protocol: uint8(segmentation.UDP), Number: 81})
		}
		out = append(out, w)
	}
	return out
}

func (d Dice) selector(names ...string) (s workload.Selector) {
	for range d.IntN(3) {
		r := workload.Requirement{Label: d.pick(names...), Operator: workload.Operator(d.pick("In", "In", "In", "NotIn", "Exists", "DoesNotExist"))}
		if r.Operator == workload.In || r.Operator == workload.NotIn {
			r.Values = []string{d.pick("a", "b", "p"), d.pick("a", "c", "q")}
		}
		s.Requirements = append(s.Requirements, r)
	}
	return s
}

func (d Dice) selection() segmentation.Selection {
	s := segmentation.Selection{Labels: d.selector("app", "tier")}
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

func (d Dice) peer() segmentation.Peer {
	switch d.IntN(6) {
	case 0:
		c := &segmentation.CIDR{Prefix: netip.MustParsePrefix(d.pick("10.0.0.0/8", "10.0.1.0/24", "0.0.0.0/0", "192.0.2.0/28", "fd00::/64", "::/0", "10.0.2.4/30"))}
		if d.IntN(2) == 0 {
			c.Except = []netip.Prefix{netip.MustParsePrefix(d.pick("10.0.1.0/25", "10.0.2.0/24", "192.0.2.8/29", "fd00::1:0/112"))}
		}
		return segmentation.Peer{CIDR: c}
	case 1:
		n := &segmentation.Name{Pattern: d.pick("api.example.com", "*.example.com", "db.example.org")}
		if d.IntN(2) == 0 {
			n.Addresses = []netip.Addr{netip.MustParseAddr(d.pick("192.0.2.1", "192.0.2.9", "2001:db8::1"))}
		}
		return segmentation.Peer{Name: n}
	}
	s := d.selection()
	return segmentation.Peer{Workloads: &s}
}

func (d Dice) ports() segmentation.Ports {
	p := segmentation.Ports{Protocol: []segmentation.Protocol{segmentation.TCP, segmentation.TCP, segmentation.UDP, segmentation.SCTP, segmentation.ICMP, segmentation.AnyProtocol}[d.IntN(6)]}
	switch {
	case p.Protocol == segmentation.ICMP || p.Protocol == segmentation.AnyProtocol:
	case d.IntN(4) == 0:
		p.Name = d.pick("web", "api")
	case d.IntN(3) > 0:
		p.From = uint16(79 + d.IntN(5))
		p.To = p.From + uint16(d.IntN(3))
	}
	return p
}

func (d Dice) rules() segmentation.Rules {
	r := segmentation.Rules{Governed: d.IntN(3) > 0}
	for range d.IntN(4) {
		rule := segmentation.Rule{Deny: d.IntN(4) == 0}
		for range d.IntN(3) {
			rule.Peers = append(rule.Peers, d.peer())
		}
		for range d.IntN(3) {
			rule.Ports = append(rule.Ports, d.ports())
		}
		if d.IntN(6) == 0 {
			rule.HTTP = []segmentation.HTTPRule{{Methods: []string{"GET"}}}
		}
		r.List = append(r.List, rule)
	}
	return r
}

// Policies are a few, of every mode, with rules of every kind.
func (d Dice) Policies() (out []segmentation.Policy) {
	for i := range 1 + d.IntN(5) {
		out = append(out, segmentation.Policy{
			Name: segmentation.PolicyName{Kind: "SegmentationPolicy", ID: workload.ID{Namespace: "x", Name: fmt.Sprint("p", i)}},
			Mode: segmentation.Mode(d.IntN(3)), Subject: d.selection(), Ingress: d.rules(), Egress: d.rules(),
		})
	}
	return out
}

// Names are the DNS names that Policies speak of, with their addresses.
func Names() map[string][]netip.Addr {
	return map[string][]netip.Addr{
		"api.example.com": {netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("2001:db8::1")},
		"cdn.example.com": {netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2")},
		"db.example.org":  {netip.MustParseAddr("10.0.1.200")},
	}
}

// Ends are everything a flow can begin or end at: workloads at each address,
// addresses with the names they have, and others.
func Ends(workloads []*workload.Workload) (out []segmentation.Endpoint) {
	for _, w := range workloads {
		for _, a := range w.Addresses {
			out = append(out, segmentation.Endpoint{Workload: w, Addr: a})
		}
	}
	names := map[netip.Addr][]string{}
	for _, name := range slices.Sorted(maps.Keys(Names())) {
		for _, a := range Names()[name] {
			names[a] = append(names[a], name)
		}
	}
	for _, a := range slices.SortedFunc(maps.Keys(names), netip.Addr.Compare) {
		out = append(out, segmentation.Outside(a, names[a]...))
	}
	for _, a := range []string{"192.0.2.9", "192.0.2.14", "10.0.1.77", "10.0.1.177", "203.0.113.1", "fd00::1:ffff", "2001:db8::2"} {
		out = append(out, segmentation.Outside(netip.MustParseAddr(a)))
	}
	return out
}

// Flow is a flow between two of the ends, to one of the ports that Policies speak
// of or next to one.
func (d Dice) Flow(all []segmentation.Endpoint) segmentation.Flow {
	f := segmentation.Flow{Src: all[d.IntN(len(all))], Dst: all[d.IntN(len(all))], Protocol: []segmentation.Protocol{segmentation.TCP, segmentation.UDP, segmentation.SCTP, segmentation.ICMP, segmentation.ICMPv6, 47}[d.IntN(6)]}
	if f.Protocol.HasPorts() {
		f.Port = []uint16{0, 78, 79, 80, 81, 82, 83, 84, 85, 65535}[d.IntN(10)]
	}
	return f
}
