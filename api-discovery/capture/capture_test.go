package capture

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/http2"

	"github.com/gabion-io/gabion/internal/lockedbuffer"
	"github.com/gabion-io/gabion/internal/netnstest"
	"github.com/gabion-io/gabion/workload"
)

// bed is two workloads on a host whose HTTP is captured.
type bed struct {
	*testing.T
	net       *netnstest.Net
	web, cart *netnstest.Workload
	c         *Capture
	mu        sync.Mutex
	seen      []*Seen
}

func newBed(t *testing.T) *bed {
	b := &bed{T: t, net: netnstest.New(t)}
	b.web, b.cart = b.net.Workload("web"), b.net.Workload("cart")
	pins := filepath.Join(netnstest.Pins(t), "capture")
	b.net.Host.Do(func() {
		var err error
		b.c, err = Open(Options{Pins: pins, Emit: func(s *Seen) {
			b.mu.Lock()
			defer b.mu.Unlock()
			b.seen = append(b.seen, s)
		}})
		if err != nil {
			t.Error(err)
			return
		}
		web, cart := b.workload("web", b.web), b.workload("cart", b.cart)
		err = b.c.Attach([]Interface{{b.web.Interfaces[0].HostName, web}, {b.cart.Interfaces[0].HostName, cart}},
			[]*workload.Workload{web, cart}, func(name string) (int, bool) {
				i, err := net.InterfaceByName(name)
				return i.Index, err == nil
			})
		if err != nil {
			t.Error(err)
		}
	})
	if t.Failed() {
		t.FailNow()
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- b.c.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		b.net.Host.Do(func() {
			if err := b.c.Close(); err != nil {
				t.Error(err)
			}
		})
	})
	return b
}

func (b *bed) workload(name string, w *netnstest.Workload) *workload.Workload {
	return &workload.Workload{ID: workload.ID{Namespace: "shop", Name: name}, Labels: workload.Labels{"app": name}, Addresses: w.Addresses()}
}

// all waits until there are n exchanges, and says them one a line.
func (b *bed) all(n int) string {
	b.Helper()
	for end := time.Now().Add(netnstest.Patience); ; time.Sleep(10 * time.Millisecond) {
		b.mu.Lock()
		list := b.seen
		b.mu.Unlock()
		if len(list) < n && time.Now().Before(end) {
			continue
		}
		var out strings.Builder
		for _, s := range list {
			from, to := "?", "?"
			if s.From != nil {
				from = s.From.ID.Name
			}
			if s.To != nil {
				to = s.To.ID.Name
			}
			fmt.Fprintf(&out, "%s→%s %s %s %s %s %d→%d %d\n", from, to, s.Proto, s.Raw.Method, s.Raw.Path, s.Raw.Response.Get("x-kind"),
				s.Raw.Request.Size, s.Raw.Response.Size, s.Raw.Status)
		}
		return out.String()
	}
}

func (b *bed) counters() Counters {
	b.Helper()
	n, err := b.c.Counters(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	return n
}

// until waits for the counters to say something.
func (b *bed) until(what string, true func(Counters) bool) {
	b.Helper()
	for end := time.Now().Add(netnstest.Patience); ; time.Sleep(10 * time.Millisecond) {
		n := b.counters()
		if true(n) {
			return
		}
		if time.Now().After(end) {
			b.Fatalf("waited in vain until %s: %+v", what, n)
		}
	}
}

func (b *bed) listen(at netip.AddrPort) net.Listener {
	b.Helper()
	var l net.Listener
	var err error
	b.cart.Do(func() { l, err = net.Listen("tcp", at.String()) })
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { l.Close() })
	return l
}

