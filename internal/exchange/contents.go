package exchange

import "strings"

// contents takes the shapes of the bodies, and finds the protocol.
func (d *Door) contents(r *Raw, o *Observation, f facts) {
	o.Request = d.content(&r.Request, f.requestType)
	o.Response = d.content(&r.Response, f.responseType)
	o.Request.Present = o.Request.Present || f.contentLength != "" && f.contentLength != "0"
	switch {
	case strings.HasPrefix(o.Request.MediaType, "application/grpc"):
		o.Protocol, o.Streaming = "grpc", grpcStreaming(r)
		o.Status = grpcStatus(r)
	case equalFold(f.upgrade, "websocket") || o.Method == "CONNECT" && r.Request.Get(":protocol") == "websocket":
		o.Protocol = "websocket"
	case o.Method == "GET" && (o.Response.MediaType == "text/event-stream" || f.accept == "text/event-stream" && o.Status >= 400):
		o.Protocol = "sse" // also where it was refused
	case o.Response.MediaType == "text/event-stream":
		o.Streaming = "server"
	}
	o.Calls = calls(r, o, f)
}

func (d *Door) content(m *RawMessage, contentType string) Content {
	c := Content{MediaType: mediaType(contentType), Shape: m.Shape, Present: m.Size > 0 || len(m.Body) > 0 || m.Shape != nil}
	if c.Shape == nil && len(m.Body) > 0 {
		c.Shape = d.Shape(contentType, m.Body)
	}
	return c
}

// mediaType is the type without parameters, in lower case; what is none is "".
func mediaType(s string) string {
	s, _, _ = strings.Cut(s, ";")
	s = lower(strings.TrimSpace(s))
	if i := strings.IndexByte(s, '/'); i < 1 || len(s) > 80 || strings.ContainsAny(s, " ,\"<>{}") {
		return ""
	}
	return s
}
