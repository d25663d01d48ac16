package rawhttp

import (
	"bytes"
	"strings"
)

// parseFields reads header lines up to the empty one. Names come in lower case.
func parseFields(rest []byte, size int) ([]Header, []byte, *Malformed) {
	var out []Header
	for {
		line, after, ok := bytes.Cut(rest, []byte("\n"))
		if size += len(line) + 1; size > maxHeadBytes {
			return nil, nil, malformed(431, "headers are longer than %d bytes", maxHeadBytes)
		}
		if !ok {
			return nil, nil, malformed(408, "headers are incomplete")
		}
		rest = after
		line = bytes.TrimSuffix(line, []byte("\r"))
		if len(line) == 0 {
			break
		}
		if line[0] == ' ' || line[0] == '\t' {
			if len(out) == 0 {
				return nil, nil, malformed(400, "the first header line begins with space")
			}
			// A folded line goes on with its leading space (obsolete, RFC 9112, 5.2).
			out[len(out)-1].Value += string(line)
			continue
		}
		name, value, ok := bytes.Cut(line, []byte(":"))
		switch {
		case !ok:
			return nil, nil, malformed(400, "header line without a colon")
		case !isToken(name):
			return nil, nil, malformed(400, "header name %q", clip(string(name)))
		case len(out) == maxHeaders:
			return nil, nil, malformed(431, "more than %d headers", maxHeaders)
		}
		out = append(out, Header{Name: strings.ToLower(string(name)), Value: string(value)})
	}
	for i := range out {
		v := strings.ReplaceAll(out[i].Value, "\r", "")
		v = strings.Trim(v, " \t")
		for j := 0; j < len(v); j++ {
			if c := v[j]; c < ' ' && c != '\t' || c == 0x7f {
				return nil, nil, malformed(400, "byte 0x%02x in the value of header %s", c, out[i].Name)
			}
		}
		out[i].Value = v
	}
	return out, rest, nil
}

func isToken(name []byte) bool {
	for _, c := range name {
		if !isDigit(c) && (c|0x20 < 'a' || c|0x20 > 'z') && !strings.ContainsRune("!#$%&'*+-.^_`|~", rune(c)) {
			return false
		}
	}
	return len(name) > 0
}

// place fills the head from the header lines, as the connection manager leaves
// it: target and host told apart, hop-by-hop headers gone.
func (r *Request) place(fields []Header) *Malformed {
	host, hasHost := join(fields, "host")
	if m := r.target(host, hasHost); m != nil {
		return m
	}
	connection, _ := join(fields, "connection")
	upgrade, _ := join(fields, "upgrade")
	upgrading := upgrade != "" && hasToken(connection, "upgrade") && !strings.EqualFold(upgrade, "h2c")
	if upgrading && !strings.EqualFold(upgrade, "websocket") {
		return malformed(403, "upgrade to %q", clip(upgrade))
	}
	if hasToken(connection, "host") || hasToken(connection, "x-forwarded-for") || hasToken(connection, "x-forwarded-host") || hasToken(connection, "x-forwarded-proto") {
		return malformed(400, "Connection names a header that must not be dropped")
	}
	drop := hopByHop(connection, upgrading)
	for i, f := range fields {
		if drop[f.Name] {
			continue
		}
		if joined(f.Name) {
			if v, first := joinFrom(fields, i); first && (f.Name != "referer" || validReferer(v)) {
				r.Headers = append(r.Headers, Header{Name: f.Name, Value: v})
			}
			continue
		}
		r.Headers = append(r.Headers, f)
	}
	return nil
}

func hopByHop(connection string, upgrading bool) map[string]bool {
	drop := map[string]bool{"host": true, "transfer-encoding": true, "keep-alive": true, "proxy-connection": true, "te": true, "http2-settings": true}
	if upgrading {
		return drop
	}
	drop["connection"], drop["upgrade"] = true, true
	for _, t := range strings.Split(strings.ToLower(connection), ",") {
		if t = strings.TrimSpace(t); t != "" {
			drop[t] = true
		}
	}
	return drop
}

// joined names the headers of which Envoy keeps one, with the values joined.
func joined(name string) bool {
	switch name {
	case "accept", "accept-encoding", "authorization", "cache-control", "content-encoding", "content-type", "expect",
		"grpc-timeout", "if-none-match", "origin", "pragma", "referer", "user-agent", "via", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto",
		"x-request-id":
		return true
	}
	return false
}

// join gives all values of a header in one.
func join(fields []Header, name string) (string, bool) {
	var values []string
	for _, f := range fields {
		if f.Name == name {
			values = append(values, f.Value)
		}
	}
	return strings.Join(values, ","), len(values) > 0
}

// joinFrom joins the values of the header at i, if it is the first of its name.
func joinFrom(fields []Header, i int) (string, bool) {
	for _, f := range fields[:i] {
		if f.Name == fields[i].Name {
			return "", false
		}
	}
	v, _ := join(fields[i:], fields[i].Name)
	return v, true
}

func hasToken(list, token string) bool {
	for _, t := range strings.Split(list, ",") {
		if strings.EqualFold(strings.TrimSpace(t), token) {
			return true
		}
	}
	return false
}
