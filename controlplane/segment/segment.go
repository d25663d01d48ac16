// Package segment turns resources into what segmentation knows: policies,
// workloads, and conditions about what they can never do. It reads
// SegmentationPolicy, Workload, Namespace and Kubernetes' NetworkPolicy, and
// writes a policy as the resource that says the same. It is pure and
// deterministic, and best effort: what is invalid is left out with a condition.
//
// It judges no flow (segmentation) and distributes nothing. The control plane's
// composition and the command line import it.
package segment

import (
	"cmp"
	"net/netip"
	"slices"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"

	"github.com/gabion-io/gabion/controlplane/api/v1alpha1"
	"github.com/gabion-io/gabion/segmentation"
	"github.com/gabion-io/gabion/workload"
)

// Options are what Compile needs beside the resources.
type Options struct {
	RootNamespace string // empty: "default"
	// Routed are the endpoints that a proxy's routes lead to (Routed): there it
	// judges HTTP rules of ingress. All others get a condition.
	Routed map[netip.AddrPort]bool
	// NoWorkloads leaves out the conditions about selectors that pick nothing:
	// for a file of policies alone.
	NoWorkloads bool
}

// Result is everything that resources say about the network.
type Result struct {
	Policies   []segmentation.Policy // by kind, namespace and name
	Workloads  []*workload.Workload  // by namespace and name
	Conditions []v1alpha1.Condition  // by resource; only what somebody should look at
}

// Compile turns resources into policies and workloads. Resources of other kinds
// are not looked at.
func Compile(objects []v1alpha1.Object, o Options) Result {
	o.RootNamespace = cmp.Or(o.RootNamespace, v1alpha1.DefaultNamespace)
	c := &compiler{options: o, spaces: map[string]workload.Labels{}, groups: map[workload.ID]bool{}}
	for _, object := range objects {
		if ns, ok := object.(*corev1.Namespace); ok {
			c.spaces[ns.Name] = ns.Labels
		}
	}
	for _, object := range objects {
		c.at = v1alpha1.KeyOf(object)
		switch object := object.(type) {
		case *v1alpha1.Workload:
			w := c.workload(object)
			c.out.Workloads = append(c.out.Workloads, w)
			c.groups[w.ID] = object.Spec.Cgroup != ""
		case *v1alpha1.SegmentationPolicy:
			c.out.Policies = append(c.out.Policies, c.policy(object))
		case *networkingv1.NetworkPolicy:
			c.out.Policies = append(c.out.Policies, c.networkPolicy(object))
		}
	}
	slices.SortFunc(c.out.Workloads, func(a, b *workload.Workload) int { return a.ID.Compare(b.ID) })
	slices.SortFunc(c.out.Policies, func(a, b segmentation.Policy) int {
		return cmp.Or(cmp.Compare(a.Name.Kind, b.Name.Kind), a.Name.ID.Compare(b.Name.ID))
	})
	c.sharedAddresses()
	if !o.NoWorkloads {
		c.idle()
	}
	c.needProxy()
	c.needLink()
	slices.SortStableFunc(c.out.Conditions, func(a, b v1alpha1.Condition) int {
		return cmp.Or(a.Key().Compare(b.Key()), cmp.Compare(a.Path, b.Path), cmp.Compare(a.Message, b.Message))
	})
	return c.out
}

// compiler holds what one compilation found so far.
type compiler struct {
	options Options
	spaces  map[string]workload.Labels
	groups  map[workload.ID]bool // workloads that are processes of a host
	at      v1alpha1.Key         // the resource being read
	out     Result
}
