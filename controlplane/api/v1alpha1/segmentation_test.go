package v1alpha1

import (
	"strings"
	"testing"
)

func TestSegmentationPolicyMistakes(t *testing.T) {
	const text = `apiVersion: gabion.io/v1alpha1
kind: SegmentationPolicy
metadata: {name: db}
spec:
  mode: block
  selector:
    matchExpressions: [{key: app, operator: Near}]
    names: ["a b"]
  ingress:
  - to: [{cidr: 10.0.0.0/8}]
    from:
    - {cidr: 10.0.0.0/8, except: [11.0.0.0/8]}
    - {dnsName: api.example.com}
    - {selector: {}, cidr: 10.0.0.1}
    - {}
    ports:
    - {protocol: ICMP, port: 8}
    - {port: 0}
    - {port: HTTP}
    - {port: 80, endPort: 79}
    - {endPort: 79}
    - {protocol: TCPX}
    http:
    - {methods: [get], path: orders}
  egress:
  - action: drop
    to:
    - {dnsName: "Api.example.com."}
    - {cidr: 10.0.0.0/33}
    - {dnsName: api.example.com, addresses: [10.0.0]}
---
apiVersion: gabion.io/v1alpha1
kind: SegmentationPolicy
metadata: {name: none}
spec: {selector: {}}
---
apiVersion: gabion.io/v1alpha1
kind: Workload
metadata: {name: db}
spec:
  addresses: [10.0.0]
  interface: veth0
  cgroup: system.slice/x
  ports: [{name: SQL, port: 70000, protocol: ICMP}]
---
apiVersion: gabion.io/v1alpha1
kind: Workload
metadata: {name: job}
spec: {cgroup: system.slice/..}
`
	const want = `in.yaml:5: spec.mode: "block" is not one of observe, audit, enforce
in.yaml:7: spec.selector.matchExpressions[0].operator: "Near" is not one of In, NotIn, Exists, DoesNotExist
in.yaml:8: spec.selector.names[0]: "a b" is no pattern of a workload's name
in.yaml:10: spec.ingress[0].to: has no meaning in ingress: write from
in.yaml:12: spec.ingress[0].from[0].except[0]: 11.0.0.0/8 is no part of 10.0.0.0/8
in.yaml:14: spec.ingress[0].from[2]: is of several kinds: write one peer for workloads, one for a cidr, one for a dnsName
in.yaml:15: spec.ingress[0].from[3]: names nobody: write selector, namespace, namespaceSelector, cidr or dnsName
in.yaml:17: spec.ingress[0].ports[0].port: ICMP has no ports: remove it
in.yaml:18: spec.ingress[0].ports[1].port: 0 is out of range: 1 to 65535
in.yaml:19: spec.ingress[0].ports[2].port: "HTTP" is no name of a port: at most 15 lower-case letters, digits and -, with a letter
in.yaml:20: spec.ingress[0].ports[3].endPort: 79 is out of range: 80 to 65535
in.yaml:21: spec.ingress[0].ports[4].endPort: needs a port to begin at
in.yaml:22: spec.ingress[0].ports[5].protocol: "TCPX" is not one of TCP, UDP, SCTP, ICMP, or a number from 1 to 255
in.yaml:24: spec.ingress[0].http[0].path: "orders" must begin with /
in.yaml:24: spec.ingress[0].http[0].methods[0]: "get" is no method: methods are upper case, such as GET
in.yaml:13: spec.ingress[0].from[1].dnsName: has no meaning in ingress: who comes in has an address, no name; write cidr
in.yaml:26: spec.egress[0].action: "drop" is not one of allow, deny
in.yaml:28: spec.egress[0].to[0].dnsName: "Api.example.com." is no DNS name: lower case, without a dot at its end; *. stands for everything below
in.yaml:29: spec.egress[0].to[1].cidr: "10.0.0.0/33" is no address or prefix: write one like 10.0.0.0/8 or fd00::/64
in.yaml:30: spec.egress[0].to[2].addresses[0]: "10.0.0" is no IP address
in.yaml:35: spec: governs no direction: write ingress, egress or both; an empty list allows nothing
in.yaml:41: spec.addresses[0]: "10.0.0" is no IP address
in.yaml:43: spec.cgroup: cannot stand beside interface: a workload has a link of its own or is processes on the host
in.yaml:44: spec.ports[0].name: "SQL" is no name of a port: at most 15 lower-case letters, digits and -, with a letter
in.yaml:44: spec.ports[0].port: 70000 is out of range: 1 to 65535
in.yaml:44: spec.ports[0].protocol: "ICMP" is not one of TCP, UDP, SCTP
in.yaml:49: spec.cgroup: "system.slice/.." is no path of a cgroup below the root, such as system.slice/nginx.service
`
	_, list := Decode("in.yaml", []byte(text))
	if got := problems(list); got != want {
		t.Errorf("got\n%swant\n%s", got, want)
	}
}

// A direction without rules and a direction left out are different things, and
// stay so in the canonical text.
func TestEmptyDirectionIsKept(t *testing.T) {
	objects, list := Decode("in.yaml", []byte(`{apiVersion: gabion.io/v1alpha1, kind: SegmentationPolicy, metadata: {name: db}, spec: {ingress: []}}`))
	if len(list) > 0 {
		t.Fatal(list[0])
	}
	text, err := Encode(objects[0])
	if err != nil || !strings.Contains(string(text), "ingress: []") || strings.Contains(string(text), "egress") {
		t.Errorf("%v\n%s", err, text)
	}
}
