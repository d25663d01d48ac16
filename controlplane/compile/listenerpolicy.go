package compile

import (
	"reflect"
	"time"

	"github.com/gabion-io/gabion/controlplane/api/v1alpha1"
	"github.com/gabion-io/gabion/controlplane/ir"
)

// effectiveListener merges the ListenerPolicies of a listener.
func (c *compiler) effectiveListener(l *gatewayListener) mergedPolicy[v1alpha1.ListenerPolicySpec] {
	at := place{namespace: l.gateway.Namespace, gateway: l.key(), listener: string(l.spec.Name)}
	return merge(c, c.listenerPolicies, c.listenerPolicies.stack(at), v1alpha1.ListenerPolicyDefaults())
}

// options turns an effective ListenerPolicy into intent.
func options(s v1alpha1.ListenerPolicySpec) ir.ListenerOptions {
	return ir.ListenerOptions{
		RequestHeadersTimeout:  time.Duration(*s.Timeouts.RequestHeaders),
		RequestTimeout:         time.Duration(*s.Timeouts.Request),
		StreamIdleTimeout:      time.Duration(*s.Timeouts.StreamIdle),
		ConnectionIdleTimeout:  time.Duration(*s.Timeouts.ConnectionIdle),
		DrainTimeout:           time.Duration(*s.Timeouts.Drain),
		MaxRequestHeadersKB:    uint32((*s.MaxRequestHeaders + 1023) / 1024),
		MaxHeadersCount:        uint32(*s.MaxHeadersCount),
		MaxConnections:         uint64(*s.MaxConnections),
		HTTP2MaxStreams:        uint32(*s.HTTP2.MaxStreams),
		HTTP2StreamWindow:      uint32(*s.HTTP2.StreamWindow),
		HTTP2ConnectionWindow:  uint32(*s.HTTP2.ConnectionWindow),
		BufferLimit:            uint32(*s.BufferLimit),
		NormalizePath:          *s.NormalizePath,
		MergeSlashes:           *s.MergeSlashes,
		EscapedSlashes:         *s.EscapedSlashes,
		HeadersWithUnderscores: *s.HeadersWithUnderscores,
		TrustedHops:            uint32(*s.TrustedHops),
		UseRemoteAddress:       *s.UseRemoteAddress,
		Protocols:              s.Protocols,
		WebSocket:              *s.WebSocket,
	}
}

// listenerOptions are the first listener's of a socket; others that want
// something else are told.
func (c *compiler) listenerOptions(s *socket) ir.ListenerOptions {
	first := options(s.listeners[0].options.spec)
	for _, l := range s.listeners[1:] {
		if !reflect.DeepEqual(first, options(l.options.spec)) {
			c.rep.bad(l.key(), v1alpha1.Conflicted, "SharedListener", l.path,
				"shares %s:%d with listener %s, whose ListenerPolicy holds for both", s.address, s.port, s.listeners[0].name())
		}
	}
	return first
}

// terminate is how a listener ends TLS. False: a client certificate is asked for
// and cannot be verified, so nothing may be served.
func (c *compiler) terminate(l *gatewayListener) (*ir.TLS, bool) {
	if !l.https {
		return nil, true
	}
	spec := l.options.spec
	out := &ir.TLS{Secrets: l.secrets, MinVersion: *spec.TLS.MinVersion}
	for _, p := range spec.Protocols {
		switch p {
		case "http2":
			out.ALPN = append([]string{"h2"}, out.ALPN...)
		case "http1":
			out.ALPN = append(out.ALPN, "http/1.1")
		}
	}
	if *spec.TLS.ClientCertificate == "none" {
		return out, true
	}
	winner := l.options.winners["tls.clientCertificate"]
	if spec.TLS.ClientCA == nil {
		c.rep.bad(winner, v1alpha1.Programmed, ReasonInvalid, "spec.tls.clientCA", "is missing: name the CA of client certificates; listener %s is not served", l.name())
		c.rep.bad(l.key(), v1alpha1.Programmed, ReasonInvalid, l.path, "is not served: %s asks for client certificates and names no CA", winner)
		return nil, false
	}
	winner = l.options.winners["tls.clientCA"]
	ca := v1alpha1.Key{Kind: spec.TLS.ClientCA.Kind, Namespace: winner.Namespace, Name: spec.TLS.ClientCA.Name}
	name, err := c.authority(ca)
	if err != nil {
		c.rep.bad(winner, v1alpha1.ResolvedRefs, "InvalidCACertificateRef", "spec.tls.clientCA", "%v; listener %s is not served", err, l.name())
		c.rep.bad(l.key(), v1alpha1.Programmed, ReasonInvalid, l.path, "is not served: the CA that %s names for client certificates cannot be used", winner)
		return nil, false
	}
	out.ClientCA, out.RequireClientCert = name, *spec.TLS.ClientCertificate == "require"
	return out, true
}

// proxy is what the root namespace's ListenerPolicies say of whole proxies.
func (c *compiler) proxy() ir.Proxy {
	for _, p := range c.listenerPolicies.list {
		a := p.attachment
		if p.spec.Proxy != nil && (p.key.Namespace != c.o.RootNamespace || len(a.TargetRefs) > 0 || a.Selector != nil) {
			c.rep.bad(p.key, v1alpha1.Programmed, reasonNoEffect, "spec.proxy", "holds for a whole proxy: set it in a policy without target in the root namespace %q", c.o.RootNamespace)
		}
	}
	limits := c.proxyLimits()
	return ir.Proxy{MaxConnections: uint64(*limits.MaxConnections), MemoryLimit: int64(*limits.MemoryLimit)}
}

// memLimit is the heap that the filter aims at.
func (c *compiler) memLimit() int64 {
	return int64(*c.proxyLimits().FilterMemory)
}

func (c *compiler) proxyLimits() *v1alpha1.ProxyLimits {
	return merge(c, c.listenerPolicies, c.listenerPolicies.stack(place{}), v1alpha1.ListenerPolicyDefaults()).spec.Proxy
}
