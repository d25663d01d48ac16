package e2e

import (
	"fmt"
	"net"
	"strings"
	"testing"
)

// service is a Service with its address.
func service(name, address, appProtocol string) string {
	host, port, _ := net.SplitHostPort(address)
	protocol := ""
	if appProtocol != "" {
		protocol = ", appProtocol: " + appProtocol
	}
	return fmt.Sprintf(`---
apiVersion: v1
kind: Service
metadata: {name: %[1]s}
spec: {ports: [{name: http, port: %[3]s%[4]s}]}
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: %[1]s, labels: {kubernetes.io/service-name: %[1]s}}
addressType: IPv4
ports: [{name: http, port: %[3]s}]
endpoints: [{addresses: [%[2]q]}]
`, name, host, port, protocol)
}

// httpRoute sends what begins with prefix to a service.
func httpRoute(name, gateway, prefix, service, address string) string {
	_, port, _ := net.SplitHostPort(address)
	return fmt.Sprintf(`---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: %s}
spec:
  parentRefs: [{name: %s}]
  rules:
  - matches: [{path: {type: PathPrefix, value: %s}}]
    backendRefs: [{name: %s, port: %s}]
`, name, gateway, prefix, service, port)
}

// httpsGateway is a Gateway with one HTTPS listener.
func httpsGateway(name, address, secret string) string {
	host, port, _ := net.SplitHostPort(address)
	return fmt.Sprintf(`---
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: %s}
spec:
  gatewayClassName: gabion
  addresses: [{type: IPAddress, value: %s}]
  listeners:
  - {name: https, port: %s, protocol: HTTPS, tls: {certificateRefs: [{name: %s}]}}
`, name, host, port, secret)
}

// secret is a certificate as a resource.
func secret(name string, c certificate) string {
	return fmt.Sprintf("---\napiVersion: v1\nkind: Secret\nmetadata: {name: %s}\ntype: kubernetes.io/tls\nstringData:\n  tls.crt: |\n%s  tls.key: |\n%s",
		name, indent(c.cert), indent(c.key))
}

func indent(pem []byte) string {
	return "    " + strings.ReplaceAll(strings.TrimSpace(string(pem)), "\n", "\n    ") + "\n"
}

// wafMode is the root policy in a mode.
func wafMode(mode string, more ...string) string {
	return "---\napiVersion: gabion.io/v1alpha1\nkind: WAFPolicy\nmetadata: {name: default}\nspec:\n  mode: " + mode + "\n  " + strings.Join(more, "\n  ") + "\n"
}

// inMode applies the root policy and waits until it is in force.
func (u *up) inMode(t testing.TB, mode string, more ...string) {
	t.Helper()
	u.apply(wafMode(mode, more...))
	status := 200
	if mode == "block" {
		status = 403
	}
	u.eventually(mode+" is in force", func() error { return u.wantStatus(sqli, status) })
}
