package crs

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/gabion-io/gabion/waf-rules/regression"
)

// Through sends requests through one of Envoy's listeners. Each worker has its
// own; it keeps what the last case's stages brought.
type Through struct {
	envoy    *Envoy
	listener string
	Seen     []Seen // since Reset
}

// Seen is one request with all that is known of what came of it.
type Seen struct {
	Request     *regression.Request
	Observation Observation
	Detail      string            // Envoy's word for how the response came about
	Shown       map[string]string // parts of the request as Envoy shows them to filters
}

// Through gives a Doer for a listener.
func (e *Envoy) Through(listener string) *Through { return &Through{envoy: e, listener: listener} }

// Reset forgets what was seen.
func (d *Through) Reset() { d.Seen = nil }

const (
	answerWithin = 15 * time.Second // Envoy gives up an incomplete request long before
	loggedWithin = 10 * time.Second
)

// Do sends the bytes on a connection of their own, and waits for the answer and
// the access log's entry.
func (d *Through) Do(r *regression.Request) (Observation, error) {
	raw := r.Bytes()
	conn, err := net.Dial("tcp", d.envoy.ports[d.listener])
	if err != nil {
		return Observation{}, fmt.Errorf("dial Envoy: %w", err)
	}
	defer conn.Close()
	peer := conn.LocalAddr().String() + " " + conn.RemoteAddr().String() // the kernel gives a port once for each destination
	logged := d.envoy.log.expect(peer)
	defer d.envoy.log.forget(peer)
	_ = conn.SetDeadline(time.Now().Add(answerWithin))
	go func() { _, _ = conn.Write(raw) }() // Envoy may answer before it has read all
	o := Observation{}
	if o.Status, err = answer(conn, raw); err != nil {
		return o, err
	}
	_ = conn.Close()
	seen := Seen{Request: r}
	select {
	case e := <-logged:
		seen.Detail, seen.Shown = e.Detail, e.Shown
		if o.Event, err = e.event(); err != nil {
			return o, err
		}
	case <-time.After(loggedWithin):
		seen.Detail = "nothing in the access log"
	}
	if o.Event == nil {
		o.Refused = "Envoy answered itself: " + seen.Detail
	} else {
		o.Rules, o.Log = o.Event.Logged, string(o.Event.Log)
	}
	seen.Observation = o
	d.Seen = append(d.Seen, seen)
	return o, nil
}

// answer reads a whole response and gives its status; 0 when the connection
// ends without one.
func answer(conn net.Conn, raw []byte) (int, error) {
	method, _, _ := bytes.Cut(raw, []byte(" "))
	in := bufio.NewReader(conn)
	for {
		res, err := http.ReadResponse(in, &http.Request{Method: string(method)})
		switch {
		case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, os.ErrDeadlineExceeded):
			return 0, nil
		case err != nil:
			return 0, fmt.Errorf("receive: %w", err)
		case res.StatusCode < 200 && res.StatusCode != 101:
			continue
		}
		if string(method) != http.MethodConnect { // which opens a tunnel instead
			_, _ = io.Copy(io.Discard, res.Body) // the exchange ends with its last byte
		}
		_ = res.Body.Close()
		return res.StatusCode, nil
	}
}
