package openapi

import (
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/gabion-io/gabion/api-discovery"
)

func child(v any, key string) any {
	switch v := v.(type) {
	case map[string]any:
		return v[key]
	case []any:
		if i, err := strconv.Atoi(key); err == nil && i >= 0 && i < len(v) {
			return v[i]
		}
	}
	return nil
}

// unescapePointer reads one part of a JSON pointer in a fragment.
func unescapePointer(s string) string {
	if u, err := url.PathUnescape(s); err == nil {
		s = u
	}
	return strings.NewReplacer("~1", "/", "~0", "~").Replace(s)
}

// openAPI reads version 3.
func (r *reader) openAPI() apidiscovery.Spec {
	info := objectIn(r.root, "info")
	spec := apidiscovery.Spec{Title: textIn(info, "title"), Version: textIn(info, "version")}
	for _, s := range listIn(r.root, "servers") {
		s, _ := s.(map[string]any)
		spec.Servers = append(spec.Servers, serverURL(s))
	}
	base := ""
	if len(spec.Servers) > 0 {
		base = basePath(spec.Servers[0])
	}
	auths := r.schemes(objectIn(objectIn(r.root, "components"), "securitySchemes"))
	paths := objectIn(r.root, "paths")
	for _, p := range sorted(paths) {
		item, _ := r.follow(paths[p], p)
		at := base
		if servers := listIn(item, "servers"); len(servers) > 0 {
			s, _ := servers[0].(map[string]any)
			at = basePath(serverURL(s))
		}
		r.item(&spec, p, at, item, func(o *apidiscovery.Operation, op map[string]any, where string) {
			r.operation(o, item, op, where)
			o.Auth = requirements(op, r.root, auths)
		})
	}
	return spec
}

// item reads the operations of a path; use fills in what versions write in
// different ways.
func (r *reader) item(spec *apidiscovery.Spec, p, base string, item map[string]any, use func(o *apidiscovery.Operation, op map[string]any, where string)) {
	for _, method := range methods() {
		op, ok := item[strings.ToLower(method)].(map[string]any)
		if !ok {
			continue
		}
		where := method + " " + p
		template, err := apidiscovery.ParsePathTemplate(base + p)
		if err != nil {
			r.problem(where, "%v", err)
			continue
		}
		o := apidiscovery.Operation{ID: where, OperationKey: apidiscovery.OperationKey{Protocol: apidiscovery.REST, Method: method, Template: template}}
		use(&o, op, where)
		if boolIn(op, "deprecated") {
			spec.Deprecated = append(spec.Deprecated, o.ID)
		}
		spec.Operations = append(spec.Operations, o)
	}
}

func (r *reader) operation(o *apidiscovery.Operation, item, op map[string]any, where string) {
	for _, list := range [][]any{listIn(op, "parameters"), listIn(item, "parameters")} { // the operation's first: they replace the path's
		for _, p := range list {
			p, _ := r.follow(p, where)
			in, name := textIn(p, "in"), textIn(p, "name")
			if name != "" && !hasParam(o, in, paramName(in, name)) {
				o.Params = append(o.Params, r.param(p, where))
			}
		}
	}
	sortParams(o)
	if body, _ := r.follow(op["requestBody"], where); body != nil {
		o.Request = r.bodies(objectIn(body, "content"), boolIn(body, "required"), where)
	}
	r.responses(o, op, where, func(response map[string]any) []apidiscovery.Body {
		return r.bodies(objectIn(response, "content"), false, where)
	})
}

func hasParam(o *apidiscovery.Operation, in, name string) bool {
	return slices.ContainsFunc(o.Params, func(q apidiscovery.Param) bool { return q.Name == name && q.In == in })
}

func (r *reader) responses(o *apidiscovery.Operation, op map[string]any, where string, bodies func(map[string]any) []apidiscovery.Body) {
	responses := objectIn(op, "responses")
	for _, code := range sorted(responses) {
		status, ok := statusOf(code)
		switch {
		case strings.HasPrefix(code, "x-"):
			continue
		case !ok:
			r.problem(where, "the status %q is none", code)
			continue
		}
		response, _ := r.follow(responses[code], where)
		out := apidiscovery.Response{Status: status, Bodies: bodies(response)}
		headers := objectIn(response, "headers")
		for _, name := range sorted(headers) {
			h, _ := r.follow(headers[name], where)
			schema := h["schema"]
			if schema == nil && h["type"] != nil { // Swagger 2
				schema = h
			}
			out.Headers = append(out.Headers, apidiscovery.Param{In: apidiscovery.InHeader, Name: strings.ToLower(name), Required: boolIn(h, "required"), Schema: r.schema(schema, where, 0)})
		}
		o.Responses = append(o.Responses, out)
	}
	slices.SortFunc(o.Responses, func(a, b apidiscovery.Response) int { return a.Status - b.Status })
}

