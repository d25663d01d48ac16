package learn

import (
	"slices"
	"strconv"
	"strings"

	"github.com/gabion-io/gabion/api-discovery"
)

// template writes the path of branches. A hole is named after the word before it,
// "/users/{userId}", whatever its values look like, so that its name does not
// change when they do.
func (c *concluder) template(path []*branch, slash bool) apidiscovery.PathTemplate {
	var b strings.Builder
	taken := map[string]bool{}
	last := ""
	for _, s := range path {
		b.WriteByte('/')
		head, suffix := around(s.form)
		b.WriteString(escapeBraces(head))
		if s.hole {
			b.WriteString("{" + holeName(last+head, taken) + "}")
		} else {
			b.WriteString(escapeBraces(s.text))
			last = s.text
		}
		b.WriteString(escapeBraces(suffix))
	}
	if slash || len(path) == 0 {
		b.WriteByte('/')
	}
	t, err := apidiscovery.ParsePathTemplate(b.String())
	if err != nil { // cannot be: names are letters and unique, braces are escaped
		t = apidiscovery.MustPathTemplate("/")
	}
	if names := renamed(c.overrides, c.service, t); names != nil {
		t = withNames(t, names)
	}
	return t
}

func escapeBraces(s string) string {
	if !strings.ContainsAny(s, "{}/%?# ") {
		return s
	}
	return strings.NewReplacer("%", "%25", "{", "%7B", "}", "%7D", "/", "%2F", "?", "%3F", "#", "%23", " ", "%20").Replace(s)
}

// holeName is "userId" after "users", "id" after nothing; a second one after the
// same word gets a number.
func holeName(word string, taken map[string]bool) string {
	word, _ = singular(strings.Trim(word, "("))
	name := camel(word)
	switch {
	case name == "":
		name = "id"
	case !strings.HasSuffix(strings.ToLower(name), "id"):
		name += "Id"
	}
	unique := name
	for n := 2; taken[unique]; n++ {
		unique = name + strconv.Itoa(n)
	}
	taken[unique] = true
	return unique
}

// camel keeps the letters and digits of a word, in camelCase.
func camel(s string) string {
	var b strings.Builder
	up := false
	for i := range len(s) {
		c := s[i]
		switch {
		case c|0x20 >= 'a' && c|0x20 <= 'z' || c >= '0' && c <= '9' && b.Len() > 0:
			if up && b.Len() > 0 && c >= 'a' && c <= 'z' {
				c -= 0x20
			}
			if b.Len() == 0 && c >= 'A' && c <= 'Z' {
				c += 0x20
			}
			b.WriteByte(c)
			up = false
		default:
			up = true
		}
	}
	return b.String()
}

// withNames gives the holes of a template other names.
func withNames(t apidiscovery.PathTemplate, names []string) apidiscovery.PathTemplate {
	var b strings.Builder
	rest := t.String()
	for _, n := range names {
		before, after, _ := strings.Cut(rest, "{")
		_, tail, _ := strings.Cut(after, "}")
		b.WriteString(before + "{" + n + "}")
		rest = tail
	}
	b.WriteString(rest)
	if named, err := apidiscovery.ParsePathTemplate(b.String()); err == nil && slices.Equal(named.Names(), names) {
		return named
	}
	return t
}
