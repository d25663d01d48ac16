package segmentation

import (
	"strings"

	"github.com/gabion-io/gabion/workload"
)

// Selection picks workloads: all of its parts must hold. The zero value picks
// every workload of every namespace.
type Selection struct {
	Namespace  string            // this one; empty: any
	Namespaces workload.Selector // by their labels, kubernetes.io/metadata.name among them
	Labels     workload.Selector
	Names      []string // patterns of names, one of which must match: * stands for any text; empty: any name
}

// Matches says whether an identity, with its Name, is picked.
func (s *Selection) Matches(i workload.Identity) bool {
	return (s.Namespace == "" || s.Namespace == i.Namespace) &&
		s.Namespaces.MatchesBy(i.NamespaceLabel) && s.Labels.Matches(i.Labels) && s.named(i.Name)
}

func (s *Selection) named(name string) bool {
	if len(s.Names) == 0 {
		return true
	}
	for _, p := range s.Names {
		if glob(p, name) {
			return true
		}
	}
	return false
}

// glob matches a text against a pattern in which * stands for any text.
func glob(pattern, text string) bool {
	head, rest, star := strings.Cut(pattern, "*")
	if !star {
		return pattern == text
	}
	text, ok := strings.CutPrefix(text, head)
	if !ok {
		return false
	}
	for {
		part, tail, more := strings.Cut(rest, "*")
		if !more {
			return strings.HasSuffix(text, part)
		}
		at := strings.Index(text, part)
		if at < 0 {
			return false
		}
		text, rest = text[at+len(part):], tail
	}
}

func (s *Selection) String() string {
	var parts []string
	if s.Namespace != "" {
		parts = append(parts, "namespace "+s.Namespace)
	}
	if !s.Namespaces.Empty() {
		parts = append(parts, "namespaces "+s.Namespaces.String())
	}
	if !s.Labels.Empty() {
		parts = append(parts, s.Labels.String())
	}
	if len(s.Names) > 0 {
		parts = append(parts, "named "+strings.Join(s.Names, " or "))
	}
	if len(parts) == 0 {
		return "every workload"
	}
	return strings.Join(parts, ", ")
}
