package cyclonus

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/mattfenwick/cyclonus/pkg/matcher"
	v1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"

	"github.com/gabion-io/gabion/segmentation"
	"github.com/gabion-io/gabion/segmentation/foreign"
	"github.com/gabion-io/gabion/segmentation/learn"
	"github.com/gabion-io/gabion/segmentation/verdicttest"
	"github.com/gabion-io/gabion/workload"
)

// shop is a world to learn from: deployments in two namespaces that call one
// another and the world outside.
type shop struct {
	*rand.Rand
	workloads []*workload.Workload
	roles     [][]*workload.Workload
	edges     []segmentation.Edge
}

func newShop(seed uint64) *shop {
	s := &shop{Rand: rand.New(rand.NewPCG(seed, 5))}
	for n := range 4 + s.IntN(8) {
		var role []*workload.Workload
		for i := range 1 + s.IntN(3) {
			w := &workload.Workload{
				ID:        workload.ID{Namespace: []string{"x", "y"}[n%2], Name: fmt.Sprintf("role%d-7f9c6d5b8-x%dx2z", n, i+4)},
				Labels:    workload.Labels{"app": fmt.Sprint("role", n), "zone": []string{"a", "b"}[s.IntN(2)]},
				Addresses: []netip.Addr{netip.AddrFrom4([4]byte{10, 1, byte(n), byte(i + 1)})},
			}
			if n%3 == 0 {
				w.Ports = []workload.Port{{Name: "main", Protocol: uint8(segmentation.TCP), Number: uint16(8000 + n)}}
			}
			role = append(role, w)
		}
		s.roles = append(s.roles, role)
		s.workloads = append(s.workloads, role...)
	}
	for n, role := range s.roles {
		for range 1 + s.IntN(3) {
			to := s.IntN(len(s.roles))
			protocol := []segmentation.Protocol{segmentation.TCP, segmentation.TCP, segmentation.UDP, segmentation.SCTP}[s.IntN(4)]
			for _, src := range role {
				for _, dst := range s.roles[to] {
					if src != dst {
						s.call(src, segmentation.At(dst), protocol, uint16(8000+to))
					}
				}
				if n%2 == 0 {
					s.call(src, segmentation.Outside(netip.AddrFrom4([4]byte{203, 0, 113, byte(n)}), "api.example.com"), segmentation.TCP, 443)
				}
			}
		}
	}
	return s
}

func (s *shop) call(src *workload.Workload, dst segmentation.Endpoint, protocol segmentation.Protocol, port uint16) {
	day := time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)
	flows := uint64(20 + s.IntN(300))
	s.edges = append(s.edges, segmentation.Edge{Src: segmentation.At(src), Dst: dst, Protocol: protocol, Port: port, Flows: flows, Answered: &flows, Bytes: 900 * flows, First: day.Add(time.Minute), Last: day.Add(23 * time.Hour)})
}

// theirs is an end as cyclonus sees it.
func theirs(e segmentation.Endpoint) *matcher.TrafficPeer {
	p := &matcher.TrafficPeer{IP: e.Addr.String()}
	if w := e.Workload; w != nil {
		p.Internal = &matcher.InternalPeer{PodLabels: w.Labels, NamespaceLabels: map[string]string{workload.NamespaceName: w.ID.Namespace}, Namespace: w.ID.Namespace}
	}
	return p
}

