package openapi

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/gabion-io/gabion/api-discovery"
)

// Format of a rendered document.
type Format string

// The formats.
const (
	YAML Format = "yaml"
	JSON Format = "json"
)

// Render writes a specification as OpenAPI 3.1. Nothing in the document changes
// from traffic alone: no counts, no times, no values; examples show a form. What
// traffic shows and OpenAPI has no word for stands in extensions:
// x-gabion-sensitive beside a schema, x-gabion-calls where many operations share
// one path and method. Operations of several services each name their server.
func Render(spec apidiscovery.Spec, format Format) ([]byte, error) {
	doc := document(spec)
	var b bytes.Buffer
	switch format {
	case JSON:
		writeJSON(&b, doc, "")
		b.WriteByte('\n')
		return b.Bytes(), nil
	case YAML:
		e := yaml.NewEncoder(&b)
		e.SetIndent(2)
		if err := e.Encode(doc); err != nil {
			return nil, fmt.Errorf("write OpenAPI: %w", err)
		}
		err := e.Close()
		return b.Bytes(), err
	}
	return nil, fmt.Errorf("write OpenAPI: the format is yaml or json, not %q", format)
}

// Join makes one specification of those of several services.
func Join(title string, specs ...apidiscovery.Spec) apidiscovery.Spec {
	all := apidiscovery.Spec{Service: title}
	for _, s := range specs {
		all.Servers = append(all.Servers, s.Servers...)
		all.Operations = append(all.Operations, s.Operations...)
		all.Deprecated = append(all.Deprecated, s.Deprecated...)
	}
	return all
}

func document(spec apidiscovery.Spec) *yaml.Node {
	info := object("title", text(cmp.Or(spec.Title, spec.Service, "API")), "version", text(cmp.Or(spec.Version, "observed")))
	doc := object("openapi", text("3.1.0"), "info", info)
	w := &writer{deprecated: map[string]bool{}, schemes: map[string]*yaml.Node{}, ids: map[string]bool{}, origins: originsOf(spec.Servers)}
	for _, id := range spec.Deprecated {
		w.deprecated[id] = true
	}
	services := map[string]bool{}
	for _, o := range spec.Operations {
		services[o.Service] = true
	}
	w.several = len(services) > 1
	if !w.several && len(w.origins) > 0 {
		add(doc, "servers", serverList(w.origins))
	}
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

// originsOf are the servers without their paths: templates hold those.
func originsOf(servers []string) (origins []string) {
	for _, s := range servers {
		scheme, rest, ok := strings.Cut(s, "://")
		host, _, _ := strings.Cut(rest, "/")
		if ok && host != "" && !strings.ContainsAny(host, "{} ") {
			origins = append(origins, scheme+"://"+host)
		}
	}
	slices.Sort(origins)
	return slices.Compact(origins)
}

func serverList(origins []string) *yaml.Node {
	list := array()
	for _, o := range origins {
		list.Content = append(list.Content, object("url", text(o)))
	}
	return list
}

// writer is one document being written.
type writer struct {
	deprecated map[string]bool
	schemes    map[string]*yaml.Node
	ids        map[string]bool
	origins    []string
	several    bool // services
}

// slot is what OpenAPI has room for once: a path and a method.
type slot struct {
	method string
	ops    []apidiscovery.Operation
}

// pathItem is one path, whatever operations call its holes.
type pathItem struct {
	template apidiscovery.PathTemplate
	slots    []slot
}

// paths groups operations by path and method. Of several names for the holes of
// a path the first in order is taken, so that the order of the input is none of
// the output's.
func (w *writer) paths(ops []apidiscovery.Operation) *yaml.Node {
	ops = slices.Clone(ops)
	slices.SortStableFunc(ops, func(a, b apidiscovery.Operation) int { return a.OperationKey.Compare(b.OperationKey) })
	byPath := map[string]*pathItem{}
	var items []*pathItem
	for _, o := range ops {
		key := strings.ReplaceAll(o.Template.Canonical(), "{*}", "{}")
		p := byPath[key]
		if p == nil {
			p = &pathItem{template: o.Template}
			byPath[key] = p
			items = append(items, p)
		}
		i := slices.IndexFunc(p.slots, func(s slot) bool { return s.method == o.Method })
		if i < 0 {
			i = len(p.slots)
			p.slots = append(p.slots, slot{method: o.Method})
		}
		p.slots[i].ops = append(p.slots[i].ops, o)
	}
	slices.SortFunc(items, func(a, b *pathItem) int { return strings.Compare(a.template.String(), b.template.String()) })
	out := object()
	for _, p := range items {
		add(out, strings.ReplaceAll(p.template.String(), "*}", "}"), w.item(p))
	}
	return out
}

func (w *writer) item(p *pathItem) *yaml.Node {
	item := object()
	if w.several {
		if servers := w.serversOf(p); len(servers) > 0 {
			add(item, "servers", serverList(servers))
		}
	}
	slices.SortFunc(p.slots, func(a, b slot) int {
		return cmp.Or(methodRank(a.method)-methodRank(b.method), strings.Compare(a.method, b.method))
	})
	var others []string // methods that OpenAPI has no word for
	for _, s := range p.slots {
		if methodRank(s.method) == len(methods()) {
			others = append(others, s.method)
			continue
		}
		add(item, strings.ToLower(s.method), w.operation(s, p.template))
	}
	if len(others) > 0 {
		add(item, "x-gabion-methods", texts(others))
	}
	return item
}

// serversOf are the origins whose services have an operation at a path.
func (w *writer) serversOf(p *pathItem) (list []string) {
	for _, o := range w.origins {
		_, host, _ := strings.Cut(o, "://")
		if slices.ContainsFunc(p.slots, func(s slot) bool {
			return slices.ContainsFunc(s.ops, func(op apidiscovery.Operation) bool { return op.Service == host })
		}) {
			list = append(list, o)
		}
	}
	return list
}

func methods() []string {
	return []string{"GET", "PUT", "POST", "DELETE", "OPTIONS", "HEAD", "PATCH", "TRACE"}
}

func methodRank(m string) int {
	if i := slices.Index(methods(), m); i >= 0 {
		return i
	}
	return len(methods())
}
