package openapi

import (
	"fmt"
	"slices"
	"strings"

	v2 "github.com/pb33f/libopenapi/datamodel/high/v2"

	apidiscovery "github.com/gabion-io/gabion/api-discovery"
)

// swagger reads version 2.
func (r *reader) swagger(d *v2.Swagger) apidiscovery.Spec {
	var spec apidiscovery.Spec
	if d.Info != nil {
		spec.Title, spec.Version = d.Info.Title, d.Info.Version
	}
	base := strings.TrimRight(d.BasePath, "/")
	if d.Host != "" {
		for _, scheme := range append(slices.Clone(d.Schemes), "https")[:max(1, len(d.Schemes))] {
			spec.Servers = append(spec.Servers, scheme+"://"+d.Host+base)
		}
	}
	auths := map[string]apidiscovery.Auth{}
	if d.SecurityDefinitions != nil {
		for name, s := range all(d.SecurityDefinitions.Definitions) {
			if s != nil {
				auths[name] = authOf(s.Type, "", "", s.In, s.Name)
			}
		}
	}
	if d.Paths == nil {
		return spec
	}
	for p, item := range all(d.Paths.PathItems) {
		if item == nil {
			continue
		}
		for _, m := range []struct {
			method string
			op     *v2.Operation
		}{{"GET", item.Get}, {"PUT", item.Put}, {"POST", item.Post}, {"DELETE", item.Delete}, {"OPTIONS", item.Options}, {"HEAD", item.Head}, {"PATCH", item.Patch}} {
			if m.op == nil {
				continue
			}
			where := m.method + " " + p
			template, err := apidiscovery.ParsePathTemplate(base + p)
			if err != nil {
				r.problem(where, err)
				continue
			}
			o := apidiscovery.Operation{OperationKey: apidiscovery.OperationKey{Protocol: apidiscovery.REST, Method: m.method, Template: template}}
			o.ID = where
			r.swaggerOperation(&o, d, item, m.op, where)
			o.Auth = requirements(m.op.Security, d.Security, auths)
			if m.op.Deprecated {
				spec.Deprecated = append(spec.Deprecated, o.ID)
			}
			spec.Operations = append(spec.Operations, o)
		}
	}
	return spec
}

func (r *reader) swaggerOperation(o *apidiscovery.Operation, d *v2.Swagger, item *v2.PathItem, op *v2.Operation, where string) {
	consumes := firstOf(op.Consumes, d.Consumes)
	seen := map[string]bool{}
	form := &apidiscovery.Schema{Types: []string{"object"}}
	for _, p := range append(slices.Clone(op.Parameters), item.Parameters...) {
		if p == nil || seen[p.In+" "+p.Name] {
			continue
		}
		seen[p.In+" "+p.Name] = true
		required := p.Required != nil && *p.Required
		switch p.In {
		case "body":
			for _, media := range consumes {
				o.Request = append(o.Request, apidiscovery.Body{MediaType: mediaType(media), Required: required, Schema: r.schemas.read(p.Schema, 0)})
			}
		case "formData":
			form.Properties = append(form.Properties, apidiscovery.Property{Name: p.Name, Required: required, Schema: swaggerSchema(p)})
		default:
			o.Params = append(o.Params, apidiscovery.Param{In: p.In, Name: paramName(p.In, p.Name), Required: required || p.In == apidiscovery.InPath, Schema: swaggerSchema(p)})
		}
	}
	if len(form.Properties) > 0 {
		slices.SortFunc(form.Properties, func(a, b apidiscovery.Property) int { return strings.Compare(a.Name, b.Name) })
		media := "application/x-www-form-urlencoded"
		if slices.Contains(consumes, "multipart/form-data") {
			media = "multipart/form-data"
		}
		o.Request = append(o.Request, apidiscovery.Body{MediaType: media, Schema: form})
	}
	slices.SortFunc(o.Request, func(a, b apidiscovery.Body) int { return strings.Compare(a.MediaType, b.MediaType) })
	sortParams(o)
	if op.Responses == nil {
		return
	}
	produces := firstOf(op.Produces, d.Produces)
	for code, response := range all(op.Responses.Codes) {
		status, ok := statusOf(code)
		if !ok {
			r.problem(where, fmt.Errorf("the status %q is none", code))
			continue
		}
		o.Responses = append(o.Responses, r.swaggerResponse(status, response, produces))
	}
	if op.Responses.Default != nil {
		o.Responses = append(o.Responses, r.swaggerResponse(0, op.Responses.Default, produces))
	}
	slices.SortFunc(o.Responses, func(a, b apidiscovery.Response) int { return a.Status - b.Status })
}

func (r *reader) swaggerResponse(status int, in *v2.Response, produces []string) apidiscovery.Response {
	out := apidiscovery.Response{Status: status}
	if in == nil || in.Schema == nil {
		return out
	}
	for _, media := range produces {
		out.Bodies = append(out.Bodies, apidiscovery.Body{MediaType: mediaType(media), Schema: r.schemas.read(in.Schema, 0)})
	}
	slices.SortFunc(out.Bodies, func(a, b apidiscovery.Body) int { return strings.Compare(a.MediaType, b.MediaType) })
	return out
}

// firstOf is the first list that says something; JSON if none does.
func firstOf(lists ...[]string) []string {
	for _, l := range lists {
		if len(l) > 0 {
			return l
		}
	}
	return []string{"application/json"}
}

// swaggerSchema: parameters of version 2 have their schema's words themselves.
func swaggerSchema(p *v2.Parameter) *apidiscovery.Schema {
	s := &apidiscovery.Schema{Types: types([]string{p.Type}, false), Format: p.Format, Pattern: p.Pattern}
	for _, e := range p.Enum {
		if e != nil && e.Tag == "!!str" {
			s.Enum = append(s.Enum, e.Value)
		}
	}
	slices.Sort(s.Enum)
	if p.MaxLength != nil {
		s.MaxLength = max(0, *p.MaxLength)
	}
	if p.Minimum != nil {
		v := float64(*p.Minimum)
		s.Minimum = &v
	}
	if p.Maximum != nil {
		v := float64(*p.Maximum)
		s.Maximum = &v
	}
	if p.Items != nil {
		s.Items = &apidiscovery.Schema{Types: types([]string{p.Items.Type}, false), Format: p.Items.Format}
	}
	return s
}
