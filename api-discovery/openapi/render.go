package openapi

import (
	"bytes"
	"cmp"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"

	apidiscovery "github.com/gabion-io/gabion/api-discovery"
)

// Format of a rendered document.
type Format string

// The formats.
const (
	YAML Format = "yaml"
	JSON Format = "json"
)

// Render writes a specification as OpenAPI 3.1. Nothing in the document changes
// from traffic alone: no counts, no times, no examples. What traffic shows and
// OpenAPI has no word for stands in extensions: x-gabion-sensitive beside a
// schema, x-gabion-calls where many operations share one path and method.
func Render(spec apidiscovery.Spec, format Format) ([]byte, error) {
	doc := document(spec)
	switch format {
	case JSON:
		var b bytes.Buffer
		writeJSON(&b, doc, "")
		b.WriteByte('\n')
		return b.Bytes(), nil
	case YAML:
		var b bytes.Buffer
		e := yaml.NewEncoder(&b)
		e.SetIndent(2)
		if err := e.Encode(doc); err != nil {
			return nil, fmt.Errorf("write OpenAPI: %w", err)
		}
		return b.Bytes(), e.Close()
	}
	return nil, fmt.Errorf("write OpenAPI: the format is yaml or json, not %q", format)
}

func document(spec apidiscovery.Spec) *yaml.Node {
	info := object("title", text(cmp.Or(spec.Title, spec.Service, "API")), "version", text(cmp.Or(spec.Version, "observed")))
	doc := object("openapi", text("3.1.0"), "info", info)
	if servers := serversOf(spec); len(servers.Content) > 0 {
		add(doc, "servers", servers)
	}
	deprecated := map[string]bool{}
	for _, id := range spec.Deprecated {
		deprecated[id] = true
	}
	w := &writer{deprecated: deprecated, schemes: map[string]*yaml.Node{}, ids: map[string]bool{}}
	add(doc, "paths", w.paths(spec.Operations))
	if len(w.schemes) > 0 {
		schemes := object()
		for _, name := range sorted(w.schemes) {
			add(schemes, name, w.schemes[name])
		}
		add(doc, "components", object("securitySchemes", schemes))
	}
	return doc
}

// serversOf are the servers without their paths: templates hold those.
func serversOf(spec apidiscovery.Spec) *yaml.Node {
	list := array()
	seen := map[string]bool{}
	for _, s := range spec.Servers {
		scheme, rest, ok := strings.Cut(s, "://")
		if !ok {
			continue
		}
		host, _, _ := strings.Cut(rest, "/")
		if u := scheme + "://" + host; host != "" && !seen[u] && !strings.ContainsAny(host, "{} ") {
			seen[u] = true
			list.Content = append(list.Content, object("url", text(u)))
		}
	}
	return list
}

// writer is one document being written.
type writer struct {
	deprecated map[string]bool
	schemes    map[string]*yaml.Node
	ids        map[string]bool
}

// slot is what OpenAPI has room for once: a path and a method.
type slot struct {
	names  []string // of the path's holes
	method string
	ops    []apidiscovery.Operation
}

