package chain

import (
	"encoding/json"
	"html"
	"strconv"
	"strings"

	"github.com/gabion-io/gabion/filters"
)

const (
	defaultHTML = `<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Request denied</title>` +
		`<meta name="viewport" content="width=device-width"></head><body><h1>Request denied</h1>` +
		`<p>This request looked like an attack and was not forwarded.</p>` +
		`<p>If you think this is a mistake, give this number to the owner of the site: <code>{{event}}</code></p></body></html>` + "\n"
	defaultJSON = `{"type":"about:blank","title":{{title}},"status":{{status}},"detail":"The request was not forwarded. Event {{event}}.","event":"{{event}}"}` + "\n"
)

// reply writes the answer of a denied exchange.
func (x *Exchange) reply(v verdict) *filters.Reply {
	var block filters.BlockResponse
	if x.policy != nil {
		block = x.policy.Block
	}
	status := x.replyStatus(v)
	r := &filters.Reply{Status: status, Headers: []filters.Header{
		{Name: "cache-control", Value: "no-store"},
		{Name: "x-gabion-event", Value: x.id},
	}}
	if v.location != "" {
		r.Headers = append(r.Headers, filters.Header{Name: "location", Value: v.location})
	}
	text, media := block.JSON, "application/problem+json"
	if isGRPC(x.request) {
		// Envoy makes this a gRPC error: the status of ours, the body as its message.
		r.Headers = append(r.Headers, filters.Header{Name: "grpc-status", Value: grpcStatus(status)})
		r.Body = []byte("The request was not forwarded. Event " + x.id + ".")
		return r
	}
	if wantsHTML(x.request) {
		if text, media = block.HTML, "text/html; charset=utf-8"; text == "" {
			text = defaultHTML
		}
	} else if text == "" {
		text = defaultJSON
	}
	r.Headers = append(r.Headers, filters.Header{Name: "content-type", Value: media})
	r.Body = []byte(strings.NewReplacer(
		"{{event}}", html.EscapeString(x.id),
		"{{status}}", strconv.Itoa(status),
		"{{title}}", title(status),
	).Replace(text))
	return r
}

// isGRPC says that the client reads gRPC's status, not HTTP's.
func isGRPC(h *filters.RequestHead) bool {
	return h != nil && strings.HasPrefix(mediaType(h.Headers), "application/grpc")
}

// grpcStatus is the code of google.rpc.Code for an HTTP status. It is never 0,
// which would tell the client that the call succeeded.
func grpcStatus(status int) string {
	switch {
	case status == 400:
		return "3" // INVALID_ARGUMENT
	case status == 413:
		return "8" // RESOURCE_EXHAUSTED
	case status >= 500:
		return "14" // UNAVAILABLE
	}
	return "7" // PERMISSION_DENIED
}

// replyStatus is the status a verdict is answered with.
func (x *Exchange) replyStatus(v verdict) int {
	if v.status != 0 {
		return v.status
	}
	if x.policy != nil && x.policy.Block.Status != 0 {
		return x.policy.Block.Status
	}
	return 403
}

func title(status int) string {
	text := "Request denied"
	switch status {
	case 400:
		text = "Request malformed"
	case 404:
		text = "Not found"
	case 405:
		text = "Method not allowed"
	case 415:
		text = "Content type not accepted"
	case 408:
		text = "Request body too slow"
	case 413:
		text = "Request body too long"
	case 502:
		text = "Response denied"
	case 503:
		text = "Request could not be inspected"
	}
	b, _ := json.Marshal(text)
	return string(b)
}

// wantsHTML says that a browser asks: it accepts HTML by name and JSON does not
// come first. Everything else gets JSON.
func wantsHTML(h *filters.RequestHead) bool {
	if h == nil {
		return false
	}
	accept := strings.ToLower(header(h.Headers, "accept"))
	html := strings.Index(accept, "text/html")
	json := strings.Index(accept, "json")
	return html >= 0 && (json < 0 || html < json)
}
