package segment

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"

	"github.com/gabion-io/gabion/controlplane/api/v1alpha1"
	"github.com/gabion-io/gabion/segmentation"
	"github.com/gabion-io/gabion/segmentation/verdicttest"
	"github.com/gabion-io/gabion/workload"
)

func decode(t *testing.T, text string) []v1alpha1.Object {
	t.Helper()
	objects, problems := v1alpha1.Decode("test", []byte(text))
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	return objects
}

// A host is told of its own workloads, of what governs them, and of whom that
// speaks about; of nothing else.
func TestHostsNeed(t *testing.T) {
	objects := decode(t, `
apiVersion: v1
kind: Namespace
metadata: {name: shop, labels: {env: prod}}
---
apiVersion: v1
kind: Namespace
metadata: {name: other, labels: {env: dev}}
---
apiVersion: gabion.io/v1alpha1
kind: Workload
metadata: {name: cart, namespace: shop, labels: {app: cart}, annotations: {note: secret}}
spec: {node: a, addresses: [10.0.0.1], interface: w1, serviceAccount: cart}
---
apiVersion: gabion.io/v1alpha1
kind: Workload
metadata: {name: web, namespace: shop, labels: {app: web}}
spec: {node: b, addresses: [10.0.0.2], interface: w2}
---
apiVersion: gabion.io/v1alpha1
kind: Workload
metadata: {name: db, namespace: shop, labels: {app: db}}
spec: {node: b, addresses: [10.0.0.3], interface: w3}
---
apiVersion: gabion.io/v1alpha1
kind: Workload
metadata: {name: batch, namespace: other, labels: {app: batch}}
spec: {node: c, addresses: [10.0.0.4], interface: w4}
---
apiVersion: gabion.io/v1alpha1
kind: SegmentationPolicy
metadata: {name: cart, namespace: shop}
spec:
  mode: enforce
  selector: {matchLabels: {app: cart}}
  ingress: [{from: [{selector: {matchLabels: {app: web}}}], reason: learned from 10 flows}]
---
apiVersion: gabion.io/v1alpha1
kind: SegmentationPolicy
metadata: {name: db, namespace: shop}
spec: {mode: audit, selector: {matchLabels: {app: db}}, ingress: []}
---
apiVersion: gabion.io/v1alpha1
kind: SegmentationPolicy
metadata: {name: watched, namespace: shop}
spec: {mode: observe, selector: {matchLabels: {app: cart}}, ingress: []}
`)
	h := NewHosts(objects, Compile(objects, Options{}), "")
	for host, want := range map[string][]string{
		"a": {"Namespace shop", "SegmentationPolicy shop/cart", "Workload shop/cart", "Workload shop/web"},
		"b": {"Namespace shop", "SegmentationPolicy shop/db", "Workload shop/db", "Workload shop/web"},
		"c": {"Namespace other", "Workload other/batch"},
		"d": nil, "": nil,
	} {
		var got []string
		for _, o := range h.Need(host) {
			got = append(got, v1alpha1.KeyOf(o).String())
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("host %s (-want +got):\n%s", host, d)
		}
	}
	need := h.Need("a")
	cart, web := need[2].(*v1alpha1.Workload), need[3].(*v1alpha1.Workload)
	if cart.Spec.Interface != "w1" || cart.Annotations != nil || cart.Spec.ServiceAccount != "" {
		t.Errorf("the host's own: %+v", cart)
	}
	if web.Spec.Interface != "" || web.Spec.Node != "" || web.Spec.Addresses[0] != "10.0.0.2" {
		t.Errorf("a peer: %+v", web)
	}
	if r := need[1].(*v1alpha1.SegmentationPolicy).Spec.Ingress[0]; r.Reason != "" || objects[6].(*v1alpha1.SegmentationPolicy).Spec.Ingress[0].Reason == "" {
		t.Error("the text for people was sent along, or lost where it belongs")
	}
	if d := cmp.Diff([]string{"a", "b", "c"}, h.Names()); d != "" {
		t.Error(d)
	}
}

