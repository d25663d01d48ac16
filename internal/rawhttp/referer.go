package rawhttp

import (
	"net/netip"
	"strings"
)

// validReferer says whether Envoy leaves a Referer in place. It keeps an absolute
// URL without user and fragment, with anything printable in path and query, and
// a relative reference of the characters RFC 3986 allows; all else it removes,
// before any filter.
func validReferer(v string) bool {
	if scheme, rest, ok := strings.Cut(v, "://"); ok && isScheme(scheme) {
		return absoluteReferer(rest)
	}
	slash := false
	for i := 0; i < len(v); i++ {
		c := v[i]
		slash = slash || c == '/'
		if c == ':' && !slash {
			return false // it would be a scheme
		}
		if !isAlnum(c) && strings.IndexByte("-._~%!$&'()*+,;=:@/?", c) < 0 {
			return false
		}
	}
	return true
}

// absoluteReferer judges what follows the scheme.
func absoluteReferer(rest string) bool {
	end := strings.IndexAny(rest, "/?#")
	if end < 0 {
		end = len(rest)
	}
	if !refererHost(rest[:end]) {
		return false
	}
	for i := end; i < len(rest); i++ {
		if c := rest[i]; c <= ' ' || c >= 0x7f || c == '#' && strings.Trim(rest[i:], "#") != "" {
			return false
		}
	}
	return true
}

// refererHost takes letters, digits, dots and hyphens, or an address in
// brackets, and a port.
func refererHost(h string) bool {
	host, port, hasPort := h, "", false
	if strings.HasPrefix(h, "[") {
		address, after, ok := strings.Cut(h[1:], "]")
		a, err := netip.ParseAddr(address)
		if !ok || err != nil || a.Zone() != "" || after != "" && after[0] != ':' {
			return false
		}
		host, hasPort = "a", after != ""
		port = strings.TrimPrefix(after, ":")
	} else if at := strings.IndexByte(h, ':'); at >= 0 {
		host, port, hasPort = h[:at], h[at+1:], true
	}
	for i := 0; i < len(host); i++ {
		if c := host[i]; !isAlnum(c) && c != '.' && c != '-' {
			return false
		}
	}
	n, ok := digits(port)
	return host != "" && (!hasPort || port != "" && ok && n <= 65535)
}

// isScheme: a letter, then letters, digits and "+-.".
func isScheme(s string) bool {
	for i := 0; i < len(s); i++ {
		if c := s[i]; !isAlnum(c) && strings.IndexByte("+-.", c) < 0 || i == 0 && isDigit(c) {
			return false
		}
	}
	return s != "" && isAlnum(s[0])
}

func isAlnum(c byte) bool { return isDigit(c) || c|0x20 >= 'a' && c|0x20 <= 'z' }
