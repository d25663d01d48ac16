package segmentation

import (
	"slices"
	"strings"
)

// Request is an HTTP request as far as rules look at it.
type Request struct {
	Method string
	Path   string // without query, as the proxy normalised it
	Caller string // the peer's SPIFFE ID or service account; empty: nobody proved it
}

// HTTPRule picks requests; an empty part picks all.
type HTTPRule struct {
	Methods []string
	Path    PathTemplate
	Callers []string // identities, or a prefix that ends in *
}

// Matches says whether a request is picked, by a rule that denies or by one that allows.
func (h *HTTPRule) Matches(r *Request, deny bool) bool {
	return (len(h.Methods) == 0 || slices.Contains(h.Methods, r.Method)) &&
		h.pathIs(r.Path, deny) && h.calledBy(r.Caller)
}

// pathIs is Matches of the path. One that hides a slash has other segments to one server
// than to the next: who denies by path means it, and who allows by path does not.
func (h *HTTPRule) pathIs(path string, deny bool) bool {
	if h.Path.TellsApart() && HidesSlash(path) {
		return deny
	}
	return h.Path.Matches(path)
}

// HidesSlash says whether a path has a slash, or the backslash that some take for one, as
// an escape (RFC 3986, 2.1).
func HidesSlash(path string) bool {
	for rest := path; ; {
		_, after, found := strings.Cut(rest, "%")
		if !found {
			return false
		}
		if len(after) > 1 && (strings.EqualFold(after[:2], "2f") || strings.EqualFold(after[:2], "5c")) {
			return true
		}
		rest = after
	}
}

func (h *HTTPRule) calledBy(caller string) bool {
	for _, c := range h.Callers {
		if prefix, open := strings.CutSuffix(c, "*"); open && caller != "" && strings.HasPrefix(caller, prefix) || c == caller && c != "" {
			return true
		}
	}
	return len(h.Callers) == 0
}

// PathTemplate is a path in which {name} stands for one segment, and a last
// segment of ** for any number of them: "/orders/{id}/items", "/static/**". Empty:
// every path.
type PathTemplate string

// TellsApart says whether there are paths that the template does not match.
func (t PathTemplate) TellsApart() bool { return t != "" && t != "/**" }

// Matches says whether a path has the template's form.
func (t PathTemplate) Matches(path string) bool {
	if t == "" {
		return true
	}
	want, have := strings.Split(string(t), "/"), strings.Split(path, "/")
	for i, w := range want {
		switch {
		case w == "**" && i == len(want)-1:
			return len(have) >= i
		case i >= len(have):
			return false
		case IsParameter(w) && have[i] != "":
		case w != have[i]:
			return false
		}
	}
	return len(want) == len(have)
}

// Check says what is wrong with a template; empty when nothing is.
func (t PathTemplate) Check() string {
	if t == "" {
		return ""
	}
	parts := strings.Split(string(t), "/")
	if parts[0] != "" {
		return "must begin with /"
	}
	for i, p := range parts[1:] {
		switch {
		case p == "**" && i != len(parts)-2:
			return "may have ** only as its last segment"
		case strings.ContainsAny(p, "*") && p != "**":
			return "may have * only as a last segment of **: write {name} for one segment"
		case strings.ContainsAny(p, "{}") && !IsParameter(p):
			return "has a segment " + p + " that is only partly a parameter: a {name} is a whole segment"
		case strings.ContainsAny(p, "?#"):
			return "must be a path without query or fragment"
		}
	}
	return ""
}

// IsParameter says whether a segment of a template stands for any: "{id}".
func IsParameter(s string) bool {
	return len(s) > 2 && s[0] == '{' && s[len(s)-1] == '}' && !strings.ContainsAny(s[1:len(s)-1], "{}")
}