// On random worlds each host judges flows of its workloads by what it needs as all
// would judge them by everything.
func TestHostsJudgeAlike(t *testing.T) {
	judged, unknown := map[segmentation.Verdict]int{}, 0
	for seed := range 100 {
		d := verdicttest.NewDice(uint64(seed))
		objects, workloads := world(d)
		o := Options{RootNamespace: "x", NoWorkloads: true}
		all := Compile(objects, o)
		hosts := NewHosts(objects, all, "")
		ends := verdicttest.Ends(all.Workloads)
		// Whoever owns a name can give it the address of anybody inside.
		names := map[string][]netip.Addr{}
		for _, w := range all.Workloads {
			for name := range verdicttest.Names() {
				names[name] = append(names[name], w.Addresses...)
			}
		}
		full := segmentation.Compile(all.Policies, segmentation.World{Workloads: all.Workloads, Names: names})
		for _, host := range hosts.Names() {
			need := throughText(t, hosts.Need(host))
			part := Compile(need, o)
			left := ends[:0:0] // ends that the host is not told of
			for _, e := range ends {
				if e.Workload != nil && !slices.ContainsFunc(part.Workloads, func(w *workload.Workload) bool { return w.ID == e.Workload.ID }) {
					left = append(left, e)
				}
			}
			own := ends[:0:0]
			for _, e := range ends {
				if e.Workload != nil && workloads[e.Workload.ID] == host {
					own = append(own, e)
				}
			}
			table := segmentation.Compile(part.Policies, segmentation.World{Workloads: part.Workloads, Names: names})
			for n := range 100 {
				f := d.Flow(ends)
				dir := segmentation.Direction(d.IntN(2))
				subject, peer := &f.Dst, &f.Src
				if dir == segmentation.Egress {
					subject, peer = peer, subject
				}
				*subject = own[d.IntN(len(own))]
				if n%2 == 0 && len(left) > 0 {
					*peer = left[d.IntN(len(left))]
					unknown++
				}
				want, wantRule := full.Judge(f, dir)
				got, gotRule := table.Judge(f, dir)
				judged[want]++
				if got != want || gotRule != wantRule {
					t.Fatalf("seed %d, host %s, %v %v: %v by %v, with everything %v by %v", seed, host, dir, f, got, gotRule, want, wantRule)
				}
			}
		}
	}
	if unknown < 300 {
		t.Errorf("only %d flows were with workloads that a host is not told of", unknown)
	}
	for _, v := range []segmentation.Verdict{segmentation.Allowed, segmentation.Denied, segmentation.Audited} {
		if judged[v] < 200 {
			t.Errorf("only %d flows were %v", judged[v], v)
		}
	}
}

// world is a random one as resources, and where each workload runs.
func world(d verdicttest.Dice) (objects []v1alpha1.Object, on map[workload.ID]string) {
	on = map[workload.ID]string{}
	spaces := map[string]workload.Labels{}
	for i, w := range d.Workloads() {
		spaces[w.ID.Namespace] = w.NamespaceLabels
		o := &v1alpha1.Workload{}
		o.APIVersion, o.Kind = v1alpha1.APIVersion, v1alpha1.KindWorkload
		o.Namespace, o.Name, o.Labels = w.ID.Namespace, w.ID.Name, w.Labels
		o.Spec.Node = fmt.Sprint("host-", d.IntN(3))
		on[w.ID] = o.Spec.Node
		for _, a := range w.Addresses {
			o.Spec.Addresses = append(o.Spec.Addresses, a.String())
		}
		if i < 2 { // one that a name has too
			o.Spec.Addresses = append(o.Spec.Addresses, []string{"192.0.2.1", "192.0.2.9"}[i])
		}
		for _, p := range w.Ports {
			o.Spec.Ports = append(o.Spec.Ports, v1alpha1.WorkloadPort{Name: p.Name, Protocol: segmentation.Protocol(p.Protocol).String(), Port: int32(p.Number)})
		}
		objects = append(objects, o)
	}
	for name, labels := range spaces {
		ns := &corev1.Namespace{}
		ns.APIVersion, ns.Kind, ns.Name, ns.Labels = "v1", v1alpha1.KindNamespace, name, labels
		objects = append(objects, ns)
	}
	for _, p := range d.Policies() {
		p.Name.Name = fmt.Sprint("p", len(objects))
		o := Resource(p, nil)
		// The dice also throw what nobody may write.
		if text, err := v1alpha1.Encode(o); err == nil {
			if _, problems := v1alpha1.Decode("policy", text); len(problems) == 0 {
				objects = append(objects, o)
			}
		}
	}
	slices.SortFunc(objects, func(a, b v1alpha1.Object) int { return v1alpha1.KeyOf(a).Compare(v1alpha1.KeyOf(b)) })
	return objects, on
}

