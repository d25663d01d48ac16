package segment

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/gabion-io/gabion/controlplane/api/v1alpha1"
	"github.com/gabion-io/gabion/segmentation"
	"github.com/gabion-io/gabion/segmentation/verdicttest"
	"github.com/gabion-io/gabion/workload"
)

// read decodes manifests that have no mistakes.
func read(t *testing.T, text string) []v1alpha1.Object {
	t.Helper()
	objects, problems := v1alpha1.Decode("in.yaml", []byte(text))
	for _, p := range problems {
		t.Fatal(p)
	}
	return objects
}

// conditions is one line each.
func conditions(list []v1alpha1.Condition) string {
	var b strings.Builder
	for _, c := range list {
		b.WriteString(c.Key().String() + " " + c.Type + "=" + c.Status + " " + c.Reason + " " + c.Path + ": " + c.Message + "\n")
	}
	return b.String()
}

// What a policy means survives being written as a resource and read again.
func TestResourceMeansThePolicy(t *testing.T) {
	for seed := range uint64(300) {
		d := verdicttest.NewDice(seed)
		workloads, policies := d.Workloads(), d.Policies()
		for _, p := range policies {
			if !p.Ingress.Governed && !p.Egress.Governed {
				p.Egress.Governed = true
			}
			if p.Subject.Namespace == "" {
				p.Name.Namespace = v1alpha1.DefaultNamespace
			} else {
				p.Name.Namespace = p.Subject.Namespace
			}
			for i := range p.Ingress.List {
				p.Ingress.List[i].Peers = noNames(p.Ingress.List[i].Peers)
				tidy(p.Ingress.List[i].Peers)
			}
			for i := range p.Egress.List {
				tidy(p.Egress.List[i].Peers)
			}
			text, err := v1alpha1.Encode(Resource(p, nil))
			if err != nil {
				t.Fatal(err)
			}
			again := Compile(read(t, string(text)), Options{NoWorkloads: true})
			if len(again.Policies) != 1 {
				t.Fatalf("seed %d: %d policies from\n%s", seed, len(again.Policies), text)
			}
			all := verdicttest.Ends(workloads)
			for range 100 {
				f := d.Flow(all)
				if f.Protocol == 47 {
					continue // "any protocol" is written as those that rules can name
				}
				want, rule := segmentation.Evaluate([]segmentation.Policy{p}, f)
				if got, by := segmentation.Evaluate(again.Policies, f); got != want || by != rule {
					t.Fatalf("seed %d: %+v is %s by %s, was %s by %s\n%s", seed, f, got, by, want, rule, text)
				}
			}
		}
	}
}

// noNames leaves out DNS names, which no resource may have in ingress.
func noNames(peers []segmentation.Peer) (out []segmentation.Peer) {
	for _, p := range peers {
		if p.Name == nil {
			out = append(out, p)
		}
	}
	return out
}

// tidy takes out exceptions from where they have no part in.
func tidy(peers []segmentation.Peer) {
	for _, p := range peers {
		if c := p.CIDR; c != nil {
			c.Except = slices.DeleteFunc(c.Except, func(e netip.Prefix) bool {
				return e.Bits() <= c.Prefix.Bits() || !c.Prefix.Contains(e.Addr())
			})
		}
	}
}

const netpols = `
apiVersion: v1
kind: Namespace
metadata: {name: shop, labels: {env: prod}}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: db, namespace: shop}
spec:
  podSelector: {matchLabels: {app: db}}
  ingress:
  - from:
    - namespaceSelector: {matchLabels: {env: prod}}
      podSelector: {matchExpressions: [{key: app, operator: In, values: [web, job]}]}
    - ipBlock: {cidr: 10.0.0.0/8, except: [10.1.0.0/16]}
    ports:
    - {port: sql}
    - {port: 9000, endPort: 9010, protocol: UDP}
  - {}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: wrong, namespace: shop}
spec:
  podSelector: {}
  policyTypes: [Egress]
  ingress: [{}]
  egress:
  - to: [{}, {ipBlock: {cidr: nonsense}}, {podSelector: {}, ipBlock: {cidr: 10.0.0.0/8}}]
    ports: [{port: 90, endPort: 80}, {protocol: TCPX}]
`

