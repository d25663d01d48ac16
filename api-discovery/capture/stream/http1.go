package stream

import (
	"bytes"
	"strconv"
	"strings"
	"time"
)

// http1 pairs the two directions of a connection of HTTP/1 (RFC 9112).
type http1 struct {
	c        *conn
	up, down *reading
	pending  []*message // requests whose response has not begun
	read     bool       // a request was read
	piped    bool       // one came before the one before it was answered
}

// place is where in a message a direction is.
type place int

const (
	inHead place = iota
	inBody       // of a known length
	inSize       // the line before a chunk
	inChunk
	afterChunk // the end of line behind its data
	inTrailer
	untilEnd // of the connection
	lost     // until something begins like a message
)

// reading is one direction.
type reading struct {
	one     *http1
	request bool
	at      place
	head    []byte // of a head, a line, trailers
	left    int64  // of the body or chunk
	m       *message
	asked   *message // of a response, what it answers; nil: nobody knows, or it was told
}

func (r *reading) weight() int {
	n := cap(r.head) + r.m.weight() + r.asked.weight()
	if r.request {
		for _, m := range r.one.pending {
			n += m.weight()
		}
	}
	return n
}

func (r *reading) data(b []byte, at time.Time) {
	if r.at == lost {
		if !r.begins(b) {
			return
		}
		r.at = inHead
	}
	for len(b) > 0 && !r.one.c.ignored {
		switch r.at {
		case inHead:
			b = r.readHead(b, at)
		case inBody, inChunk:
			n := int(min(r.left, int64(len(b))))
			r.m.add(b[:n], at)
			b = b[n:]
			if r.left -= int64(n); r.left == 0 {
				if r.at == inBody {
					r.complete()
				} else {
					r.at = afterChunk
				}
			}
		case inSize, afterChunk, inTrailer:
			b = r.readLine(b, at)
		case untilEnd:
			r.m.add(b, at)
			return
		case lost:
			return
		}
	}
}

// begins says whether bytes can be those of a new message: a request always, a
// response when there is a request that waits for it.
func (r *reading) begins(b []byte) bool {
	if r.request {
		return startOf(b)
	}
	return len(r.one.pending) > 0 && bytes.HasPrefix(b, []byte("HTTP/1."))
}

// startOf says whether bytes are how a request begins, as far as they go.
func startOf(b []byte) bool {
	for i, c := range b {
		if c == ' ' && i > 2 {
			return true
		}
		if (c < 'A' || c > 'Z') && !(c == '-' && i > 0) || i >= 20 {
			return false
		}
	}
	return len(b) > 0
}

// gap is bytes that are missing: within a body whose length is known it only makes
// the body shorter to see.
func (r *reading) gap(n uint32) {
	missing := int64(n)
	switch {
	case r.at == lost:
	case r.at == untilEnd:
		r.m.miss(missing)
	case (r.at == inBody || r.at == inChunk) && missing <= r.left && r.left < 1<<31:
		r.m.miss(missing)
		if r.left -= missing; r.left > 0 {
			return
		}
		if r.at == inBody {
			r.complete()
		} else {
			r.at = afterChunk
		}
	default:
		r.lose()
	}
}

// lose forgets where in the stream it is. What it knows of an exchange is told.
// With pipelined requests nobody knows any more which response is whose.
func (r *reading) lose() {
	o := r.one
	o.c.t.n.Lost++
	if o.piped && len(o.pending) > 1 {
		o.c.giveUp()
		return
	}
	if n := len(o.pending) - 1; n > 0 { // what answered the others is in the hole
		o.c.t.n.Unanswered += uint64(n)
		o.pending = o.pending[n:]
	}
	if r.m != nil {
		r.m.miss(0)
	}
	if !r.request {
		o.tell(true)
	}
	r.at, r.head, r.m, r.asked, r.left = lost, nil, nil, nil, 0
}

func (r *reading) end() {
	if r.request {
		return
	}
	switch {
	case r.at == untilEnd:
		r.complete()
	case r.m != nil:
		r.one.tell(true)
	}
}

// readHead takes what belongs to the head.
func (r *reading) readHead(b []byte, at time.Time) []byte {
	if len(r.head) == 0 {
		b = bytes.TrimLeft(b, "\r\n") // RFC 9112, 2.2
		if len(b) == 0 {
			return nil
		}
		r.m = &message{at: at, last: at}
	}
	seen := len(r.head)
	r.head = append(r.head, b...)
	if r.request && !r.one.c.decide(r.head, at) {
		return nil
	}
	if r.one.c.ignored || r.one.c.calls != calls(r.one) {
		return nil // it is another protocol, which has read on
	}
	if !r.could() {
		r.unparsable()
		return nil
	}
	end := headEnd(r.head, seen)
	if end < 0 {
		if len(r.head) > maxHead {
			r.unparsable()
		}
		return nil
	}
	rest := b[end-seen:]
	ok := r.parse(r.head[:end])
	r.head = nil
	if !ok {
		r.unparsable()
		return nil
	}
	if r.request {
		r.requested()
	} else {
		r.answered()
	}
	return rest
}

// could says whether the head so far can become one.
func (r *reading) could() bool {
	if r.request {
		return startOf(r.head[:min(len(r.head), 21)])
	}
	const response = "HTTP/1."
	n := min(len(r.head), len(response))
	return string(r.head[:n]) == response[:n]
}

