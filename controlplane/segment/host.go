package segment

import (
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/gabion-io/gabion/controlplane/api/v1alpha1"
	"github.com/gabion-io/gabion/segmentation"
)

// Hosts knows which resources each host needs: the workloads on it (spec.node; those
// that name an interface or a cgroup and no host are on the one that NewHosts is told), the
// policies in audit or enforce that select any of them, and of other workloads
// those that these policies can tell apart from anybody. Judged by them, flows of
// the host's workloads get the verdicts that they get by all.
//
// It is for one goroutine at a time: answers are remembered.
type Hosts struct {
	result  Result
	objects map[v1alpha1.Key]v1alpha1.Object
	on      map[string][]int // workloads, by host
	serving map[string][]int // workloads, by the names of their ports
	picked  map[string][]int // workloads, by selection
	peers   map[int]*v1alpha1.Workload
	cut     map[int]v1alpha1.Object // policies
}

// NewHosts takes compiled resources apart by host. Where there is one machine only,
// this is its name: workloads need not say it. Else it is empty.
func NewHosts(objects []v1alpha1.Object, result Result, this string) *Hosts {
	h := &Hosts{
		result: result, objects: map[v1alpha1.Key]v1alpha1.Object{}, on: map[string][]int{},
		serving: map[string][]int{}, picked: map[string][]int{},
		peers: map[int]*v1alpha1.Workload{}, cut: map[int]v1alpha1.Object{},
	}
	for _, o := range objects {
		h.objects[v1alpha1.KeyOf(o)] = o
	}
	for i, w := range result.Workloads {
		if node := h.nodeOf(i, this); node != "" {
			h.on[node] = append(h.on[node], i)
		}
		for _, p := range w.Ports {
			if list := h.serving[p.Name]; len(list) == 0 || list[len(list)-1] != i {
				h.serving[p.Name] = append(list, i)
			}
		}
	}
	return h
}

// nodeOf is the host that a workload is on; empty if nobody says.
func (h *Hosts) nodeOf(i int, this string) string {
	if node := h.result.Workloads[i].Node; node != "" {
		return node
	}
	if w, ok := h.objects[workloadKey(h.result, i)].(*v1alpha1.Workload); ok && w.Spec.Interface+w.Spec.Cgroup != "" {
		return this
	}
	return ""
}

// Names lists the hosts that workloads name, sorted.
func (h *Hosts) Names() []string {
	out := make([]string, 0, len(h.on))
	for name := range h.on {
		out = append(out, name)
	}
	slices.Sort(out)
	return out
}

// On lists the workloads of a host that an agent can put programs on.
func (h *Hosts) On(host string) (out []v1alpha1.Key) {
	for _, i := range h.on[host] {
		key := workloadKey(h.result, i)
		if w, ok := h.objects[key].(*v1alpha1.Workload); ok && w.Spec.Interface+w.Spec.Cgroup != "" {
			out = append(out, key)
		}
	}
	return out
}

// Need gives the resources of one host, by key, each cut down to what counts there.
// Hosts share those that are cut alike.
func (h *Hosts) Need(host string) []v1alpha1.Object {
	own := h.on[host]
	known := make([]bool, len(h.result.Workloads))
	for _, i := range own {
		known[i] = true
	}
	var policies, workloads []v1alpha1.Object
	everybody := false
	for i := range h.result.Policies {
		p := &h.result.Policies[i]
		if p.Mode == segmentation.Observe || !common(h.picks(&p.Subject), own) {
			continue
		}
		if byName(p) {
			everybody = true
		} else if !everybody {
			for _, n := range h.seen(p) {
				known[n] = true
			}
		}
		if o := h.policy(i); o != nil {
			policies = append(policies, o)
		}
	}
	spaces := map[string]bool{}
	for i := range known {
		if !known[i] && !everybody {
			continue
		}
		if w := h.workload(i, host, own); w != nil {
			workloads = append(workloads, w)
			spaces[w.Namespace] = true
		}
	}
	// By key: kinds, and workloads and policies as they were compiled.
	return slices.Concat(h.namespaces(spaces), policies, workloads)
}

// namespaces gives those of some names that have labels.
func (h *Hosts) namespaces(names map[string]bool) (out []v1alpha1.Object) {
	for _, name := range slices.Sorted(maps.Keys(names)) {
		if ns, ok := h.objects[v1alpha1.Key{Kind: v1alpha1.KindNamespace, Name: name}].(*corev1.Namespace); ok && len(ns.Labels) > 0 {
			out = append(out, &corev1.Namespace{TypeMeta: ns.TypeMeta, ObjectMeta: metav1.ObjectMeta{Name: ns.Name, Labels: ns.Labels}})
		}
	}
	return out
}