func TestNetworkPolicy(t *testing.T) {
	r := Compile(read(t, netpols), Options{NoWorkloads: true})
	shop := func(requirements ...workload.Requirement) workload.Selector {
		return workload.Selector{Requirements: requirements}
	}
	in := func(label string, values ...string) workload.Requirement {
		return workload.Requirement{Label: label, Operator: workload.In, Values: values}
	}
	want := []segmentation.Policy{{
		Name: segmentation.PolicyName{Kind: "NetworkPolicy", ID: workload.ID{Namespace: "shop", Name: "db"}}, Mode: segmentation.Enforce,
		Subject: segmentation.Selection{Namespace: "shop", Labels: shop(in("app", "db"))},
		Ingress: segmentation.Rules{Governed: true, List: []segmentation.Rule{{
			Peers: []segmentation.Peer{
				{Workloads: &segmentation.Selection{Namespaces: shop(in("env", "prod")), Labels: shop(in("app", "web", "job"))}},
				{CIDR: &segmentation.CIDR{Prefix: netip.MustParsePrefix("10.0.0.0/8"), Except: []netip.Prefix{netip.MustParsePrefix("10.1.0.0/16")}}},
			},
			Ports: []segmentation.Ports{{Protocol: segmentation.TCP, Name: "sql"}, {Protocol: segmentation.UDP, From: 9000, To: 9010}},
		}, {}}},
	}, {
		Name: segmentation.PolicyName{Kind: "NetworkPolicy", ID: workload.ID{Namespace: "shop", Name: "wrong"}}, Mode: segmentation.Enforce,
		Subject: segmentation.Selection{Namespace: "shop"},
		Ingress: segmentation.Rules{List: []segmentation.Rule{{}}},
		Egress:  segmentation.Rules{Governed: true, List: []segmentation.Rule{{Peers: []segmentation.Peer{{}}}}},
	}}
	if d := cmp.Diff(want, r.Policies, cmpopts.EquateEmpty(), cmp.Comparer(func(a, b netip.Prefix) bool { return a == b })); d != "" {
		t.Errorf("policies (-want +got):\n%s", d)
	}
	const wrong = `NetworkPolicy shop/wrong Accepted=False Invalid spec.egress[0].ports[0]: is no range of ports from 1 to 65535; it means no port
NetworkPolicy shop/wrong Accepted=False Invalid spec.egress[0].ports[1].protocol: read protocol "TCPX": it is one of TCP, UDP, SCTP, ICMP, or a number from 1 to 255
NetworkPolicy shop/wrong Accepted=False Invalid spec.egress[0].to[0]: names nobody: write podSelector, namespaceSelector or ipBlock
NetworkPolicy shop/wrong Accepted=False Invalid spec.egress[0].to[1].ipBlock: is no prefix, or one of except is none; the peer means nobody
NetworkPolicy shop/wrong Accepted=False Invalid spec.egress[0].to[2]: is of several kinds: ipBlock stands alone; the peer means nobody
NetworkPolicy shop/wrong Programmed=False NoEffect spec.ingress: has no effect: policyTypes leaves this direction out
`
	if d := cmp.Diff(wrong, conditions(r.Conditions)); d != "" {
		t.Errorf("conditions (-want +got):\n%s", d)
	}
}

func TestWhatCanDoNothingIsSaid(t *testing.T) {
	r := Compile(read(t, `
apiVersion: gabion.io/v1alpha1
kind: Workload
metadata: {name: web, namespace: shop, labels: {app: web}}
spec: {addresses: [10.0.0.1]}
---
apiVersion: gabion.io/v1alpha1
kind: Workload
metadata: {name: db, namespace: shop, labels: {app: db}}
spec: {addresses: [10.0.0.1, "fd00::1"], ports: [{name: sql, port: 5432}]}
---
apiVersion: gabion.io/v1alpha1
kind: SegmentationPolicy
metadata: {name: db, namespace: shop}
spec:
  mode: enforce
  selector: {matchLabels: {app: dbx}}
  namespaceSelector: {}
  ingress:
  - from: [{selector: {matchLabels: {app: web}}}, {selector: {matchLabels: {app: webx}}}]
    http: [{methods: [GET]}]
`), Options{})
	const want = `SegmentationPolicy shop/db Programmed=False NoEffect spec.ingress[0].from[1]: no workload is meant (namespace shop, app=webx): the peer does nothing yet
SegmentationPolicy shop/db Programmed=False NoProxy spec.ingress[0].http: no proxy that could tell requests apart is in the path: the port stays closed
SegmentationPolicy shop/db Accepted=False Invalid spec.namespaceSelector: only a policy of the namespace default may select in others: this one selects in shop
SegmentationPolicy shop/db Programmed=False NoEffect spec.selector: no workload is selected (namespace shop, app=dbx): the policy does nothing yet
Workload shop/web Conflicted=True AddressShared spec.addresses[0]: Workload shop/db has the address 10.0.0.1 too: an address belongs to one workload
`
	if d := cmp.Diff(want, conditions(r.Conditions)); d != "" {
		t.Errorf("conditions (-want +got):\n%s", d)
	}
	if w := r.Workloads[0]; w.ID.Name != "db" || w.Ports[0] != (workload.Port{Name: "sql", Protocol: 6, Number: 5432}) || len(w.Addresses) != 2 {
		t.Errorf("%+v", w)
	}
}

// Rules by name for processes of a host are told of: nobody sees what these look up.
func TestNamesOfProcessesAreNotSeen(t *testing.T) {
	const text = `
apiVersion: gabion.io/v1alpha1
kind: Workload
metadata: {name: job, namespace: shop, labels: {app: job}}
spec: {node: a, PLACE}
---
apiVersion: gabion.io/v1alpha1
kind: SegmentationPolicy
metadata: {name: job, namespace: shop}
spec:
  mode: enforce
  selector: {matchLabels: {app: job}}
  egress:
  - to: [{cidr: 10.0.0.0/8}, {dnsName: api.example.com}]
`
	for place, want := range map[string]string{
		"addresses: [10.0.0.1], interface: w1": "",
		"cgroup: system.slice/job.service": "SegmentationPolicy shop/job Programmed=False NoEffect spec.egress[0].to[1].dnsName: Workload shop/job is processes of its host (spec.cgroup), " +
			"and what they look up is not seen: the name means the addresses written with it, and what other workloads of the host are told\n",
	} {
		r := Compile(read(t, strings.ReplaceAll(text, "PLACE", place)), Options{})
		if d := cmp.Diff(want, conditions(r.Conditions)); d != "" {
			t.Errorf("%s (-want +got):\n%s", place, d)
		}
	}
}
