package openapi

import (
	"slices"

	"go.yaml.in/yaml/v3"

	"github.com/gabion-io/gabion/api-discovery"
)

// Bounds of one schema: those that are shared unfold when they are written, and
// a document can be made so that they do without end. What is beyond is anything.
const (
	maxSchemaNodes = 20_000
	maxSchemaDepth = 48
)

// schemaNode writes a schema. Nil is anything.
func schemaNode(s *apidiscovery.Schema) *yaml.Node {
	left := maxSchemaNodes
	return schemaAt(s, 0, &left)
}

func schemaAt(s *apidiscovery.Schema, depth int, left *int) *yaml.Node {
	n := object()
	if s == nil || depth > maxSchemaDepth || *left <= 0 {
		return n
	}
	*left--
	switch len(s.Types) {
	case 0:
	case 1:
		add(n, "type", text(s.Types[0]))
	default:
		add(n, "type", texts(s.Types))
	}
	for _, f := range []struct{ key, value string }{{"format", s.Format}, {"pattern", s.Pattern}, {"description", s.Description}} {
		if f.value != "" {
			add(n, f.key, text(f.value))
		}
	}
	if len(s.Enum) > 0 {
		enum := texts(s.Enum)
		if s.Has("null") {
			enum.Content = append(enum.Content, &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!null", Value: "null"})
		}
		add(n, "enum", enum)
	} else if s.Example != "" && len(s.Types) > 0 && !slices.ContainsFunc(s.Types, func(t string) bool { return t != "string" && t != "null" }) {
		add(n, "examples", texts([]string{s.Example}))
	}
	addLimits(n, s)
	addMembers(n, s, depth, left)
	if s.Items != nil {
		add(n, "items", schemaAt(s.Items, depth+1, left))
	}
	addAlternatives(n, "oneOf", s.OneOf, depth, left)
	addAlternatives(n, "anyOf", s.AnyOf, depth, left)
	if s.Discriminator != "" && len(s.OneOf)+len(s.AnyOf) > 0 {
		add(n, "discriminator", object("propertyName", text(s.Discriminator)))
	}
	if s.Deprecated {
		add(n, "deprecated", boolean(true))
	}
	if len(s.Sensitive) > 0 {
		add(n, "x-gabion-sensitive", texts(s.Sensitive))
	}
	return n
}

// addMembers writes properties, which of them are required, and free keys. Names
// that were masked are values: they are free keys.
func addMembers(n *yaml.Node, s *apidiscovery.Schema, depth int, left *int) {
	properties, required := object(), array()
	additional := s.Additional
	written := map[string]bool{}
	for _, p := range s.Properties {
		name := text(p.Name)
		switch {
		case masked(p.Name):
			if additional = p.Schema; s.Additional != nil {
				additional = &apidiscovery.Schema{} // two kinds of them: anything
			}
			continue
		case written[name.Value]: // the same but for bytes that are no text
			continue
		}
		written[name.Value] = true
		properties.Content = append(properties.Content, name, schemaAt(p.Schema, depth+1, left))
		if p.Required {
			required.Content = append(required.Content, name)
		}
	}
	if len(properties.Content) > 0 {
		add(n, "properties", properties)
	}
	if len(required.Content) > 0 {
		add(n, "required", required)
	}
	if additional != nil && !s.Truncated {
		add(n, "additionalProperties", schemaAt(additional, depth+1, left))
	}
}

// addLimits writes the limits that were declared. How long lists have been is no
// limit.
func addLimits(n *yaml.Node, s *apidiscovery.Schema) {
	if s.Minimum != nil {
		add(n, "minimum", number(*s.Minimum))
	}
	if s.Maximum != nil {
		add(n, "maximum", number(*s.Maximum))
	}
	if s.MinLength > 0 {
		add(n, "minLength", number(float64(s.MinLength)))
	}
	if s.MaxLength > 0 {
		add(n, "maxLength", number(float64(s.MaxLength)))
	}
	if s.MaxItems > 0 && s.Count == 0 {
		add(n, "maxItems", number(float64(s.MaxItems)))
	}
}

func addAlternatives(n *yaml.Node, key string, list []*apidiscovery.Schema, depth int, left *int) {
	if len(list) == 0 {
		return
	}
	out := array()
	for _, s := range list {
		out.Content = append(out.Content, schemaAt(s, depth+1, left))
	}
	add(n, key, out)
}
