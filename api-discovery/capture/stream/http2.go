package stream

import (
	"encoding/binary"
	"strconv"
	"time"

	"golang.org/x/net/http2/hpack"

	"github.com/gabion-io/gabion/internal/exchange"
)

// http2 pairs the two directions of a connection of HTTP/2 (RFC 9113). It reads
// the framing itself, since bodies are not to be held; header blocks are read by
// hpack. A hole outside of a body ends it: the state of the compression is gone.
type http2 struct {
	c        *conn
	up, down frames
	streams  map[uint32]*call
}

// call is one stream: a request and what answers it.
type call struct{ request, response *message }

// frames is one direction.
type frames struct {
	two    *http2
	client bool
	head   []byte // of a frame
	frame  frame
	buf    []byte // of a frame that is read whole
	left   int    // of a frame's payload
	block  []byte // of headers, over several frames
	of     frame  // the frame that began the block
	hpack  *hpack.Decoder
}

type frame struct {
	length int
	kind   byte
	flags  byte
	stream uint32
}

// Kinds and flags of frames (RFC 9113, 6).
const (
	frameData         = 0
	frameHeaders      = 1
	frameReset        = 3
	framePush         = 5
	frameContinuation = 9

	flagEndStream  = 0x1
	flagEndHeaders = 0x4
	flagPadded     = 0x8
	flagPriority   = 0x20

	frameHead   = 9
	maxFrame    = 1<<24 - 1
	hpackMemory = 64 << 10 // the largest table that an end may ask for and be followed
)

func newHTTP2(c *conn) *http2 {
	two := &http2{c: c, streams: map[uint32]*call{}}
	for _, f := range []*frames{&two.up, &two.down} {
		f.two, f.client = two, f == &two.up
		f.hpack = hpack.NewDecoder(4096, nil)
		f.hpack.SetAllowedMaxDynamicTableSize(hpackMemory)
		f.hpack.SetMaxStringLength(maxHead)
	}
	return two
}

// weight of the calls is the client's.
func (f *frames) weight() int {
	n := cap(f.buf) + cap(f.block) + len(f.head)
	if !f.client {
		return n
	}
	for _, c := range f.two.streams {
		n += 64 + c.request.weight() + c.response.weight()
	}
	return n
}

func (f *frames) data(b []byte, at time.Time) {
	for len(b) > 0 && !f.two.c.ignored {
		if f.left == 0 {
			n := min(frameHead-len(f.head), len(b))
			f.head = append(f.head, b[:n]...)
			b = b[n:]
			if len(f.head) < frameHead {
				return
			}
			f.begin(at)
			continue
		}
		n := min(f.left, len(b))
		f.left -= n
		if f.whole() {
			f.buf = append(f.buf, b[:n]...)
		} else if f.frame.kind == frameData {
			f.body(b[:n], at)
		}
		b = b[n:]
		if f.left == 0 {
			f.finish(at)
		}
	}
}

// begin reads a frame's head.
func (f *frames) begin(at time.Time) {
	h := f.head
	f.frame = frame{length: int(h[0])<<16 | int(h[1])<<8 | int(h[2]), kind: h[3], flags: h[4], stream: binary.BigEndian.Uint32(h[5:]) & 0x7fffffff}
	f.head, f.buf, f.left = f.head[:0], f.buf[:0], f.frame.length
	// Within a header block nothing else may come (RFC 9113, 6.2).
	if f.whole() && f.frame.length > maxHead || f.of.stream != 0 && (f.frame.kind != frameContinuation || f.frame.stream != f.of.stream) {
		f.two.c.t.n.Unparsable++
		f.two.c.giveUp()
		return
	}
	if f.left == 0 {
		f.finish(at)
	}
}

// whole says that the frame is looked at when all of it is there.
func (f *frames) whole() bool {
	switch f.frame.kind {
	case frameHeaders, frameContinuation, framePush, frameReset:
		return true
	case frameData:
		return f.frame.flags&flagPadded != 0 && f.frame.length <= maxHead
	}
	return false
}

// finish is the end of a frame.
func (f *frames) finish(at time.Time) {
	switch f.frame.kind {
	case frameData:
		if f.whole() {
			if b, ok := unpad(f.frame, f.buf); ok {
				f.body(b, at)
			}
		}
		if f.frame.flags&flagEndStream != 0 {
			f.ended(f.frame.stream, at)
		}
	case frameHeaders, framePush:
		b, ok := blockOf(f.frame, f.buf)
		if !ok {
			f.two.c.t.n.Unparsable++
			f.two.c.giveUp()
			return
		}
		f.block, f.of = append(f.block[:0], b...), f.frame
		f.headers(f.frame.flags, at)
	case frameContinuation:
		if f.of.stream == 0 {
			f.two.c.giveUp()
			return
		}
		f.block = append(f.block, f.buf...)
		f.headers(f.frame.flags, at)
	case frameReset:
		f.two.reset(f.frame.stream)
	}
}

