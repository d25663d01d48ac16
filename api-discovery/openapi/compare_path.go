package openapi

import (
	"strings"

	"github.com/gabion-io/gabion/api-discovery"
)

// pattern is a declared operation as what requests are matched with.
type pattern struct {
	protocol apidiscovery.Protocol
	method   string
	name     string
	segments []string // as in the template
}

func patternOf(o apidiscovery.Operation) pattern {
	return pattern{protocol: o.Protocol, method: o.Method, name: o.Name, segments: strings.Split(o.Template.String(), "/")[1:]}
}

// fits says whether the observed operation is one of the declared.
func (p *pattern) fits(o *apidiscovery.Operation) bool {
	switch {
	case p.method != o.Method:
		// GraphQL is asked with GET as well.
		if p.protocol != apidiscovery.GraphQL || o.Protocol != apidiscovery.GraphQL {
			return false
		}
	case p.name != "" && p.name != o.Name:
		return false
	}
	if p.protocol == apidiscovery.GraphQL && p.name == o.Name && o.Protocol == apidiscovery.GraphQL {
		return true // a schema does not say where it is served
	}
	return p.fitsPath(o)
}

func (p *pattern) fitsPath(o *apidiscovery.Operation) bool {
	segments := strings.Split(o.Template.String(), "/")[1:]
	for i, s := range p.segments {
		if strings.HasSuffix(s, "*}") && strings.HasPrefix(s, "{") {
			return len(segments) >= i
		}
		if i >= len(segments) || !fitsSegment(s, segments[i]) {
			return false
		}
	}
	return len(p.segments) == len(segments)
}

// fitsSegment: what stands around the holes must be there, and something in
// them. A hole that was learned is something.
func fitsSegment(declared, seen string) bool {
	before, rest, hole := strings.Cut(declared, "{")
	if !hole {
		return declared == seen
	}
	if !strings.HasPrefix(seen, before) {
		return false
	}
	seen = seen[len(before):]
	_, rest, _ = strings.Cut(rest, "}")
	if rest == "" {
		return seen != ""
	}
	if !strings.Contains(rest, "{") {
		return len(seen) > len(rest) && strings.HasSuffix(seen, rest)
	}
	literal, _, _ := strings.Cut(rest, "{")
	at := strings.Index(seen, literal)
	if literal == "" {
		at = 1 // two holes side by side: each takes something
	}
	for at >= 0 && at < len(seen) {
		if at > 0 && fitsSegment(rest, seen[at:]) {
			return true
		}
		next := strings.Index(seen[at+1:], literal)
		if next < 0 {
			return false
		}
		at += 1 + next
	}
	return false
}

// before says whether p is the better of two that fit: the one with a word where
// the other has a hole.
func (p *pattern) before(q *pattern) bool {
	for i := range min(len(p.segments), len(q.segments)) {
		a, b := strings.Contains(p.segments[i], "{"), strings.Contains(q.segments[i], "{")
		if a != b {
			return b
		}
	}
	return len(p.segments) > len(q.segments)
}
