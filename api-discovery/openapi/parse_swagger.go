package openapi

import (
	"slices"
	"strings"

	"github.com/gabion-io/gabion/api-discovery"
)

// swagger reads version 2.
func (r *reader) swagger() apidiscovery.Spec {
	info := objectIn(r.root, "info")
	spec := apidiscovery.Spec{Title: textIn(info, "title"), Version: textIn(info, "version")}
	base := strings.TrimRight(textIn(r.root, "basePath"), "/")
	if host := textIn(r.root, "host"); host != "" {
		schemes := textsIn(r.root, "schemes")
		if len(schemes) == 0 {
			schemes = []string{"https"}
		}
		for _, s := range schemes {
			spec.Servers = append(spec.Servers, s+"://"+host+base)
		}
	}
	auths := r.schemes(objectIn(r.root, "securityDefinitions"))
	paths := objectIn(r.root, "paths")
	for _, p := range sorted(paths) {
		item, _ := r.follow(paths[p], p)
		r.item(&spec, p, base, item, func(o *apidiscovery.Operation, op map[string]any, where string) {
			r.swaggerOperation(o, item, op, where)
			o.Auth = requirements(op, r.root, auths)
		})
	}
	return spec
}

func (r *reader) swaggerOperation(o *apidiscovery.Operation, item, op map[string]any, where string) {
	consumes := firstOf(textsIn(op, "consumes"), textsIn(r.root, "consumes"))
	produces := firstOf(textsIn(op, "produces"), textsIn(r.root, "produces"))
	seen := map[string]bool{}
	form := &apidiscovery.Schema{Types: []string{"object"}}
	for _, p := range append(slices.Clone(listIn(op, "parameters")), listIn(item, "parameters")...) {
		p, _ := r.follow(p, where)
		in, name := textIn(p, "in"), textIn(p, "name")
		if p == nil || seen[in+" "+name] {
			continue
		}
		seen[in+" "+name] = true
		switch in {
		case "body":
			for _, media := range consumes {
				o.Request = append(o.Request, apidiscovery.Body{MediaType: mediaType(media), Required: boolIn(p, "required"), Schema: r.schema(p["schema"], where, 0)})
			}
		case "formData":
			form.Properties = append(form.Properties, apidiscovery.Property{Name: name, Required: boolIn(p, "required"), Schema: r.swaggerParam(p, where)})
		default:
			o.Params = append(o.Params, r.swaggerQuery(p, in, name, where))
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
	r.responses(o, op, where, func(response map[string]any) (bodies []apidiscovery.Body) {
		if response["schema"] == nil {
			return nil
		}
		for _, media := range produces {
			bodies = append(bodies, apidiscovery.Body{MediaType: mediaType(media), Schema: r.schema(response["schema"], where, 0)})
		}
		slices.SortFunc(bodies, func(a, b apidiscovery.Body) int { return strings.Compare(a.MediaType, b.MediaType) })
		return bodies
	})
}

func (r *reader) swaggerQuery(p map[string]any, in, name, where string) apidiscovery.Param {
	out := apidiscovery.Param{In: in, Name: paramName(in, name), Required: boolIn(p, "required") || in == apidiscovery.InPath, Schema: r.swaggerParam(p, where)}
	if in == apidiscovery.InQuery && out.Schema.Has("array") {
		switch textIn(p, "collectionFormat") {
		case "multi":
			out.Style, out.Explode = "form", true
		case "pipes":
			out.Style = "pipeDelimited"
		case "ssv":
			out.Style = "spaceDelimited"
		default:
			out.Style = "form"
		}
	}
	return out
}

// swaggerParam: parameters of version 2 have their schema's words themselves, of
// which "required" means something else there.
func (r *reader) swaggerParam(p map[string]any, where string) *apidiscovery.Schema {
	s := r.makeSchema(p, where, 0)
	s.Description = ""
	return s
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
