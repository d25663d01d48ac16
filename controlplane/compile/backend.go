package compile

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/gabion-io/gabion/controlplane/api/v1alpha1"
	"github.com/gabion-io/gabion/controlplane/ir"
)

// missingCluster has no endpoints: the share of traffic whose backend does not
// exist fails, and does not fall to the others.
const missingCluster = "gabion/missing"

// backends resolves a rule's weighted backends. None is returned when there is
// nobody to send to.
func (c *compiler) backends(k v1alpha1.Key, path string, refs []gatewayv1.HTTPBackendRef, grpc bool) ([]ir.WeightedCluster, []v1alpha1.Key) {
	var out []ir.WeightedCluster
	var services []v1alpha1.Key
	var lost uint32
	for i, ref := range refs {
		at := fmt.Sprintf("%s.backendRefs[%d]", path, i)
		weight := uint32(1)
		if ref.Weight != nil {
			if *ref.Weight < 0 || *ref.Weight > 1_000_000 {
				c.rep.bad(k, v1alpha1.Accepted, ReasonInvalid, at+".weight", "%d is out of range: 0 to 1000000; taken as 0", *ref.Weight)
				continue
			}
			weight = uint32(*ref.Weight)
		}
		w := ir.WeightedCluster{Weight: weight}
		var service v1alpha1.Key
		var ok bool
		w.Cluster, service, ok = c.backend(k, at, ref.BackendObjectReference, grpc)
		if ok {
			services = append(services, service)
			ok = c.backendFilters(k, at, ref.Filters, &w)
		}
		switch {
		case weight == 0:
		case ok:
			out = append(out, w)
		default:
			lost += weight
		}
	}
	if len(refs) == 0 {
		c.rep.bad(k, v1alpha1.ResolvedRefs, reasonBackend, path+".backendRefs", "is empty: name a Service; the rule answers 500")
	}
	if len(refs) > 0 && len(out) == 0 && lost == 0 {
		c.rep.bad(k, v1alpha1.Programmed, reasonNoEffect, path+".backendRefs", "gives every backend the weight 0: the rule answers 500")
	}
	if len(out) > 0 && lost > 0 {
		c.clusters[missingCluster] = &ir.Cluster{Name: missingCluster, Resource: refOf(k), Protocol: "http1"}
		out = append(out, ir.WeightedCluster{Cluster: missingCluster, Weight: lost})
	}
	return out, services
}

// backendFilters reads what one backend's share of the traffic gets beside.
func (c *compiler) backendFilters(k v1alpha1.Key, path string, in []gatewayv1.HTTPRouteFilter, out *ir.WeightedCluster) bool {
	ok := true
	for i, f := range in {
		problem := fmt.Sprintf("filter %q is not supported on a backend", f.Type)
		switch f.Type {
		case gatewayv1.HTTPRouteFilterRequestHeaderModifier:
			problem = mutation(f.RequestHeaderModifier, "requestHeaderModifier", &out.RequestHeaders)
		case gatewayv1.HTTPRouteFilterResponseHeaderModifier:
			problem = mutation(f.ResponseHeaderModifier, "responseHeaderModifier", &out.ResponseHeaders)
		}
		if problem != "" {
			c.rep.bad(k, v1alpha1.Accepted, reasonUnsupported, fmt.Sprintf("%s.filters[%d]", path, i), "%s; its share of the traffic fails", problem)
			ok = false
		}
	}
	return ok
}

// backend resolves one reference to a cluster, which it adds when new.
func (c *compiler) backend(k v1alpha1.Key, path string, ref gatewayv1.BackendObjectReference, grpc bool) (string, v1alpha1.Key, bool) {
	target := v1alpha1.Key{Kind: v1alpha1.KindService, Namespace: k.Namespace, Name: string(ref.Name)}
	if ref.Namespace != nil {
		target.Namespace = string(*ref.Namespace)
	}
	if (ref.Kind != nil && *ref.Kind != v1alpha1.KindService) || (ref.Group != nil && coreGroup(string(*ref.Group)) != "") {
		c.rep.bad(k, v1alpha1.ResolvedRefs, reasonInvalidKind, path, "must name a Service: no other backend is supported")
		return "", target, false
	}
	if ref.Port == nil {
		c.rep.bad(k, v1alpha1.ResolvedRefs, reasonBackend, path+".port", "is missing: name the Service's port")
		return "", target, false
	}
	if !c.ix.granted(k, target) {
		c.rep.bad(k, v1alpha1.ResolvedRefs, reasonRefDenied, path, "may not send to %s: %s", target, grantHint)
		return "", target, false
	}
	service, ok := lookup[*corev1.Service](c.ix, target.Kind, target.Namespace, target.Name)
	if !ok {
		c.rep.bad(k, v1alpha1.ResolvedRefs, reasonBackend, path, "%s does not exist", target)
		return "", target, false
	}
	n := slices.IndexFunc(service.Spec.Ports, func(p corev1.ServicePort) bool { return p.Port == *ref.Port })
	external := service.Spec.Type == corev1.ServiceTypeExternalName
	if n < 0 && !(external && len(service.Spec.Ports) == 0) {
		c.rep.bad(k, v1alpha1.ResolvedRefs, reasonBackend, path+".port", "%s has no port %d", target, *ref.Port)
		return "", target, false
	}
	port := corev1.ServicePort{Port: *ref.Port}
	if n >= 0 {
		port = service.Spec.Ports[n]
	}
	name, ok := c.cluster(k, path, service, port, grpc)
	return name, target, ok
}