func (r *reader) bodies(content map[string]any, required bool, where string) (list []apidiscovery.Body) {
	for _, media := range sorted(content) {
		m, _ := content[media].(map[string]any)
		list = append(list, apidiscovery.Body{MediaType: mediaType(media), Required: required, Schema: r.schema(m["schema"], where, 0)})
	}
	slices.SortStableFunc(list, func(a, b apidiscovery.Body) int { return strings.Compare(a.MediaType, b.MediaType) })
	return list
}

func (r *reader) param(p map[string]any, where string) apidiscovery.Param {
	in := textIn(p, "in")
	out := apidiscovery.Param{In: in, Name: paramName(in, textIn(p, "name")), Required: boolIn(p, "required") || in == apidiscovery.InPath, Schema: r.schema(p["schema"], where, 0)}
	content := objectIn(p, "content")
	for _, media := range sorted(content) {
		if m, _ := content[media].(map[string]any); out.Schema == nil {
			out.Schema = r.schema(m["schema"], where, 0)
		}
	}
	if style := textIn(p, "style"); style != "" && (out.Schema.Has("array") || out.Schema.Has("object")) {
		explode, said := p["explode"].(bool)
		out.Style, out.Explode = style, explode || !said && style == "form"
	}
	return out
}

// paramName: header names have no case.
func paramName(in, name string) string {
	if in == apidiscovery.InHeader {
		return strings.ToLower(name)
	}
	return name
}

// sortParams orders by place, by position in the template, by name, and adds the
// holes that are not declared.
func sortParams(o *apidiscovery.Operation) {
	holes := o.Template.Names()
	for _, name := range holes {
		if !hasParam(o, apidiscovery.InPath, name) {
			o.Params = append(o.Params, apidiscovery.Param{In: apidiscovery.InPath, Name: name, Required: true, Schema: &apidiscovery.Schema{Types: []string{"string"}}})
		}
	}
	places := []string{apidiscovery.InPath, apidiscovery.InQuery, apidiscovery.InHeader, apidiscovery.InCookie, apidiscovery.InMatrix}
	slices.SortStableFunc(o.Params, func(a, b apidiscovery.Param) int {
		if c := slices.Index(places, a.In) - slices.Index(places, b.In); c != 0 {
			return c
		}
		if a.In == apidiscovery.InPath {
			return slices.Index(holes, a.Name) - slices.Index(holes, b.Name)
		}
		return strings.Compare(a.Name, b.Name)
	})
}

// statusOf reads "200", "4XX" and "default".
func statusOf(code string) (int, bool) {
	if code == "default" {
		return 0, true
	}
	if len(code) == 3 && strings.EqualFold(code[1:], "xx") && code[0] >= '1' && code[0] <= '5' {
		return int(code[0] - '0'), true
	}
	n, err := strconv.Atoi(code)
	return n, err == nil && n >= 100 && n <= 599
}

func mediaType(s string) string {
	s, _, _ = strings.Cut(s, ";")
	return strings.ToLower(strings.TrimSpace(s))
}

// serverURL fills in the defaults of a server's variables.
func serverURL(s map[string]any) string {
	u := textIn(s, "url")
	variables := objectIn(s, "variables")
	for _, name := range sorted(variables) {
		v, _ := variables[name].(map[string]any)
		u = strings.ReplaceAll(u, "{"+name+"}", textIn(v, "default"))
	}
	return u
}

// basePath is the path of a server's URL, without a slash at its end.
func basePath(server string) string {
	u, err := url.Parse(server)
	if err != nil || strings.ContainsAny(u.Path, "{}") || u.Path != "" && u.Path[0] != '/' {
		return ""
	}
	return strings.TrimRight(u.Path, "/")
}
