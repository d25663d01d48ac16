package proposal

import (
	"slices"
	"strings"
)

// Stored paths have numbers and tokens masked already. What is left to see from
// several paths is a segment that is a name there: /blog/my-first-post/comment.
const (
	variedInside = 5  // values a segment takes, with more of the path behind it
	variedAtEnd  = 10 // the same for the last: /api/users and /api/orders are operations
)

// templates makes paths alike that differ in one segment only, never the first:
// from path to "/blog/{value}/comment". Paths that differ in the last one and need
// no others to be believed (alone) stay as they are.
func templates(paths []string, alone func(string) bool) map[string]string {
	forms := map[string][]string{}
	for _, p := range paths {
		segments := strings.Split(p, "/")
		for i := 2; i < len(segments); i++ { // segments[0] is empty
			if segments[i] == "" || masked(segments[i]) {
				continue
			}
			form := strings.Join(segments[:i], "/") + "/{value}"
			if i+1 == len(segments) && alone(p) {
				continue
			}
			if i+1 < len(segments) {
				form += "/" + strings.Join(segments[i+1:], "/")
			}
			if !slices.Contains(forms[form], p) {
				forms[form] = append(forms[form], p)
			}
		}
	}
	out := map[string]string{}
	for form, list := range forms {
		least := variedInside
		if strings.HasSuffix(form, "/{value}") {
			least = variedAtEnd
		}
		if len(list) < least {
			continue
		}
		for _, p := range list {
			// A path of two forms belongs to the one that more paths have.
			if have, ok := out[p]; !ok || len(forms[form]) > len(forms[have]) || len(forms[form]) == len(forms[have]) && form < have {
				out[p] = form
			}
		}
	}
	return out
}

// grouping knows the templates of paths, by the field without its path.
type grouping map[field]forms

// forms are the templates found, by path; a path that was not among those they were
// found from belongs to the first it fits.
type forms map[string]string

// of is the field with the template of its path.
func (g grouping) of(f field) field {
	without := f
	without.path = ""
	f.path = g[without].of(f.path)
	return f
}

func (f forms) of(path string) string {
	if form, ok := f[path]; ok {
		return form
	}
	form := path
	for _, candidate := range f {
		if fits(candidate, path) && (form == path || candidate < form) {
			form = candidate
		}
	}
	return form
}

// fits: the path is one of the template's. A segment of a path that was masked at the
// door stands for itself: it is written as what varies in a template is.
func fits(form, path string) bool {
	of, segments := strings.Split(form, "/"), strings.Split(path, "/")
	if len(of) != len(segments) {
		return false
	}
	for i, s := range segments {
		if s != of[i] && (of[i] != "{value}" || s == "" || masked(s)) {
			return false
		}
	}
	return true
}

// group finds the templates of the paths that voices speak of.
func (r SuggestRules) group(voices []voice) grouping {
	paths := map[field][]string{}
	heard := map[field]support{}
	for _, v := range voices {
		of := v.at
		of.path = ""
		if heard[v.at] == nil {
			heard[v.at] = support{}
			paths[of] = append(paths[of], v.at.path)
		}
		heard[v.at].add(clientOf(v.event), v.event.Time)
	}
	out := grouping{}
	for of, list := range paths {
		slices.Sort(list)
		alone := func(p string) bool {
			at := of
			at.path = p
			return r.enough(heard[at])
		}
		found := templates(list, alone)
		for _, p := range list {
			if alone(p) && found[p] == "" { // an operation by itself
				found[p] = p
			}
		}
		out[of] = found
	}
	return out
}
