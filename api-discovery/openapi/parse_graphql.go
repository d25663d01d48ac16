package openapi

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/graph-gophers/graphql-go"
	"github.com/graph-gophers/graphql-go/ast"

	"github.com/gabion-io/gabion/api-discovery"
)

// graphQLPath is where GraphQL is served when nobody says otherwise.
const graphQLPath = "/graphql"

// Bounds of what is made of one root field.
const (
	maxGraphQLDepth  = 4
	maxGraphQLFields = 500
)

// parseGraphQL makes an operation of every root field of a schema: that is what
// callers may ask for, and what the learner names when it sees it asked. The
// library panics on some texts that are no schema; that is the author's mistake
// like any other.
func parseGraphQL(document []byte, o Options) (spec apidiscovery.Spec, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("parse GraphQL schema: %v", r)
		}
	}()
	parsed, err := graphql.ParseSchema(string(document), nil, graphql.UseStringDescriptions())
	if err != nil {
		return spec, fmt.Errorf("parse GraphQL schema: %w", err)
	}
	schema := parsed.AST()
	spec = apidiscovery.Spec{Title: "GraphQL", Source: source(o.Name, "GraphQL SDL")}
	for _, word := range []string{"query", "mutation", "subscription"} {
		root, ok := schema.RootOperationTypes[word].(*ast.ObjectTypeDefinition)
		if !ok {
			continue
		}
		for _, f := range root.Fields {
			if !strings.HasPrefix(f.Name, "__") {
				addGraphQL(&spec, word, f)
			}
		}
	}
	if len(spec.Operations) == 0 {
		return spec, errors.New("parse GraphQL schema: it has no query, mutation or subscription")
	}
	return spec, nil
}

func addGraphQL(spec *apidiscovery.Spec, word string, f *ast.FieldDefinition) {
	op := apidiscovery.Operation{ID: word + " " + f.Name, OperationKey: apidiscovery.OperationKey{Protocol: apidiscovery.GraphQL, Method: "POST",
		Template: apidiscovery.MustPathTemplate(graphQLPath), Name: word + " " + f.Name}}
	op.Fields = graphQLFields(f.Name, f.Type, 0, nil)
	if word == "subscription" {
		op.Streaming = "server"
	}
	if f.Directives.Get("deprecated") != nil {
		spec.Deprecated = append(spec.Deprecated, op.ID)
	}
	spec.Operations = append(spec.Operations, op)
}

// graphQLFields are the dotted paths that may be selected below a root field.
func graphQLFields(path string, t ast.Type, depth int, list []apidiscovery.Field) []apidiscovery.Field {
	if len(list) >= maxGraphQLFields {
		return list
	}
	list = append(list, apidiscovery.Field{Path: path})
	if depth == maxGraphQLDepth {
		return list
	}
	for _, f := range graphQLMembers(t) {
		if !strings.HasPrefix(f.Name, "__") {
			list = graphQLFields(path+"."+f.Name, f.Type, depth+1, list)
		}
	}
	slices.SortFunc(list, func(a, b apidiscovery.Field) int { return strings.Compare(a.Path, b.Path) })
	return list
}

func graphQLMembers(t ast.Type) ast.FieldsDefinition {
	switch t := t.(type) {
	case *ast.NonNull:
		return graphQLMembers(t.OfType)
	case *ast.List:
		return graphQLMembers(t.OfType)
	case *ast.ObjectTypeDefinition:
		return t.Fields
	case *ast.InterfaceTypeDefinition:
		return t.Fields
	}
	return nil
}
