package exchange

import "strings"

// contents takes the shapes of the bodies, and finds the protocol.
func (d *Door) contents(r *Raw, o *Observation, f facts) {
	o.Request = d.content(&r.Request, f.requestType)
	o.Response = d.content(&r.Response, f.responseType)
	o.Request.Present = o.Request.Present || f.contentLength != "" && f.contentLength != "0"
	switch {
	case isGRPC(r, o):
		o.Protocol, o.Streaming = "grpc", grpcStreaming(r)
		o.Status = grpcStatus(r)
	case isSocket(r, o, f):
		o.Protocol = "websocket"
	case o.Method == "GET" && (o.Response.MediaType == "text/event-stream" || f.accept == "text/event-stream" && o.Status >= 400):
		o.Protocol = "sse" // also where it was refused
	case o.Response.MediaType == "text/event-stream":
		o.Streaming = "server"
	}
	o.Calls = calls(r, o, f)
}

// isGRPC says whether an exchange is a call.
func isGRPC(r *Raw, o *Observation) bool {
	return strings.HasPrefix(o.Request.MediaType, grpcMedia) && (o.answersAs("grpc") || r.Response.Get("grpc-status") != "")
}

const grpcMedia = "application/grpc"

// isSocket says whether an exchange became a WebSocket, or was refused to.
func isSocket(r *Raw, o *Observation, f facts) bool {
	if o.Method == "CONNECT" {
		return r.Request.Get(":protocol") == "websocket"
	}
	return equalFold(f.upgrade, "websocket") && o.answersAs("websocket") || r.Scheme == "ws" || r.Scheme == "wss"
}

// answersAs says whether what was answered, as far as it is known, is of a protocol
// that was asked for: who answers with a document has not heard of it.
func (o *Observation) answersAs(protocol string) bool {
	switch protocol {
	case "grpc":
		return o.Status != 200 || o.Response.MediaType == "" || strings.HasPrefix(o.Response.MediaType, grpcMedia)
	case "websocket":
		return o.Status < 200 || o.Status >= 400 || o.Method == "CONNECT"
	}
	return true
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
