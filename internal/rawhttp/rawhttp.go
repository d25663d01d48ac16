// Package rawhttp reads one HTTP/1 request from its bytes on the wire the way
// Envoy's HTTP/1 codec accepts it, so that a request can be judged without a
// proxy. It is not a server and not a general parser: it answers one question,
// what would the filter in Envoy have been shown.
//
// Leaf package: it imports filters (for the head) and the standard library.
package rawhttp

import "github.com/gabion-io/gabion/filters"

// Malformed is a request Envoy refuses before any filter sees it.
type Malformed struct {
	Reason string // "two Content-Length headers that differ"
	Status int    // what Envoy answers: 400, 431, 426, 501 …
}

func (m *Malformed) Error() string { return "malformed request: " + m.Reason }

// Request is what Envoy's filters would see.
type Request struct {
	Head filters.RequestHead
	Body []byte
}

// Parse reads one request. The error is a *Malformed.
func Parse(raw []byte) (*Request, error) { panic("todo") }
