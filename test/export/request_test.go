package export

import (
	"math/rand/v2"
	"net/netip"
	"strings"
	"testing"

	"github.com/gabion-io/gabion/segmentation"
	"github.com/gabion-io/gabion/segmentation/foreign"
	"github.com/gabion-io/gabion/workload"
)

var (
	methods = []string{"GET", "POST", "DELETE"}
	paths   = []segmentation.PathTemplate{"", "/orders", "/orders/{id}", "/orders/{id}/items", "/static/**", "/a.b", "/**"}
	targets = []string{"/", "/orders", "/orders/7", "/orders/7/items", "/orders//items", "/static", "/static/x/y", "/aXb", "/a.b"}
	callers = []string{"spiffe://cluster.local/ns/x/sa/web", "spiffe://cluster.local/ns/x/*", "spiffe://other/ns/y/sa/job"}
	clients = []string{"", "spiffe://cluster.local/ns/x/sa/web", "spiffe://cluster.local/ns/y/sa/web", "spiffe://other/ns/y/sa/job"}
)

// requestPolicy lets some requests into x/api, and denies some.
func requestPolicy(r *rand.Rand) segmentation.Policy {
	p := segmentation.Policy{
		Name: segmentation.PolicyName{Kind: "SegmentationPolicy", ID: workload.ID{Namespace: "x", Name: "api"}}, Mode: segmentation.Enforce,
		Subject: segmentation.Selection{Namespace: "x", Labels: workload.MatchLabels(workload.Labels{"app": "api"})},
	}
	p.Ingress.Governed = true
	for range 1 + r.IntN(3) {
		rule := segmentation.Rule{Deny: r.IntN(4) == 0, Ports: []segmentation.Ports{{Protocol: segmentation.TCP, From: 80, To: 80}}}
		if r.IntN(2) == 0 {
			rule.Peers = []segmentation.Peer{{Workloads: &segmentation.Selection{Namespace: "x"}}}
		}
		for range r.IntN(3) {
			h := segmentation.HTTPRule{Path: paths[r.IntN(len(paths))]}
			if r.IntN(2) == 0 {
				h.Methods = methods[:1+r.IntN(2)]
			}
			if r.IntN(3) == 0 {
				h.Callers = []string{callers[r.IntN(len(callers))]}
			}
			rule.HTTP = append(rule.HTTP, h)
		}
		p.Ingress.List = append(p.Ingress.List, rule)
	}
	return p
}

// Requests are judged as before by what was written and read again, unless a
// condition says what was left out; none is allowed that was not.
func TestRequests(t *testing.T) {
	workloads := []*workload.Workload{
		{ID: workload.ID{Namespace: "x", Name: "api"}, Labels: workload.Labels{"app": "api"}, Addresses: []netip.Addr{netip.MustParseAddr("10.0.0.1")}},
		{ID: workload.ID{Namespace: "x", Name: "web"}, Labels: workload.Labels{"app": "web"}, Addresses: []netip.Addr{netip.MustParseAddr("10.0.0.2")}},
		{ID: workload.ID{Namespace: "y", Name: "job"}, Labels: workload.Labels{"app": "job"}, Addresses: []netip.Addr{netip.MustParseAddr("10.0.0.3")}},
	}
	for _, kind := range []foreign.Kind{foreign.Cilium, foreign.Istio} {
		r := rand.New(rand.NewPCG(6, 6))
		compared, allowed := 0, 0
		for range 1500 {
			policies := []segmentation.Policy{requestPolicy(r)}
			again, text, _ := back(t, kind, foreign.Export(kind, policies, workloads))
			exact := !strings.Contains(text, "left out") && !strings.Contains(text, "denied")
			for range 30 {
				f := segmentation.Flow{Src: segmentation.At(workloads[1+r.IntN(2)]), Dst: segmentation.At(workloads[0]), Protocol: segmentation.TCP, Port: 80, Proxied: true}
				f.Request = &segmentation.Request{Method: methods[r.IntN(3)], Path: targets[r.IntN(len(targets))], Caller: clients[r.IntN(len(clients))]}
				want, _ := segmentation.Judge(policies, f, segmentation.Ingress)
				got, _ := segmentation.Judge(again, f, segmentation.Ingress)
				if want == segmentation.Denied && got == segmentation.Allowed || exact && got != want {
					t.Fatalf("%s: %+v is %s, and %s\n%s", kind, *f.Request, want, got, text)
				}
				if exact {
					compared++
				}
				if got == segmentation.Allowed {
					allowed++
				}
			}
		}
		t.Logf("%s: %d requests compared, %d allowed by what was written", kind, compared, allowed)
		if compared == 0 || allowed == 0 {
			t.Error("nothing was compared")
		}
	}
}
