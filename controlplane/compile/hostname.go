package compile

import (
	"regexp"
	"strings"
)

// anyHost is the host pattern that everything matches.
const anyHost = "*"

// hostOrAny turns the Gateway API's "no hostname" into a pattern.
func hostOrAny(h string) string {
	if h == "" {
		return anyHost
	}
	return strings.ToLower(h)
}

// covers says whether every host that the second pattern matches is matched by
// the first. "*.a" covers "b.a" and "*.b.a", not "a".
func covers(pattern, host string) bool {
	if pattern == anyHost || pattern == host {
		return true
	}
	suffix, wild := strings.CutPrefix(pattern, "*")
	return wild && len(host) > len(suffix) && strings.HasSuffix(strings.TrimPrefix(host, "*"), suffix)
}

// intersect returns the hosts both patterns match, or "".
func intersect(a, b string) string {
	switch {
	case covers(a, b):
		return b
	case covers(b, a):
		return a
	}
	return ""
}

// specificity orders host patterns: exact before wildcard before any, longer
// before shorter.
func specificity(pattern string) int {
	switch {
	case pattern == anyHost:
		return 0
	case strings.HasPrefix(pattern, "*"):
		return len(pattern)
	}
	return 1000 + len(pattern)
}

var hostPattern = regexp.MustCompile(`^(\*\.)?[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$`)

// validHost says whether a pattern is a host name, or one below a wildcard.
func validHost(pattern string) bool {
	return pattern == anyHost || (len(pattern) <= 253 && hostPattern.MatchString(pattern))
}