// serve is a server of Go's library in the workload cart.
func (b *bed) serve(at netip.AddrPort, protocols *http.Protocols) {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /users/{id}", func(w http.ResponseWriter, r *http.Request) { fmt.Fprintf(w, `{"id":%q}`, r.PathValue("id")) })
	mux.HandleFunc("POST /orders", func(w http.ResponseWriter, r *http.Request) {
		n, _ := io.Copy(io.Discard, r.Body)
		w.WriteHeader(http.StatusCreated)
		fmt.Fprint(w, n)
	})
	mux.HandleFunc("GET /chunks", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Kind", "chunked")
		for i := range 3 {
			fmt.Fprintf(w, "piece %d\n", i)
			w.(http.Flusher).Flush()
		}
	})
	mux.HandleFunc("GET /large", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", fmt.Sprint(8<<20))
		w.Write(make([]byte, 8<<20))
	})
	s := &http.Server{Handler: mux, Protocols: protocols}
	l := b.listen(at)
	go s.Serve(l)
	b.Cleanup(func() { s.Close() })
}

// client speaks from the workload web, over one connection.
func (b *bed) client() *http.Client {
	t := &http.Transport{MaxConnsPerHost: 1, DialContext: func(_ context.Context, network, address string) (net.Conn, error) {
		return b.web.Dial(network, netip.Addr{}, netip.MustParseAddrPort(address), netnstest.Patience)
	}}
	b.Cleanup(t.CloseIdleConnections)
	return &http.Client{Transport: t}
}

func (b *bed) do(c *http.Client, method, url, body string) {
	b.Helper()
	r, err := http.NewRequestWithContext(b.Context(), method, url, strings.NewReader(body))
	if err != nil {
		b.Fatal(err)
	}
	w, err := c.Do(r)
	if err != nil {
		b.Fatal(err)
	}
	io.Copy(io.Discard, w.Body)
	w.Body.Close()
}

func (b *bed) want(n int, want string) {
	b.Helper()
	if got := b.all(n); got != want {
		b.Errorf("saw\n%swant\n%s%+v", got, want, b.counters())
	}
	b.mu.Lock()
	b.seen = nil
	b.mu.Unlock()
}

// What a real server and a real client say is seen once, although it crosses the
// interfaces of two workloads: over IPv4 and IPv6, kept alive, in chunks, with
// bodies too long to be told, pipelined, and in segments as small as they get.
func TestHTTP1(t *testing.T) {
	b := newBed(t)
	v4, v6 := netip.AddrPortFrom(b.cart.Interfaces[0].V4, 8080), netip.AddrPortFrom(b.cart.Interfaces[0].V6, 8080)
	b.serve(v4, nil)
	b.serve(v6, nil)
	for _, at := range []netip.AddrPort{v4, v6} {
		c, url := b.client(), "http://"+at.String()
		b.do(c, "GET", url+"/users/1?full=yes", "")
		b.do(c, "POST", url+"/orders", strings.Repeat("x", 100))
		b.do(c, "GET", url+"/chunks", "")
		b.do(c, "GET", url+"/large", "")
		b.do(c, "POST", url+"/orders", strings.Repeat("x", 3<<20))
		b.do(c, "HEAD", url+"/users/2", "")
		b.do(c, "GET", url+"/missing", "")
		b.want(7, `web→cart HTTP/1.1 GET /users/1?full=yes  0→10 200
web→cart HTTP/1.1 POST /orders  100→3 201
web→cart HTTP/1.1 GET /chunks chunked 0→24 200
web→cart HTTP/1.1 GET /large  0→8388608 200
web→cart HTTP/1.1 POST /orders  3145728→7 201
web→cart HTTP/1.1 HEAD /users/2  0→0 200
web→cart HTTP/1.1 GET /missing  0→19 404
`)
	}
	if n := b.counters(); n.Unparsable+n.Lost+n.GivenUp+n.Unpaired+n.Spoofed+n.Dropped > 0 || n.Skipped == 0 {
		t.Errorf("%+v", n)
	}
}

