package compile

import (
	"fmt"
	"strings"
	"testing"

	"github.com/gabion-io/gabion/controlplane/api/v1alpha1"
	"github.com/gabion-io/gabion/controlplane/source"
)

// BenchmarkCompile is a fleet of 1,000 hosts with a route, a Service and, for
// every tenth, a policy of its own.
func BenchmarkCompile(b *testing.B) {
	var text strings.Builder
	text.WriteString("apiVersion: gateway.networking.k8s.io/v1\nkind: Gateway\nmetadata: {name: web}\nspec: {gatewayClassName: gabion, listeners: [{name: http, port: 80, protocol: HTTP}]}\n")
	text.WriteString("---\napiVersion: gabion.io/v1alpha1\nkind: WAFPolicy\nmetadata: {name: default}\nspec: {mode: detect}\n")
	for i := range 1000 {
		fmt.Fprintf(&text, `---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: r%d}
spec:
  parentRefs: [{name: web}]
  hostnames: [h%d.example.com]
  rules:
  - backendRefs: [{name: s%d, port: 80}]
  - matches: [{path: {value: /api}}]
    backendRefs: [{name: s%d, port: 80}]
---
apiVersion: v1
kind: Service
metadata: {name: s%d}
spec: {ports: [{port: 80}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: s%d, labels: {kubernetes.io/service-name: s%d}}
addressType: IPv4
ports: [{port: 80}]
endpoints: [{addresses: [10.0.0.1]}]
`, i, i, i, i, i, i, i)
		if i%10 == 0 {
			fmt.Fprintf(&text, "---\napiVersion: gabion.io/v1alpha1\nkind: WAFPolicy\nmetadata: {name: p%d}\nspec: {targetRefs: [{kind: HTTPRoute, name: r%d}], mode: block, maxArguments: %d}\n", i, i, i+1)
		}
	}
	docs, problems := v1alpha1.DecodeDocuments("f", []byte(text.String()))
	if len(problems) > 0 {
		b.Fatal(problems[0])
	}
	var items []source.Item
	for _, d := range docs {
		items = append(items, source.Item{Object: d.Object, Origin: source.File})
	}
	set := source.NewSet(items, nil)
	b.ResetTimer()
	for b.Loop() {
		r := Compile(set, testOptions(nil))
		if len(r.IR.Clusters) != 1000 {
			b.Fatal(len(r.IR.Clusters))
		}
	}
}
