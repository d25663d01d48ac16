package apidiscovery

import (
	"encoding/base32"
	"hash/fnv"
	"slices"
	"strings"
	"time"
)

// Protocol is how an operation is called.
type Protocol string

const (
	REST      Protocol = "rest"
	GraphQL   Protocol = "graphql"
	GRPC      Protocol = "grpc"
	JSONRPC   Protocol = "jsonrpc"
	MCP       Protocol = "mcp" // Model Context Protocol over JSON-RPC
	SOAP      Protocol = "soap"
	WebSocket Protocol = "websocket"
	SSE       Protocol = "sse" // an event stream answered to a GET
)

// OperationKey tells one operation from another.
type OperationKey struct {
	Service  string       `json:"service"` // host in lower case without port, or the name given by a person
	Protocol Protocol     `json:"protocol"`
	Method   string       `json:"method"` // HTTP method, upper case
	Template PathTemplate `json:"template"`
	// Name is what is called at the template by protocols that do not say it in
	// method and path: "query viewer" (GraphQL: kind and operation or root field),
	// "tools/call search" (MCP: method and tool), "eth_call" (JSON-RPC),
	// "GetQuote" (SOAP action). Empty for REST, gRPC, WebSocket and SSE.
	Name string `json:"name,omitempty"`
}

// Operation is one thing a service does, as observed.
type Operation struct {
	ID string `json:"id"` // Key's, see OperationKey.ID
	OperationKey
	Params    []Param    `json:"params,omitempty"`    // by In, then position in the template, then name
	Request   []Body     `json:"request,omitempty"`   // one a media type, by MediaType
	Responses []Response `json:"responses,omitempty"` // by Status
	// Streaming is "", "client", "server" or "bidi"; for gRPC what was seen, for
	// WebSocket "bidi", for SSE "server".
	Streaming string   `json:"streaming,omitempty"`
	Fields    []Field  `json:"fields,omitempty"` // GraphQL: fields selected, by Path
	Auth      []Auth   `json:"auth,omitempty"`   // most used first
	Callers   Callers  `json:"callers"`
	Traffic   Traffic  `json:"traffic"`
	Evidence  Evidence `json:"evidence"`
}

// Field is a field of a GraphQL operation: "user.repositories.name".
type Field struct {
	Path  string `json:"path"`
	Count uint64 `json:"count"`
}

// Body is what a request carries in one media type.
type Body struct {
	MediaType string  `json:"mediaType"` // lower case without parameters: "application/json"
	Required  bool    `json:"required"`  // every successful request of the operation had a body
	Count     uint64  `json:"count"`     // bodies of this media type, inspected or not
	Inspected uint64  `json:"inspected"` // of them, those that Schema was learned from
	Schema    *Schema `json:"schema,omitempty"`
}

// Response is what was answered with one status.
type Response struct {
	Status  int     `json:"status"`
	Count   uint64  `json:"count"`
	Bodies  []Body  `json:"bodies,omitempty"`
	Headers []Param `json:"headers,omitempty"` // In is InHeader
}

// ByProxies are the statuses that anything on the way may answer: not declared, they
// say nothing of the operation.
func ByProxies(status int) bool {
	return slices.Contains([]int{301, 304, 307, 308, 400, 401, 403, 404, 405, 406, 408, 413, 414, 415, 416, 417, 421, 429, 431, 499, 500, 501, 502, 503, 504}, status)
}

// Traffic is how much, how fast, how well.
type Traffic struct {
	Count      uint64    `json:"count"`      // exchanges, without preflights
	Errors     uint64    `json:"errors"`     // of them, answered with 5xx
	Denied     uint64    `json:"denied"`     // of them, answered with 401 or 403
	Missing    uint64    `json:"missing"`    // of them, answered with 404 or 410
	Preflights uint64    `json:"preflights"` // CORS preflights for this method
	BytesIn    uint64    `json:"bytesIn"`
	BytesOut   uint64    `json:"bytesOut"`
	Latency    Latency   `json:"latency"`
	First      time.Time `json:"first"`
	Last       time.Time `json:"last"`
	// Days holds the exchanges of the last days on which there were any, oldest
	// first, at most 32: rate, and how dead an operation is.
	Days []Day `json:"days,omitempty"`
}

// Day is the count of one UTC day.
type Day struct {
	Date  string `json:"date"` // "2026-03-01"
	Count uint64 `json:"count"`
}

// ID is stable: the same key has the same one in every process and version.
func (k OperationKey) ID() string {
	h := fnv.New128a()
	for _, s := range []string{k.Service, string(k.Protocol), k.Method, k.Template.Canonical(), k.Name} {
		h.Write([]byte(s))
		h.Write([]byte{0})
	}
	return strings.ToLower(base32.HexEncoding.WithPadding(base32.NoPadding).EncodeToString(h.Sum(nil)[:10]))
}

// Compare orders operations for people: by service, path, method, name.
func (k OperationKey) Compare(o OperationKey) int {
	for _, c := range []int{
		strings.Compare(k.Service, o.Service),
		strings.Compare(k.Template.String(), o.Template.String()),
		strings.Compare(k.Method, o.Method),
		strings.Compare(string(k.Protocol), string(o.Protocol)),
	} {
		if c != 0 {
			return c
		}
	}
	return strings.Compare(k.Name, o.Name)
}