// Requests pipelined, and heads written byte by byte.
func TestSegments(t *testing.T) {
	b := newBed(t)
	at := netip.AddrPortFrom(b.cart.Interfaces[0].V4, 8080)
	b.serve(at, nil)
	c, err := b.web.Dial("tcp", netip.Addr{}, at, netnstest.Patience)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	answers := bufio.NewReader(c)
	read := func() {
		t.Helper()
		c.SetDeadline(time.Now().Add(netnstest.Patience))
		w, err := http.ReadResponse(answers, nil)
		if err != nil {
			t.Fatal(err)
		}
		io.Copy(io.Discard, w.Body)
	}
	io.WriteString(c, "GET /users/1 HTTP/1.1\r\nHost: a\r\n\r\nPOST /orders HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\nGET /users/2 HTTP/1.1\r\nHost: a\r\n\r\n")
	read()
	read()
	read()
	for _, one := range []byte("POST /orders HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc") {
		c.Write([]byte{one})
		time.Sleep(100 * time.Microsecond)
	}
	read()
	b.want(4, `web→cart HTTP/1.1 GET /users/1  0→10 200
web→cart HTTP/1.1 POST /orders  5→1 201
web→cart HTTP/1.1 GET /users/2  0→10 200
web→cart HTTP/1.1 POST /orders  3→1 201
`)
	other, err := b.web.Dial("tcp", netip.Addr{}, at, netnstest.Patience)
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	for _, one := range []byte("GET /users/3 HTTP/1.0\r\n\r\n") {
		other.Write([]byte{one})
		time.Sleep(100 * time.Microsecond)
	}
	io.Copy(io.Discard, other)
	b.want(1, "web→cart HTTP/1.0 GET /users/3  0→10 200\n")
}

// HTTP/2 in cleartext, many streams at once.
func TestHTTP2(t *testing.T) {
	b := newBed(t)
	at := netip.AddrPortFrom(b.cart.Interfaces[0].V4, 8080)
	p := new(http.Protocols)
	p.SetUnencryptedHTTP2(true)
	p.SetHTTP1(true)
	b.serve(at, p)
	dialed, err := b.web.Dial("tcp", netip.Addr{}, at, netnstest.Patience)
	if err != nil {
		t.Fatal(err)
	}
	//lint:ignore SA1019 HTTP/2 from its first byte, over a connection of another namespace
	conn, err := (&http2.Transport{AllowHTTP: true}).NewClientConn(dialed)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	c := &http.Client{Transport: conn}
	url := "http://" + at.String()
	b.do(c, "GET", url+"/users/1", "")
	b.do(c, "POST", url+"/orders", strings.Repeat("x", 300_000))
	b.do(c, "GET", url+"/chunks", "")
	b.do(c, "GET", url+"/large", "")
	b.want(4, `web→cart HTTP/2 GET /users/1  0→10 200
web→cart HTTP/2 POST /orders  300000→6 201
web→cart HTTP/2 GET /chunks chunked 0→24 200
web→cart HTTP/2 GET /large  0→8388608 200
`)
	var all sync.WaitGroup
	for i := range 40 {
		all.Go(func() { b.do(c, "GET", fmt.Sprintf("%s/users/%d", url, i), "") })
	}
	all.Wait()
	if got := b.all(40); strings.Count(got, "\n") != 40 || strings.Count(got, " 200\n") != 40 {
		t.Errorf("of 40 at once saw\n%s", got)
	}
}

// What a workload sends under another's address is no exchange of that one.
func TestForged(t *testing.T) {
	b := newBed(t)
	i := b.web.Interfaces[0]
	frame := func(from, to netip.Addr, fromPort, toPort byte, payload string) []byte {
		f := append(append([]byte{}, i.HostMAC...), i.MAC...)
		f = append(f, 8, 0, 0x45, 0, 0, byte(40+len(payload)), 0, 1, 0, 0, 64, 6, 0, 0)
		f = append(append(f, from.AsSlice()...), to.AsSlice()...)
		f = append(f, 0, fromPort, 0, toPort, 0, 0, 0, 1, 0, 0, 0, 1, 0x50, 0x18, 0xff, 0xff, 0, 0, 0, 0)
		return append(f, payload...)
	}
	other, victim := netip.MustParseAddr("192.0.2.7"), b.cart.Interfaces[0].V4
	if err := b.web.Raw("eth0", frame(other, victim, 200, 80, "GET /forged HTTP/1.1\r\n\r\n"), frame(victim, other, 80, 200, "HTTP/1.1 204 No\r\n\r\n")); err != nil {
		t.Fatal(err)
	}
	b.until("both are counted as forged", func(n Counters) bool { return n.Spoofed >= 2 })
	b.want(0, "")
}

