package recording

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/gabion-io/gabion/filters"
)

// The encoding of an exchange is its fields in order: numbers as varints, texts
// and bytes with their length before them. Texts are bytes as they were on the
// wire: JSON would replace what is no UTF-8 and a rehearsal would judge
// something else than was judged live. codecVersion changes with the fields.
const codecVersion = 1

var errEncoding = errors.New("no exchange of a known encoding")

// encoder appends.
type encoder struct{ b []byte }

func (e *encoder) int(v int64)    { e.b = binary.AppendVarint(e.b, v) }
func (e *encoder) bytes(v []byte) { e.int(int64(len(v))); e.b = append(e.b, v...) }
func (e *encoder) text(v string)  { e.int(int64(len(v))); e.b = append(e.b, v...) }
func (e *encoder) time(t time.Time) {
	if t.IsZero() {
		e.int(0)
		return
	}
	e.int(t.UnixNano())
}

func (e *encoder) bool(v bool) {
	if v {
		e.int(1)
	} else {
		e.int(0)
	}
}

func (e *encoder) headers(hs []filters.Header) {
	e.int(int64(len(hs)))
	for _, h := range hs {
		e.text(h.Name)
		e.text(h.Value)
	}
}

func (e *encoder) addr(a netip.AddrPort) {
	b, _ := a.MarshalBinary() // fails for no address
	e.bytes(b)
}

// decoder takes away; after the first mistake it returns zeros and ok is false.
type decoder struct {
	b   []byte
	bad bool
}

func (d *decoder) int() int64 {
	v, n := binary.Varint(d.b)
	if n <= 0 {
		d.bad, d.b = true, nil
		return 0
	}
	d.b = d.b[n:]
	return v
}

func (d *decoder) take() []byte {
	n := d.int()
	if n < 0 || n > int64(len(d.b)) {
		d.bad, d.b = true, nil
		return nil
	}
	v := d.b[:n:n]
	d.b = d.b[n:]
	return v
}

func (d *decoder) bytes() []byte {
	if v := d.take(); len(v) > 0 {
		return append([]byte(nil), v...)
	}
	return nil
}

func (d *decoder) text() string { return string(d.take()) }
func (d *decoder) bool() bool   { return d.int() != 0 }

func (d *decoder) time() time.Time {
	n := d.int()
	if n == 0 {
		return time.Time{}
	}
	return time.Unix(0, n).UTC()
}

func (d *decoder) headers() (hs []filters.Header) {
	n := d.int()
	if n < 0 || n > int64(len(d.b)) { // each takes two bytes at least
		d.bad = true
		return nil
	}
	for range n {
		if d.bad {
			return nil
		}
		hs = append(hs, filters.Header{Name: d.text(), Value: d.text()})
	}
	return hs
}

func (d *decoder) addr() (a netip.AddrPort) {
	if a.UnmarshalBinary(d.take()) != nil {
		return netip.AddrPort{}
	}
	return a
}

// encode appends x to b.
func encode(b []byte, x *Exchange) ([]byte, error) {
	var event []byte
	if x.Event != nil {
		var err error
		if event, err = json.Marshal(x.Event); err != nil {
			return b, fmt.Errorf("encode event of %s: %w", x.ID, err)
		}
	}
	e := encoder{b}
	e.int(codecVersion)
	for _, s := range []string{x.ID, x.Recording, x.Listener, x.Key, x.Route, x.RouteRule, x.PolicyID, string(x.Decision)} {
		e.text(s)
	}
	e.time(x.Time)
	q := &x.Request
	for _, s := range []string{q.Method, q.Scheme, q.Authority, q.Path, q.Proto, q.RequestID} {
		e.text(s)
	}
	e.headers(q.Headers)
	e.addr(q.Client)
	e.addr(q.Server)
	e.time(q.Time)
	e.body(x.RequestBody, x.RequestBodyBytes, x.RequestBodyTruncated)
	e.int(int64(x.Response.Status))
	e.headers(x.Response.Headers)
	e.body(x.ResponseBody, x.ResponseBodyBytes, x.ResponseBodyTruncated)
	e.bytes(event)
	return e.b, nil
}

func (e *encoder) body(b []byte, total int64, truncated bool) {
	e.bytes(b)
	e.int(total)
	e.bool(truncated)
}

// decode takes one exchange off the front of b.
func decode(b []byte) (x *Exchange, rest []byte, err error) {
	d := decoder{b: b}
	if v := d.int(); v != codecVersion || d.bad {
		return nil, nil, fmt.Errorf("%w: version %d, this gabion knows %d", errEncoding, v, codecVersion)
	}
	x = &Exchange{}
	var decision string
	for _, s := range []*string{&x.ID, &x.Recording, &x.Listener, &x.Key, &x.Route, &x.RouteRule, &x.PolicyID, &decision} {
		*s = d.text()
	}
	x.Decision, x.Time = filters.Decision(decision), d.time()
	q := &x.Request
	for _, s := range []*string{&q.Method, &q.Scheme, &q.Authority, &q.Path, &q.Proto, &q.RequestID} {
		*s = d.text()
	}
	q.Headers, q.Client, q.Server, q.Time = d.headers(), d.addr(), d.addr(), d.time()
	x.RequestBody, x.RequestBodyBytes, x.RequestBodyTruncated = d.bytes(), d.int(), d.bool()
	x.Response.Status, x.Response.Headers = int(d.int()), d.headers()
	x.ResponseBody, x.ResponseBodyBytes, x.ResponseBodyTruncated = d.bytes(), d.int(), d.bool()
	event := d.take()
	if d.bad {
		return nil, nil, fmt.Errorf("%w: it ends early", errEncoding)
	}
	if len(event) > 0 {
		x.Event = &filters.Event{}
		if err := json.Unmarshal(event, x.Event); err != nil {
			return nil, nil, fmt.Errorf("%w: event: %v", errEncoding, err)
		}
	}
	return x, d.b, nil
}

// cost is about how much memory x holds.
func (x *Exchange) cost() int64 {
	n := 1024 + len(x.RequestBody) + len(x.ResponseBody) + len(x.Request.Path)
	for _, hs := range [][]filters.Header{x.Request.Headers, x.Response.Headers} {
		for _, h := range hs {
			n += len(h.Name) + len(h.Value) + 32
		}
	}
	return int64(n)
}
