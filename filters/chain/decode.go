package chain

import (
	"bytes"
	"compress/flate"
	"compress/gzip"
	"compress/zlib"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/andybalholm/brotli"
	"github.com/klauspost/compress/zstd"

	"github.com/gabion-io/gabion/filters"
)

const (
	maxCodings = 3
	// maxRatio bounds what a body may grow to when decoded, beyond smallBody.
	maxRatio  = 200
	smallBody = 64 << 10
	// decoderMemory bounds the window of a decoder, in bytes.
	decoderMemory = 8 << 20
)

// decoded is what was inside a compressed body.
type decoded struct {
	body []byte
	more bool  // it goes on, beyond what is inspected
	torn bool  // the compressed bytes ended early
	err  error // it cannot be read; body is what could
}

// codings gives the content codings of a message, "" for none. All lines of the
// field count: of "identity" and, in a line of its own, "gzip" an upstream undoes
// the second.
func codings(hs []filters.Header) string {
	var list []string
	for _, h := range hs {
		if h.Name != "content-encoding" {
			continue
		}
		for c := range strings.SplitSeq(strings.ToLower(h.Value), ",") {
			if c = strings.TrimSpace(c); c != "" && c != "identity" {
				list = append(list, c)
			}
		}
	}
	return strings.Join(list, ",")
}

// decode undoes content codings (RFC 9110, 8.4) up to limit bytes, and up to a
// ratio that texts do not reach.
func decode(codings string, body []byte, limit int64) (d decoded) {
	list := strings.Split(codings, ",")
	if len(list) > maxCodings {
		return decoded{err: fmt.Errorf("%d content codings", len(list))}
	}
	limit = min(limit, max(smallBody, maxRatio*int64(len(body))))
	var r io.Reader = bytes.NewReader(body)
	for i := len(list) - 1; i >= 0; i-- { // the last was applied last
		next, free, err := decoder(strings.TrimSpace(list[i]), r)
		if err != nil {
			d.torn = errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
			d.err = err
			return d
		}
		defer free()
		r = next
	}
	out, err := io.ReadAll(io.LimitReader(r, limit+1))
	if int64(len(out)) > limit {
		return decoded{body: out[:limit], more: true}
	}
	d.body = out
	if err != nil {
		d.err, d.torn = fmt.Errorf("decode %s: %w", clip(codings), err), errors.Is(err, io.ErrUnexpectedEOF)
	}
	return d
}

func decoder(coding string, r io.Reader) (io.Reader, func(), error) {
	none := func() {}
	switch coding {
	case "", "identity":
		return r, none, nil
	case "gzip", "x-gzip":
		z, err := gzip.NewReader(r)
		return z, none, err
	case "deflate":
		return inflate(r)
	case "br":
		return brotli.NewReader(r), none, nil
	case "zstd":
		z, err := zstd.NewReader(r, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(decoderMemory),
			zstd.WithDecoderMaxWindow(decoderMemory), zstd.WithDecoderLowmem(true))
		if err != nil {
			return nil, none, err
		}
		return z, z.Close, nil
	}
	return nil, none, unknownCoding(coding)
}

// inflate reads "deflate", which is zlib's format, and raw deflate, which many
// send and servers accept.
func inflate(r io.Reader) (io.Reader, func(), error) {
	head := make([]byte, 2)
	n, err := io.ReadFull(r, head)
	if n == 0 {
		return nil, func() {}, err
	}
	whole := io.MultiReader(bytes.NewReader(head[:n]), r)
	if n == 2 && head[0]&0x0f == 8 && (uint(head[0])<<8|uint(head[1]))%31 == 0 {
		z, err := zlib.NewReader(whole)
		return z, func() {}, err
	}
	return flate.NewReader(whole), func() {}, nil
}

type unknownCoding string

func (c unknownCoding) Error() string {
	return fmt.Sprintf("content coding %q is not known", clip(string(c)))
}

func clip(s string) string { return text(s, 40) }
