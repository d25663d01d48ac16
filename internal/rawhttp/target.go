package rawhttp

import (
	"strconv"
	"strings"
)

// target splits the request target into authority and path and normalises the
// path as the connection manager does.
func (r *Request) target(host string, hasHost bool) *Malformed {
	h := r
	t := h.Path
	scheme, rest, absolute := strings.Cut(t, "://")
	switch {
	case h.Method == "CONNECT":
		// No route takes it, but filters see it first: a target of host and port.
		at := strings.LastIndexByte(t, ':')
		if at <= 0 || t[at+1:] == "" || !validPort(t[at+1:]) {
			return malformed(400, "CONNECT to %q, not host and port", clip(t))
		}
		host, hasHost, h.Path = t, true, ""
	case t == "*" && h.Method == "OPTIONS":
		return malformed(404, "request target *")
	case strings.HasPrefix(t, "/"):
	case absolute && strings.EqualFold(scheme, "http"):
		at := strings.IndexAny(rest, "/?")
		if at < 0 {
			at = len(rest)
		}
		host, hasHost = rest[:at], true
		if user := strings.LastIndexByte(host, '@'); user >= 0 {
			host = host[user+1:]
		}
		if _, port, ok := strings.Cut(host, ":"); ok && !strings.HasPrefix(host, "[") && !validPort(port) {
			return malformed(400, "port in the request target")
		}
		if host == "" {
			return malformed(400, "request target without host")
		}
		if h.Path = rest[at:]; h.Path == "" {
			h.Path = "/"
		}
		if h.Path[0] != '/' {
			return malformed(404, "request target without path")
		}
	case absolute && strings.EqualFold(scheme, "https"):
		return malformed(403, "https target on a connection without TLS")
	default:
		return malformed(400, "request target %q", clip(t))
	}
	if !hasHost {
		return malformed(400, "no Host header")
	}
	for i := 0; i < len(host); i++ {
		if !hostByte(host[i]) {
			return malformed(400, "byte 0x%02x in the host", host[i])
		}
	}
	h.Authority = host
	var m *Malformed
	h.Path, m = normalise(h.Path)
	return m
}

func validPort(s string) bool {
	n, err := strconv.Atoi(s)
	return s == "" || err == nil && n >= 0 && n <= 65535
}

// hostByte says whether Envoy lets a byte stand in an authority.
func hostByte(c byte) bool {
	return isDigit(c) || c|0x20 >= 'a' && c|0x20 <= 'z' || strings.IndexByte("-._~%!$&'()*+,;=:@[]", c) >= 0
}

// normalise is normalize_path and merge_slashes: unreserved characters decoded,
// others that do not belong encoded, backslash is slash, dot segments resolved,
// empty segments merged. The query is left alone.
func normalise(path string) (string, *Malformed) {
	if !strings.HasPrefix(path, "/") {
		return path, nil
	}
	p, query, hasQuery := strings.Cut(path, "?")
	p, m := canonical(dropDotParameters(p))
	if m != nil {
		return "", m
	}
	p = merge(resolve(p))
	if hasQuery {
		p += "?" + query
	}
	return p, nil
}

func canonical(p string) (string, *Malformed) {
	var b strings.Builder
	for i := 0; i < len(p); i++ {
		c := p[i]
		switch {
		case c == '%' && i+2 < len(p) && isHex(p[i+1]) && isHex(p[i+2]):
			n, _ := strconv.ParseUint(p[i+1:i+3], 16, 8)
			d := byte(n)
			if d == 0 {
				return "", malformed(400, "%%00 in the path")
			}
			if isDigit(d) || d|0x20 >= 'a' && d|0x20 <= 'z' || strings.IndexByte("-._~", d) >= 0 {
				b.WriteByte(d)
			} else {
				b.WriteString(p[i : i+3])
			}
			i += 2
		case c == '\\':
			b.WriteByte('/')
		case strings.IndexByte("\"<>^`{|}", c) >= 0:
			b.WriteByte('%')
			b.WriteString(strings.ToUpper(strconv.FormatUint(uint64(c), 16)))
		default:
			b.WriteByte(c)
		}
	}
	return b.String(), nil
}

func isHex(c byte) bool { return isDigit(c) || c|0x20 >= 'a' && c|0x20 <= 'f' }

// dropDotParameters makes "..;x" "..": a parameter does not hide dots from the
// resolving that follows. Envoy looks at the path as it was sent.
func dropDotParameters(p string) string {
	segments := strings.Split(p, "/")
	for i, s := range segments {
		if name, _, ok := strings.Cut(s, ";"); ok && (name == "." || name == "..") {
			segments[i] = name
		}
	}
	return strings.Join(segments, "/")
}

// resolve removes dot segments.
func resolve(p string) string {
	segments := strings.Split(p[1:], "/")
	var out []string
	for i, s := range segments {
		last := i == len(segments)-1
		switch s {
		case ".":
			if last {
				out = append(out, "")
			}
		case "..":
			if len(out) > 0 {
				out = out[:len(out)-1]
			}
			if last {
				out = append(out, "")
			}
		default:
			out = append(out, s)
		}
	}
	return "/" + strings.Join(out, "/")
}

func merge(p string) string {
	if !strings.Contains(p, "//") {
		return p
	}
	var parts []string
	for _, s := range strings.Split(p, "/") {
		if s != "" {
			parts = append(parts, s)
		}
	}
	out := "/" + strings.Join(parts, "/")
	if strings.HasSuffix(p, "/") {
		out += "/"
	}
	return out
}
