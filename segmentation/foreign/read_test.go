package foreign

import (
	"strings"
	"testing"

	"github.com/gabion-io/gabion/segmentation"
)

// What is not known is left out of allows, and takes the allows with it in denies.
func TestWhatCannotBeReadIsSaid(t *testing.T) {
	for name, c := range map[string]struct{ text, condition, errorText string }{
		"an unknown field of a rule": {`apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: {name: p, namespace: x}
spec:
  endpointSelector: {}
  ingress:
  - fromEndpoints: [{}]
    authentication: {mode: required}
`, "authentication", ""},
		"a deny that cannot be said": {`apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: {name: p, namespace: x}
spec:
  endpointSelector: {}
  ingress: [{fromEndpoints: [{}]}]
  ingressDeny: [{icmps: [{fields: [{type: 8}]}]}]
`, "nothing is allowed in this direction instead", ""},
		"an unknown field of the spec": {`apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: {name: p, namespace: x}
spec: {endpointSelector: {}, enableDefaultDeny: {ingress: false}}
`, "", "enableDefaultDeny"},
		"a request's claim": {`apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: p, namespace: x}
spec:
  rules:
  - from: [{source: {requestPrincipals: ["*"]}}]
`, "requestPrincipals", ""},
		"an action that decides nothing": {`apiVersion: security.istio.io/v1
kind: AuthorizationPolicy
metadata: {name: p, namespace: x}
spec: {action: AUDIT}
`, "", "AUDIT"},
	} {
		policies, conditions, err := Read([]byte(c.text))
		var said strings.Builder
		for _, x := range conditions {
			said.WriteString(x.String() + "\n")
		}
		if c.errorText != "" {
			if err == nil || !strings.Contains(err.Error(), c.errorText) {
				t.Errorf("%s: %v", name, err)
			}
			continue
		}
		if err != nil || !strings.Contains(said.String(), c.condition) {
			t.Errorf("%s: %v, %s", name, err, said.String())
			continue
		}
		for _, r := range policies[0].Ingress.List {
			if !r.Deny {
				t.Errorf("%s: something is allowed: %+v", name, r)
			}
		}
		if !policies[0].Ingress.Governed {
			t.Errorf("%s: the direction is open", name)
		}
	}
}

// Reading never panics, and what was read can be written.
func FuzzRead(f *testing.F) {
	f.Add([]byte("apiVersion: cilium.io/v2\nkind: CiliumNetworkPolicy\nmetadata: {name: p}\nspec: {endpointSelector: {matchLabels: {\"k8s:a\": b}}, egress: [{toFQDNs: [{matchPattern: '*.x.org'}], toPorts: [{ports: [{port: '80', protocol: TCP}], rules: {http: [{method: GET|PUT, path: '/a/[^/?]+'}]}}]}]}\n"))
	f.Add([]byte("apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {name: p}\nspec: {action: DENY, rules: [{from: [{source: {principals: ['a/*'], notIpBlocks: [10.0.0.0/8]}}], to: [{operation: {ports: ['80'], paths: ['/a/{**}']}}]}]}\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		policies, _, err := Read(text)
		if err != nil {
			return
		}
		for _, k := range []Kind{Kubernetes, Cilium, Istio} {
			Export(k, segmentation.Enforced(policies), nil)
		}
	})
}
