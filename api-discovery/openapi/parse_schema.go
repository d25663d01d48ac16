package openapi

import (
	"maps"
	"slices"
	"strings"

	"github.com/pb33f/libopenapi/datamodel/high/base"
	"github.com/pb33f/libopenapi/orderedmap"

	apidiscovery "github.com/gabion-io/gabion/api-discovery"
)

// maxDepth is how deep schemas are followed: below, values are anything.
const maxDepth = 24

// schemaReader makes schemas. One that many places refer to is made once and
// shared; one that refers to itself ends there.
type schemaReader struct {
	known map[string]*apidiscovery.Schema // by reference; nil while it is made
}

// all walks an ordered map that may be nil.
func all[V any](m *orderedmap.Map[string, V]) func(func(string, V) bool) {
	if m == nil {
		return func(func(string, V) bool) {}
	}
	return m.FromOldest()
}

func (r *schemaReader) read(p *base.SchemaProxy, depth int) *apidiscovery.Schema {
	if p == nil {
		return nil
	}
	ref := p.GetReference()
	if ref != "" {
		if s, ok := r.known[ref]; ok {
			if s == nil { // it contains itself
				return &apidiscovery.Schema{Truncated: true}
			}
			return s
		}
	}
	if depth > maxDepth {
		return &apidiscovery.Schema{Truncated: true}
	}
	if ref != "" {
		r.known[ref] = nil
	}
	s := r.make(p.Schema(), depth)
	if ref != "" {
		r.known[ref] = s
	}
	return s
}

func (r *schemaReader) make(in *base.Schema, depth int) *apidiscovery.Schema {
	s := &apidiscovery.Schema{}
	if in == nil || in.BooleanSchema != nil {
		return s
	}
	s.Types = types(in.Type, in.Nullable != nil && *in.Nullable)
	s.Format, s.Pattern, s.Description = in.Format, in.Pattern, in.Description
	s.Deprecated = in.Deprecated != nil && *in.Deprecated
	s.Minimum, s.Maximum = in.Minimum, in.Maximum
	s.MinLength, s.MaxLength, s.MaxItems = size(in.MinLength), size(in.MaxLength), size(in.MaxItems)
	for _, e := range in.Enum {
		if e != nil && e.Tag == "!!str" {
			s.Enum = append(s.Enum, e.Value)
		}
	}
	if in.Const != nil && in.Const.Tag == "!!str" {
		s.Enum = []string{in.Const.Value}
		s.Types = types([]string{"string"}, false)
	}
	slices.Sort(s.Enum)
	s.Enum = slices.Compact(s.Enum)
	required := map[string]bool{}
	for _, name := range in.Required {
		required[name] = true
	}
	for name, p := range all(in.Properties) {
		s.Properties = append(s.Properties, apidiscovery.Property{Name: name, Required: required[name], Schema: r.read(p, depth+1)})
	}
	if a := in.AdditionalProperties; a != nil && a.N == 0 {
		s.Additional = r.read(a.A, depth+1)
	}
	if i := in.Items; i != nil && i.N == 0 {
		s.Items = r.read(i.A, depth+1)
	}
	for _, p := range in.OneOf {
		s.OneOf = append(s.OneOf, r.read(p, depth+1))
	}
	for _, p := range in.AnyOf {
		s.AnyOf = append(s.AnyOf, r.read(p, depth+1))
	}
	if in.Discriminator != nil {
		s.Discriminator = in.Discriminator.PropertyName
	}
	for _, p := range in.AllOf {
		s = both(s, r.read(p, depth+1))
	}
	if len(s.Types) == 0 && len(s.Properties) > 0 {
		s.Types = []string{"object"}
	}
	slices.SortStableFunc(s.Properties, func(a, b apidiscovery.Property) int { return strings.Compare(a.Name, b.Name) })
	return s
}

func size(n *int64) int {
	if n == nil || *n < 0 || *n > 1<<31 {
		return 0
	}
	return int(*n)
}

// types are sorted, with null as one of them, and number for what is both.
func types(in []string, nullable bool) (out []string) {
	set := map[string]bool{}
	for _, t := range in {
		switch t {
		case "array", "boolean", "integer", "null", "number", "object", "string":
			set[t] = true
		case "file": // Swagger 2
			set["string"] = true
		}
	}
	if nullable && len(set) > 0 {
		set["null"] = true
	}
	if set["number"] {
		delete(set, "integer")
	}
	return slices.Sorted(maps.Keys(set))
}

// both is what allOf says: a value fits this and that. What cannot be joined
// stays as the first has it.
func both(a, b *apidiscovery.Schema) *apidiscovery.Schema {
	if b == nil {
		return a
	}
	s := *a
	if len(s.Types) == 0 {
		s.Types = b.Types
	}
	for _, f := range []struct{ to, from *string }{{&s.Format, &b.Format}, {&s.Pattern, &b.Pattern}, {&s.Description, &b.Description}, {&s.Discriminator, &b.Discriminator}} {
		if *f.to == "" {
			*f.to = *f.from
		}
	}
	if s.Enum == nil {
		s.Enum = b.Enum
	}
	if s.Additional == nil {
		s.Additional = b.Additional
	}
	if s.Items == nil {
		s.Items = b.Items
	}
	if s.OneOf == nil {
		s.OneOf = b.OneOf
	}
	if s.AnyOf == nil {
		s.AnyOf = b.AnyOf
	}
	s.Truncated = s.Truncated || b.Truncated
	s.Properties = slices.Clone(s.Properties)
	for _, p := range b.Properties {
		i := slices.IndexFunc(s.Properties, func(q apidiscovery.Property) bool { return q.Name == p.Name })
		if i < 0 {
			s.Properties = append(s.Properties, p)
			continue
		}
		s.Properties[i].Required = s.Properties[i].Required || p.Required
	}
	return &s
}
