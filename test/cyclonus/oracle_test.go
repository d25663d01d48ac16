package cyclonus

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"testing"

	"github.com/mattfenwick/cyclonus/pkg/generator"
	"github.com/mattfenwick/cyclonus/pkg/matcher"
	v1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/gabion-io/gabion/controlplane/api/v1alpha1"
	"github.com/gabion-io/gabion/controlplane/segment"
	"github.com/gabion-io/gabion/segmentation"
	"github.com/gabion-io/gabion/workload"
)

// pod is one of cyclonus' servers: ports 80 and 81, over three protocols, with
// names like serve-80-tcp.
type pod struct {
	namespace, name, ip string
	labels              map[string]string
}

// cluster is the state that a case's actions change, as cyclonus keeps it.
type cluster struct {
	namespaces map[string]map[string]string
	pods       []pod
	policies   []*networkingv1.NetworkPolicy
}

func newCluster() *cluster {
	c := &cluster{namespaces: map[string]map[string]string{}}
	for i, ns := range []string{"x", "y", "z"} {
		c.label(ns, map[string]string{"ns": ns})
		for k, name := range []string{"a", "b", "c"} {
			c.pods = append(c.pods, pod{ns, name, fmt.Sprintf("192.168.%d.%d", i+1, k+1), map[string]string{"pod": name}})
		}
	}
	return c
}

// label gives a namespace its labels, and the one that the API server gives it.
func (c *cluster) label(namespace string, labels map[string]string) {
	labels = maps.Clone(labels)
	if labels == nil {
		labels = map[string]string{}
	}
	labels[workload.NamespaceName] = namespace
	c.namespaces[namespace] = labels
}

func (c *cluster) pod(namespace, name string) int {
	return slices.IndexFunc(c.pods, func(p pod) bool { return p.namespace == namespace && p.name == name })
}

func (c *cluster) do(t *testing.T, a *generator.Action) {
	t.Helper()
	policy := func(namespace, name string) int {
		return slices.IndexFunc(c.policies, func(p *networkingv1.NetworkPolicy) bool { return p.Namespace == namespace && p.Name == name })
	}
	switch {
	case a.CreatePolicy != nil:
		c.policies = append(c.policies, a.CreatePolicy.Policy)
	case a.UpdatePolicy != nil:
		c.policies[policy(a.UpdatePolicy.Policy.Namespace, a.UpdatePolicy.Policy.Name)] = a.UpdatePolicy.Policy
	case a.DeletePolicy != nil:
		n := policy(a.DeletePolicy.Namespace, a.DeletePolicy.Name)
		c.policies = slices.Delete(c.policies, n, n+1)
	case a.CreateNamespace != nil:
		c.label(a.CreateNamespace.Namespace, a.CreateNamespace.Labels)
	case a.SetNamespaceLabels != nil:
		c.label(a.SetNamespaceLabels.Namespace, a.SetNamespaceLabels.Labels)
	case a.DeleteNamespace != nil:
		delete(c.namespaces, a.DeleteNamespace.Namespace)
		c.pods = slices.DeleteFunc(c.pods, func(p pod) bool { return p.namespace == a.DeleteNamespace.Namespace })
	case a.CreatePod != nil:
		c.pods = append(c.pods, pod{a.CreatePod.Namespace, a.CreatePod.Pod, fmt.Sprintf("192.168.9.%d", len(c.pods)), a.CreatePod.Labels})
	case a.SetPodLabels != nil:
		c.pods[c.pod(a.SetPodLabels.Namespace, a.SetPodLabels.Pod)].labels = a.SetPodLabels.Labels
	case a.DeletePod != nil:
		n := c.pod(a.DeletePod.Namespace, a.DeletePod.Pod)
		c.pods = slices.Delete(c.pods, n, n+1)
	case a.ReadNetworkPolicies != nil:
	default:
		t.Fatalf("an action of a kind unknown here: %+v", a)
	}
}

var (
	protocols = []v1.Protocol{v1.ProtocolTCP, v1.ProtocolUDP, v1.ProtocolSCTP}
	ports     = []int{80, 81}
)

