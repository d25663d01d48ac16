package stream

import (
	"bytes"
	"strings"
	"time"

	"github.com/gabion-io/gabion/internal/exchange"
)

// conn is one connection.
type conn struct {
	t              *Tracker
	key            connKey
	cookie         uint64
	last           time.Time // of a segment
	held           int
	client, server half
	// Until the client has said which protocol it speaks, what the server sends waits.
	decided     bool
	early       []byte
	requests    reader
	responses   reader
	calls       calls
	ignored     bool
	settled     bool // nothing came since it was
	reset, done bool
}

// calls is what a protocol holds of exchanges that are not told yet.
type calls interface {
	settle() // tell what has a response
	end()    // and give up the rest
}

// message is a request or a response.
type message struct {
	at, last time.Time
	method   string
	target   string
	host     string // of HTTP/2
	scheme   string
	proto    string
	status   int
	headers  []exchange.Header
	size     int64
	body     []byte
	cut      bool // body is not all of it
}

// add notes some of the body.
func (m *message) add(b []byte, at time.Time) {
	m.size += int64(len(b))
	m.last = at
	if m.cut || len(m.body)+len(b) > maxBody {
		m.cut, m.body = true, nil
		return
	}
	m.body = append(m.body, b...)
}

// miss notes bytes of the body that were not seen.
func (m *message) miss(n int64) {
	m.size += n
	m.cut, m.body = true, nil
}

// header answers the first value of a header, and how many there are.
func (m *message) header(lower string) (value string, n int) {
	for _, h := range m.headers {
		if len(h.Name) == len(lower) && strings.EqualFold(h.Name, lower) {
			if n++; n == 1 {
				value = h.Value
			}
		}
	}
	return value, n
}

func (m *message) weight() int {
	if m == nil {
		return 0
	}
	n := len(m.body) + len(m.target)
	for _, h := range m.headers {
		n += len(h.Name) + len(h.Value) + 32
	}
	return n
}

func newConn(t *Tracker, k connKey) *conn {
	c := &conn{t: t, key: k}
	one := &http1{c: c}
	c.calls, c.requests, c.responses = one, &reading{one: one, request: true}, &reading{one: one}
	one.up, one.down = c.requests.(*reading), c.responses.(*reading)
	return c
}

func (c *conn) add(s *Segment) {
	c.last, c.settled = s.Time, false
	if c.ignored {
		c.reset = c.reset || s.RST || s.FIN
		return
	}
	h := &c.server
	if s.Client {
		h = &c.client
		if c.cookie == 0 {
			c.cookie = s.Cookie
		}
	}
	h.add(s, &c.t.n, direction{c, s.Client})
	if c.ignored { // what it read on the way is of no use
		c.client, c.server = half{}, half{}
		return
	}
	if s.RST || c.client.ended && c.server.ended {
		c.end()
	}
}

// direction leads to the reader of the moment: the protocol may change while a
// segment is read.
type direction struct {
	c      *conn
	client bool
}

func (d direction) reader() reader {
	if d.client {
		return d.c.requests
	}
	return d.c.responses
}

func (d direction) data(b []byte, at time.Time) {
	c := d.c
	switch {
	case c.ignored:
	case d.client || c.decided:
		d.reader().data(b, at)
	case len(c.early)+len(b) > maxEarly:
		c.giveUp()
	default:
		c.early = append(c.early, b...)
	}
}

func (d direction) gap(n uint32) {
	if d.c.ignored {
		return
	}
	if !d.c.decided {
		d.c.giveUp()
		return
	}
	d.reader().gap(n)
}

func (d direction) end() {
	if !d.c.ignored && d.c.decided {
		d.reader().end()
	}
}

func (d direction) weight() int { return d.reader().weight() }

// preface is how a client begins HTTP/2 (RFC 9113, 3.4).
const preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

// decide learns the protocol of what the client sent so far, and says whether it
// is known now.
func (c *conn) decide(sent []byte, at time.Time) bool {
	if c.decided {
		return true
	}
	n := min(len(sent), len(preface))
	two := bytes.HasPrefix(sent, []byte(preface[:n]))
	if two && n < len(preface) {
		return false
	}
	c.decided = true
	if two {
		h := newHTTP2(c)
		c.calls, c.requests, c.responses = h, &h.up, &h.down
		h.up.data(sent[n:], at)
	}
	if early := c.early; len(early) > 0 && !c.ignored {
		c.early = nil
		c.responses.data(early, at)
	}
	return true
}

// ignore wants no more of the connection.
func (c *conn) ignore() {
	if c.ignored {
		return
	}
	c.ignored, c.early = true, nil
	c.client, c.server = half{}, half{}
	if c.t.o.Ignore != nil {
		c.t.o.Ignore(c.key.id, c.key.client, c.key.server)
	}
}

// giveUp ends a connection that cannot be read.
func (c *conn) giveUp() {
	if c.ignored {
		return
	}
	c.t.n.GivenUp++
	c.calls.end()
	c.ignore()
}

// settle tells what has a response.
func (c *conn) settle() {
	c.settled = true
	if !c.ignored {
		c.calls.settle()
	}
}

// end is the last that is known of it.
func (c *conn) end() {
	if !c.done && !c.ignored {
		c.calls.end()
	}
	c.done = true
}

func (c *conn) closed() bool { return c.done || c.ignored && c.reset }

func (c *conn) weight() int {
	n := 512 + len(c.early) + c.client.bytes + c.server.bytes
	if !c.ignored {
		n += c.requests.weight() + c.responses.weight()
	}
	return n
}

// emit tells an exchange.
func (c *conn) emit(req, resp *message) {
	c.t.n.Exchanges++
	x := &Exchange{ID: c.key.id, Client: c.key.client, Server: c.key.server, Cookie: c.cookie, Proto: req.proto}
	host := req.host
	if host == "" {
		host, _ = req.header("host")
	}
	scheme := req.scheme
	if scheme == "" {
		scheme = c.t.o.Scheme
	}
	x.Raw = exchange.Raw{
		Time: req.at, Client: c.key.client.Addr().String(), Method: req.method, Scheme: scheme, Host: host, Path: req.target,
		Request:  exchange.RawMessage{Headers: req.headers, Body: req.body, Size: req.size},
		Status:   resp.status,
		Response: exchange.RawMessage{Headers: resp.headers, Body: resp.body, Size: resp.size},
		Duration: max(0, resp.last.Sub(req.at)),
	}
	c.t.o.Emit(x)
}