// cluster adds a Service's port to the clusters. A gRPC route speaks HTTP/2 to
// it whatever the port says.
func (c *compiler) cluster(k v1alpha1.Key, path string, service *corev1.Service, port corev1.ServicePort, grpc bool) (string, bool) {
	target := v1alpha1.KeyOf(service)
	protocol := c.protocol(target, port)
	name := fmt.Sprintf("%s/%s:%d", target.Namespace, target.Name, port.Port)
	if grpc && protocol != "http2" {
		protocol, name = "http2", name+"+http2"
	}
	if _, known := c.clusters[name]; known {
		return name, true
	}
	upstream, ok := c.upstreamTLS(service, port)
	if !ok {
		c.rep.bad(k, v1alpha1.ResolvedRefs, reasonBackend, path, "%s has a BackendTLSPolicy that cannot be used: it is not sent to unverified", target)
		return "", false
	}
	cluster := &ir.Cluster{Name: name, Resource: refOf(target), Protocol: protocol, TLS: upstream}
	if service.Spec.Type == corev1.ServiceTypeExternalName {
		if service.Spec.ExternalName == "" {
			c.rep.bad(target, v1alpha1.Accepted, ReasonInvalid, "spec.externalName", "is missing: name the host")
			return "", false
		}
		cluster.DNS, cluster.DNSPort = service.Spec.ExternalName, uint32(port.Port)
	} else {
		cluster.Endpoints = c.endpoints(target, port)
	}
	c.clusters[name] = cluster
	return name, true
}

func (c *compiler) protocol(k v1alpha1.Key, port corev1.ServicePort) string {
	if port.AppProtocol == nil {
		return "http1"
	}
	switch *port.AppProtocol {
	case "kubernetes.io/h2c", "grpc", "h2c", "http2":
		return "http2"
	case "http", "https", "kubernetes.io/ws", "kubernetes.io/wss", "":
		return "http1"
	}
	c.rep.bad(k, v1alpha1.Programmed, reasonUnsupported, "spec.ports", "appProtocol %q of port %d is not known: taken as HTTP/1.1", *port.AppProtocol, port.Port)
	return "http1"
}

// endpoints collects a Service port's addresses from its EndpointSlices.
func (c *compiler) endpoints(k v1alpha1.Key, port corev1.ServicePort) []ir.Endpoint {
	found := map[ir.Endpoint]bool{}
	for _, s := range c.ix.slices[k] {
		if s.AddressType == discoveryv1.AddressTypeFQDN {
			c.rep.bad(v1alpha1.KeyOf(s), v1alpha1.Programmed, reasonUnsupported, "addressType", "FQDN is not supported: use a Service of type ExternalName")
			continue
		}
		for _, p := range s.Ports {
			if p.Port == nil || deref(p.Name) != port.Name {
				continue
			}
			c.sliceEndpoints(s, uint32(*p.Port), found)
		}
	}
	out := make([]ir.Endpoint, 0, len(found))
	for e := range found {
		if e.Healthy || !found[ir.Endpoint{Address: e.Address, Port: e.Port, Healthy: true}] {
			out = append(out, e)
		}
	}
	slices.SortFunc(out, func(a, b ir.Endpoint) int {
		return cmp.Or(cmp.Compare(a.Address, b.Address), cmp.Compare(a.Port, b.Port))
	})
	if !slices.ContainsFunc(out, func(e ir.Endpoint) bool { return e.Healthy }) {
		c.rep.bad(k, v1alpha1.Programmed, reasonNoEndpoints, "",
			"port %d has no ready endpoint: an EndpointSlice needs the label kubernetes.io/service-name: %s and a port named %q; requests get 503", port.Port, k.Name, port.Name)
	}
	return out
}

func (c *compiler) sliceEndpoints(s *discoveryv1.EndpointSlice, port uint32, found map[ir.Endpoint]bool) {
	for i, e := range s.Endpoints {
		// Absent means ready; what still serves while it ends is a last resort.
		ready := e.Conditions.Ready == nil || *e.Conditions.Ready
		serving := e.Conditions.Serving != nil && *e.Conditions.Serving
		if !ready && !serving {
			continue
		}
		for n, address := range e.Addresses {
			ip, err := netip.ParseAddr(address)
			if err != nil {
				c.rep.bad(v1alpha1.KeyOf(s), v1alpha1.Accepted, ReasonInvalid, fmt.Sprintf("endpoints[%d].addresses[%d]", i, n), "%q is no IP address: left out", address)
				continue
			}
			found[ir.Endpoint{Address: ip.String(), Port: port, Healthy: ready}] = true
		}
	}
}
