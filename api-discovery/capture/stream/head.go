package stream

import (
	"bytes"
	"strconv"
	"strings"

	"github.com/gabion-io/gabion/internal/exchange"
)

// parse reads the head of a message of HTTP/1; false: it is none.
func (r *reading) parse(b []byte) bool {
	line, b, _ := bytes.Cut(b, []byte("\n"))
	first := strings.TrimSuffix(string(line), "\r")
	if r.request && !r.m.requestLine(first) || !r.request && !r.m.statusLine(first) {
		return false
	}
	for len(b) > 0 {
		line, b, _ = bytes.Cut(b, []byte("\n"))
		text := strings.TrimSuffix(string(line), "\r")
		if text == "" {
			break
		}
		if text[0] == ' ' || text[0] == '\t' { // a folded line (RFC 9112, 5.2)
			if len(r.m.headers) == 0 {
				return false
			}
			last := &r.m.headers[len(r.m.headers)-1]
			last.Value += " " + strings.Trim(text, " \t")
			continue
		}
		name, value, ok := strings.Cut(text, ":")
		if !ok || !isToken(name) || len(r.m.headers) == maxHeaders {
			return false
		}
		r.m.headers = append(r.m.headers, exchange.Header{Name: name, Value: strings.Trim(value, " \t")})
	}
	return true
}

func (m *message) requestLine(line string) bool {
	method, rest, _ := strings.Cut(line, " ")
	target, version, ok := strings.Cut(rest, " ")
	if !ok || !isToken(method) || target == "" || !isVersion(version) || strings.ContainsFunc(target, func(r rune) bool { return r <= ' ' || r == 0x7f }) {
		return false
	}
	m.method, m.target, m.proto = method, target, version
	return true
}

func (m *message) statusLine(line string) bool {
	version, rest, _ := strings.Cut(line, " ")
	if !isVersion(version) || len(rest) < 3 || len(rest) > 3 && rest[3] != ' ' {
		return false
	}
	status, err := strconv.Atoi(rest[:3])
	if err != nil || status < 100 || status > 999 {
		return false
	}
	m.proto, m.status = version, status
	return true
}

func isVersion(s string) bool { return s == "HTTP/1.1" || s == "HTTP/1.0" }

func isToken(s string) bool {
	for i := range len(s) {
		c := s[i]
		if !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.IndexByte("!#$%&'*+-.^_`|~", c) >= 0) {
			return false
		}
	}
	return s != ""
}

// framing is what a head says of the length of its body.
type framing struct {
	coded   bool // there is a Transfer-Encoding
	chunked bool // and it ends in chunked
	sized   bool // there is a Content-Length
	length  int64
}

// framingOf reads it; false: it says nothing that can be.
func framingOf(m *message) (f framing, ok bool) {
	for _, h := range m.headers {
		switch {
		case strings.EqualFold(h.Name, "transfer-encoding"):
			f.coded = true
			for part := range strings.SplitSeq(h.Value, ",") {
				f.chunked = strings.EqualFold(strings.Trim(part, " \t"), "chunked")
			}
		case strings.EqualFold(h.Name, "content-length"):
			for part := range strings.SplitSeq(h.Value, ",") {
				n, err := strconv.ParseUint(strings.Trim(part, " \t"), 10, 62)
				if err != nil || f.sized && int64(n) != f.length {
					return f, false
				}
				f.sized, f.length = true, int64(n)
			}
		}
	}
	return f, true
}