func (h *Hosts) policy(i int) v1alpha1.Object {
	o, known := h.cut[i]
	if !known {
		o = cutPolicy(h.objects[keyOf(h.result.Policies[i].Name)])
		h.cut[i] = o
	}
	return o
}

func (h *Hosts) workload(i int, host string, own []int) *v1alpha1.Workload {
	if _, here := slices.BinarySearch(own, i); here {
		return h.cutWorkload(i, host)
	}
	w, known := h.peers[i]
	if !known {
		w = h.cutWorkload(i, "")
		h.peers[i] = w
	}
	return w
}

// picks lists the workloads that a selection means, in order.
func (h *Hosts) picks(s *segmentation.Selection) []int {
	key := s.String()
	found, known := h.picked[key]
	if !known {
		for i, w := range h.result.Workloads {
			if s.Matches(w.Identity()) {
				found = append(found, i)
			}
		}
		h.picked[key] = found
	}
	return found
}

// byName says whether a policy can tell every workload from an address outside: names
// mean nobody inside, and a name can turn out to have anybody's address.
func byName(p *segmentation.Policy) bool {
	return slices.ContainsFunc(p.Egress.List, func(r segmentation.Rule) bool {
		return slices.ContainsFunc(r.Peers, func(p segmentation.Peer) bool { return p.Name != nil })
	})
}

// seen lists the workloads that the rules of a policy that is not byName can tell from
// an address outside: those that a peer selects, and those that call a port as a rule of
// egress does.
func (h *Hosts) seen(p *segmentation.Policy) (out []int) {
	for _, d := range []segmentation.Direction{segmentation.Ingress, segmentation.Egress} {
		for _, r := range p.In(d).List {
			for _, peer := range r.Peers {
				if peer.Workloads != nil {
					out = append(out, h.picks(peer.Workloads)...)
				}
			}
			for _, port := range r.Ports {
				if port.Name != "" && d == segmentation.Egress {
					out = append(out, h.serving[port.Name]...)
				}
			}
		}
	}
	return out
}

// common says whether two sorted lists share anything.
func common(a, b []int) bool {
	for len(a) > 0 && len(b) > 0 {
		switch {
		case a[0] == b[0]:
			return true
		case a[0] < b[0]:
			a = a[1:]
		default:
			b = b[1:]
		}
	}
	return false
}

func workloadKey(r Result, i int) v1alpha1.Key {
	id := r.Workloads[i].ID
	return v1alpha1.Key{Kind: v1alpha1.KindWorkload, Namespace: id.Namespace, Name: id.Name}
}

// cutWorkload leaves what policies see of a workload, and where it is found if it
// is on the given host.
func (h *Hosts) cutWorkload(i int, host string) *v1alpha1.Workload {
	w, ok := h.objects[workloadKey(h.result, i)].(*v1alpha1.Workload)
	if !ok {
		return nil
	}
	out := &v1alpha1.Workload{
		TypeMeta: w.TypeMeta, ObjectMeta: metav1.ObjectMeta{Namespace: w.Namespace, Name: w.Name, Labels: w.Labels},
		Spec: v1alpha1.WorkloadSpec{Addresses: w.Spec.Addresses, Ports: w.Spec.Ports},
	}
	if host != "" {
		out.Spec.Interface, out.Spec.Cgroup, out.Spec.Node = w.Spec.Interface, w.Spec.Cgroup, host
		out.Spec.CaptureTLS = w.Spec.CaptureTLS
	}
	return out
}

// cutPolicy leaves what is judged by: no annotations, no texts for people.
func cutPolicy(o v1alpha1.Object) v1alpha1.Object {
	switch o := o.(type) {
	case *v1alpha1.SegmentationPolicy:
		out := &v1alpha1.SegmentationPolicy{TypeMeta: o.TypeMeta, ObjectMeta: metav1.ObjectMeta{Namespace: o.Namespace, Name: o.Name}, Spec: o.Spec}
		out.Spec.Ingress, out.Spec.Egress = withoutReasons(o.Spec.Ingress), withoutReasons(o.Spec.Egress)
		return out
	case *networkingv1.NetworkPolicy:
		return &networkingv1.NetworkPolicy{TypeMeta: o.TypeMeta, ObjectMeta: metav1.ObjectMeta{Namespace: o.Namespace, Name: o.Name}, Spec: o.Spec}
	}
	return nil
}

func withoutReasons(rules []v1alpha1.SegmentationRule) []v1alpha1.SegmentationRule {
	out := slices.Clone(rules)
	for i := range out {
		out[i].Reason = ""
	}
	return out
}
