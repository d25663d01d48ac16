package arch

import (
	"fmt"
	"path"
	"slices"
	"strings"
)

// areas have a vocabulary at their root and parts below. The control plane is
// one too, except that no other area may import even its root.
var areas = []string{"controlplane", "filters", "segmentation", "waf-rules", "api-discovery", "workload"}

// forbidden are the edges that no general rule forbids.
var forbidden = []struct{ from, to, why string }{
	{"controlplane/compile", "controlplane/xds", "compile does not know xds"},
	{"controlplane/compile", "controlplane/ads", "compile does not know ads"},
	{"controlplane/xds", "controlplane/api", "xds does not know the resources, only ir"},
	{"controlplane/xds", "controlplane/compile", "xds does not know the resources, only ir"},
}

// directions holds: cmd → parts → area roots → workload, internal.
func directions(t *tree) (bad []string) {
	for _, p := range t.packages {
		from, _, _ := strings.Cut(p.dir, "/")
		if from == "test" || from == "cmd" {
			continue // compositions: they may join everything
		}
		for _, f := range p.files {
			for _, i := range f.imports {
				to, ours := strings.CutPrefix(i, t.module+"/")
				if !ours {
					continue
				}
				if f.test && strings.HasSuffix(to, "test") && !within(to, "controlplane") {
					continue // as with net/http/httptest: for everybody's tests
				}
				if why := mayNot(p.dir, to); why != "" {
					bad = append(bad, fmt.Sprintf("%s imports %s: %s", path.Join(p.dir, f.name), to, why))
				}
			}
		}
	}
	return bad
}

// mayNot says why the package in one directory may not import the other; empty
// if it may.
func mayNot(from, to string) string {
	fromTop, _, fromPart := strings.Cut(from, "/")
	toTop, _, toPart := strings.Cut(to, "/")
	for _, f := range forbidden {
		if within(from, f.from) && within(to, f.to) {
			return f.why
		}
	}
	switch {
	case toTop == "cmd" || toTop == "test":
		return "nobody imports " + toTop
	case toTop == "internal":
		return "" // leaves: for everyone
	case fromTop == "internal" && to == "filters":
		return "" // the words for an HTTP message (docs/decisions/0006)
	case fromTop == "internal":
		return "internal holds leaves, it knows no area"
	case fromTop == toTop && !fromPart:
		return "an area's root is its vocabulary, it knows no part"
	case fromTop == toTop:
		return ""
	case toTop == "controlplane":
		return "no area imports the control plane"
	case slices.Contains(areas, toTop) && toPart:
		return "an area imports another's root, never its parts: take a small interface, and wire it in cmd"
	}
	return ""
}

// within says whether a directory is the given one or below it.
func within(dir, top string) bool { return dir == top || strings.HasPrefix(dir, top+"/") }
