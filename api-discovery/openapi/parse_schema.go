package openapi

import (
	"maps"
	"slices"
	"strings"

	"github.com/gabion-io/gabion/api-discovery"
)

// maxDepth is how deep schemas are followed: below, values are anything.
const maxDepth = 24

// schema reads one. One that many places refer to is made once and shared; one
// that refers to itself ends there.
func (r *reader) schema(v any, where string, depth int) *apidiscovery.Schema {
	if _, always := v.(bool); always {
		return &apidiscovery.Schema{}
	}
	if v == nil {
		return nil
	}
	in, ref := r.follow(v, where)
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
	s := r.makeSchema(in, where, depth)
	if ref != "" {
		r.known[ref] = s
	}
	return s
}

func (r *reader) makeSchema(in map[string]any, where string, depth int) *apidiscovery.Schema {
	s := &apidiscovery.Schema{Types: typesIn(in), Format: textIn(in, "format"), Pattern: textIn(in, "pattern"), Description: textIn(in, "description"),
		Deprecated: boolIn(in, "deprecated"), Minimum: numberIn(in, "minimum"), Maximum: numberIn(in, "maximum"),
		MinLength: sizeIn(in, "minLength"), MaxLength: sizeIn(in, "maxLength"), MaxItems: sizeIn(in, "maxItems")}
	s.Enum = textsIn(in, "enum")
	if c, ok := in["const"].(string); ok {
		s.Enum, s.Types = []string{c}, []string{"string"}
	}
	slices.Sort(s.Enum)
	s.Enum = slices.Compact(s.Enum)
	required := textsIn(in, "required")
	properties := objectIn(in, "properties")
	for _, name := range sorted(properties) {
		s.Properties = append(s.Properties, apidiscovery.Property{Name: name, Required: slices.Contains(required, name), Schema: r.schema(properties[name], where, depth+1)})
	}
	if _, ok := in["additionalProperties"].(map[string]any); ok {
		s.Additional = r.schema(in["additionalProperties"], where, depth+1)
	}
	if _, ok := in["items"].(map[string]any); ok {
		s.Items = r.schema(in["items"], where, depth+1)
	}
	for _, p := range listIn(in, "oneOf") {
		s.OneOf = append(s.OneOf, r.schema(p, where, depth+1))
	}
	for _, p := range listIn(in, "anyOf") {
		s.AnyOf = append(s.AnyOf, r.schema(p, where, depth+1))
	}
	s.Discriminator = textIn(objectIn(in, "discriminator"), "propertyName")
	for _, p := range listIn(in, "allOf") {
		s = both(s, r.schema(p, where, depth+1))
	}
	if len(s.Types) == 0 && len(s.Properties) > 0 {
		s.Types = []string{"object"}
	}
	slices.SortStableFunc(s.Properties, func(a, b apidiscovery.Property) int { return strings.Compare(a.Name, b.Name) })
	return s
}

// typesIn are sorted, with null as one of them, and number for what is both.
func typesIn(in map[string]any) []string {
	list := textsIn(in, "type")
	if t := textIn(in, "type"); t != "" {
		list = []string{t}
	}
	set := map[string]bool{}
	for _, t := range list {
		switch t {
		case "array", "boolean", "integer", "null", "number", "object", "string":
			set[t] = true
		case "file": // Swagger 2
			set["string"] = true
		}
	}
	if (boolIn(in, "nullable") || boolIn(in, "x-nullable")) && len(set) > 0 {
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
