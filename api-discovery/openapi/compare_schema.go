package openapi

import (
	"slices"
	"strings"

	"github.com/gabion-io/gabion/api-discovery"
)

// schemaDrift is where the two differ.
type schemaDrift struct {
	where, what, declared, observed string
	count                           uint64
}

// maxSchemaDrifts of one body: a body of another kind altogether differs
// everywhere.
const maxSchemaDrifts = 20

func (c *comparer) schema(d, o *apidiscovery.Operation, part, where string, declared, observed *apidiscovery.Schema, request bool) {
	w := &schemaWalk{request: request, budget: 5000}
	w.compare("", declared, observed, 0)
	for _, x := range w.drifts[:min(len(w.drifts), maxSchemaDrifts)] {
		place := where
		if x.where != "" {
			place += " " + x.where
		}
		c.mismatch(d, o, part, place, x.what, x.declared, x.observed, x.count)
	}
}

type schemaWalk struct {
	request bool
	budget  int
	drifts  []schemaDrift
}

func (w *schemaWalk) add(where, what, declared, observed string, count uint64) {
	w.drifts = append(w.drifts, schemaDrift{where, what, declared, observed, count})
}

// compare goes down both. Where the declared one allows anything, or says more
// than can be compared (alternatives), there is nothing to say.
func (w *schemaWalk) compare(where string, d, o *apidiscovery.Schema, depth int) {
	if d == nil || o == nil || depth > maxDepth || w.budget <= 0 || d.Truncated || len(d.OneOf)+len(d.AnyOf) > 0 || len(d.Types) == 0 && len(d.Properties) == 0 {
		return
	}
	w.budget--
	if !mayBe(d, o, false) {
		w.add(where, "has another type", typesText(d), typesText(o), o.Count)
		return
	}
	if len(d.Enum) > 0 && len(o.Enum) > 0 {
		for _, e := range o.Enum {
			if !slices.Contains(d.Enum, e) {
				w.add(where, "has a value that is not declared", strings.Join(d.Enum, ", "), e, o.Count)
				break
			}
		}
	}
	w.properties(where, d, o, depth)
	w.compare(where+"/[]", d.Items, o.Items, depth+1)
	w.compare(where+"/*", d.Additional, o.Additional, depth+1)
	for _, a := range append(slices.Clone(o.OneOf), o.AnyOf...) {
		w.compare(where, d, a, depth+1)
	}
}

func (w *schemaWalk) properties(where string, d, o *apidiscovery.Schema, depth int) {
	if len(d.Properties) == 0 {
		return // an object of which nothing is said
	}
	for _, p := range o.Properties {
		q, ok := d.Property(p.Name)
		switch {
		case ok:
			w.compare(where+"/"+p.Name, q.Schema, p.Schema, depth+1)
		case d.Additional != nil:
			w.compare(where+"/"+p.Name, d.Additional, p.Schema, depth+1)
		default:
			w.add(where+"/"+p.Name, "is not declared", "", typesText(p.Schema), p.Count)
		}
	}
	if len(o.Properties) == 0 {
		return
	}
	objects := uint64(0) // at least; one alone is no evidence that a member is required, and none that it is not
	for _, p := range o.Properties {
		objects = max(objects, p.Count)
	}
	for _, q := range d.Properties {
		p, ok := o.Property(q.Name)
		absent := !ok || !p.Required && (p.Count == 0 || p.Count < objects)
		if q.Required && absent {
			is := "absent"
			if ok {
				is = "optional"
			}
			w.add(where+"/"+q.Name, "is declared required and did not always come", "required", is, o.Count-min(p.Count, o.Count))
		}
	}
}

// mayBe says whether values as observed may be of the declared types. Texts of
// queries and forms have no types of their own: "5" may be a string.
func mayBe(d, o *apidiscovery.Schema, asText bool) bool {
	if d == nil || o == nil || len(d.Types) == 0 || len(o.Types) == 0 || len(d.OneOf)+len(d.AnyOf) > 0 {
		return true
	}
	for _, t := range o.Types {
		switch {
		case d.Has(t), t == "integer" && d.Has("number"):
		case asText && (d.Has("string") || d.Has("array") || d.Has("object")):
		default:
			return false
		}
	}
	return true
}

func typesText(s *apidiscovery.Schema) string {
	if s == nil || len(s.Types) == 0 {
		return ""
	}
	t := strings.Join(s.Types, " or ")
	if s.Format != "" {
		t += " (" + s.Format + ")"
	}
	return t
}
