package openapi

import (
	"bytes"
	"cmp"
	"net/http"
	"slices"
	"strconv"

	"go.yaml.in/yaml/v3"

	"github.com/gabion-io/gabion/api-discovery"
)

// requestBodyOf joins the bodies of operations that share a path and method: it
// is required if each of them requires one.
func requestBodyOf(ops []apidiscovery.Operation) *yaml.Node {
	var bodies []apidiscovery.Body
	required := true
	for _, o := range ops {
		bodies = append(bodies, o.Request...)
		required = required && slices.ContainsFunc(o.Request, func(b apidiscovery.Body) bool { return b.Required })
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
		media := cmp.Or(b.MediaType, "application/octet-stream")
		byMedia[media] = append(byMedia[media], b.Schema)
	}
	content := object()
	for _, media := range sorted(byMedia) {
		entry := object()
		switch list := distinct(byMedia[media]); len(list) {
		case 0:
		case 1:
			add(entry, "schema", list[0])
		default:
			anyOf := array()
			anyOf.Content = list
			add(entry, "schema", object("anyOf", anyOf))
		}
		add(content, media, entry)
	}
	return content
}

// distinct writes schemas, each that is the same but once, in an order of their
// own.
func distinct(schemas []*apidiscovery.Schema) (list []*yaml.Node) {
	written := map[string]*yaml.Node{}
	for _, s := range schemas {
		if s != nil {
			var b bytes.Buffer
			n := schemaNode(s)
			writeJSON(&b, n, "")
			written[b.String()] = n
		}
	}
	for _, key := range sorted(written) {
		list = append(list, written[key])
	}
	return list
}

// responsesOf joins the answers by status.
func responsesOf(s slot) *yaml.Node {
	byStatus := map[int][]apidiscovery.Response{}
	for _, o := range s.ops {
		for _, r := range o.Responses {
			if statusKey(r.Status) != "" {
				byStatus[r.Status] = append(byStatus[r.Status], r)
			}
		}
	}
	order := sorted(byStatus)
	if len(order) > 0 && order[0] == 0 { // the default comes last
		order = append(order[1:], 0)
	}
	out := object()
	for _, status := range order {
		add(out, statusKey(status), response(s.method, status, byStatus[status]))
	}
	if len(order) == 0 {
		add(out, "default", object("description", text("Not seen")))
	}
	return out
}

func response(method string, status int, list []apidiscovery.Response) *yaml.Node {
	var bodies []apidiscovery.Body
	headers := map[string]*apidiscovery.Schema{}
	for _, r := range list {
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
	// These have no body, whatever their headers say.
	if method == "HEAD" || status == 204 || status == 304 || status >= 100 && status < 200 {
		return n
	}
	if content := contentOf(bodies); len(content.Content) > 0 {
		add(n, "content", content)
	}
	return n
}

// statusKey is "200", "4XX" for the range 4 or "default" for 0; empty for what
// is no status.
func statusKey(status int) string {
	switch {
	case status == 0:
		return "default"
	case status >= 1 && status <= 5:
		return strconv.Itoa(status) + "XX"
	case status >= 100 && status <= 599:
		return strconv.Itoa(status)
	}
	return ""
}

func statusText(status int) string {
	switch {
	case status == 0:
		return "Anything else"
	case status <= 5:
		return [...]string{"Information", "Success", "Redirection", "Refused", "Failed"}[status-1]
	}
	return cmp.Or(http.StatusText(status), "Status "+strconv.Itoa(status))
}
