package openapi

import (
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/pb33f/libopenapi/datamodel/high/base"
	v3 "github.com/pb33f/libopenapi/datamodel/high/v3"
	"github.com/pb33f/libopenapi/orderedmap"

	apidiscovery "github.com/gabion-io/gabion/api-discovery"
)

// openAPI reads version 3.
func (r *reader) openAPI(d *v3.Document) apidiscovery.Spec {
	var spec apidiscovery.Spec
	if d.Info != nil {
		spec.Title, spec.Version = d.Info.Title, d.Info.Version
	}
	base := ""
	for i, s := range d.Servers {
		u := serverURL(s)
		spec.Servers = append(spec.Servers, u)
		if i == 0 {
			base = basePath(u)
		}
	}
	if d.Paths == nil {
		return spec
	}
	auths := r.securitySchemes(d)
	for p, item := range all(d.Paths.PathItems) {
		if item == nil {
			continue
		}
		at := base
		if len(item.Servers) > 0 {
			at = basePath(serverURL(item.Servers[0]))
		}
		for method, op := range all(item.GetOperations()) {
			where := strings.ToUpper(method) + " " + p
			template, err := apidiscovery.ParsePathTemplate(at + p)
			if err != nil {
				r.problem(where, err)
				continue
			}
			o := apidiscovery.Operation{OperationKey: apidiscovery.OperationKey{Protocol: apidiscovery.REST, Method: strings.ToUpper(method), Template: template}}
			o.ID = where
			r.operation(&o, item, op, where)
			o.Auth = requirements(op.Security, d.Security, auths)
			if op.Deprecated != nil && *op.Deprecated {
				spec.Deprecated = append(spec.Deprecated, o.ID)
			}
			spec.Operations = append(spec.Operations, o)
		}
	}
	return spec
}

func (r *reader) operation(o *apidiscovery.Operation, item *v3.PathItem, op *v3.Operation, where string) {
	for _, list := range [][]*v3.Parameter{op.Parameters, item.Parameters} { // the operation's first: they replace the path's
		for _, p := range list {
			if p == nil || p.Name == "" || slices.ContainsFunc(o.Params, func(q apidiscovery.Param) bool { return q.Name == paramName(p.In, p.Name) && q.In == p.In }) {
				continue
			}
			o.Params = append(o.Params, r.param(p))
		}
	}
	sortParams(o)
	if b := op.RequestBody; b != nil {
		o.Request = r.bodies(b.Content, b.Required != nil && *b.Required)
	}
	if op.Responses == nil {
		return
	}
	for code, response := range all(op.Responses.Codes) {
		status, ok := statusOf(code)
		if !ok {
			r.problem(where, fmt.Errorf("the status %q is none", code))
			continue
		}
		o.Responses = append(o.Responses, r.response(status, response))
	}
	if op.Responses.Default != nil {
		o.Responses = append(o.Responses, r.response(0, op.Responses.Default))
	}
	slices.SortFunc(o.Responses, func(a, b apidiscovery.Response) int { return a.Status - b.Status })
}

func (r *reader) response(status int, in *v3.Response) apidiscovery.Response {
	out := apidiscovery.Response{Status: status}
	if in == nil {
		return out
	}
	out.Bodies = r.bodies(in.Content, false)
	for name, h := range all(in.Headers) {
		if h != nil {
			out.Headers = append(out.Headers, apidiscovery.Param{In: apidiscovery.InHeader, Name: strings.ToLower(name), Required: h.Required, Schema: r.schemas.read(h.Schema, 0)})
		}
	}
	slices.SortFunc(out.Headers, func(a, b apidiscovery.Param) int { return strings.Compare(a.Name, b.Name) })
	return out
}

func (r *reader) bodies(content *orderedmap.Map[string, *v3.MediaType], required bool) (list []apidiscovery.Body) {
	for media, m := range all(content) {
		b := apidiscovery.Body{MediaType: mediaType(media), Required: required}
		if m != nil {
			b.Schema = r.schemas.read(m.Schema, 0)
		}
		list = append(list, b)
	}
	slices.SortFunc(list, func(a, b apidiscovery.Body) int { return strings.Compare(a.MediaType, b.MediaType) })
	return list
}

