package v1alpha1

import (
	"fmt"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// ListenerPolicy hardens listeners. Every field has a safe built-in default. It
// attaches to Gateways (sectionName: one listener), to its namespace's Gateways,
// or, in the root namespace, to all of them.
type ListenerPolicy struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`
	Spec              ListenerPolicySpec `json:"spec"`
}

// ListenerPolicySpec is what a ListenerPolicy says.
type ListenerPolicySpec struct {
	Attachment             `json:",inline"`
	Timeouts               *ListenerTimeouts `json:"timeouts,omitempty"`
	MaxRequestHeaders      *Size             `json:"maxRequestHeaders,omitempty"` // all headers together
	MaxHeadersCount        *int              `json:"maxHeadersCount,omitempty"`
	MaxConnections         *int              `json:"maxConnections,omitempty"` // of each listener; 0: only the proxy's limit
	BufferLimit            *Size             `json:"bufferLimit,omitempty"`    // per connection
	HTTP2                  *HTTP2            `json:"http2,omitempty"`
	NormalizePath          *bool             `json:"normalizePath,omitempty"`
	MergeSlashes           *bool             `json:"mergeSlashes,omitempty"`
	EscapedSlashes         *string           `json:"escapedSlashes,omitempty"`         // keep, reject, unescape-redirect, unescape-forward
	HeadersWithUnderscores *string           `json:"headersWithUnderscores,omitempty"` // reject, drop, allow
	UseRemoteAddress       *bool             `json:"useRemoteAddress,omitempty"`
	TrustedHops            *int              `json:"trustedHops,omitempty"` // proxies in front whose X-Forwarded-For is believed
	Protocols              []string          `json:"protocols,omitempty"`   // http1, http2
	WebSocket              *bool             `json:"webSocket,omitempty"`
	TLS                    *ListenerTLS      `json:"tls,omitempty"`
	Proxy                  *ProxyLimits      `json:"proxy,omitempty"`
}

// ListenerTimeouts are how long a client may take.
type ListenerTimeouts struct {
	RequestHeaders *Duration `json:"requestHeaders,omitempty"`
	Request        *Duration `json:"request,omitempty"` // whole request; streaming is exempt
	StreamIdle     *Duration `json:"streamIdle,omitempty"`
	ConnectionIdle *Duration `json:"connectionIdle,omitempty"`
	Drain          *Duration `json:"drain,omitempty"`
}

// HTTP2 bounds what one HTTP/2 connection may claim.
type HTTP2 struct {
	MaxStreams       *int  `json:"maxStreams,omitempty"`
	StreamWindow     *Size `json:"streamWindow,omitempty"`
	ConnectionWindow *Size `json:"connectionWindow,omitempty"`
}

// ListenerTLS hardens HTTPS listeners.
type ListenerTLS struct {
	MinVersion *string `json:"minVersion,omitempty"` // "1.2", "1.3"
	// ClientCertificate says whether clients present one: none, request
	// (verified when sent), require.
	ClientCertificate *string `json:"clientCertificate,omitempty"`
	// ClientCA names a ConfigMap (ca.crt) or Secret (ca.crt) in the policy's namespace.
	ClientCA *CARef `json:"clientCA,omitempty" merge:"whole"`
}

// CARef names a bundle of CA certificates.
type CARef struct {
	Kind string `json:"kind"` // ConfigMap, Secret
	Name string `json:"name"`
}

// ProxyLimits hold for a whole proxy, so only the root namespace's policy
// without a target may set them.
type ProxyLimits struct {
	MaxConnections *int  `json:"maxConnections,omitempty"` // all listeners together
	MemoryLimit    *Size `json:"memoryLimit,omitempty"`    // heap beyond which the proxy sheds load
	FilterMemory   *Size `json:"filterMemory,omitempty"`   // Go heap the filter aims at (GOMEMLIMIT)
}

// ListenerPolicyDefaults are the built-in defaults, filled in after merging.
func ListenerPolicyDefaults() ListenerPolicySpec {
	return ListenerPolicySpec{
		Timeouts: &ListenerTimeouts{
			RequestHeaders: ptr(Duration(10 * time.Second)),
			Request:        ptr(Duration(300 * time.Second)),
			StreamIdle:     ptr(Duration(300 * time.Second)),
			ConnectionIdle: ptr(Duration(time.Hour)),
			Drain:          ptr(Duration(30 * time.Second)),
		},
		MaxRequestHeaders:      ptr(Size(60 << 10)),
		MaxHeadersCount:        ptr(100),
		MaxConnections:         ptr(0),
		BufferLimit:            ptr(Size(1 << 20)),
		HTTP2:                  &HTTP2{MaxStreams: ptr(100), StreamWindow: ptr(Size(64 << 10)), ConnectionWindow: ptr(Size(1 << 20))},
		NormalizePath:          ptr(true),
		MergeSlashes:           ptr(true),
		EscapedSlashes:         ptr("keep"),
		HeadersWithUnderscores: ptr("reject"),
		UseRemoteAddress:       ptr(true),
		TrustedHops:            ptr(0),
		Protocols:              []string{"http1", "http2"},
		WebSocket:              ptr(true),
		TLS:                    &ListenerTLS{MinVersion: ptr("1.2"), ClientCertificate: ptr("none")},
		Proxy:                  &ProxyLimits{MaxConnections: ptr(50_000), MemoryLimit: ptr(Size(1 << 30)), FilterMemory: ptr(Size(512 << 20))},
	}
}

func (p *ListenerPolicy) validate(f *findings) {
	s := p.Spec
	s.Attachment.validate(f, s, KindGateway)
	if s.Timeouts != nil {
		s.Timeouts.validate(f)
	}
	f.sizeBetween("maxRequestHeaders", s.MaxRequestHeaders, 1<<10, 8<<20)
	f.between("maxHeadersCount", s.MaxHeadersCount, 1, 10_000)
	f.between("maxConnections", s.MaxConnections, 0, 1<<30)
	f.sizeBetween("bufferLimit", s.BufferLimit, 4<<10, 1<<30)
	if h := s.HTTP2; h != nil {
		f.between("http2.maxStreams", h.MaxStreams, 1, 1<<30)
		f.sizeBetween("http2.streamWindow", h.StreamWindow, 65535, 1<<31-1)
		f.sizeBetween("http2.connectionWindow", h.ConnectionWindow, 65535, 1<<31-1)
	}
	f.oneOf("escapedSlashes", s.EscapedSlashes, "keep", "reject", "unescape-redirect", "unescape-forward")
	f.oneOf("headersWithUnderscores", s.HeadersWithUnderscores, "reject", "drop", "allow")
	f.between("trustedHops", s.TrustedHops, 0, 64)
	for i := range s.Protocols {
		f.oneOf(fmt.Sprintf("protocols[%d]", i), &s.Protocols[i], "http1", "http2")
	}
	if s.Protocols != nil && len(s.Protocols) == 0 {
		f.add("protocols", "is empty: name http1, http2 or both, or remove it")
	}
	s.TLS.validate(f)
	if l := s.Proxy; l != nil {
		f.between("proxy.maxConnections", l.MaxConnections, 1, 1<<30)
		f.sizeBetween("proxy.memoryLimit", l.MemoryLimit, 64<<20, 1<<50)
		f.sizeBetween("proxy.filterMemory", l.FilterMemory, 64<<20, 1<<50)
	}
}

func (t *ListenerTimeouts) validate(f *findings) {
	if t.RequestHeaders != nil && *t.RequestHeaders == 0 {
		f.add("timeouts.requestHeaders", "must not be 0s: a client could hold a connection for ever")
	}
	for _, d := range []struct {
		path  string
		value *Duration
	}{
		{"requestHeaders", t.RequestHeaders}, {"request", t.Request}, {"streamIdle", t.StreamIdle},
		{"connectionIdle", t.ConnectionIdle}, {"drain", t.Drain},
	} {
		if d.value != nil && *d.value > Duration(24*time.Hour) {
			f.add("timeouts."+d.path, "%s is out of range: at most 24h", d.value)
		}
	}
}

func (t *ListenerTLS) validate(f *findings) {
	if t == nil {
		return
	}
	f.oneOf("tls.minVersion", t.MinVersion, "1.2", "1.3")
	f.oneOf("tls.clientCertificate", t.ClientCertificate, "none", "request", "require")
	if t.ClientCA != nil {
		f.oneOf("tls.clientCA.kind", &t.ClientCA.Kind, KindConfigMap, KindSecret)
		if t.ClientCA.Name == "" {
			f.add("tls.clientCA.name", "is missing: name the ConfigMap or Secret that holds ca.crt")
		}
	}
}
