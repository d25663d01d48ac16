package openapi

import (
	"fmt"
	"slices"
	"strings"

	"github.com/vektah/gqlparser/v2"
	"github.com/vektah/gqlparser/v2/ast"

	apidiscovery "github.com/gabion-io/gabion/api-discovery"
)

// graphQLPath is where GraphQL is served when nobody says otherwise.
const graphQLPath = "/graphql"

// parseGraphQL makes an operation of every root field of a schema: that is what
// callers may ask for, and what the learner names when it sees it asked.
func parseGraphQL(document []byte, o Options) (apidiscovery.Spec, error) {
	schema, err := gqlparser.LoadSchema(&ast.Source{Name: o.Name, Input: string(document)})
	if err != nil {
		return apidiscovery.Spec{}, fmt.Errorf("parse GraphQL schema: %w", err)
	}
	spec := apidiscovery.Spec{Title: "GraphQL", Source: source(o.Name, "GraphQL SDL")}
	for _, root := range []struct {
		word string
		def  *ast.Definition
	}{{"query", schema.Query}, {"mutation", schema.Mutation}, {"subscription", schema.Subscription}} {
		if root.def == nil {
			continue
		}
		for _, f := range root.def.Fields {
			if strings.HasPrefix(f.Name, "__") {
				continue
			}
			op := apidiscovery.Operation{ID: root.word + " " + f.Name, OperationKey: apidiscovery.OperationKey{Protocol: apidiscovery.GraphQL, Method: "POST",
				Template: apidiscovery.MustPathTemplate(graphQLPath), Name: root.word + " " + f.Name}}
			op.Request = []apidiscovery.Body{{MediaType: "application/json", Required: true, Schema: graphQLArguments(schema, f)}}
			op.Responses = []apidiscovery.Response{{Status: 200, Bodies: []apidiscovery.Body{{MediaType: "application/json", Schema: graphQLSchema(schema, f.Type, 0)}}}}
			if root.word == "subscription" {
				op.Streaming = "server"
			}
			op.Fields = graphQLFields(schema, f.Name, f.Type, 0, nil)
			if f.Directives.ForName("deprecated") != nil {
				spec.Deprecated = append(spec.Deprecated, op.ID)
			}
			spec.Operations = append(spec.Operations, op)
		}
	}
	if len(spec.Operations) == 0 {
		return spec, fmt.Errorf("parse GraphQL schema: it has no query, mutation or subscription")
	}
	return spec, nil
}

func graphQLArguments(schema *ast.Schema, f *ast.FieldDefinition) *apidiscovery.Schema {
	s := &apidiscovery.Schema{Types: []string{"object"}}
	for _, a := range f.Arguments {
		s.Properties = append(s.Properties, apidiscovery.Property{Name: a.Name, Required: a.Type.NonNull && a.DefaultValue == nil, Schema: graphQLSchema(schema, a.Type, 0)})
	}
	slices.SortFunc(s.Properties, func(a, b apidiscovery.Property) int { return strings.Compare(a.Name, b.Name) })
	return s
}

const (
	maxGraphQLDepth  = 4
	maxGraphQLFields = 500
)

// graphQLFields are the dotted paths that may be selected below a root field.
func graphQLFields(schema *ast.Schema, path string, t *ast.Type, depth int, list []apidiscovery.Field) []apidiscovery.Field {
	if len(list) >= maxGraphQLFields {
		return list
	}
	list = append(list, apidiscovery.Field{Path: path})
	def := schema.Types[t.Name()]
	if def == nil || depth == maxGraphQLDepth {
		return list
	}
	for _, f := range def.Fields {
		if !strings.HasPrefix(f.Name, "__") {
			list = graphQLFields(schema, path+"."+f.Name, f.Type, depth+1, list)
		}
	}
	return list
}

func graphQLSchema(schema *ast.Schema, t *ast.Type, depth int) *apidiscovery.Schema {
	var s *apidiscovery.Schema
	switch {
	case t.Elem != nil:
		s = &apidiscovery.Schema{Types: []string{"array"}, Items: graphQLSchema(schema, t.Elem, depth)}
	default:
		s = graphQLNamed(schema, t.NamedType, depth)
	}
	if !t.NonNull && len(s.Types) > 0 {
		s.Types = append(s.Types, "null")
		slices.Sort(s.Types)
	}
	return s
}

func graphQLNamed(schema *ast.Schema, name string, depth int) *apidiscovery.Schema {
	switch name {
	case "Int":
		return &apidiscovery.Schema{Types: []string{"integer"}}
	case "Float":
		return &apidiscovery.Schema{Types: []string{"number"}}
	case "String", "ID":
		return &apidiscovery.Schema{Types: []string{"string"}}
	case "Boolean":
		return &apidiscovery.Schema{Types: []string{"boolean"}}
	}
	def := schema.Types[name]
	switch {
	case def == nil || depth >= maxGraphQLDepth:
		return &apidiscovery.Schema{Truncated: true}
	case def.Kind == ast.Enum:
		s := &apidiscovery.Schema{Types: []string{"string"}}
		for _, v := range def.EnumValues {
			s.Enum = append(s.Enum, v.Name)
		}
		slices.Sort(s.Enum)
		return s
	case def.Kind == ast.Scalar:
		return &apidiscovery.Schema{}
	}
	s := &apidiscovery.Schema{Types: []string{"object"}}
	for _, f := range def.Fields {
		if !strings.HasPrefix(f.Name, "__") {
			s.Properties = append(s.Properties, apidiscovery.Property{Name: f.Name, Required: def.Kind == ast.InputObject && f.Type.NonNull && f.DefaultValue == nil,
				Schema: graphQLSchema(schema, f.Type, depth+1)})
		}
	}
	slices.SortFunc(s.Properties, func(a, b apidiscovery.Property) int { return strings.Compare(a.Name, b.Name) })
	return s
}
