// Package exchange is an observed HTTP request with its response, as far as
// gabion keeps it: templates, names, shapes and keyed hashes, no raw value.
// It is a leaf: beside the standard library it imports internal/sensitive, which
// says of values what they are before they are dropped, and internal/jsonread.
package exchange

import "time"

// Exchange is one access log entry after the door (controlplane/ingest).
type Exchange struct {
	ID        string        `json:"id"`
	Time      time.Time     `json:"time"`
	Proxy     string        `json:"proxy"`
	Listener  string        `json:"listener,omitempty"`
	Route     string        `json:"route,omitempty"` // "default/shop"
	RouteRule string        `json:"routeRule,omitempty"`
	Cluster   string        `json:"cluster,omitempty"`
	Client    string        `json:"client,omitempty"` // keyed hash of the client address
	Method    string        `json:"method"`
	Host      string        `json:"host,omitempty"`
	Path      string        `json:"path"`             // masked by MaskPath, no query
	Params    []string      `json:"params,omitempty"` // names of query parameters
	Proto     string        `json:"proto,omitempty"`
	Status    int           `json:"status"`
	BytesIn   int64         `json:"bytesIn"`
	BytesOut  int64         `json:"bytesOut"`
	Duration  time.Duration `json:"duration"`
	Flags     string        `json:"flags,omitempty"`   // Envoy response flags: "UH", "URX"
	Failure   string        `json:"failure,omitempty"` // why the upstream's TLS or connection failed, as Envoy says it
	Event     string        `json:"event,omitempty"`   // id of its security event
	Caller    string        `json:"caller,omitempty"`  // namespace/name of the workload that asked, where an agent saw it
	Process   string        `json:"process,omitempty"` // executable of the process that opened the connection, or whose TLS was seen, where that is known
	Server    string        `json:"server,omitempty"`  // namespace/name of the workload that answered, where an agent saw it
}