// ignored holds that nothing more is told of a connection that was given up.
func (b *bed) ignored(echo netip.AddrPort) {
	b.Helper()
	c, err := b.web.Dial("tcp", netip.Addr{}, echo, netnstest.Patience)
	if err != nil {
		b.Fatal(err)
	}
	defer c.Close()
	before := b.counters()
	if err := netnstest.Echo(c, "GET out of here\n\n", netnstest.Patience); err != nil {
		b.Error(err)
	}
	b.until("it is given up", func(n Counters) bool { return n.GivenUp > before.GivenUp })
	before = b.counters()
	if err := netnstest.Echo(c, strings.Repeat("GET / HTTP/1.1 or not ", 5000), netnstest.Patience); err != nil {
		b.Error(err)
	}
	if n := b.counters(); n.Segments != before.Segments {
		b.Errorf("%d pieces more are told of what was given up", n.Segments-before.Segments)
	}
}

// What is no HTTP passes untouched and makes no exchange, also when it looks like
// it at first; and a server that is not written in Go is seen as well.
func TestOthers(t *testing.T) {
	b := newBed(t)
	echo := netip.AddrPortFrom(b.cart.Interfaces[0].V4, 7)
	b.cart.ServeTCP(echo)
	for _, text := range []string{"\x16\x03\x01\x02\x00\x01\x00\x01\xfc", "GETTING ON", "G", "GET out of here\n\n", "GET / SMTP/9\r\n\r\n", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\nabcdefghijklmnopqrst"} {
		if err := b.web.Try("tcp", netip.Addr{}, echo, netnstest.Patience); err != nil {
			t.Fatal(err)
		}
		c, err := b.web.Dial("tcp", netip.Addr{}, echo, netnstest.Patience)
		if err != nil {
			t.Fatal(err)
		}
		big := text + string(bytes.Repeat([]byte("GET / HTTP/1.1 or not "), 5000))
		if err := netnstest.Echo(c, text, netnstest.Patience); err != nil {
			t.Errorf("%q: %v", text, err)
		}
		if err := netnstest.Echo(c, big, netnstest.Patience); err != nil {
			t.Errorf("%q: %v", text, err)
		}
		c.Close()
	}
	b.until("what looks like HTTP is counted", func(n Counters) bool { return n.Unparsable > 0 && n.GivenUp >= 3 })
	b.ignored(echo)
	b.want(0, "")

	python, err := exec.LookPath("python3")
	if err != nil && os.Getenv("GABION_REQUIRE") == "" {
		t.Skip("there is no python3")
	}
	if err != nil {
		t.Fatal(err)
	}
	at := netip.AddrPortFrom(b.cart.Interfaces[0].V4, 8081)
	server := b.cart.Command(python, "-m", "http.server", "--protocol", "HTTP/1.1", "--bind", at.Addr().String(), "--directory", t.TempDir(), fmt.Sprint(at.Port()))
	said := &lockedbuffer.Buffer{}
	server.Stdout, server.Stderr = said, said
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { server.Process.Kill(); server.Wait() }()
	for end := time.Now().Add(6 * netnstest.Patience); ; time.Sleep(20 * time.Millisecond) {
		c, err := b.web.Dial("tcp", netip.Addr{}, at, time.Second)
		if err == nil {
			c.Close()
			break
		}
		if time.Now().After(end) {
			t.Fatalf("%v; the server said %q", err, said)
		}
	}
	c := b.client()
	b.do(c, "GET", "http://"+at.String()+"/nothing", "")
	if got := b.all(1); !strings.HasPrefix(got, "web→cart HTTP/1.1 GET /nothing  0→") || !strings.HasSuffix(got, " 404\n") {
		t.Errorf("of python's server saw %s", got)
	}
}
