package apidiscovery

import (
	"fmt"
	"strings"
)

// PathTemplate is a path with named holes: "/users/{userId}/orders.json". It is
// the full path with any base path, begins with "/", and holds no query. A hole
// fills a segment or a part of one ("{sid}.json", "{id}:cancel"); a hole whose
// name ends in "*" takes the rest of the path, slashes included ("/files/{path*}").
//
// The zero value is no template.
type PathTemplate struct {
	text string
}

// ParsePathTemplate checks that braces are paired, holes are named, names are
// unique within the template, and that only the last hole takes the rest.
func ParsePathTemplate(s string) (PathTemplate, error) {
	if !strings.HasPrefix(s, "/") {
		return PathTemplate{}, fmt.Errorf("read path template %q: it does not begin with a slash", s)
	}
	seen := map[string]bool{}
	for rest := s; rest != ""; {
		open := strings.IndexAny(rest, "{}")
		if open < 0 {
			break
		}
		end := strings.IndexAny(rest[open+1:], "{}/")
		if rest[open] == '}' || end < 0 || rest[open+1+end] != '}' {
			return PathTemplate{}, fmt.Errorf("read path template %q: a brace without its other half", s)
		}
		name := rest[open+1 : open+1+end]
		rest = rest[open+end+2:]
		switch {
		case strings.TrimSuffix(name, "*") == "":
			return PathTemplate{}, fmt.Errorf("read path template %q: a hole without a name", s)
		case seen[name]:
			return PathTemplate{}, fmt.Errorf("read path template %q: the name %q twice", s, name)
		case strings.HasSuffix(name, "*") && rest != "":
			return PathTemplate{}, fmt.Errorf("read path template %q: {%s} takes the rest, and something follows it", s, name)
		}
		seen[name] = true
	}
	return PathTemplate{s}, nil
}

// MustPathTemplate is for templates written in code.
func MustPathTemplate(s string) PathTemplate {
	t, err := ParsePathTemplate(s)
	if err != nil {
		panic(err)
	}
	return t
}

func (t PathTemplate) String() string { return t.text }

// IsZero says that there is no template.
func (t PathTemplate) IsZero() bool { return t.text == "" }

// Names lists the holes from left to right, without the "*" of one that takes
// the rest.
func (t PathTemplate) Names() (names []string) {
	for rest := t.text; ; {
		_, after, found := strings.Cut(rest, "{")
		if !found {
			return names
		}
		name, tail, _ := strings.Cut(after, "}")
		names = append(names, strings.TrimSuffix(name, "*"))
		rest = tail
	}
}

// Canonical is the template with every hole's name left out, "/users/{}/orders":
// two that differ in names only are one.
func (t PathTemplate) Canonical() string {
	var b strings.Builder
	for rest := t.text; ; {
		before, after, found := strings.Cut(rest, "{")
		b.WriteString(before)
		if !found {
			return b.String()
		}
		name, tail, _ := strings.Cut(after, "}")
		b.WriteString("{")
		if strings.HasSuffix(name, "*") {
			b.WriteString("*")
		}
		b.WriteString("}")
		rest = tail
	}
}

// MarshalText and UnmarshalText make a template a JSON string.
func (t PathTemplate) MarshalText() ([]byte, error) { return []byte(t.text), nil }

func (t *PathTemplate) UnmarshalText(b []byte) (err error) {
	if len(b) == 0 {
		*t = PathTemplate{}
		return nil
	}
	*t, err = ParsePathTemplate(string(b))
	return err
}
