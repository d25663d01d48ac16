// Package rawhttp reads one HTTP/1 request from its bytes on the wire the way
// Envoy 1.40's HTTP/1 codec and connection manager accept it under gabion's
// listener defaults, so that a request can be judged without a proxy. It is not
// a server and not a general parser: it answers one question, what would the
// filter in Envoy have been shown. A test compares it with the real Envoy.
//
// Left out: headers Envoy adds itself (x-forwarded-for, x-request-id), and the
// listener's choice about underscores in header names.
//
// Leaf package: it imports the standard library only.
package rawhttp

import (
	"bytes"
	"fmt"
	"strings"
)

// Limits of gabion's listener defaults, which are Envoy's.
const (
	maxHeadBytes = 60 << 10
	maxHeaders   = 100
)

// Malformed is a request Envoy refuses before any filter sees it.
type Malformed struct {
	Reason string // "two Content-Length headers"
	Status int    // what Envoy answers: 400, 403, 408, 431, 501
}

func (m *Malformed) Error() string { return "malformed request: " + m.Reason }

func malformed(status int, format string, args ...any) *Malformed {
	return &Malformed{Reason: fmt.Sprintf(format, args...), Status: status}
}

// Request is what Envoy's filters would see.
type Request struct {
	Method    string
	Authority string
	Path      string // target with query, normalised; "" for CONNECT
	Proto     string // "HTTP/1.0" or "HTTP/1.1"
	Headers   []Header
	Body      []byte
}

// Header is one header field, name in lower case.
type Header struct{ Name, Value string }

// Parse reads one request; what follows it is not looked at (it would be the
// next request on the connection). The error is a *Malformed.
func Parse(raw []byte) (*Request, error) {
	r, m := parse(raw)
	if m != nil {
		return nil, m
	}
	return r, nil
}

func parse(raw []byte) (*Request, *Malformed) {
	raw = bytes.TrimLeft(raw, "\r\n") // empty lines before a request are skipped
	line, rest, ok := bytes.Cut(raw, []byte("\n"))
	if !ok {
		if len(raw) > maxHeadBytes {
			return nil, malformed(431, "request line is longer than %d bytes", maxHeadBytes)
		}
		return nil, malformed(408, "request line is incomplete")
	}
	first, m := parseLine(line)
	if m != nil {
		return nil, m
	}
	fields, rest, m := parseFields(rest, len(first.method)+len(first.target)+len(first.version))
	if m != nil {
		return nil, m
	}
	r := &Request{Method: first.method, Path: first.target, Proto: first.proto()}
	framing, m := readFraming(fields, first.method)
	if m != nil {
		return nil, m
	}
	if m := r.place(fields); m != nil {
		return nil, m
	}
	if r.Body, m = framing.read(rest); m != nil {
		return nil, m
	}
	return r, nil
}

// requestLine is the first line's three parts.
type requestLine struct{ method, target, version string }

// proto is the version as filters see it: Envoy knows 1.1 and takes every other
// version of one digit and one digit for 1.0.
func (l requestLine) proto() string {
	if l.version == "HTTP/1.1" {
		return "HTTP/1.1"
	}
	return "HTTP/1.0"
}

func parseLine(line []byte) (requestLine, *Malformed) {
	text := strings.TrimSuffix(string(line), "\r")
	if strings.HasPrefix(text, " ") || strings.HasPrefix(text, "\t") {
		return requestLine{}, malformed(400, "space before the method")
	}
	parts := strings.FieldsFunc(text, func(r rune) bool { return r == ' ' || r == '\t' })
	if len(parts) != 3 {
		return requestLine{}, malformed(400, "request line has %d parts, not method, target and version", len(parts))
	}
	l := requestLine{parts[0], parts[1], parts[2]}
	switch {
	case !knownMethod(l.method):
		return l, malformed(400, "method %q is not known", clip(l.method))
	case !validVersion(l.version):
		return l, malformed(400, "version %q", clip(l.version))
	}
	for i := 0; i < len(l.target); i++ {
		if c := l.target[i]; c <= ' ' || c >= 0x7f {
			return l, malformed(400, "byte 0x%02x in the request target", c)
		}
	}
	if strings.Contains(l.target, "#") {
		return l, malformed(400, "fragment in the request target")
	}
	return l, nil
}

func clip(s string) string {
	if len(s) > 32 {
		return s[:32] + "…"
	}
	return s
}

func validVersion(v string) bool {
	return len(v) == 8 && v[:5] == "HTTP/" && isDigit(v[5]) && v[6] == '.' && isDigit(v[7])
}

func isDigit(c byte) bool { return c >= '0' && c <= '9' }

// knownMethod lists what Envoy accepts without allow_custom_methods.
func knownMethod(m string) bool {
	switch m {
	case "ACL", "BIND", "CHECKOUT", "CONNECT", "COPY", "DELETE", "GET", "HEAD", "LINK", "LOCK", "MERGE", "MKACTIVITY",
		"MKCALENDAR", "MKCOL", "MOVE", "MSEARCH", "NOTIFY", "OPTIONS", "PATCH", "POST", "PROPFIND", "PROPPATCH", "PURGE",
		"PUT", "REBIND", "REPORT", "SEARCH", "SOURCE", "SUBSCRIBE", "TRACE", "UNBIND", "UNLINK", "UNLOCK", "UNSUBSCRIBE":
		return true
	}
	return false
}
