package workload

import (
	"maps"
	"slices"
	"strconv"
	"strings"
)

// NamespaceName is the label that every namespace has without being given it:
// its name. Kubernetes gives it since 1.22.
const NamespaceName = "kubernetes.io/metadata.name"

// Labels are names with values. Nobody changes Labels that others can see.
type Labels map[string]string

// Get returns a label's value and whether it is there.
func (l Labels) Get(name string) (string, bool) {
	v, ok := l[name]
	return v, ok
}

// String is canonical: "app=web,tier=front", sorted by name. What could be
// mistaken for the separators is quoted, so that different labels never give the
// same text.
func (l Labels) String() string {
	var b strings.Builder
	for i, name := range slices.Sorted(maps.Keys(l)) {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(quote(name))
		b.WriteByte('=')
		b.WriteString(quote(l[name]))
	}
	return b.String()
}

// quote leaves what a label may hold in Kubernetes as it is.
func quote(s string) string {
	if strings.ContainsAny(s, "=,|:\"\\ ") || strings.IndexFunc(s, func(r rune) bool { return r < ' ' || r > '~' }) >= 0 {
		return strconv.Quote(s)
	}
	return s
}
