package chain

import (
	"slices"
	"strings"

	"github.com/gabion-io/gabion/filters"
)

// callsItselfGRPC says that a request's head is that of a gRPC call: HTTP/2, its
// media type, and "te: trailers", which every client sends. Anything else is a
// message like any other, and gRPC-Web sends one whole message.
func callsItselfGRPC(h *filters.RequestHead) bool {
	if strings.HasPrefix(h.Proto, "HTTP/1") || strings.HasPrefix(h.Proto, "HTTP/0") || !hasToken(header(h.Headers, "te"), "trailers") {
		return false
	}
	media := mediaType(h.Headers)
	return media == "application/grpc" || strings.HasPrefix(media, "application/grpc+")
}

const (
	grpcStream = "gRPC"
	grpcNote   = "request body is a stream (" + grpcStream + ")"
	// longestFrame is the longest gRPC message taken for one; servers take 4 MiB
	// unless told otherwise.
	longestFrame = 256 << 20
)

// frames follows the frames of a gRPC body: a flag (0 plain, 1 compressed), four
// bytes of length, a message. No text, so no JSON and no form, begins like that.
// The zero value is the beginning of a body.
type frames struct {
	head   int    // bytes of the header read, 0–5
	length uint32 // as far as read
	rest   int64  // bytes of the message to come
}

// pass follows a chunk; false: it is not gRPC.
func (f *frames) pass(chunk []byte) bool {
	for len(chunk) > 0 {
		if f.rest > 0 {
			n := min(f.rest, int64(len(chunk)))
			f.rest, chunk = f.rest-n, chunk[n:]
			continue
		}
		if f.head == 0 {
			if chunk[0] > 1 {
				return false
			}
			f.length = 0
		} else {
			f.length = f.length<<8 | uint32(chunk[0])
		}
		chunk = chunk[1:]
		if f.head++; f.head == 5 {
			if f.length > longestFrame {
				return false
			}
			f.head, f.rest = 0, int64(f.length)
		}
	}
	return true
}

// whole says that no frame has been begun and not ended.
func (f frames) whole() bool { return f.head == 0 && f.rest == 0 }

// stray is the part of a chunk from the first frame on that is none.
func (f frames) stray(chunk []byte) []byte {
	begin := chunk
	for i := range chunk {
		if f.whole() {
			begin = chunk[i:]
		}
		if !f.pass(chunk[i : i+1]) {
			return begin
		}
	}
	return nil
}

// unmasks says that showing chunks will end the belief that the request is gRPC.
func (x *Exchange) unmasks(end bool, chunks ...[]byte) bool {
	if !x.mayBeMasked() {
		return false
	}
	f := x.req.frames // a copy: nothing has been shown yet
	return slices.ContainsFunc(chunks, func(c []byte) bool { return !f.pass(c) }) || end && !f.whole()
}

// unmask begins the inspection of a request anew that called itself gRPC and is
// not: its body is a message like any other, from the first byte on that told. What
// went before it was gRPC, and has been let through; in the usual case that is
// nothing. A message that has no end is for the failure mode.
func (x *Exchange) unmask(chunk []byte) filters.Step {
	if f := x.req.frames; f.pass(chunk) {
		return x.giveUp("the request calls itself gRPC and ends within a message")
	}
	x.stream, x.judged = "", false
	x.partial = slices.DeleteFunc(x.partial, func(p string) bool { return p == grpcNote })
	x.tx.Close()
	x.tx = x.policy.engine.Begin(x.id)
	x.stale = true
	x.arm()
	if err := x.tx.RequestHeaders(x.request); err != nil {
		return x.tooLong(err)
	}
	if x.tx.Denial() != nil {
		if step := x.engineDenies(); step.Do == filters.Deny {
			return step
		}
	}
	return x.planRequest(false)
}

// mayBeMasked says that the body must be seen for telling whether it is gRPC.
func (x *Exchange) mayBeMasked() bool {
	return x.stream == grpcStream && x.tx != nil && x.policy.RequestBody.Inspect && !x.req.finished
}