// headEnd finds the empty line; -1: it is not there yet. Lines may end in LF alone.
func headEnd(b []byte, from int) int {
	for i := max(0, from-3); i < len(b); i++ {
		if b[i] != '\n' {
			continue
		}
		switch rest := b[i+1:]; {
		case len(rest) > 0 && rest[0] == '\n':
			return i + 2
		case len(rest) > 1 && rest[0] == '\r' && rest[1] == '\n':
			return i + 3
		}
	}
	return -1
}

// unparsable is for what is no HTTP. What begins with it never was; in a
// connection that was read before, another message may come.
func (r *reading) unparsable() {
	r.one.c.t.n.Unparsable++
	r.m, r.head = nil, nil
	if !r.one.read {
		r.one.c.giveUp()
		return
	}
	r.lose()
}

// requested is what follows a request's head.
func (r *reading) requested() {
	o := r.one
	o.read = true
	if len(o.pending) >= maxPending {
		o.c.t.n.Crowded++
		o.c.giveUp()
		return
	}
	// What was told of a response so far is all there will be.
	if o.down.at == lost && len(o.pending) > 0 {
		o.c.t.n.Unanswered += uint64(len(o.pending))
		o.pending = nil
	}
	o.piped = len(o.pending) > 0 && (o.piped || o.down.m == nil && o.down.at != lost)
	o.pending = append(o.pending, r.m)
	f, ok := framingOf(r.m)
	switch {
	case !ok || f.coded && (f.sized || !f.chunked):
		// Two parties that read it may differ on where it ends: so may we.
		o.c.t.n.Ambiguous++
		o.c.giveUp()
	case f.chunked:
		r.at = inSize
	case f.length > 0:
		r.at, r.left = inBody, f.length
	default:
		r.complete()
	}
}

// answered is what follows a response's head (RFC 9112, 6.3).
func (r *reading) answered() {
	o, status := r.one, r.m.status
	if status < 200 && status != 101 {
		r.m = nil // the real one follows
		return
	}
	r.asked = nil
	method := ""
	if len(o.pending) > 0 {
		r.asked = o.pending[0]
		o.pending = o.pending[1:]
		method = r.asked.method
	} else {
		o.c.t.n.Unpaired++
	}
	f, ok := framingOf(r.m)
	if !ok || f.coded && f.sized {
		o.c.t.n.Ambiguous++
	}
	switch {
	case status == 101 || method == "CONNECT" && status/100 == 2:
		r.complete()
		o.c.t.n.Tunnels++
		o.c.calls.end()
		o.c.ignore()
	case method == "HEAD" || status == 204 || status == 304:
		r.complete()
	case !ok:
		o.c.giveUp()
	case f.chunked:
		r.at = inSize
	case f.coded || !f.sized:
		r.at = untilEnd
	case f.length > 0:
		r.at, r.left = inBody, f.length
	default:
		r.complete()
	}
}

// complete is the end of a message.
func (r *reading) complete() {
	r.at = inHead
	if r.request {
		r.m = nil
		return
	}
	r.one.tell(false)
}

// tell tells the exchange whose response is being read, once.
func (o *http1) tell(cut bool) {
	r := o.down
	if r.m != nil && r.asked != nil && r.m.status != 0 {
		if cut {
			if r.at == inBody {
				r.m.size += r.left // it says how long it is
			}
			r.m.cut, r.m.body = true, nil
			o.c.t.n.Cut++
		}
		if o.up.m == r.asked { // answered before all of it was seen
			r.asked.cut, r.asked.body = true, nil
			if o.up.at == inBody {
				r.asked.size += o.up.left
			}
		}
		o.c.emit(r.asked, r.m)
	}
	r.asked = nil
	if !cut {
		r.m = nil
	}
}

func (o *http1) settle() {
	if o.down.m != nil && o.down.m.status != 0 {
		o.tell(true)
	}
}

func (o *http1) end() {
	o.settle()
	o.c.t.n.Unanswered += uint64(len(o.pending))
	o.pending = nil
}

// readLine takes what belongs to a line between chunks, or to trailers.
func (r *reading) readLine(b []byte, at time.Time) []byte {
	i := bytes.IndexByte(b, '\n')
	if i < 0 {
		r.head = append(r.head, b...)
		if len(r.head) > maxHead {
			r.lose()
		}
		return nil
	}
	line := bytes.TrimSuffix(append(r.head, b[:i]...), []byte("\r"))
	r.head = r.head[:0]
	rest := b[i+1:]
	switch r.at {
	case afterChunk:
		if len(line) > 0 {
			r.lose()
			return nil
		}
		r.at = inSize
	case inSize:
		n, ok := chunkSize(line)
		switch {
		case !ok:
			r.lose()
			return nil
		case n == 0:
			r.at = inTrailer
		default:
			r.at, r.left = inChunk, n
		}
	case inTrailer:
		if len(line) == 0 {
			r.m.last = at
			r.complete()
		}
	}
	return rest
}

// chunkSize reads a hexadecimal number, and leaves extensions.
func chunkSize(line []byte) (int64, bool) {
	text, _, _ := strings.Cut(string(line), ";")
	text = strings.Trim(text, " \t")
	if text == "" || len(text) > 15 || text[0] == '+' || text[0] == '-' {
		return 0, false
	}
	n, err := strconv.ParseInt(text, 16, 64)
	return n, err == nil
}
