package wafrules

import (
	"bytes"
	"strings"
)

// Attack is a known attack: requests that the rule set is expected to find.
type Attack struct {
	ID       string // "942100-1"
	Rule     int    // the rule under test
	Requests []AttackRequest
}

// AttackRequest is one request of an attack.
type AttackRequest struct {
	Method  string
	Target  string // with query
	Version string // "HTTP/1.1"
	Headers []AttackHeader
	Body    []byte
	Encoded []byte // the whole request as bytes; then nothing else is set
}

// AttackHeader is one header field as it is sent.
type AttackHeader struct{ Name, Value string }

// Bytes is the request as it is sent.
func (r *AttackRequest) Bytes() []byte {
	if r.Encoded != nil {
		return r.Encoded
	}
	var b bytes.Buffer
	b.WriteString(r.Method + " " + r.Target + " " + r.Version + "\r\n")
	for _, h := range r.Headers {
		b.WriteString(h.Name + ": " + h.Value + "\r\n")
	}
	b.WriteString("\r\n")
	b.Write(r.Body)
	return b.Bytes()
}

// Header is the first field of a name.
func (r *AttackRequest) Header(name string) (string, bool) {
	for _, h := range r.Headers {
		if strings.EqualFold(h.Name, name) {
			return h.Value, true
		}
	}
	return "", false
}
