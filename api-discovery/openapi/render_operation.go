package openapi

import (
	"cmp"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/gabion-io/gabion/api-discovery"
)

// operation writes what one path and method do. Operations of protocols that
// say in the body what they want share one: their schemas are alternatives.
func (w *writer) operation(s slot, template apidiscovery.PathTemplate) *yaml.Node {
	n := object("operationId", text(w.operationID(s, template)))
	var calls, protocols []string
	for _, o := range s.ops {
		if o.Name != "" {
			calls = append(calls, string(o.Protocol)+" "+o.Name)
		} else if o.Protocol != apidiscovery.REST && o.Protocol != "" {
			protocols = append(protocols, string(o.Protocol))
		}
	}
	for _, x := range []struct {
		key   string
		words []string
	}{{"x-gabion-calls", calls}, {"x-gabion-protocols", protocols}} {
		if len(x.words) > 0 {
			slices.Sort(x.words)
			add(n, x.key, texts(slices.Compact(x.words)))
		}
	}
	if slices.ContainsFunc(s.ops, func(o apidiscovery.Operation) bool { return w.deprecated[o.ID] }) {
		add(n, "deprecated", boolean(true))
	}
	if params := parametersOf(s, template); len(params.Content) > 0 {
		add(n, "parameters", params)
	}
	if body := requestBodyOf(s.ops); body != nil {
		add(n, "requestBody", body)
	}
	add(n, "responses", responsesOf(s))
	if security := w.security(s.ops); security != nil {
		add(n, "security", security)
	}
	return n
}

// operationID is "getUsersByUserId": made of method and path, unique in the
// document.
func (w *writer) operationID(s slot, template apidiscovery.PathTemplate) string {
	id := strings.ToLower(s.method)
	for _, part := range strings.FieldsFunc(template.String(), func(r rune) bool { return strings.ContainsRune("/.-_:", r) }) {
		inner := strings.Map(func(r rune) rune {
			if r < 0x80 && (r >= '0' && r <= '9' || r|0x20 >= 'a' && r|0x20 <= 'z') {
				return r
			}
			return -1
		}, part)
		if inner == "" {
			continue
		}
		if strings.Contains(part, "{") {
			id += "By"
		}
		id += strings.ToUpper(inner[:1]) + inner[1:]
	}
	unique := id
	for k := 2; w.ids[unique]; k++ {
		unique = id + strconv.Itoa(k)
	}
	w.ids[unique] = true
	return unique
}

// described says that OpenAPI describes a parameter elsewhere, or not at all:
// names that were masked are nobody's, and matrix parameters need a hole.
func described(p apidiscovery.Param) bool {
	switch p.In {
	case apidiscovery.InQuery, apidiscovery.InCookie:
	case apidiscovery.InHeader:
		if p.Name == "accept" || p.Name == "content-type" || p.Name == "authorization" {
			return true
		}
	default:
		return true
	}
	return p.Name == "" || masked(p.Name)
}

// masked: the door writes "{token}" for a name that is a value.
func masked(name string) bool { return strings.HasPrefix(name, "{") }

// parametersOf joins the parameters of a slot. Holes have the names of the
// path, in its order; what only some of the slot's operations require is
// optional.
func parametersOf(s slot, template apidiscovery.PathTemplate) *yaml.Node {
	list := array()
	for i, name := range template.Names() {
		list.Content = append(list.Content, object("name", text(name), "in", text("path"), "required", boolean(true), "schema", schemaNode(holeSchema(s.ops[0], i))))
	}
	type key struct{ in, name string }
	required := map[key]int{}
	seen := map[key]bool{}
	var params []apidiscovery.Param
	for _, o := range s.ops {
		for _, p := range o.Params {
			if described(p) {
				continue
			}
			k := key{p.In, p.Name}
			if p.Required {
				required[k]++
			}
			if !seen[k] {
				seen[k] = true
				params = append(params, p)
			}
		}
	}
	places := []string{apidiscovery.InQuery, apidiscovery.InHeader, apidiscovery.InCookie}
	slices.SortStableFunc(params, func(a, b apidiscovery.Param) int {
		return cmp.Or(slices.Index(places, a.In)-slices.Index(places, b.In), strings.Compare(a.Name, b.Name))
	})
	for _, p := range params {
		list.Content = append(list.Content, parameter(p, required[key{p.In, p.Name}] == len(s.ops)))
	}
	return list
}

// holeSchema is what fills the i-th hole.
func holeSchema(o apidiscovery.Operation, i int) *apidiscovery.Schema {
	if own := o.Template.Names(); i < len(own) {
		for _, p := range o.Params {
			if p.In == apidiscovery.InPath && p.Name == own[i] && p.Schema != nil {
				return p.Schema
			}
		}
	}
	return &apidiscovery.Schema{Types: []string{"string"}}
}

func parameter(p apidiscovery.Param, required bool) *yaml.Node {
	n := object("name", text(p.Name), "in", text(p.In))
	if required {
		add(n, "required", boolean(true))
	}
	if p.In == apidiscovery.InQuery && p.Style != "" && p.Style != "matrix" {
		add(n, "style", text(p.Style))
		add(n, "explode", boolean(p.Explode || p.Style == "deepObject"))
	}
	if p.Schema != nil && p.Schema.Deprecated {
		add(n, "deprecated", boolean(true))
	}
	add(n, "schema", schemaNode(p.Schema))
	return n
}
