package openapi

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v3"

	"github.com/gabion-io/gabion/api-discovery"
)

func operation(method, template string, change func(*apidiscovery.Operation)) apidiscovery.Operation {
	o := apidiscovery.Operation{OperationKey: apidiscovery.OperationKey{Service: "shop", Protocol: apidiscovery.REST, Method: method, Template: apidiscovery.MustPathTemplate(template)}}
	if change != nil {
		change(&o)
	}
	o.ID = o.OperationKey.ID()
	return o
}

// rendered is a document as a reader of YAML and one of JSON see it: the same.
func rendered(t *testing.T, s apidiscovery.Spec) map[string]any {
	t.Helper()
	asYAML, err := Render(s, YAML)
	if err != nil {
		t.Fatal(err)
	}
	asJSON, err := Render(s, JSON)
	if err != nil {
		t.Fatal(err)
	}
	var a, b map[string]any
	if err := yaml.Unmarshal(asYAML, &a); err != nil {
		t.Fatalf("%v\n%s", err, asYAML)
	}
	if err := json.Unmarshal(asJSON, &b); err != nil {
		t.Fatalf("%v\n%s", err, asJSON)
	}
	if diff := cmp.Diff(b, plainNumbers(a)); diff != "" {
		t.Errorf("YAML and JSON differ:\n%s", diff)
	}
	return b
}

// plainNumbers makes numbers what JSON makes of them.
func plainNumbers(v any) any {
	switch v := v.(type) {
	case int:
		return float64(v)
	case map[string]any:
		for k := range v {
			v[k] = plainNumbers(v[k])
		}
	case []any:
		for i := range v {
			v[i] = plainNumbers(v[i])
		}
	}
	return v
}

// at follows keys down.
func at(t *testing.T, v any, keys ...string) any {
	t.Helper()
	for i, k := range keys {
		m, ok := v.(map[string]any)
		if !ok || m[k] == nil {
			t.Fatalf("nothing at %q (%q) in %v", keys[:i+1], k, v)
		}
		v = m[k]
	}
	return v
}

// Names that YAML, or a path, means something by.
func TestHostileNames(t *testing.T) {
	names := []string{"on", "Yes", "n", "null", "~", "", "1:20", "0x1F", "1e3", "2000-01-01", "<<", "=", "- a", "a: b", "#x", "&a", "*a", "!x", "%d", "@at", "`", "'", "\"", " lead",
		"trail ", "line\nbreak", "tab\t", "nul\x00", "ünï", "\u2028", "\U0001F600", "bad\xffutf", "{token}", ".5", "+1", "-", "?", "|", ">", "[", "]", ",", "a#b", "a #b"}
	object := &apidiscovery.Schema{Types: []string{"object"}}
	for _, n := range names {
		object.Properties = append(object.Properties, apidiscovery.Property{Name: n, Required: true, Schema: &apidiscovery.Schema{Types: []string{"string"}, Enum: []string{n}}})
	}
	doc := rendered(t, apidiscovery.Spec{Service: "on", Operations: []apidiscovery.Operation{operation("POST", "/on/{yes}", func(o *apidiscovery.Operation) {
		o.Request = []apidiscovery.Body{{MediaType: "application/json", Schema: object}}
	})}})
	schema := at(t, doc, "paths", "/on/{yes}", "post", "requestBody", "content", "application/json", "schema")
	properties := at(t, schema, "properties").(map[string]any)
	if len(properties) != len(names)-1 || at(t, schema, "additionalProperties") == nil { // a masked name is a free key
		t.Errorf("%d properties of %d names: %v", len(properties), len(names), properties)
	}
	for name := range properties {
		if fmt.Sprint(at(t, properties, name, "enum")) != "["+name+"]" {
			t.Errorf("%q has the enum %v", name, properties[name])
		}
	}
}

