package e2e

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"

	"github.com/gabion-io/gabion/filters"
)

// idle is how long a stream of these tests may lie still.
const idle = time.Second

// A client that sends its request too slowly, does not read its answer, or reads
// it by a trickle, loses its stream within the listener's times, by either
// transport and in either mode: what makes room for an answer's next part must
// do so within the idle time. One that takes its time, but more than that, is
// served on.
func TestSlowClients(t *testing.T) {
	for _, transport := range transports {
		t.Run(transport, func(t *testing.T) {
			t.Parallel()
			cut := make(chan error, 8)
			upstream := startUpstream(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path != "/endless" {
					return
				}
				for part := make([]byte, 1<<20); ; {
					if _, err := w.Write(part); err != nil {
						cut <- err
						return
					}
				}
			}))
			u := startUp(t, "--transport", transport, "--upstream", "http://"+upstream)
			u.apply(`apiVersion: gabion.io/v1alpha1
kind: ListenerPolicy
metadata: {name: default}
spec: {timeouts: {request: 2s, streamIdle: ` + idle.String() + `}}
`)
			for _, mode := range []string{"detect", "block"} {
				u.inMode(t, mode)
				u.eventually(mode+": a slow upload is cut", func() error {
					c := u.dial(t)
					defer c.Close()
					fmt.Fprintf(c, "POST /orders HTTP/1.1\r\nHost: shop.example.com\r\nUser-Agent: t\r\nAccept: */*\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{")
					res, err := http.ReadResponse(bufio.NewReader(c), nil)
					if err != nil {
						return err
					}
					if res.StatusCode != http.StatusRequestTimeout {
						return fmt.Errorf("status %d", res.StatusCode)
					}
					return nil
				})
			}
			for name, read := range map[string]func(context.Context, net.Conn) error{
				"no reading":          func(ctx context.Context, c net.Conn) error { return readEndless(ctx, c, 0) },
				"a trickle":           func(ctx context.Context, c net.Conn) error { return readEndless(ctx, c, trickle) },
				"a trickle by HTTP/2": trickleHTTP2,
			} {
				t.Run(name, func(t *testing.T) {
					done := make(chan error, 1)
					c := u.dial(t)
					_ = c.(*net.TCPConn).SetReadBuffer(4 << 10)
					ctx, cancel := context.WithCancel(t.Context())
					go func() { done <- read(ctx, c) }()
					select {
					case <-cut:
					case err := <-done:
						t.Errorf("the client ended first: %v", err)
					case <-time.After(patience):
						t.Error("a client that reads next to nothing is served on")
					}
					cancel()
					c.Close()
				})
			}
			t.Run("a reader in no hurry", func(t *testing.T) {
				c := u.dial(t)
				defer c.Close()
				if err := readEndless(t.Context(), c, 1<<20); err != nil {
					t.Error(err)
				}
			})
		})
	}
}

// A client that sends a body more slowly than requestBody.minRate is cut, by either
// transport and long before the listener's own times are over, with an event; in
// detect it is left alone.
func TestSlowUploadsAreCutByRate(t *testing.T) {
	for _, transport := range transports {
		t.Run(transport, func(t *testing.T) {
			t.Parallel()
			u := startUp(t, "--transport", transport)
			upload := func() net.Conn {
				c := u.dial(t)
				fmt.Fprintf(c, "POST /orders HTTP/1.1\r\nHost: shop.example.com\r\nUser-Agent: t\r\nAccept: */*\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n{")
				return c
			}
			u.apply(fastUploads("block"))
			u.eventually("blocking", func() error { return u.wantStatus(sqli, 403) })
			c := upload()
			defer c.Close()
			_ = c.SetReadDeadline(time.Now().Add(patience))
			res, err := http.ReadResponse(bufio.NewReader(c), nil)
			if err != nil {
				t.Fatal(err)
			}
			if res.StatusCode != http.StatusRequestTimeout || res.Header.Get("x-gabion-event") == "" {
				t.Errorf("cut with status %d, %v", res.StatusCode, res.Header)
			}
			e := u.awaitEvent("the slow upload's event", func(e filters.Event) bool { return e.Status == http.StatusRequestTimeout })
			if e.Decision != filters.Denied || e.Engine != "chain" || !strings.Contains(e.Reason, "less than 1048576 bytes a second") {
				t.Errorf("event %+v", e)
			}

			u.apply(fastUploads("detect"))
			u.eventually("watching", func() error { return u.wantStatus(sqli, 200) })
			c = upload()
			defer c.Close()
			_ = c.SetReadDeadline(time.Now().Add(7 * time.Second)) // block mode cuts it after five
			if res, err := http.ReadResponse(bufio.NewReader(c), nil); err == nil {
				t.Errorf("detect answered %s", res.Status)
			}
		})
	}
}

func fastUploads(mode string) string {
	return `apiVersion: gabion.io/v1alpha1
kind: WAFPolicy
metadata: {name: default}
spec: {mode: ` + mode + `, requestBody: {minRate: 1Mi}}
`
}

const (
	trickle     = 100 // bytes of an answer that a slow client takes at a time
	trickleTime = 50 * time.Millisecond
)

// readEndless asks for an endless answer and takes n bytes of it every
// trickleTime, until the connection ends or three times the listener's idle time
// have gone by: nil.
func readEndless(ctx context.Context, c net.Conn, n int64) error {
	fmt.Fprintf(c, "GET /endless HTTP/1.1\r\nHost: shop.example.com\r\nUser-Agent: t\r\nAccept: */*\r\n\r\n")
	if n == 0 {
		<-ctx.Done()
		return nil
	}
	for began := time.Now(); n == trickle || time.Since(began) < 3*idle; time.Sleep(trickleTime) {
		if _, err := io.CopyN(io.Discard, c, n); err != nil {
			return err
		}
	}
	return nil
}

// trickleHTTP2 asks for it by HTTP/2 and widens its window as slowly.
func trickleHTTP2(_ context.Context, c net.Conn) error {
	if _, err := io.WriteString(c, http2.ClientPreface); err != nil {
		return err
	}
	f := http2.NewFramer(c, c)
	var head bytes.Buffer
	enc := hpack.NewEncoder(&head)
	for _, h := range [][2]string{{":method", "GET"}, {":scheme", "http"}, {":authority", "shop.example.com"}, {":path", "/endless"}, {"user-agent", "t"}, {"accept", "*/*"}} {
		if err := enc.WriteField(hpack.HeaderField{Name: h[0], Value: h[1]}); err != nil {
			return err
		}
	}
	if err := errors.Join(f.WriteSettings(), f.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: head.Bytes(), EndStream: true, EndHeaders: true})); err != nil {
		return err
	}
	tick := time.NewTicker(trickleTime)
	defer tick.Stop()
	ended := make(chan error, 1)
	go func() {
		for {
			if _, err := f.ReadFrame(); err != nil {
				ended <- err
				return
			}
		}
	}()
	for {
		select {
		case err := <-ended:
			return err
		case <-tick.C:
			if err := errors.Join(f.WriteWindowUpdate(0, trickle), f.WriteWindowUpdate(1, trickle)); err != nil {
				return err
			}
		}
	}
}

// dial opens a connection to the proxy, good for as long as a test waits.
func (u *up) dial(t testing.TB) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", u.listen)
	if err != nil {
		t.Fatal(err)
	}
	_ = c.SetDeadline(time.Now().Add(patience))
	return c
}
