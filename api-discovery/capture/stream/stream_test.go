package stream

import (
	"bytes"
	"fmt"

	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	h2 "golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// wire is a connection whose segments a test writes.
type wire struct {
	t     *Tracker
	out   []string
	times int
	seq   [2]uint32
	skip  [2]uint32
}

var (
	alice = netip.MustParseAddrPort("10.9.1.2:40000")
	bob   = netip.MustParseAddrPort("10.9.2.2:80")
)

func newWire() *wire {
	w := &wire{seq: [2]uint32{1<<32 - 20, 7}} // one wraps at once
	w.t = New(Options{Emit: func(x *Exchange) {
		w.out = append(w.out, fmt.Sprintf("%s %s %d %d→%d %q", x.Raw.Method, x.Raw.Path, x.Raw.Status, x.Raw.Request.Size, x.Raw.Response.Size, x.Raw.Response.Body))
	}})
	return w
}

func (w *wire) segment(side int, data []byte) *Segment {
	w.times++
	s := &Segment{ID: 1, Time: time.Unix(0, int64(w.times)), From: alice, To: bob, Client: true, Seq: w.seq[side], Skipped: w.skip[side], Data: data}
	if side == 1 {
		s.From, s.To, s.Client = bob, alice, false
	}
	w.seq[side] += uint32(len(data))
	return s
}

func (w *wire) client(text string) { w.t.Add(w.segment(0, []byte(text))) }
func (w *wire) server(text string) { w.t.Add(w.segment(1, []byte(text))) }

// skipped is what the kernel did not tell.
func (w *wire) skipped(side, n int) {
	w.seq[side] += uint32(n)
	w.skip[side] += uint32(n)
}

func (w *wire) fin(side int) {
	s := w.segment(side, nil)
	s.FIN = true
	w.t.Add(s)
}

func TestHTTP1(t *testing.T) {
	for _, c := range []struct {
		name string
		talk func(w *wire)
		want []string
		says func(n Counters) bool
	}{
		{"no body", func(w *wire) {
			w.client("GET /a HTTP/1.1\r\nHost: x\r\n\r\n")
			w.server("HTTP/1.1 204 No Content\r\nContent-Length: 9\r\n\r\n")
			w.client("HEAD /b HTTP/1.1\r\nHost: x\r\n\r\n")
			w.server("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n")
			w.client("GET /c HTTP/1.1\r\nHost: x\r\n\r\n")
			w.server("HTTP/1.1 304 Not Modified\r\nTransfer-Encoding: chunked\r\n\r\n")
		}, []string{`GET /a 204 0→0 ""`, `HEAD /b 200 0→0 ""`, `GET /c 304 0→0 ""`}, nil},
		{"interim answers", func(w *wire) {
			w.client("POST /a HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n")
			w.server("HTTP/1.1 100 Continue\r\n\r\n")
			w.client("ab")
			w.server("HTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nc")
		}, []string{`POST /a 200 2→1 "c"`}, nil},
		{"chunks, extensions, trailers", func(w *wire) {
			w.client("GET /a HTTP/1.1\r\nHost: x\r\n\r\n")
			w.server("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n3;a=b\r\nabc\r\n2\r\nde\r\n0\r\nX: y\r\n\r\n")
		}, []string{`GET /a 200 0→5 "abcde"`}, nil},
		{"until the end", func(w *wire) {
			w.client("GET /a HTTP/1.0\r\n\r\n")
			w.server("HTTP/1.0 200 OK\r\n\r\nall ")
			w.server("of it")
			w.fin(1)
		}, []string{`GET /a 200 0→9 "all of it"`}, nil},
		{"a tunnel", func(w *wire) {
			w.client("GET /ws HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\n\r\n")
			w.server("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n\x81\x05hello")
			w.client("GET /no HTTP/1.1\r\n\r\n")
		}, []string{`GET /ws 101 0→0 ""`}, func(n Counters) bool { return n.Tunnels == 1 }},
		{"CONNECT", func(w *wire) {
			w.client("CONNECT x:443 HTTP/1.1\r\nHost: x\r\n\r\n")
			w.server("HTTP/1.1 200 OK\r\n\r\n\x16\x03")
		}, []string{`CONNECT x:443 200 0→0 ""`}, func(n Counters) bool { return n.Tunnels == 1 }},
		{"two lengths", func(w *wire) {
			w.client("POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /b HTTP/1.1\r\n\r\n")
			w.server("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
		}, nil, func(n Counters) bool { return n.Ambiguous == 1 && n.GivenUp == 1 && n.Unanswered == 1 }},
		{"a long body that was skipped", func(w *wire) {
			w.client("GET /a HTTP/1.1\r\nHost: x\r\n\r\n")
			w.server("HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\nbegin")
			w.skipped(1, 100000-5)
			w.client("GET /b HTTP/1.1\r\nHost: x\r\n\r\n")
			w.server("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nb")
		}, []string{`GET /a 200 0→100000 ""`, `GET /b 200 0→1 "b"`}, nil},
		{"a body longer than sequence numbers go", func(w *wire) {
			w.client("GET /a HTTP/1.1\r\nHost: x\r\n\r\n")
			w.server("HTTP/1.1 200 OK\r\nContent-Length: 6000000000\r\n\r\nbegin")
			w.skipped(1, 6000000000-5)
			w.client("GET /b HTTP/1.1\r\nHost: x\r\n\r\n")
			w.server("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nb")
		}, []string{`GET /a 200 0→6000000000 ""`, `GET /b 200 0→1 "b"`}, nil},
		{"chunks that were skipped", func(w *wire) {
			w.client("GET /a HTTP/1.1\r\nHost: x\r\n\r\n")
			w.server("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n")
			w.skipped(1, 100000)
			w.client("GET /b HTTP/1.1\r\nHost: x\r\n\r\n")
			w.server("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nb")
		}, []string{`GET /a 200 0→3 ""`, `GET /b 200 0→1 "b"`}, func(n Counters) bool { return n.Lost == 1 && n.Cut == 1 }},
		{"a head that was lost", func(w *wire) {
			w.client("GET /a HTTP/1.1\r\nHost: x\r\n\r\n")
			w.server("HTTP/1.1 200 OK\r\nContent-")
			w.skipped(1, 30)
			w.client("GET /b HTTP/1.1\r\nHost: x\r\n\r\n")
			w.server("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nb")
		}, []string{`GET /b 200 0→1 "b"`}, func(n Counters) bool { return n.Lost == 1 && n.Unanswered == 1 }},
		{"a hole among pipelined requests", func(w *wire) {
			w.client("GET /a HTTP/1.1\r\nHost: x\r\n\r\nGET /b HTTP/1.1\r\nHost: x\r\n\r\nGET /c HTTP/1.1\r\nHost: x\r\n\r\n")
			w.skipped(1, 30)
			w.server("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nb")
			w.skipped(1, 30)
			w.server("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nc")
		}, []string{`GET /a 200 0→1 "b"`}, func(n Counters) bool { return n.GivenUp == 1 && n.Unanswered == 2 }},
		{"no HTTP", func(w *wire) { w.client("GET lost\n\n") }, nil, func(n Counters) bool { return n.Unparsable == 1 && n.GivenUp == 1 }},
	} {
		w := newWire()
		c.talk(w)
		w.t.Close()
		if d := cmp.Diff(c.want, w.out); d != "" {
			t.Errorf("%s: %s", c.name, d)
		}
		if n := w.t.Counters(); c.says != nil && !c.says(n) {
			t.Errorf("%s: %+v", c.name, n)
		}
	}
}

// conversation is what a client and a server say in turns, and what is seen of it.
func conversation() (turns [][2]string, want []string) {
	for i := range 6 {
		body := strings.Repeat("x", i*700)
		turns = append(turns, [2]string{
			fmt.Sprintf("POST /orders/%d HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\n\r\n", i, 5, "hello"),
			fmt.Sprintf("HTTP/1.1 201 Created\r\nContent-Length: %d\r\n\r\n%s", len(body), body),
		})
		want = append(want, fmt.Sprintf("POST /orders/%d 201 5→%d %q", i, len(body), body))
	}
	return turns, want
}

// However segments are cut, repeated, overlapped and shuffled, the same is seen.
func TestSegmentsDoNotMatter(t *testing.T) {
	turns, want := conversation()
	for seed := range uint64(200) {
		r := rand.New(rand.NewPCG(seed, 1))
		w := newWire()
		for _, turn := range turns {
			for side, text := range turn {
				w.shuffled(r, side, []byte(text))
			}
		}
		w.t.Close()
		if d := cmp.Diff(want, w.out); d != "" {
			t.Fatalf("seed %d: %s\n%+v", seed, d, w.t.Counters())
		}
	}
}

// shuffled sends a text in pieces, near their order. The first piece of all is the
// first.
func (w *wire) shuffled(r *rand.Rand, side int, text []byte) {
	base, begun := w.seq[side], w.t.conns != nil && w.times > 1
	var list []*Segment
	for at := 0; at < len(text); {
		n := min(len(text)-at, 1+r.IntN(400))
		back := min(at, r.IntN(20)) // an overlap
		s := w.segment(side, text[at-back:at+n])
		s.Seq = base + uint32(at-back)
		list = append(list, s)
		if r.IntN(4) == 0 {
			list = append(list, s)
		}
		at += n
	}
	w.seq[side] = base + uint32(len(text))
	if first := 1; begun || len(list) > 1 {
		if begun && w.times > 50 {
			first = 0
		}
		r.Shuffle(len(list)-first, func(i, j int) { list[first+i], list[first+j] = list[first+j], list[first+i] })
	}
	for _, s := range list {
		w.t.Add(s)
	}
}

// two writes frames of HTTP/2.
type two struct {
	bytes.Buffer
	framer *h2.Framer
	block  bytes.Buffer
	hpack  *hpack.Encoder
}

func newTwo(preface string) *two {
	t := &two{}
	t.WriteString(preface)
	t.framer = h2.NewFramer(&t.Buffer, nil)
	t.hpack = hpack.NewEncoder(&t.block)
	return t
}

func (t *two) headers(stream uint32, end bool, split int, pairs ...string) {
	t.block.Reset()
	for i := 0; i < len(pairs); i += 2 {
		t.hpack.WriteField(hpack.HeaderField{Name: pairs[i], Value: pairs[i+1]})
	}
	b := slices.Clone(t.block.Bytes())
	first := min(split, len(b))
	t.framer.WriteHeaders(h2.HeadersFrameParam{StreamID: stream, BlockFragment: b[:first], EndStream: end, EndHeaders: first == len(b), PadLength: 3})
	if first < len(b) {
		t.framer.WriteContinuation(stream, true, b[first:])
	}
}

func TestHTTP2(t *testing.T) {
	up, down := newTwo(preface), newTwo("")
	up.framer.WriteSettings()
	down.framer.WriteSettings()
	for _, n := range []uint32{1, 3, 5} {
		up.headers(n, n != 3, 4, ":method", "GET", ":path", fmt.Sprint("/a/", n), ":authority", "x", ":scheme", "http", "x-key", "same")
	}
	up.framer.WriteDataPadded(3, true, []byte("body"), []byte{0, 0})
	down.headers(5, false, 1000, ":status", "200", "content-type", "application/json")
	down.headers(1, false, 1000, ":status", "103")
	down.headers(1, false, 3, ":status", "404", "content-type", "application/json")
	down.framer.WriteData(1, false, []byte("fi"))
	down.framer.WriteData(5, true, []byte("five"))
	down.framer.WriteData(1, true, []byte("rst"))
	down.headers(3, false, 1000, ":status", "200")
	down.headers(3, true, 1000, "grpc-status", "0")
	want := []string{`GET /a/5 200 0→4 "five"`, `GET /a/1 404 0→5 "first"`, `GET /a/3 200 4→0 ""`}
	for _, size := range []int{1, 2, 7, 50, 1 << 20} {
		w := newWire()
		for chunk := range slices.Chunk(up.Bytes(), size) {
			w.client(string(chunk))
		}
		for chunk := range slices.Chunk(down.Bytes(), size) {
			w.server(string(chunk))
		}
		w.t.Close()
		if d := cmp.Diff(want, w.out); d != "" {
			t.Errorf("in pieces of %d: %s\n%+v", size, d, w.t.Counters())
		}
	}
	// A hole outside of a body is the end.
	w := newWire()
	w.client(up.String())
	w.skipped(1, 10)
	w.server("xx")
	w.skipped(1, 10)
	w.server(down.String())
	if n := w.t.Counters(); n.GivenUp != 1 || len(w.out) != 0 {
		t.Errorf("with a hole: %v, %+v", w.out, n)
	}
}

// What is held is bounded, whatever comes.
func TestBounds(t *testing.T) {
	w := newWire()
	w.t = New(Options{Emit: func(*Exchange) {}, Conns: 100, Bytes: 1 << 20})
	for i := range 2000 {
		s := &Segment{ID: uint64(i), Time: time.Unix(int64(i), 0), From: alice, To: bob, Client: true, Data: []byte("GET /" + strings.Repeat("a", 40_000))}
		w.t.Add(s)
		if len(w.t.conns) > 100 || w.t.held > 1<<20 || w.t.order.Len() != len(w.t.conns) {
			t.Fatalf("%d connections hold %d bytes", len(w.t.conns), w.t.held)
		}
	}
	w.t.Close()
	if w.t.held != 0 || len(w.t.conns) != 0 || w.t.Counters().Evicted == 0 {
		t.Errorf("closed, %d connections hold %d bytes: %+v", len(w.t.conns), w.t.held, w.t.Counters())
	}
}

// An answer that goes on for long is told when it falls silent.
func TestSilence(t *testing.T) {
	w := newWire()
	w.client("GET /events HTTP/1.1\r\nHost: x\r\n\r\n")
	w.server("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: 1\n\n")
	w.t.Tick(time.Unix(1, 0))
	if len(w.out) != 0 {
		t.Errorf("told %v at once", w.out)
	}
	w.t.Tick(time.Unix(10, 0))
	w.server("data: 2\n\n")
	w.fin(1)
	w.fin(0)
	if d := cmp.Diff([]string{`GET /events 200 0→9 ""`}, w.out); d != "" || len(w.t.conns) != 0 {
		t.Errorf("%s; %d connections are followed", d, len(w.t.conns))
	}
}

// FuzzConnection: bytes of both directions in segments of any kind. Nothing panics,
// what is held is bounded, and everything is given back.
func FuzzConnection(f *testing.F) {
	turns, _ := conversation()
	f.Add([]byte(turns[0][0]), []byte(turns[0][1]), uint64(1))
	f.Add([]byte(preface+"\x00\x00\x00\x04\x00\x00\x00\x00\x00"), []byte("\x00\x00\x01\x01\x04\x00\x00\x00\x01\x88"), uint64(2))
	f.Add([]byte("GET / HTTP/1.1\r\n\r\n"), []byte("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffff\r\n"), uint64(3))
	f.Fuzz(func(t *testing.T, up, down []byte, seed uint64) {
		r := rand.New(rand.NewPCG(seed, 2))
		w := newWire()
		w.t.o.Bytes = 1 << 20
		sides := [2][]byte{up, down}
		for range 40 {
			side := r.IntN(2)
			b := sides[side]
			n := min(len(b), 1+r.IntN(1+len(b)))
			s := w.segment(side, b[:n])
			sides[side] = b[n:]
			switch r.IntN(8) {
			case 0:
				s.Seq += uint32(r.IntN(100)) - 50
			case 1:
				w.skipped(side, r.IntN(1<<30))
			case 2:
				s.FIN = r.IntN(4) == 0
			case 3:
				w.t.Add(s)
			}
			w.t.Add(s)
			if w.t.held > 1<<20 {
				t.Fatalf("%d bytes are held", w.t.held)
			}
		}
		w.t.Tick(time.Unix(100, 0))
		w.t.Close()
		if w.t.held != 0 || len(w.t.conns) != 0 {
			t.Fatalf("%d bytes are held in the end", w.t.held)
		}
	})
}

// BenchmarkExchanges is a kept connection with small JSON answers.
func BenchmarkExchanges(b *testing.B) {
	w := newWire()
	n := 0
	w.t.o.Emit = func(*Exchange) { n++ }
	request := "GET /users/17?full=yes HTTP/1.1\r\nHost: shop.example\r\nUser-Agent: test\r\nAccept: */*\r\nAuthorization: Bearer abc\r\n\r\n"
	response := "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nDate: Mon, 02 Jan 2006 15:04:05 GMT\r\nContent-Length: 1000\r\n\r\n" + strings.Repeat("x", 1000)
	for b.Loop() {
		w.client(request)
		w.server(response)
	}
	if n != b.N {
		b.Errorf("%d exchanges of %d", n, b.N)
	}
}
