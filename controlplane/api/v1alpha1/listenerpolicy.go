package v1alpha1

import (
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
	ClientCA *CARef `json:"clientCA,omitempty"`
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
}