// paths groups operations by path, whatever their holes are called, and method.
func (w *writer) paths(ops []apidiscovery.Operation) *yaml.Node {
	ops = slices.Clone(ops)
	slices.SortStableFunc(ops, func(a, b apidiscovery.Operation) int { return a.OperationKey.Compare(b.OperationKey) })
	type path struct {
		template apidiscovery.PathTemplate
		slots    []slot
	}
	var order []string
	byPath := map[string]*path{}
	for _, o := range ops {
		key := strings.ReplaceAll(o.Template.Canonical(), "{*}", "{}")
		p := byPath[key]
		if p == nil {
			p = &path{template: o.Template}
			byPath[key] = p
			order = append(order, key)
		}
		i := slices.IndexFunc(p.slots, func(s slot) bool { return s.method == o.Method })
		if i < 0 {
			i = len(p.slots)
			p.slots = append(p.slots, slot{names: p.template.Names(), method: o.Method})
		}
		p.slots[i].ops = append(p.slots[i].ops, o)
	}
	slices.SortFunc(order, func(a, b string) int {
		return strings.Compare(byPath[a].template.String(), byPath[b].template.String())
	})
	out := object()
	for _, key := range order {
		p := byPath[key]
		item := object()
		slices.SortFunc(p.slots, func(a, b slot) int { return methodRank(a.method) - methodRank(b.method) })
		var others []string
		for _, s := range p.slots {
			if methodRank(s.method) == len(methods) {
				others = append(others, s.method)
				continue
			}
			add(item, strings.ToLower(s.method), w.operation(s, p.template))
		}
		if len(others) > 0 { // methods that OpenAPI has no word for
			slices.Sort(others)
			add(item, "x-gabion-methods", texts(others))
		}
		add(out, strings.ReplaceAll(p.template.String(), "*}", "}"), item)
	}
	return out
}

var methods = []string{"GET", "PUT", "POST", "DELETE", "OPTIONS", "HEAD", "PATCH", "TRACE"}

func methodRank(m string) int {
	if i := slices.Index(methods, m); i >= 0 {
		return i
	}
	return len(methods)
}

// operation writes what one path and method do. Operations of protocols that
// say in the body what they want share one: their schemas are alternatives.
func (w *writer) operation(s slot, template apidiscovery.PathTemplate) *yaml.Node {
	first := s.ops[0]
	n := object("operationId", text(w.operationID(s, template)))
	if len(s.ops) > 1 || first.Name != "" {
		var calls []string
		for _, o := range s.ops {
			calls = append(calls, string(o.Protocol)+" "+o.Name)
		}
		slices.Sort(calls)
		add(n, "x-gabion-calls", texts(slices.Compact(calls)))
	} else if first.Protocol != apidiscovery.REST && first.Protocol != "" {
		add(n, "x-gabion-protocol", text(string(first.Protocol)))
	}
	if slices.ContainsFunc(s.ops, func(o apidiscovery.Operation) bool { return w.deprecated[o.ID] }) {
		add(n, "deprecated", boolean(true))
	}
	if params := parametersOf(s, template); len(params.Content) > 0 {
		add(n, "parameters", params)
	}
	if body := bodyOf(s.ops); body != nil {
		add(n, "requestBody", body)
	}
	add(n, "responses", responsesOf(s.ops))
	if security := w.security(s.ops); security != nil {
		add(n, "security", security)
	}
	return n
}