// unpad takes padding off (RFC 9113, 6.1).
func unpad(f frame, b []byte) ([]byte, bool) {
	if f.flags&flagPadded == 0 {
		return b, true
	}
	if len(b) == 0 || int(b[0]) > len(b)-1 {
		return nil, false
	}
	return b[1 : len(b)-int(b[0])], true
}

// blockOf is what a frame holds of a header block.
func blockOf(f frame, b []byte) ([]byte, bool) {
	b, ok := unpad(f, b)
	skip := 0
	switch {
	case f.kind == framePush:
		skip = 4
	case f.flags&flagPriority != 0:
		skip = 5
	}
	if !ok || len(b) < skip || f.stream == 0 {
		return nil, false
	}
	return b[skip:], true
}

// headers reads a block when it is whole. It must be read whatever it is about:
// later blocks refer to it.
func (f *frames) headers(flags byte, at time.Time) {
	if len(f.block) > maxHead {
		f.two.c.t.n.Unparsable++
		f.two.c.giveUp()
		return
	}
	if flags&flagEndHeaders == 0 {
		return
	}
	m, of := &message{at: at, last: at, proto: "HTTP/2"}, f.of
	n := 0
	f.hpack.SetEmitFunc(func(h hpack.HeaderField) {
		if n++; n <= maxHeaders {
			m.field(h)
		}
	})
	_, err := f.hpack.Write(f.block)
	if err == nil {
		err = f.hpack.Close()
	}
	f.of, f.block = frame{}, f.block[:0]
	if err != nil {
		f.two.c.t.n.Unparsable++
		f.two.c.giveUp()
		return
	}
	if of.kind == framePush {
		return
	}
	if f.client {
		f.two.requested(of.stream, m)
	} else {
		f.two.answered(of.stream, m)
	}
	if of.flags&flagEndStream != 0 {
		f.ended(of.stream, at)
	}
}

func (m *message) field(h hpack.HeaderField) {
	switch h.Name {
	case ":method":
		m.method = h.Value
	case ":path":
		m.target = h.Value
	case ":authority":
		m.host = h.Value
	case ":scheme":
		m.scheme = h.Value
	case ":status":
		m.status, _ = strconv.Atoi(h.Value)
	default:
		m.headers = append(m.headers, exchange.Header{Name: h.Name, Value: h.Value})
	}
}

// requested begins a call; trailers begin none.
func (t *http2) requested(stream uint32, m *message) {
	if t.streams[stream] != nil || m.method == "" {
		return
	}
	if len(t.streams) >= maxStreams {
		t.c.t.n.Crowded++
		return
	}
	t.streams[stream] = &call{request: m}
}

func (t *http2) answered(stream uint32, m *message) {
	c := t.streams[stream]
	switch {
	case m.status > 0 && m.status < 200:
	case c == nil && m.status > 0:
		t.c.t.n.Unpaired++
	case c == nil:
	case c.response == nil:
		c.response = m
	default: // trailers
		c.response.last = m.last
		c.response.headers = append(c.response.headers, m.headers...)
	}
}

// body is some of a stream's.
func (f *frames) body(b []byte, at time.Time) {
	if m := f.message(); m != nil {
		m.add(b, at)
	}
}

// message is what the frame's data belongs to.
func (f *frames) message() *message {
	c := f.two.streams[f.frame.stream]
	switch {
	case c == nil:
		return nil
	case f.client:
		return c.request
	}
	return c.response
}

// ended says that a direction of a stream is over. The response's end is the
// exchange's.
func (f *frames) ended(stream uint32, at time.Time) {
	c := f.two.streams[stream]
	if c == nil || f.client {
		return
	}
	if c.response != nil {
		c.response.last = at
		f.two.c.emit(c.request, c.response)
	}
	delete(f.two.streams, stream)
}

func (t *http2) reset(stream uint32) {
	if c := t.streams[stream]; c != nil {
		t.drop(c)
		delete(t.streams, stream)
	}
}

// drop tells what there is of a call.
func (t *http2) drop(c *call) {
	if c.response == nil {
		t.c.t.n.Unanswered++
		return
	}
	c.response.miss(0)
	t.c.t.n.Cut++
	t.c.emit(c.request, c.response)
}

// gap within the data of a stream makes its body shorter to see.
func (f *frames) gap(n uint32) {
	if f.left == 0 || int64(n) > int64(f.left) || f.whole() {
		f.two.c.t.n.Lost++
		f.two.c.giveUp()
		return
	}
	f.left -= int(n)
	m := f.message()
	if m != nil && f.frame.kind == frameData {
		m.miss(int64(n))
	}
	if f.left == 0 {
		at := f.two.c.last
		f.finish(at)
	}
}

func (f *frames) end() {}

// settle leaves calls be: a stream may be silent for long, and its end is seen.
func (t *http2) settle() {}

func (t *http2) end() {
	for _, c := range t.streams {
		t.drop(c)
	}
	clear(t.streams)
}
