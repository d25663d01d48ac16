package plane

import (
	"github.com/gabion-io/gabion/controlplane/api/v1alpha1"
	"github.com/gabion-io/gabion/controlplane/source"
)

// Traffic is a shop: one listener, one route, one service.
const Traffic = `
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: web}
spec:
  gatewayClassName: gabion
  listeners: [{name: http, protocol: HTTP, port: 8080}]
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: shop}
spec:
  parentRefs: [{name: web}]
  rules: [{backendRefs: [{name: shop, port: 80}]}]
---
apiVersion: v1
kind: Service
metadata: {name: shop}
spec:
  ports: [{name: http, port: 80, appProtocol: http}]
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: shop-1, labels: {kubernetes.io/service-name: shop}}
addressType: IPv4
ports: [{name: http, port: 80}]
endpoints: [{addresses: [127.0.0.1]}]
`

// Items reads manifests as resources of an origin. Those of files are of
// "resources.yaml".
func Items(origin source.Origin, text string) ([]source.Item, error) {
	docs, problems := v1alpha1.DecodeDocuments("resources.yaml", []byte(text))
	if len(problems) > 0 {
		return nil, problems[0]
	}
	var out []source.Item
	for _, d := range docs {
		i := source.Item{Object: d.Object, Origin: origin, Manifest: d.Text}
		if origin == source.File {
			i.File = "resources.yaml"
		}
		out = append(out, i)
	}
	return out, nil
}
