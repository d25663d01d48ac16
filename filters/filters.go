// Package filters is the contract between the control plane and the filter
// that runs in (or beside) Envoy: what is configured (Table, Policy), what the
// filter is shown (RequestHead, ResponseHead, body bytes), what it answers
// (Step) and what it tells afterwards (Event).
//
// It knows HTTP messages and nothing of Envoy, Coraza or Kubernetes. Anyone may
// import it; it imports the standard library only.
package filters

import (
	"net/netip"
	"time"
)

// Mode says how far a policy may go.
type Mode string

const (
	ModeOff    Mode = "off"    // not inspected
	ModeDetect Mode = "detect" // inspected, reported, never changes a response
	ModeBlock  Mode = "block"  // inspected, reported, denied when the policy says so
)

// FailureMode says what happens to a request the filter could not judge.
type FailureMode string

const (
	FailOpen   FailureMode = "open"   // let it pass, with an event
	FailClosed FailureMode = "closed" // answer 503, with an event
)

// Header is one header field as it was on the wire, name in lower case.
type Header struct{ Name, Value string }

// RequestHead is a request before its body.
type RequestHead struct {
	Method    string // as sent: "GET"
	Scheme    string // "http" or "https"
	Authority string // Host header or :authority, with port if sent
	Path      string // request target with query, as Envoy forwards it
	Proto     string // "HTTP/1.0", "HTTP/1.1", "HTTP/2", "HTTP/3"
	Headers   []Header
	Client    netip.AddrPort // after trusted hops; invalid when unknown
	Server    netip.AddrPort // the listener's address; invalid when unknown
	RequestID string         // Envoy's x-request-id, may be empty
	Time      time.Time      // arrival
}

// ResponseHead is a response before its body.
type ResponseHead struct {
	Status  int
	Headers []Header
}

// Do is what a transport has to do with the message part it just showed.
type Do uint8

const (
	// Continue forwards the part, and everything held before it.
	Continue Do = iota
	// Hold keeps the part (and what was held before) and shows the next one.
	Hold
	// Deny answers with Step.Reply and shows nothing more of the request.
	Deny
)

func (d Do) String() string { return [...]string{"continue", "hold", "deny"}[d] }

// Step is the chain's answer to one shown part.
type Step struct {
	Do    Do
	Reply *Reply // set with Deny
}

// Reply is the response a denied request gets.
type Reply struct {
	Status  int
	Headers []Header
	Body    []byte
}
