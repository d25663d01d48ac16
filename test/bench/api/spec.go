package main

import (
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
)

// operation is one of a published description, as far as traffic needs it.
type operation struct {
	method, path string
	params       []param
	request      map[string]any // JSON schema of the body, if there is one
	response     map[string]any
	status       int
	successes    []int           // all statuses below 400
	requires     bool            // the body
	credentials  map[string]bool // names of keys that are sent, lower case
	spec         speced
}

type param struct {
	in, name string
	required bool
	schema   map[string]any
	explode  bool
}

func (p *param) types() (list []string) {
	for _, s := range append(anyList(p.schema["oneOf"]), anyList(p.schema["anyOf"])...) {
		if m, ok := s.(map[string]any); ok {
			list = append(list, typesOf(m)...)
		}
	}
	return append(list, typesOf(p.schema)...)
}

func typesOf(s map[string]any) (list []string) {
	switch t := s["type"].(type) {
	case string:
		list = append(list, t)
	case []any:
		for _, x := range t {
			if x, ok := x.(string); ok && x != "null" {
				list = append(list, x)
			}
		}
	}
	return list
}

func anyList(v any) []any { l, _ := v.([]any); return l }

// readSpec reads an OpenAPI 3 document in JSON; references within it are followed.
func readSpec(file string) ([]operation, error) {
	b, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("read description: %w", err)
	}
	var doc map[string]any
	if err := json.Unmarshal(b, &doc); err != nil {
		return nil, fmt.Errorf("read description %s: %w", file, err)
	}
	return operationsIn(doc), nil
}

// operationsIn lists the operations of a document.
func operationsIn(doc map[string]any) []operation {
	s := speced{doc}
	var ops []operation
	paths, _ := doc["paths"].(map[string]any)
	for path, item := range paths {
		item, _ := s.follow(item).(map[string]any)
		for _, m := range []string{"get", "put", "post", "delete", "patch"} {
			if o, ok := item[m].(map[string]any); ok {
				ops = append(ops, s.operation(strings.ToUpper(m), path, item, o))
			}
		}
	}
	slices.SortFunc(ops, func(a, b operation) int { return strings.Compare(a.path+a.method, b.path+b.method) })
	return ops
}

type speced struct{ doc map[string]any }

func (s speced) follow(v any) any {
	for range 20 {
		m, ok := v.(map[string]any)
		ref, isRef := m["$ref"].(string)
		if !ok || !isRef || !strings.HasPrefix(ref, "#/") {
			return v
		}
		v = any(s.doc)
		for _, key := range strings.Split(ref[2:], "/") {
			m, _ := v.(map[string]any)
			v = m[strings.NewReplacer("~1", "/", "~0", "~").Replace(key)]
		}
	}
	return v
}

func (s speced) operation(method, path string, item, o map[string]any) operation {
	op := operation{method: method, path: path, status: 200, spec: s}
	seen := map[string]bool{}
	for _, p := range append(anyList(o["parameters"]), anyList(item["parameters"])...) {
		p, _ := s.follow(p).(map[string]any)
		name, _ := p["name"].(string)
		in, _ := p["in"].(string)
		if name == "" || seen[in+name] {
			continue
		}
		seen[in+name] = true
		schema, _ := s.follow(p["schema"]).(map[string]any)
		if schema == nil { // Swagger 2
			schema = p
		}
		required, _ := p["required"].(bool)
		explode, set := p["explode"].(bool)
		op.params = append(op.params, param{in, name, required, schema, explode || !set})
	}
	op.credentials = s.credentials(o)
	if body, ok := s.follow(o["requestBody"]).(map[string]any); ok {
		op.request = s.jsonOf(body)
		op.requires, _ = body["required"].(bool)
	}
	responses, _ := o["responses"].(map[string]any)
	for code := range responses {
		if n, err := strconv.Atoi(code); err == nil && n < 400 {
			op.successes = append(op.successes, n)
		}
	}
	slices.Sort(op.successes)
	for _, code := range []string{"200", "201", "202", "204", "302"} {
		if r, ok := responses[code]; ok {
			fmt.Sscan(code, &op.status)
			if r, ok := s.follow(r).(map[string]any); ok {
				op.response = s.jsonOf(r)
			}
			break
		}
	}
	return op
}

func (s speced) jsonOf(body map[string]any) map[string]any {
	content, _ := body["content"].(map[string]any)
	media, _ := content["application/json"].(map[string]any)
	schema, _ := s.follow(media["schema"]).(map[string]any)
	return schema
}

// credentials are the names of the keys that an operation asks for.
func (s speced) credentials(o map[string]any) map[string]bool {
	names := map[string]bool{}
	components, _ := s.doc["components"].(map[string]any)
	schemes, _ := components["securitySchemes"].(map[string]any)
	for _, q := range anyList(o["security"]) {
		q, _ := q.(map[string]any)
		for scheme := range q {
			if m, ok := schemes[scheme].(map[string]any); ok && m["type"] == "apiKey" {
				names[strings.ToLower(fmt.Sprint(m["name"]))] = true
			}
		}
	}
	return names
}
