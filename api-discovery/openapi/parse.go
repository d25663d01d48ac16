package openapi

import (
	"bytes"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/gabion-io/gabion/api-discovery"
)

// Options say what a document does not.
type Options struct {
	Service string // of the operations; "" takes the host of the first server, or the title
	Name    string // of the file: what it ends in may say what is inside
}

// Parse reads a declared specification of any kind. What it cannot use it leaves
// out and says so.
func Parse(document []byte, o Options) (apidiscovery.Spec, []Problem, error) {
	if len(document) > MaxDocument {
		return apidiscovery.Spec{}, nil, fmt.Errorf("read specification %s: it has %d bytes, more than %d", o.Name, len(document), MaxDocument)
	}
	var spec apidiscovery.Spec
	var problems []Problem
	var err error
	switch kindOf(document, o.Name) {
	case "graphql":
		spec, err = parseGraphQL(document, o)
	case "protobuf":
		spec, err = parseDescriptors(document, o)
	default:
		spec, problems, err = parseTree(document, o)
	}
	if err != nil {
		return apidiscovery.Spec{}, nil, fmt.Errorf("read specification %s: %w", o.Name, err)
	}
	finish(&spec, o)
	return spec, problems, nil
}

// kindOf looks at the name first, and then at the text.
func kindOf(document []byte, name string) string {
	switch path.Ext(name) {
	case ".graphql", ".gql", ".graphqls":
		return "graphql"
	case ".pb", ".protoset", ".desc", ".binpb", ".fds":
		return "protobuf"
	case ".yaml", ".yml", ".json":
		return "openapi"
	}
	if bytes.IndexByte(document[:min(len(document), 512)], 0) >= 0 || len(document) > 0 && document[0] == '\n' && !bytes.Contains(document, []byte("openapi")) {
		return "protobuf"
	}
	for line := range bytes.Lines(document) {
		line = bytes.TrimLeft(line, " \t")
		for _, word := range []string{"openapi", "swagger", `"openapi"`, `"swagger"`, "{"} {
			if bytes.HasPrefix(line, []byte(word)) {
				return "openapi"
			}
		}
		for _, word := range []string{"type ", "schema ", "schema{", "directive ", "scalar ", "interface ", "input ", "enum ", "extend ", `"""`} {
			if bytes.HasPrefix(line, []byte(word)) {
				return "graphql"
			}
		}
	}
	return "openapi"
}

// finish names, orders and identifies the operations.
func finish(spec *apidiscovery.Spec, o Options) {
	spec.Declared = true
	spec.Service = o.Service
	if spec.Service == "" {
		spec.Service = serviceOf(spec)
	}
	deprecated := map[string]bool{}
	for _, id := range spec.Deprecated {
		deprecated[id] = true
	}
	spec.Deprecated = nil
	for i := range spec.Operations {
		op := &spec.Operations[i]
		was := op.ID
		op.Service = spec.Service
		op.ID = op.OperationKey.ID()
		if deprecated[was] {
			spec.Deprecated = append(spec.Deprecated, op.ID)
		}
	}
	slices.SortStableFunc(spec.Operations, func(a, b apidiscovery.Operation) int { return a.OperationKey.Compare(b.OperationKey) })
	slices.Sort(spec.Deprecated)
}

// serviceOf is the host of the first server that has one, else the title.
func serviceOf(spec *apidiscovery.Spec) string {
	for _, s := range spec.Servers {
		if _, rest, ok := strings.Cut(s, "://"); ok {
			host, _, _ := strings.Cut(rest, "/")
			host, _, _ = strings.Cut(strings.ToLower(host), ":")
			if host != "" && !strings.ContainsAny(host, "{}") {
				return host
			}
		}
	}
	return spec.Title
}

// parseTree reads OpenAPI 3 or Swagger 2.
func parseTree(document []byte, o Options) (spec apidiscovery.Spec, problems []Problem, err error) {
	tree, err := treeOf(document)
	if err != nil {
		return spec, nil, err
	}
	r := &reader{root: tree, known: map[string]*apidiscovery.Schema{}}
	if v := textIn(tree, "swagger"); strings.HasPrefix(v, "2") {
		spec = r.swagger()
		spec.Source = source(o.Name, "Swagger "+v)
		return spec, r.problems, nil
	}
	v := textIn(tree, "openapi")
	if !strings.HasPrefix(v, "3") {
		return spec, nil, errors.New("it is neither OpenAPI 3 nor Swagger 2: give a file that says \"openapi:\" or \"swagger:\"")
	}
	spec = r.openAPI()
	spec.Source = source(o.Name, "OpenAPI "+v)
	return spec, r.problems, nil
}

func source(name, format string) string {
	if name == "" {
		return format
	}
	return name + " (" + format + ")"
}

// reader is one document being read.
type reader struct {
	root     map[string]any
	known    map[string]*apidiscovery.Schema // by reference; nil while it is made
	problems []Problem
}

const maxProblems = 100

func (r *reader) problem(where, format string, args ...any) {
	if len(r.problems) < maxProblems {
		r.problems = append(r.problems, Problem{Where: where, What: fmt.Sprintf(format, args...)})
	}
}

// follow answers what v refers to, if it is a reference, and the last reference
// on the way.
func (r *reader) follow(v any, where string) (m map[string]any, ref string) {
	for range 20 {
		m, _ = v.(map[string]any)
		next, isRef := m["$ref"].(string)
		if !isRef {
			return m, ref
		}
		if !strings.HasPrefix(next, "#/") {
			r.problem(where, "the reference %q leads out of the document", next)
			return nil, next
		}
		ref, v = next, any(r.root)
		for _, key := range strings.Split(next[2:], "/") {
			v = child(v, unescapePointer(key))
		}
		if v == nil {
			r.problem(where, "the reference %q leads nowhere", next)
			return nil, ref
		}
	}
	r.problem(where, "the reference %q leads in a circle", ref)
	return nil, ref
}
