package rawhttp

import (
	"bytes"
	"strconv"
	"strings"
)

// framing says where the body ends.
type framing struct {
	chunked bool
	length  int64
}

// readFraming is where smuggling would begin: every doubt is a refusal.
func readFraming(fields []Header, method string) (framing, *Malformed) {
	var f framing
	var lengths, codings []string
	for _, h := range fields {
		switch h.Name {
		case "content-length":
			lengths = append(lengths, h.Value)
		case "transfer-encoding":
			codings = append(codings, h.Value)
		}
	}
	switch {
	case len(codings) > 0 && (len(codings) > 1 || !strings.EqualFold(codings[0], "chunked")):
		return f, malformed(501, "Transfer-Encoding is not one \"chunked\"")
	case len(codings) > 0 && len(lengths) > 0:
		return f, malformed(400, "both Content-Length and Transfer-Encoding")
	case len(lengths) > 1:
		return f, malformed(400, "two Content-Length headers")
	}
	f.chunked = len(codings) == 1
	if len(lengths) == 1 {
		n, ok := digits(lengths[0])
		if !ok {
			return f, malformed(400, "Content-Length %q", clip(lengths[0]))
		}
		f.length = n
	}
	if method == "CONNECT" && (f.chunked || f.length > 0) {
		return f, malformed(400, "CONNECT with a body")
	}
	return f, nil
}

func digits(s string) (int64, bool) {
	for i := 0; i < len(s); i++ {
		if !isDigit(s[i]) {
			return 0, false
		}
	}
	n, err := strconv.ParseInt(s, 10, 64)
	return n, err == nil
}

func (f framing) read(rest []byte) ([]byte, *Malformed) {
	if f.chunked {
		return readChunks(rest)
	}
	if int64(len(rest)) < f.length {
		return nil, malformed(408, "body has %d bytes, Content-Length says %d", len(rest), f.length)
	}
	return rest[:f.length], nil
}

func readChunks(rest []byte) ([]byte, *Malformed) {
	incomplete := func() *Malformed { return malformed(408, "chunked body is incomplete") }
	body := []byte{}
	for {
		line, after, ok := bytes.Cut(rest, []byte("\n"))
		if !ok {
			return nil, incomplete()
		}
		if !bytes.HasSuffix(line, []byte("\r")) {
			return nil, malformed(400, "chunk size line does not end in CR LF")
		}
		size, m := chunkSize(line[:len(line)-1])
		if m != nil {
			return nil, m
		}
		rest = after
		if size == 0 {
			break
		}
		if int64(len(rest)) < size {
			return nil, incomplete()
		}
		body = append(body, rest[:size]...)
		// What is left of the line after the data is skipped.
		if _, rest, ok = bytes.Cut(rest[size:], []byte("\n")); !ok {
			return nil, incomplete()
		}
	}
	if _, _, m := parseFields(rest, 0); m != nil {
		return nil, malformed(m.Status, "trailers: %s", m.Reason)
	}
	return body, nil
}

// chunkSize reads "1f", "1f;name=value" or "1f " (Envoy allows the space).
func chunkSize(line []byte) (int64, *Malformed) {
	n := 0
	for n < len(line) && isHex(line[n]) {
		n++
	}
	size, err := strconv.ParseUint(string(line[:n]), 16, 63)
	rest := line[n:]
	if err != nil || len(rest) > 0 && rest[0] != ';' && rest[0] != ' ' && rest[0] != '\t' {
		return 0, malformed(400, "chunk size %q", clip(string(line)))
	}
	return int64(size), nil
}