// Learned policies, written as NetworkPolicy, mean to a foreign matcher what they
// mean here: on every learned edge, and on every other pair and port.
func TestExportedPoliciesMeanTheSame(t *testing.T) {
	edges, flows, allowed := 0, 0, 0
	for seed := range uint64(25) {
		s := newShop(seed)
		l := learn.New(s.workloads, learn.Options{Mode: segmentation.Enforce})
		for i := range s.edges {
			l.Add(&s.edges[i])
		}
		draft := l.Propose()
		var policies []segmentation.Policy
		for _, p := range draft.Proposals {
			policies = append(policies, p.Policy)
		}
		var written []*networkingv1.NetworkPolicy
		for _, d := range foreign.Export(foreign.Kubernetes, policies, s.workloads) {
			written = append(written, d.Resource.(*networkingv1.NetworkPolicy))
		}
		oracle := matcher.BuildNetworkPolicies(true, written)
		judge := func(f segmentation.Flow) bool {
			name := ""
			if f.Dst.Workload != nil {
				for _, p := range f.Dst.Workload.Ports {
					if p.Protocol == uint8(f.Protocol) && p.Number == f.Port {
						name = p.Name
					}
				}
			}
			want, rule := segmentation.Evaluate(policies, f)
			got := oracle.IsTrafficAllowed(&matcher.Traffic{Source: theirs(f.Src), Destination: theirs(f.Dst), ResolvedPort: int(f.Port), ResolvedPortName: name, Protocol: v1.Protocol(f.Protocol.String())}).IsAllowed()
			if got != (want == segmentation.Allowed) {
				t.Fatalf("seed %d: %+v to %+v on %s %d: %s by %s, cyclonus: allowed %v", seed, f.Src, f.Dst, f.Protocol, f.Port, want, rule, got)
			}
			flows++
			if got {
				allowed++
			}
			return got
		}
		for i := range s.edges {
			edges++
			if !judge(s.edges[i].Flow()) {
				t.Errorf("seed %d: a learned edge is denied: %+v", seed, s.edges[i])
			}
		}
		for _, src := range s.workloads {
			for n, role := range s.roles {
				for _, protocol := range []segmentation.Protocol{segmentation.TCP, segmentation.UDP, segmentation.SCTP} {
					for _, port := range []uint16{uint16(8000 + n), 8001} {
						judge(segmentation.Flow{Src: segmentation.At(src), Dst: segmentation.At(role[s.IntN(len(role))]), Protocol: protocol, Port: port})
					}
				}
			}
			for _, out := range []string{"203.0.113.0", "203.0.113.2", "198.51.100.1"} {
				judge(segmentation.Flow{Src: segmentation.At(src), Dst: segmentation.Outside(netip.MustParseAddr(out)), Protocol: segmentation.TCP, Port: 443})
			}
		}
	}
	t.Logf("%d learned edges, %d flows, %d of them allowed", edges, flows, allowed)
	if allowed == 0 || allowed == flows {
		t.Error("all flows have one verdict: nothing was compared")
	}
}

// Policies of every kind, deny rules and names among them: what is written for
// Kubernetes never allows a flow that they deny.
func TestExportsAllowNoMore(t *testing.T) {
	worlds, flows, allowed := 0, 0, 0
	for seed := range uint64(1500) {
		d := verdicttest.NewDice(seed)
		workloads := d.Workloads()
		for _, w := range workloads {
			labels := workload.Labels{workload.NamespaceName: w.ID.Namespace}
			for name, v := range w.NamespaceLabels {
				labels[name] = v
			}
			w.NamespaceLabels = labels
		}
		ends := verdicttest.Ends(workloads)
		policies := segmentation.Enforced(d.Policies())
		var written []*networkingv1.NetworkPolicy
		for _, doc := range foreign.Export(foreign.Kubernetes, policies, workloads) {
			if np, ok := doc.Resource.(*networkingv1.NetworkPolicy); ok {
				written = append(written, np)
			}
		}
		if slices.ContainsFunc(written, usesNotIn) {
			continue // cyclonus wants the label to be there, Kubernetes does not
		}
		worlds++
		oracle := matcher.BuildNetworkPolicies(true, written)
		for range 80 {
			f := d.Flow(ends)
			if !f.Protocol.HasPorts() || f.Port == 0 {
				continue
			}
			var names []string
			if f.Dst.Workload != nil {
				for _, p := range f.Dst.Workload.Ports {
					if p.Protocol == uint8(f.Protocol) && p.Number == f.Port {
						names = append(names, p.Name)
					}
				}
			}
			name := ""
			if len(names) > 0 {
				name = names[0]
			}
			traffic := &matcher.Traffic{Source: theirs(f.Src), Destination: theirs(f.Dst), ResolvedPort: int(f.Port), ResolvedPortName: name, Protocol: v1.Protocol(f.Protocol.String())}
			for _, p := range []*matcher.TrafficPeer{traffic.Source, traffic.Destination} {
				for _, w := range workloads {
					if p.Internal != nil && w.ID.Namespace == p.Internal.Namespace {
						p.Internal.NamespaceLabels = w.NamespaceLabels
					}
				}
			}
			want, rule := segmentation.Evaluate(policies, f)
			flows++
			if oracle.IsTrafficAllowed(traffic).IsAllowed() {
				if allowed++; want == segmentation.Denied {
					t.Fatalf("seed %d: %+v to %+v on %s %d is denied by %s, and allowed by what was written", seed, f.Src, f.Dst, f.Protocol, f.Port, rule)
				}
			}
		}
	}
	t.Logf("%d worlds, %d flows, %d of them allowed by what was written", worlds, flows, allowed)
	if allowed == 0 || allowed == flows {
		t.Error("all flows have one verdict: nothing was compared")
	}
}

func usesNotIn(p *networkingv1.NetworkPolicy) bool { return strings.Contains(p.String(), "NotIn") }
