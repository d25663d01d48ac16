package apiguard

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// schemas compiles JSON Schemas, each distinct text once.
type schemas struct {
	known map[string]compiled
}

type compiled struct {
	schema *schema
	err    error
}

// schema is one JSON Schema compiled, with what its author said by name.
type schema struct {
	valid *jsonschema.Schema
	quick *quick          // nil: the schema says more than it knows
	names map[string]bool // of properties
	kinds typesOf
}

// typesOf is what a text stands for: parameters and forms know texts only.
type typesOf struct {
	types      []string
	items      *typesOf
	properties map[string]typesOf
}

func newSchemas() *schemas { return &schemas{known: map[string]compiled{}} }

const (
	maxSchema      = 256 << 10 // bytes
	maxSchemaDepth = 64
)

// schemaError is a mistake at a place in a schema.
type schemaError struct {
	at      string // ".properties.id.type"
	message string
}

func (e *schemaError) Error() string { return e.message }

// compile makes a schema ready; its error says where.
func (s *schemas) compile(raw json.RawMessage) (*schema, error) {
	if c, ok := s.known[string(raw)]; ok {
		return c.schema, c.err
	}
	made, err := compileSchema(raw)
	s.known[string(raw)] = compiled{made, err}
	return made, err
}

// noFiles: a schema is the text in the policy, and nothing it points to.
type noFiles struct{}

func (noFiles) Load(url string) (any, error) {
	return nil, fmt.Errorf("%s lies outside the schema", url)
}

func compileSchema(raw json.RawMessage) (*schema, error) {
	if len(raw) > maxSchema {
		return nil, &schemaError{"", fmt.Sprintf("is %d bytes long: at most %d", len(raw), maxSchema)}
	}
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(raw))
	if err != nil {
		return nil, &schemaError{"", "is no JSON: " + err.Error()}
	}
	names := map[string]bool{}
	if err := examine(doc, "", 0, names); err != nil {
		return nil, err
	}
	c := jsonschema.NewCompiler()
	c.DefaultDraft(jsonschema.Draft2020)
	c.AssertFormat()
	c.UseLoader(noFiles{})
	const here = "schema:///policy"
	if err := c.AddResource(here, doc); err != nil {
		return nil, &schemaError{"", err.Error()}
	}
	valid, err := c.Compile(here)
	if err != nil {
		return nil, explain(err)
	}
	return &schema{valid, quickly(valid, map[*jsonschema.Schema]*quick{}), names, typesIn(doc, 0)}, nil
}

// explain makes the library's error one with a place.
func explain(err error) error {
	var invalid *jsonschema.SchemaValidationError
	var e *jsonschema.ValidationError
	if errors.As(err, &invalid) && errors.As(invalid.Err, &e) {
		for len(e.Causes) > 0 {
			e = e.Causes[0]
		}
		return &schemaError{dotted(e.InstanceLocation), reasonOf(e.ErrorKind)}
	}
	var regex *jsonschema.InvalidRegexError
	if errors.As(err, &regex) {
		return &schemaError{"", fmt.Sprintf("pattern %q: %v", regex.Regex, regex.Err)}
	}
	var dangling *jsonschema.JSONPointerNotFoundError
	if errors.As(err, &dangling) {
		_, pointer, _ := strings.Cut(dangling.URL, "#")
		return &schemaError{"", fmt.Sprintf("has no %s to refer to", pointer)}
	}
	return &schemaError{"", "cannot be compiled: " + err.Error()}
}

// dotted writes a place in a document as conditions do.
func dotted(tokens []string) string {
	var b strings.Builder
	for _, t := range tokens {
		if _, err := strconv.Atoi(t); err == nil {
			b.WriteString("[" + t + "]")
		} else {
			b.WriteString("." + t)
		}
	}
	return b.String()
}

// examine refuses what could reach outside a schema, and collects names.
func examine(doc any, at string, depth int, names map[string]bool) error {
	if depth > maxSchemaDepth {
		return &schemaError{at, fmt.Sprintf("is nested deeper than %d", maxSchemaDepth)}
	}
	switch v := doc.(type) {
	case []any:
		for i, item := range v {
			if err := examine(item, fmt.Sprintf("%s[%d]", at, i), depth+1, names); err != nil {
				return err
			}
		}
	case map[string]any:
		for _, k := range slices.Sorted(maps.Keys(v)) {
			below := at + "." + k
			if err := refused(k, v[k], below); err != nil {
				return err
			}
			if properties, ok := v[k].(map[string]any); ok && (k == "properties" || k == "$defs") {
				for name := range properties {
					names[name] = names[name] || k == "properties"
				}
			}
			if k == "enum" || k == "const" || k == "default" || k == "example" || k == "examples" {
				continue // data
			}
			if err := examine(v[k], below, depth+1, names); err != nil {
				return err
			}
		}
	}
	return nil
}

func refused(keyword string, value any, at string) error {
	text, isText := value.(string)
	if !isText {
		return nil // a property of that name
	}
	switch keyword {
	case "$ref", "$dynamicRef":
		if !strings.HasPrefix(text, "#") {
			return &schemaError{at, fmt.Sprintf("%q lies outside the schema: put it into $defs and refer to #/$defs/NAME", text)}
		}
	case "$id", "$schema":
		return &schemaError{at, "cannot be set: schemas are JSON Schema 2020-12, as OpenAPI 3.1 has it"}
	}
	return nil
}

// typesIn reads what texts are taken for.
func typesIn(doc any, depth int) (t typesOf) {
	m, ok := doc.(map[string]any)
	if !ok || depth > 8 {
		return t
	}
	switch v := m["type"].(type) {
	case string:
		t.types = []string{v}
	case []any:
		for _, one := range v {
			if s, ok := one.(string); ok {
				t.types = append(t.types, s)
			}
		}
	}
	for _, key := range []string{"anyOf", "oneOf"} {
		list, _ := m[key].([]any)
		for _, one := range list {
			t.types = append(t.types, typesIn(one, depth+1).types...)
		}
	}
	if items, ok := m["items"]; ok {
		below := typesIn(items, depth+1)
		t.items = &below
	}
	if properties, ok := m["properties"].(map[string]any); ok {
		t.properties = map[string]typesOf{}
		for name, p := range properties {
			t.properties[name] = typesIn(p, depth+1)
		}
	}
	return t
}

func (t *typesOf) has(kind string) bool { return t != nil && slices.Contains(t.types, kind) }

// value is what a text stands for: a number or a truth value where the schema has
// such and the text is one, else itself.
func (t *typesOf) value(text string) any {
	switch {
	case t == nil:
		return text
	case t.has("integer") || t.has("number"):
		if n, ok := number(text); ok {
			return n
		}
	}
	if t.has("boolean") {
		switch text {
		case "true":
			return true
		case "false":
			return false
		}
	}
	if t.has("null") && text == "" {
		return nil
	}
	return text
}

// list takes texts for an array.
func (t *typesOf) list(texts []string) any {
	out := make([]any, len(texts))
	for i, s := range texts {
		out[i] = t.items.value(s)
	}
	return out
}