func TestMatrixOfOperations(t *testing.T) {
	str := &apidiscovery.Schema{Types: []string{"string"}}
	integer := &apidiscovery.Schema{Types: []string{"integer"}}
	spec := apidiscovery.Spec{Service: "shop", Servers: []string{"https://shop/base", "https://shop", "http://shop"}, Operations: []apidiscovery.Operation{
		operation("PURGE", "/a/{x}", nil),
		operation("GET", "/a/{y}", func(o *apidiscovery.Operation) {
			o.Params = []apidiscovery.Param{{In: "path", Name: "y", Required: true, Schema: integer}, {In: "query", Name: "q", Required: true, Schema: str}, {In: "query", Name: "{token}", Schema: str},
				{In: "query", Name: "ids", Style: "pipeDelimited", Schema: &apidiscovery.Schema{Types: []string{"array"}, Items: integer}}, {In: "header", Name: "authorization", Schema: str}}
			o.Auth = []apidiscovery.Auth{{Kind: "bearer", Format: "JWT", Count: 3, Accepted: 3}, {Kind: "none", Count: 1, Accepted: 1}, {Kind: "basic", Count: 5}, {Kind: "apiKey", In: "header", Name: "x-api-key", Count: 1, Accepted: 1}}
			o.Responses = []apidiscovery.Response{{Status: 204, Bodies: []apidiscovery.Body{{MediaType: "application/json"}}}, {Status: 777}, {Status: 499}}
		}),
		operation("POST", "/rpc", func(o *apidiscovery.Operation) {
			o.Protocol, o.Name, o.Request = apidiscovery.JSONRPC, "b", []apidiscovery.Body{{MediaType: "application/json", Required: true, Schema: str}}
		}),
		operation("POST", "/rpc", func(o *apidiscovery.Operation) {
			o.Protocol, o.Name, o.Request = apidiscovery.JSONRPC, "a", []apidiscovery.Body{{MediaType: "application/json", Required: true, Schema: integer}}
		}),
	}}
	doc := rendered(t, spec)
	if got := fmt.Sprint(doc["servers"]); got != "[map[url:http://shop] map[url:https://shop]]" {
		t.Error(got)
	}
	get := at(t, doc, "paths", "/a/{x}", "get")
	if got := fmt.Sprint(at(t, get, "parameters")); got != "[map[in:path name:x required:true schema:map[type:integer]] "+
		"map[explode:false in:query name:ids schema:map[items:map[type:integer] type:array] style:pipeDelimited] map[in:query name:q required:true schema:map[type:string]]]" {
		t.Error(got)
	}
	if got := fmt.Sprint(at(t, get, "security")); got != "[map[bearerJWT:[]] map[key-header-x-api-key:[]] map[]]" {
		t.Error(got)
	}
	if got := fmt.Sprint(at(t, get, "responses")); got != "map[204:map[description:No Content] 499:map[description:Status 499]]" {
		t.Error(got)
	}
	if got := fmt.Sprint(at(t, doc, "paths", "/a/{x}", "x-gabion-methods")); got != "[PURGE]" {
		t.Error(got)
	}
	post := at(t, doc, "paths", "/rpc", "post")
	if got := fmt.Sprint(at(t, post, "x-gabion-calls"), at(t, post, "requestBody")); got != "[jsonrpc a jsonrpc b] "+
		"map[content:map[application/json:map[schema:map[anyOf:[map[type:integer] map[type:string]]]]] required:true]" {
		t.Error(got)
	}
	first, _ := Render(spec, YAML)
	r := rand.New(rand.NewPCG(1, 1))
	for range 20 {
		r.Shuffle(len(spec.Operations), func(i, j int) { spec.Operations[i], spec.Operations[j] = spec.Operations[j], spec.Operations[i] })
		if again, _ := Render(spec, YAML); !bytes.Equal(first, again) {
			t.Fatalf("the order of operations shows:\n%s\n%s", first, again)
		}
	}
}

// Services that share a path are told apart by their servers.
func TestJoin(t *testing.T) {
	one := apidiscovery.Spec{Service: "a.example", Servers: []string{"https://a.example"}, Operations: []apidiscovery.Operation{operation("GET", "/x", func(o *apidiscovery.Operation) { o.Service = "a.example" })}}
	two := apidiscovery.Spec{Service: "b.example", Servers: []string{"https://b.example"}, Operations: []apidiscovery.Operation{operation("GET", "/x", func(o *apidiscovery.Operation) { o.Service = "b.example" }),
		operation("GET", "/y", func(o *apidiscovery.Operation) { o.Service = "b.example" })}}
	doc := rendered(t, Join("both", one, two))
	if got := fmt.Sprint(at(t, doc, "paths", "/x", "servers"), at(t, doc, "paths", "/y", "servers"), doc["servers"]); got != "[map[url:https://a.example] map[url:https://b.example]] [map[url:https://b.example]] <nil>" {
		t.Error(got)
	}
}

// A schema that unfolds without end is cut.
func TestSharedSchemas(t *testing.T) {
	s := &apidiscovery.Schema{Types: []string{"string"}}
	for range 40 {
		s = &apidiscovery.Schema{Types: []string{"object"}, Properties: []apidiscovery.Property{{Name: "a", Schema: s}, {Name: "b", Schema: s}}}
	}
	b, err := Render(apidiscovery.Spec{Operations: []apidiscovery.Operation{operation("GET", "/", func(o *apidiscovery.Operation) {
		o.Responses = []apidiscovery.Response{{Status: 200, Bodies: []apidiscovery.Body{{MediaType: "application/json", Schema: s}}}}
	})}}, JSON)
	if err != nil || !json.Valid(b) || len(b) > 100<<20 {
		t.Error(len(b), err)
	}
}

func TestRenderRefusesAnotherFormat(t *testing.T) {
	if _, err := Render(apidiscovery.Spec{}, "xml"); err == nil || !strings.Contains(err.Error(), `yaml or json, not "xml"`) {
		t.Error(err)
	}
}

// Whatever names there are, both forms can be read and say the same.
func FuzzRender(f *testing.F) {
	f.Add("status", "open", "shop", "application/json", "/orders/{id}")
	f.Add("on", "\x00", "~", "", "/")
	f.Fuzz(func(t *testing.T, name, value, service, media, path string) {
		template, err := apidiscovery.ParsePathTemplate(path)
		if err != nil {
			return
		}
		s := &apidiscovery.Schema{Types: []string{"object"}, Properties: []apidiscovery.Property{{Name: name, Required: true, Schema: &apidiscovery.Schema{Types: []string{"string"}, Enum: []string{value}}}}}
		o := apidiscovery.Operation{OperationKey: apidiscovery.OperationKey{Service: service, Protocol: apidiscovery.REST, Method: "POST", Template: template, Name: value},
			Params: []apidiscovery.Param{{In: "query", Name: name, Schema: s}, {In: "header", Name: value}}, Request: []apidiscovery.Body{{MediaType: media, Schema: s}},
			Responses: []apidiscovery.Response{{Status: 200, Headers: []apidiscovery.Param{{Name: name}}}}, Auth: []apidiscovery.Auth{{Kind: "apiKey", In: "query", Name: name, Accepted: 1}}}
		rendered(t, apidiscovery.Spec{Service: service, Operations: []apidiscovery.Operation{o}})
	})
}
