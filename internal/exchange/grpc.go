package exchange

import "encoding/binary"

// grpcStreaming says which way a gRPC call streams, by how many messages its
// bodies hold. One of each is what every call may have: then nothing is known.
func grpcStreaming(r *Raw) string {
	client, server := messagesOf(&r.Request) > 1, messagesOf(&r.Response) > 1
	switch {
	case client && server:
		return "bidi"
	case client:
		return "client"
	case server:
		return "server"
	}
	return ""
}

// messagesOf counts the messages of a gRPC body, to two: each has a flag (0 plain,
// 1 compressed) and four bytes of length before it.
func messagesOf(m *RawMessage) uint64 {
	n := m.Messages
	if n > 0 {
		return n
	}
	const head = 5
	for b := m.Body; len(b) >= head && b[0] <= 1 && n < 2; n++ {
		length := uint64(binary.BigEndian.Uint32(b[1:head]))
		b = b[head:]
		b = b[min(length, uint64(len(b))):]
	}
	return n
}

// grpcStatus is the HTTP status that says what a call's own status does. Servers
// answer 200 to everything, also to methods that they do not have.
func grpcStatus(r *Raw) int {
	if r.Status != 200 {
		return r.Status
	}
	switch r.Response.Get("grpc-status") {
	case "1": // cancelled
		return 499
	case "2", "13", "15": // unknown, internal, data loss
		return 500
	case "3", "9", "11": // invalid argument, failed precondition, out of range
		return 400
	case "4": // deadline exceeded
		return 504
	case "5", "12": // not found, unimplemented
		return 404
	case "6", "10": // already exists, aborted
		return 409
	case "7": // permission denied
		return 403
	case "8": // resource exhausted
		return 429
	case "14": // unavailable
		return 503
	case "16": // unauthenticated
		return 401
	}
	return 200
}
