package compile

import (
	"fmt"
	"net/netip"
	"slices"

	gatewayv1 "sigs.k8s.io/gateway-api/apis/v1"

	"github.com/gabion-io/gabion/controlplane/api/v1alpha1"
)

// gatewayListener is one listener of one Gateway that can be served.
type gatewayListener struct {
	gateway  *gatewayv1.Gateway
	spec     gatewayv1.Listener
	path     string // "spec.listeners[0]"
	hostname string // anyHost, or a pattern
	https    bool
	secrets  []string // names in ir.Secrets
	routes   []attachedRoute
	options  mergedPolicy[v1alpha1.ListenerPolicySpec]
}

// attachedRoute is a route on a listener with the hosts it serves there.
type attachedRoute struct {
	route *route
	hosts []string
}

func (l *gatewayListener) key() v1alpha1.Key { return v1alpha1.KeyOf(l.gateway) }

// name is "namespace/gateway/listener".
func (l *gatewayListener) name() string {
	return fmt.Sprintf("%s/%s/%s", l.gateway.Namespace, l.gateway.Name, l.spec.Name)
}

// socket is an address and port with the listeners that share it.
type socket struct {
	address   string
	port      uint32
	listeners []*gatewayListener
}

// defaultAddress is where a Gateway without addresses listens.
const defaultAddress = "0.0.0.0"

// gateways turns Gateways into sockets, sorted by address and port.
func (c *compiler) gateways() {
	for _, g := range c.ix.gateways {
		k := v1alpha1.KeyOf(g)
		if string(g.Spec.GatewayClassName) != c.o.GatewayClass {
			c.rep.bad(k, v1alpha1.Accepted, "OtherClass", "spec.gatewayClassName",
				"is of class %q, and gabion serves %q only: left alone", g.Spec.GatewayClassName, c.o.GatewayClass)
			continue
		}
		c.gateway(k, g)
	}
	slices.SortFunc(c.sockets, func(a, b *socket) int { return compareBy(a.address, b.address, int(a.port), int(b.port)) })
}

func (c *compiler) gateway(k v1alpha1.Key, g *gatewayv1.Gateway) {
	if len(g.Spec.Listeners) == 0 {
		c.rep.bad(k, v1alpha1.Accepted, ReasonInvalid, "spec.listeners", "is empty: name at least one listener")
	}
	c.unsupportedGateway(k, g)
	addresses := c.addresses(k, g)
	names := map[gatewayv1.SectionName]bool{}
	for i, spec := range g.Spec.Listeners {
		path := fmt.Sprintf("spec.listeners[%d]", i)
		if names[spec.Name] || spec.Name == "" {
			c.rep.bad(k, v1alpha1.Accepted, ReasonInvalid, path+".name", "%q is missing or taken by another listener: give each its own name", spec.Name)
			continue
		}
		names[spec.Name] = true
		l, ok := c.listener(k, g, spec, path)
		if !ok {
			continue
		}
		placed := false
		for _, address := range addresses {
			placed = c.place(l, address) || placed
		}
		if placed {
			c.listeners = append(c.listeners, l)
		}
	}
}

func (c *compiler) unsupportedGateway(k v1alpha1.Key, g *gatewayv1.Gateway) {
	for _, u := range []struct {
		used bool
		path string
		do   string
	}{
		{g.Spec.Infrastructure != nil, "spec.infrastructure", "remove it"},
		{g.Spec.AllowedListeners != nil, "spec.allowedListeners", "write the listeners in the Gateway"},
		{g.Spec.TLS != nil && g.Spec.TLS.Frontend != nil, "spec.tls.frontend", "ask for client certificates in a ListenerPolicy (spec.tls)"},
		{g.Spec.TLS != nil && g.Spec.TLS.Backend != nil, "spec.tls.backend", "client certificates for backends are not supported yet"},
		{g.Spec.DefaultScope != "", "spec.defaultScope", "attach routes by parentRefs"},
	} {
		if u.used {
			c.rep.bad(k, v1alpha1.Programmed, reasonUnsupported, u.path, "is not supported and has no effect: %s", u.do)
		}
	}
}

func (c *compiler) addresses(k v1alpha1.Key, g *gatewayv1.Gateway) []string {
	var out []string
	for i, a := range g.Spec.Addresses {
		path := fmt.Sprintf("spec.addresses[%d]", i)
		if a.Type != nil && *a.Type != gatewayv1.IPAddressType {
			c.rep.bad(k, v1alpha1.Programmed, reasonUnsupported, path+".type", "%q is not supported: only IPAddress is", *a.Type)
			continue
		}
		ip, err := netip.ParseAddr(a.Value)
		if err != nil {
			c.rep.bad(k, v1alpha1.Programmed, ReasonInvalid, path+".value", "%q is no IP address", a.Value)
			continue
		}
		if !slices.Contains(out, ip.String()) {
			out = append(out, ip.String())
		}
	}
	if len(g.Spec.Addresses) == 0 {
		return []string{defaultAddress}
	}
	return out
}

func (c *compiler) listener(k v1alpha1.Key, g *gatewayv1.Gateway, spec gatewayv1.Listener, path string) (*gatewayListener, bool) {
	l := &gatewayListener{gateway: g, spec: spec, path: path, hostname: anyHost}
	if spec.Hostname != nil {
		l.hostname = hostOrAny(string(*spec.Hostname))
	}
	if !validHost(l.hostname) {
		c.rep.bad(k, v1alpha1.Programmed, ReasonInvalid, path+".hostname", "%q is no host: write shop.example.com or *.example.com", l.hostname)
		return nil, false
	}
	if spec.Port < 1 || spec.Port > 65535 {
		c.rep.bad(k, v1alpha1.Programmed, ReasonInvalid, path+".port", "%d is no port: 1 to 65535", spec.Port)
		return nil, false
	}
	switch spec.Protocol {
	case gatewayv1.HTTPProtocolType:
		if spec.TLS != nil {
			c.rep.bad(k, v1alpha1.Programmed, ReasonInvalid, path+".tls", "has no meaning with protocol HTTP: write protocol HTTPS, or remove it")
			return nil, false
		}
		return l, true
	case gatewayv1.HTTPSProtocolType:
		l.https = true
		l.secrets = c.certificates(k, spec, path)
		return l, len(l.secrets) > 0
	}
	c.rep.bad(k, v1alpha1.Programmed, "UnsupportedProtocol", path+".protocol", "%q is not supported: write HTTP or HTTPS", spec.Protocol)
	return nil, false
}

// place puts a listener on a socket, unless what is there already excludes it.
func (c *compiler) place(l *gatewayListener, address string) bool {
	port := uint32(l.spec.Port)
	n := slices.IndexFunc(c.sockets, func(s *socket) bool { return s.address == address && s.port == port })
	if n < 0 {
		c.sockets = append(c.sockets, &socket{address, port, []*gatewayListener{l}})
		return true
	}
	s := c.sockets[n]
	for _, other := range s.listeners {
		if other.https != l.https {
			c.rep.bad(l.key(), v1alpha1.Conflicted, "ProtocolConflict", l.path,
				"listener %s has %s:%d with another protocol: take another port", other.name(), address, port)
			return false
		}
		if other.hostname == l.hostname {
			c.rep.bad(l.key(), v1alpha1.Conflicted, "HostnameConflict", l.path,
				"listener %s has host %s on %s:%d: take another hostname or port", other.name(), l.hostname, address, port)
			return false
		}
	}
	s.listeners = append(s.listeners, l)
	return true
}