func portName(port int, protocol v1.Protocol) string {
	return fmt.Sprintf("serve-%d-%s", port, map[v1.Protocol]string{v1.ProtocolTCP: "tcp", v1.ProtocolUDP: "udp", v1.ProtocolSCTP: "sctp"}[protocol])
}

// ours is the same cluster in gabion's words.
func (c *cluster) ours() (map[string]*workload.Workload, []segmentation.Policy) {
	out := map[string]*workload.Workload{}
	for _, p := range c.pods {
		w := &workload.Workload{
			ID: workload.ID{Namespace: p.namespace, Name: p.name}, Labels: p.labels, NamespaceLabels: c.namespaces[p.namespace],
			Addresses: []netip.Addr{netip.MustParseAddr(p.ip)},
		}
		for _, port := range ports {
			for _, protocol := range protocols {
				n, _ := segmentation.ParseProtocol(string(protocol))
				w.Ports = append(w.Ports, workload.Port{Name: portName(port, protocol), Protocol: uint8(n), Number: uint16(port)})
			}
		}
		out[w.ID.String()] = w
	}
	var objects []v1alpha1.Object
	for _, p := range c.policies {
		o := p.DeepCopy()
		o.TypeMeta = metav1.TypeMeta{APIVersion: "networking.k8s.io/v1", Kind: "NetworkPolicy"}
		objects = append(objects, o)
	}
	return out, segment.Compile(objects, segment.Options{NoWorkloads: true}).Policies
}

// compare judges every pair of pods on every port, and says how many flows that
// was and how many of them are allowed.
func (c *cluster) compare(t *testing.T, what string) (flows, allowed int) {
	t.Helper()
	theirs := matcher.BuildNetworkPolicies(true, c.policies)
	workloads, policies := c.ours()
	for _, from := range c.pods {
		for _, to := range c.pods {
			for _, port := range append(slices.Clone(ports), 7000) {
				for _, protocol := range protocols {
					name := portName(port, protocol)
					if port == 7000 {
						name = ""
					}
					want := theirs.IsTrafficAllowed(&matcher.Traffic{
						Source: c.peer(from), Destination: c.peer(to), ResolvedPort: port, ResolvedPortName: name, Protocol: protocol,
					}).IsAllowed()
					n, _ := segmentation.ParseProtocol(string(protocol))
					f := segmentation.Flow{Protocol: n, Port: uint16(port)}
					f.Src, f.Dst = segmentation.Between(workloads[from.namespace+"/"+from.name], workloads[to.namespace+"/"+to.name])
					got, rule := segmentation.Evaluate(policies, f)
					if (got == segmentation.Allowed) != want {
						t.Errorf("%s: %s/%s to %s/%s on %s %d: %s by %s, cyclonus: allowed %v", what, from.namespace, from.name, to.namespace, to.name, protocol, port, got, rule, want)
						return flows, allowed
					}
					flows++
					if want {
						allowed++
					}
				}
			}
		}
	}
	return flows, allowed
}

func (c *cluster) peer(p pod) *matcher.TrafficPeer {
	return &matcher.TrafficPeer{IP: p.ip, Internal: &matcher.InternalPeer{PodLabels: p.labels, NamespaceLabels: c.namespaces[p.namespace], Namespace: p.namespace}}
}

// Every case that cyclonus generates, at every step.
func TestEveryGeneratedCase(t *testing.T) {
	c := newCluster()
	cases := generator.NewTestCaseGenerator(true, c.pods[c.pod("z", "c")].ip, []string{"x", "y", "z"}, nil, nil).GenerateAllTestCases()
	if len(cases) < 100 {
		t.Fatalf("cyclonus generates only %d cases", len(cases))
	}
	steps, flows, allowed := 0, 0, 0
	for n, tc := range cases {
		c := newCluster()
		for s, step := range tc.Steps {
			for _, a := range step.Actions {
				c.do(t, a)
			}
			f, ok := c.compare(t, fmt.Sprintf("case %d (%s) step %d", n, tc.Description, s))
			steps, flows, allowed = steps+1, flows+f, allowed+ok
		}
	}
	t.Logf("%d cases, %d steps, %d flows, %d of them allowed", len(cases), steps, flows, allowed)
	if allowed == 0 || allowed == flows {
		t.Error("all flows have one verdict: nothing was compared")
	}
}
