package openapi

import (
	"go.yaml.in/yaml/v3"

	apidiscovery "github.com/gabion-io/gabion/api-discovery"
)

// maxSchemaNodes of one body or parameter: schemas that are shared unfold when
// they are written, and a document can be made so that they do without end.
const maxSchemaNodes = 100_000

// schemaNode writes a schema. Nil, and what is beyond the bounds, is anything.
func schemaNode(s *apidiscovery.Schema) *yaml.Node {
	left := maxSchemaNodes
	return schemaAt(s, 0, &left)
}

func schemaAt(s *apidiscovery.Schema, depth int, left *int) *yaml.Node {
	n := object()
	if s == nil || depth > 2*maxDepth || *left <= 0 {
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
	}
	addLimits(n, s)
	if len(s.Properties) > 0 {
		properties, required := object(), array()
		for _, p := range s.Properties {
			add(properties, p.Name, schemaAt(p.Schema, depth+1, left))
			if p.Required {
				required.Content = append(required.Content, text(p.Name))
			}
		}
		add(n, "properties", properties)
		if len(required.Content) > 0 {
			add(n, "required", required)
		}
	}
	if s.Additional != nil {
		add(n, "additionalProperties", schemaAt(s.Additional, depth+1, left))
	}
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