// operationID is "getUsersById": made of method and path, unique in the
// document.
func (w *writer) operationID(s slot, template apidiscovery.PathTemplate) string {
	id := strings.ToLower(s.method)
	for _, part := range strings.FieldsFunc(template.String(), func(r rune) bool { return r == '/' || r == '.' || r == '-' || r == '_' || r == ':' }) {
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

// ignored are the headers that OpenAPI describes elsewhere.
func ignored(p apidiscovery.Param) bool {
	return p.In == apidiscovery.InHeader && (p.Name == "accept" || p.Name == "content-type" || p.Name == "authorization")
}

// parametersOf joins the parameters of a slot. Holes have the names of the
// path, in its order; what only some of the slot's operations require is
// optional.
func parametersOf(s slot, template apidiscovery.PathTemplate) *yaml.Node {
	list := array()
	for i, name := range template.Names() {
		schema := &apidiscovery.Schema{Types: []string{"string"}}
		if own := s.ops[0].Template.Names(); i < len(own) {
			for _, p := range s.ops[0].Params {
				if p.In == apidiscovery.InPath && p.Name == own[i] && p.Schema != nil {
					schema = p.Schema
				}
			}
		}
		list.Content = append(list.Content, object("name", text(name), "in", text("path"), "required", boolean(true), "schema", schemaNode(schema)))
	}
	type key struct{ in, name string }
	seen := map[key]int{}
	var params []apidiscovery.Param
	for _, o := range s.ops {
		for _, p := range o.Params {
			if p.In == apidiscovery.InPath || p.In == apidiscovery.InMatrix || ignored(p) || p.Name == "" {
				continue
			}
			seen[key{p.In, p.Name}]++
			if seen[key{p.In, p.Name}] == 1 {
				params = append(params, p)
			}
		}
	}
	places := []string{apidiscovery.InQuery, apidiscovery.InHeader, apidiscovery.InCookie}
	slices.SortStableFunc(params, func(a, b apidiscovery.Param) int {
		return cmp.Or(slices.Index(places, a.In)-slices.Index(places, b.In), strings.Compare(a.Name, b.Name))
	})
	for _, p := range params {
		n := object("name", text(p.Name), "in", text(p.In))
		if p.Required && seen[key{p.In, p.Name}] == len(s.ops) {
			add(n, "required", boolean(true))
		}
		if p.In == apidiscovery.InQuery && p.Style != "" && p.Style != "matrix" {
			add(n, "style", text(p.Style))
			add(n, "explode", boolean(p.Explode || p.Style == "deepObject"))
		}
		add(n, "schema", schemaNode(p.Schema))
		list.Content = append(list.Content, n)
	}
	return list
}

func bodyOf(ops []apidiscovery.Operation) *yaml.Node {
	var bodies []apidiscovery.Body
	required := true
	for _, o := range ops {
		bodies = append(bodies, o.Request...)
		required = required && len(o.Request) > 0 && !slices.ContainsFunc(o.Request, func(b apidiscovery.Body) bool { return !b.Required && len(o.Request) == 1 })
	}
	content := contentOf(bodies)
	if len(content.Content) == 0 {
		return nil
	}
	n := object("content", content)
	if required {
		add(n, "required", boolean(true))
	}
	return n
}

// contentOf has each media type once; what differs under one are alternatives.
func contentOf(bodies []apidiscovery.Body) *yaml.Node {
	byMedia := map[string][]*apidiscovery.Schema{}
	for _, b := range bodies {
		media := b.MediaType
		if media == "" {
			media = "application/octet-stream"
		}
		byMedia[media] = append(byMedia[media], b.Schema)
	}
	content := object()
	for _, media := range sorted(byMedia) {
		var distinct []*yaml.Node
		var written []string
		for _, s := range byMedia[media] {
			if s == nil {
				continue
			}
			n := schemaNode(s)
			var b bytes.Buffer
			writeJSON(&b, n, "")
			if !slices.Contains(written, b.String()) {
				written, distinct = append(written, b.String()), append(distinct, n)
			}
		}
		entry := object()
		switch len(distinct) {
		case 0:
		case 1:
			add(entry, "schema", distinct[0])
		default:
			anyOf := array()
			anyOf.Content = distinct
			add(entry, "schema", object("anyOf", anyOf))
		}
		add(content, media, entry)
	}
	return content
}

func responsesOf(ops []apidiscovery.Operation) *yaml.Node {
	byStatus := map[int][]apidiscovery.Response{}
	var order []int
	for _, o := range ops {
		for _, r := range o.Responses {
			if r.Status < 0 || r.Status > 599 || r.Status > 5 && r.Status < 100 {
				continue
			}
			if byStatus[r.Status] == nil {
				order = append(order, r.Status)
			}
			byStatus[r.Status] = append(byStatus[r.Status], r)
		}
	}
	slices.Sort(order)
	if len(order) > 0 && order[0] == 0 { // the default comes last
		order = append(order[1:], 0)
	}
	out := object()
	for _, status := range order {
		var bodies []apidiscovery.Body
		headers := map[string]*apidiscovery.Schema{}
		for _, r := range byStatus[status] {
			bodies = append(bodies, r.Bodies...)
			for _, h := range r.Headers {
				if h.Name != "content-type" && h.Name != "" && headers[h.Name] == nil {
					headers[h.Name] = cmp.Or(h.Schema, &apidiscovery.Schema{Types: []string{"string"}})
				}
			}
		}
		n := object("description", text(statusText(status)))
		if len(headers) > 0 {
			h := object()
			for _, name := range sorted(headers) {
				add(h, name, object("schema", schemaNode(headers[name])))
			}
			add(n, "headers", h)
		}
		if content := contentOf(bodies); len(content.Content) > 0 {
			add(n, "content", content)
		}
		add(out, statusKey(status), n)
	}
	if len(order) == 0 {
		add(out, "default", object("description", text("Not seen")))
	}
	return out
}

func statusKey(status int) string {
	switch {
	case status == 0:
		return "default"
	case status < 6:
		return strconv.Itoa(status) + "XX"
	}
	return strconv.Itoa(status)
}

func statusText(status int) string {
	switch {
	case status == 0:
		return "Anything else"
	case status < 6:
		return [...]string{"Information", "Success", "Redirection", "Refused", "Failed"}[status-1]
	}
	return cmp.Or(http.StatusText(status), "Status "+strconv.Itoa(status))
}

// security are the ways of authentication that were accepted, as alternatives;
// nil when nothing is known.
func (w *writer) security(ops []apidiscovery.Operation) *yaml.Node {
	names := map[string]bool{}
	open, known := false, false
	for _, o := range ops {
		for _, a := range o.Auth {
			if a.Count > 0 && a.Accepted == 0 {
				continue // tried, never good
			}
			known = true
			if a.Kind == apidiscovery.AuthNone {
				open = true
				continue
			}
			if name, scheme := schemeOf(a); scheme != nil {
				names[name] = true
				w.schemes[name] = scheme
			}
		}
	}
	if !known || len(names) == 0 && !open {
		return nil
	}
	list := array()
	for _, name := range sorted(names) {
		list.Content = append(list.Content, object(name, array()))
	}
	if open && len(names) > 0 {
		list.Content = append(list.Content, object())
	}
	return list
}

// schemeOf names a way of authentication and describes it.
func schemeOf(a apidiscovery.Auth) (string, *yaml.Node) {
	switch a.Kind {
	case apidiscovery.AuthBasic:
		return "basic", object("type", text("http"), "scheme", text("basic"))
	case apidiscovery.AuthBearer:
		n := object("type", text("http"), "scheme", text("bearer"))
		if a.Format != "" {
			add(n, "bearerFormat", text(a.Format))
			return "bearer" + plainName(a.Format), n
		}
		return "bearer", n
	case apidiscovery.AuthDigest:
		scheme := cmp.Or(a.Scheme, "digest")
		return "http-" + plainName(scheme), object("type", text("http"), "scheme", text(scheme))
	case apidiscovery.AuthAPIKey:
		in := a.In
		if in != "query" && in != "cookie" {
			in = "header"
		}
		if a.Name == "" {
			return "", nil
		}
		return "key-" + in + "-" + plainName(a.Name), object("type", text("apiKey"), "in", text(in), "name", text(a.Name))
	case apidiscovery.AuthCookie:
		if a.Name == "" {
			return "", nil
		}
		return "cookie-" + plainName(a.Name), object("type", text("apiKey"), "in", text("cookie"), "name", text(a.Name))
	case apidiscovery.AuthMTLS:
		return "mutualTLS", object("type", text("mutualTLS"))
	}
	return "", nil
}

// plainName keeps what a component's name may have.
func plainName(s string) string {
	return strings.Map(func(r rune) rune {
		if r < 0x80 && (r >= '0' && r <= '9' || r|0x20 >= 'a' && r|0x20 <= 'z' || r == '.' || r == '-' || r == '_') {
			return r
		}
		return '_'
	}, s)
}