func (r *reader) param(p *v3.Parameter) apidiscovery.Param {
	out := apidiscovery.Param{In: p.In, Name: paramName(p.In, p.Name), Required: p.Required != nil && *p.Required || p.In == apidiscovery.InPath, Schema: r.schemas.read(p.Schema, 0)}
	if out.Schema == nil {
		for _, m := range all(p.Content) {
			out.Schema = r.schemas.read(m.Schema, 0)
		}
	}
	if p.Style != "" && (out.Schema.Has("array") || out.Schema.Has("object")) {
		out.Style, out.Explode = p.Style, p.Explode != nil && *p.Explode
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
		if !slices.ContainsFunc(o.Params, func(p apidiscovery.Param) bool { return p.In == apidiscovery.InPath && p.Name == name }) {
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

// statusOf reads "200" and "4XX".
func statusOf(code string) (int, bool) {
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
func serverURL(s *v3.Server) string {
	if s == nil {
		return ""
	}
	u := s.URL
	for name, v := range all(s.Variables) {
		if v != nil {
			u = strings.ReplaceAll(u, "{"+name+"}", v.Default)
		}
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

// securitySchemes are the ways to authenticate by name.
func (r *reader) securitySchemes(d *v3.Document) map[string]apidiscovery.Auth {
	auths := map[string]apidiscovery.Auth{}
	if d.Components == nil {
		return auths
	}
	for name, s := range all(d.Components.SecuritySchemes) {
		if s != nil {
			auths[name] = authOf(s.Type, s.Scheme, s.BearerFormat, s.In, s.Name)
		}
	}
	return auths
}

func authOf(kind, scheme, format, in, name string) apidiscovery.Auth {
	switch scheme = strings.ToLower(scheme); strings.ToLower(kind) {
	case "apikey":
		if in == apidiscovery.InCookie {
			return apidiscovery.Auth{Kind: apidiscovery.AuthCookie, Name: name}
		}
		return apidiscovery.Auth{Kind: apidiscovery.AuthAPIKey, In: in, Name: paramName(in, name)}
	case "oauth2", "openidconnect":
		return apidiscovery.Auth{Kind: apidiscovery.AuthBearer, Scheme: "bearer"}
	case "mutualtls":
		return apidiscovery.Auth{Kind: apidiscovery.AuthMTLS}
	case "basic":
		return apidiscovery.Auth{Kind: apidiscovery.AuthBasic, Scheme: "basic"}
	}
	switch scheme {
	case "basic":
		return apidiscovery.Auth{Kind: apidiscovery.AuthBasic, Scheme: scheme}
	case "bearer":
		return apidiscovery.Auth{Kind: apidiscovery.AuthBearer, Scheme: scheme, Format: strings.ToUpper(format)}
	}
	return apidiscovery.Auth{Kind: apidiscovery.AuthDigest, Scheme: scheme}
}

// requirements are the ways that suffice; those of an operation replace the
// document's. Nil with nothing said and empty are both: anybody may.
func requirements(own, common []*base.SecurityRequirement, auths map[string]apidiscovery.Auth) (list []apidiscovery.Auth) {
	if own == nil {
		own = common
	}
	add := func(a apidiscovery.Auth) {
		if !slices.ContainsFunc(list, func(b apidiscovery.Auth) bool {
			return a.Kind == b.Kind && a.In == b.In && a.Name == b.Name && a.Scheme == b.Scheme && a.Format == b.Format
		}) {
			list = append(list, a)
		}
	}
	for _, q := range own {
		if q == nil {
			continue
		}
		if q.ContainsEmptyRequirement || q.Requirements == nil || orderedmap.Len(q.Requirements) == 0 {
			add(apidiscovery.Auth{Kind: apidiscovery.AuthNone})
		}
		for name := range all(q.Requirements) {
			if a, ok := auths[name]; ok {
				add(a)
			} else {
				add(apidiscovery.Auth{Kind: apidiscovery.AuthUnknown, Name: name})
			}
		}
	}
	if len(list) == 0 {
		add(apidiscovery.Auth{Kind: apidiscovery.AuthNone})
	}
	return list
}