// throughText is what arrives of resources that were written and read.
func throughText(t *testing.T, objects []v1alpha1.Object) (out []v1alpha1.Object) {
	t.Helper()
	for _, o := range objects {
		text, err := v1alpha1.Encode(o)
		if err != nil {
			t.Fatal(err)
		}
		again, problems := v1alpha1.Decode(v1alpha1.KeyOf(o).String(), text)
		if len(problems) > 0 || len(again) != 1 || v1alpha1.KeyOf(again[0]) != v1alpha1.KeyOf(o) {
			t.Fatalf("%v\n%s", problems, text)
		}
		out = append(out, again[0])
	}
	return out
}

// A rule that speaks of a port by name needs to know who calls one so.
func TestHostsNeedNamedPorts(t *testing.T) {
	text := `
apiVersion: gabion.io/v1alpha1
kind: Workload
metadata: {name: cart, labels: {app: cart}}
spec: {node: a, addresses: [10.0.0.1], interface: w1}
---
apiVersion: gabion.io/v1alpha1
kind: Workload
metadata: {name: db}
spec: {node: b, addresses: [10.0.0.2], ports: [{name: sql, port: 5432}]}
---
apiVersion: gabion.io/v1alpha1
kind: Workload
metadata: {name: web}
spec: {node: b, addresses: [10.0.0.3], ports: [{name: http, port: 80}]}
---
apiVersion: gabion.io/v1alpha1
kind: SegmentationPolicy
metadata: {name: cart}
spec: {mode: enforce, selector: {matchLabels: {app: cart}}, %s}
`
	for rules, want := range map[string][]string{
		"egress: [{ports: [{port: sql}]}]":  {"SegmentationPolicy default/cart", "Workload default/cart", "Workload default/db"},
		"ingress: [{ports: [{port: sql}]}]": {"SegmentationPolicy default/cart", "Workload default/cart"},
	} {
		objects := decode(t, fmt.Sprintf(text, rules))
		var got []string
		for _, o := range NewHosts(objects, Compile(objects, Options{}), "").Need("a") {
			got = append(got, v1alpha1.KeyOf(o).String())
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("%s (-want +got):\n%s", rules, d)
		}
	}
}

// On one machine a workload that names an interface need not name the host.
func TestHostsThisOne(t *testing.T) {
	objects := decode(t, `
apiVersion: gabion.io/v1alpha1
kind: Workload
metadata: {name: cart}
spec: {addresses: [10.0.0.1], interface: w1}
---
apiVersion: gabion.io/v1alpha1
kind: Workload
metadata: {name: far}
spec: {addresses: [10.0.0.2]}
`)
	compiled := Compile(objects, Options{})
	if need := NewHosts(objects, compiled, "").Need(""); need != nil {
		t.Errorf("without a name: %v", need)
	}
	need := NewHosts(objects, compiled, "here").Need("here")
	if len(need) != 1 || need[0].(*v1alpha1.Workload).Spec.Node != "here" || need[0].(*v1alpha1.Workload).Spec.Interface != "w1" {
		t.Errorf("this host needs %+v", need)
	}
}
