package xds

import (
	"strings"

	"github.com/gabion-io/gabion/controlplane/ir"
)

// blameKey is one discovery resource; a snapshot remembers what it came from.
type blameKey struct{ typeURL, name string }

// Blame names the resources that rejected discovery resources came from. When
// Envoy's message names some of the candidates, only those are blamed.
func Blame(s *Snapshot, typeURL string, names []string, message string) []ir.Ref {
	if s == nil {
		return nil
	}
	var refs []ir.Ref
	for _, n := range Named(names, message) {
		refs = append(refs, s.blame[blameKey{typeURL, n}]...)
	}
	return sortedRefs(refs)
}

// Named keeps the names that a message mentions as whole words, or all of them
// when it mentions none.
func Named(names []string, message string) []string {
	var out []string
	for _, n := range names {
		if mentions(message, n) {
			out = append(out, n)
		}
	}
	if len(out) == 0 {
		return names
	}
	return out
}

func mentions(message, name string) bool {
	if name == "" {
		return false
	}
	for rest := message; ; {
		i := strings.Index(rest, name)
		if i < 0 {
			return false
		}
		after := rest[i+len(name):]
		if (i == 0 || !inName(rest[i-1])) && (after == "" || !inName(after[0])) {
			return true
		}
		rest = rest[i+1:]
	}
}

// inName tells characters that continue a resource's name.
func inName(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || strings.IndexByte("-_/#", c) >= 0
}
