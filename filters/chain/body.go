package chain

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/gabion-io/gabion/filters"
)

// body collects what is inspected and recorded of one direction.
type body struct {
	data     []byte
	keep     int64 // bytes of data wanted, for inspection or recording
	limit    int64 // bytes inspected
	total    int64 // bytes shown
	missing  int64 // bytes a recording lost: sent once, not shown now
	beyond   filters.Beyond
	inspect  bool // still collecting for the engine
	finished bool
	codings  string // content codings; "": none
	since    time.Time
	frames   frames // of a request that calls itself gRPC
}

// add keeps what is wanted of a chunk; false: there was no room for it.
func (b *body) add(x *Exchange, chunk []byte) bool {
	b.total += int64(len(chunk))
	n := min(b.keep-int64(len(b.data)), int64(len(chunk)))
	if n <= 0 {
		return true
	}
	if !x.reserve(n) {
		return false
	}
	b.data = append(b.data, chunk[:n]...)
	return true
}

// over says that more was shown than is inspected.
func (b *body) over() bool { return b.total+b.missing > b.limit }

// inspected is the part the engine is shown.
func (b *body) inspected() []byte { return b.data[:min(b.limit, int64(len(b.data)))] }

// header gives the first value of a field; names are in lower case.
func header(hs []filters.Header, name string) string {
	for _, h := range hs {
		if h.Name == name {
			return h.Value
		}
	}
	return ""
}

// mediaType is the lower-case media type without parameters.
func mediaType(hs []filters.Header) string {
	v, _, _ := strings.Cut(header(hs, "content-type"), ";")
	return strings.ToLower(strings.TrimSpace(v))
}

func contentLength(hs []filters.Header) int64 {
	n, err := strconv.ParseInt(header(hs, "content-length"), 10, 64)
	if err != nil {
		return -1
	}
	return n
}

// structured media types get the larger limit: cutting them short costs the
// parser more than length costs the engine.
func structured(media string) bool {
	return strings.HasSuffix(media, "/json") || strings.HasSuffix(media, "+json") ||
		strings.HasSuffix(media, "/xml") || strings.HasSuffix(media, "+xml") ||
		media == "application/x-www-form-urlencoded"
}

// requestStream names the kind of stream a request opens, "" when its body is a
// message that ends. Streams are never held: the other side waits for each part.
func requestStream(h *filters.RequestHead) string {
	switch {
	case callsItselfGRPC(h):
		return grpcStream
	case h.Method == "CONNECT":
		return "CONNECT"
	case header(h.Headers, "upgrade") != "" && hasToken(header(h.Headers, "connection"), "upgrade"):
		return "upgrade"
	}
	return ""
}

func hasToken(list, token string) bool {
	for t := range strings.SplitSeq(list, ",") {
		if strings.EqualFold(strings.TrimSpace(t), token) {
			return true
		}
	}
	return false
}

// responseStream is the same for responses.
func responseStream(h *filters.ResponseHead) string {
	media := mediaType(h.Headers)
	switch {
	case media == "text/event-stream":
		return "event stream"
	case strings.HasPrefix(media, "application/grpc"):
		return "gRPC"
	case h.Status == 101:
		return "upgrade"
	}
	return ""
}

func listed(types []string, media string) bool {
	for _, t := range types {
		if matchesType(t, media) {
			return true
		}
	}
	return len(types) == 0
}

func beyondText(direction string, limit int64) string {
	return fmt.Sprintf("%s body beyond %d bytes", direction, limit)
}
