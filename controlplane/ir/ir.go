// Package ir is gabion's intent after every resource has been read, merged and
// checked, and before anything is said in Envoy's words. Compile writes it,
// xds reads it. It imports the standard library only.
package ir

import (
	"encoding/json"
	"net/netip"
	"time"
)

// IR is everything that one fleet of proxies is to do. Slices are sorted by
// name, so that equal intent is equal bytes.
type IR struct {
	Listeners []Listener
	Clusters  []Cluster
	Secrets   []Secret
	Proxy     Proxy
	Recording []Recording
}

// Proxy is what holds for a whole proxy, whatever its listeners.
type Proxy struct {
	MaxConnections uint64 // all listeners together
	MemoryLimit    int64  // bytes of heap beyond which it sheds load
}

// Recording bounds what is kept of one Recording resource's exchanges.
type Recording struct {
	Resource Ref
	MaxBytes int64
	MaxAge   time.Duration
}

// Listener is one address that Envoy listens on. Gateways that share an address
// and port share it and are told apart by server name or host.
type Listener struct {
	Name         string // "default/web/http": namespace/gateway/listener; the first, when shared
	Resource     Ref    // the Gateway that caused it
	Address      string
	Port         uint32
	Chains       []FilterChain // more than one only with TLS (by server name)
	Options      ListenerOptions
	FilterTable  json.RawMessage // filters.Table; nil: no filter on this listener
	FilterCauses []Ref           // resources that shaped the table: where a NACK becomes a condition
}

// FilterChain is the traffic of one server name (or all of it, without TLS).
type FilterChain struct {
	Name         string
	ServerNames  []string
	TLS          *TLS
	VirtualHosts []VirtualHost
}

// TLS terminates TLS with certificates delivered by SDS.
type TLS struct {
	Secrets           []string // names in IR.Secrets
	MinVersion        string   // "1.2", "1.3"
	ClientCA          string   // name in IR.Secrets; "": no client certificate asked
	RequireClientCert bool
	ALPN              []string
}

// ListenerOptions is ListenerPolicy with its defaults filled in.
type ListenerOptions struct {
	RequestHeadersTimeout  time.Duration
	RequestTimeout         time.Duration
	StreamIdleTimeout      time.Duration
	ConnectionIdleTimeout  time.Duration
	MaxRequestHeadersKB    uint32
	MaxHeadersCount        uint32
	MaxConnections         uint64 // of this listener; 0: the global limit only
	HTTP2MaxStreams        uint32
	HTTP2StreamWindow      uint32 // bytes
	HTTP2ConnectionWindow  uint32 // bytes
	BufferLimit            uint32 // per connection, bytes
	NormalizePath          bool
	MergeSlashes           bool
	EscapedSlashes         string // "keep", "reject", "unescape-redirect", "unescape-forward"
	HeadersWithUnderscores string // "reject", "drop", "allow"
	TrustedHops            uint32
	UseRemoteAddress       bool
	Protocols              []string // "http1", "http2"; empty: both
	WebSocket              bool
	DrainTimeout           time.Duration
}

// VirtualHost groups routes by host name.
type VirtualHost struct {
	Name    string
	Domains []string
	Routes  []Route // most specific first: Gateway API precedence is already applied
}

// Route is one match of one route rule with its actions.
type Route struct {
	Name      string // "default/shop/0/1": route namespace/name/rule/match
	Resource  Ref    // the HTTPRoute or GRPCRoute
	FilterKey string // key into the listener's filters.Table; "": the filter is off here
	Match     Match
	Backends  []WeightedCluster // empty with Redirect or Direct
	Redirect  *Redirect
	Direct    *DirectResponse
	Rewrite   *Rewrite
	Mirrors   []Mirror

	RequestHeaders  HeaderMutation
	ResponseHeaders HeaderMutation
	Timeout         *time.Duration // whole request; 0: none; nil: the listener's
	BackendTimeout  *time.Duration // one try
	Retry           *Retry
	Streaming       bool // long-lived by nature (gRPC): exempt from the request timeout

	Access *Access // nil: everybody may send everything
}

// Access is who may send what on a route, by the policies of the workloads it
// leads to.
type Access struct {
	Enforced *Condition // what passes; nil: all
	Audited  *Condition // what would, were audited policies enforced too; nil: nobody asks
}

// Condition is about a request. Of its fields one is set; with none it always
// holds. Lists are joined by or, but for All.
type Condition struct {
	Never   bool
	All     []Condition
	Any     []Condition
	Not     *Condition
	Methods []string
	Path    string         // RE2, of the whole path without its query
	Callers []string       // SPIFFE IDs of client certificates; a * at the end stands for the rest
	Peers   []netip.Prefix // addresses that connections come from, whatever headers claim
}

// Match is a conjunction.
type Match struct {
	Path    PathMatch
	Method  string
	Headers []ValueMatch
	Query   []ValueMatch
}

// PathMatch matches the path without query.
type PathMatch struct {
	Kind  string // "exact", "prefix" (whole segments), "regex"
	Value string
}

// ValueMatch matches a header or query parameter by name.
type ValueMatch struct {
	Name, Value string
	Regex       bool
}

type WeightedCluster struct {
	Cluster         string
	Weight          uint32
	RequestHeaders  HeaderMutation
	ResponseHeaders HeaderMutation
}

type Mirror struct {
	Cluster string
	Percent float64
}

type Redirect struct {
	Scheme, Host  string
	Port          uint32
	Path          string // replaces the whole path
	PrefixRewrite string // replaces the matched prefix
	HasPrefix     bool
	Status        uint32
}

type Rewrite struct {
	Host          string
	Path          string
	PrefixRewrite string
	HasPrefix     bool
}

type DirectResponse struct {
	Status uint32
	Body   string
}

type HeaderMutation struct {
	Set, Add []Header
	Remove   []string
}

type Header struct{ Name, Value string }

type Retry struct {
	On       []uint32
	Attempts uint32
	Backoff  time.Duration
}

// Cluster is one backend: a Service port.
type Cluster struct {
	Name      string // "default/shop:8080"
	Resource  Ref    // the Service
	Protocol  string // "http1", "http2"
	TLS       *UpstreamTLS
	DNS       string // host name resolved by Envoy; "": Endpoints
	DNSPort   uint32
	Endpoints []Endpoint // sorted; the fast path replaces only these
}

type Endpoint struct {
	Address string
	Port    uint32
	Healthy bool
}

// UpstreamTLS verifies a backend: always a CA and a name, never "insecure".
type UpstreamTLS struct {
	SNI             string
	SubjectAltNames []string // DNS names or SPIFFE URIs; empty: SNI
	CA              string   // name in IR.Secrets; "" with System
	System          bool     // the system's CA bundle
}

// Secret is a key pair or a CA bundle, PEM.
type Secret struct {
	Name     string // "default/shop-tls"
	Resource Ref
	Cert     []byte
	Key      []byte
	CA       []byte // set for a CA bundle, Cert and Key empty
}

// Ref names a resource.
type Ref struct{ Kind, Namespace, Name string }

func (r Ref) String() string { return r.Kind + " " + r.Namespace + "/" + r.Name }
