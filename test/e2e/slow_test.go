package e2e

import (
	"bufio"
	"fmt"
	"net"
	"net/http"
	"testing"
	"time"
)

// A client that sends its request too slowly, or does not read its answer, loses
// its stream within the listener's times, by either transport and in either mode.
func TestSlowClients(t *testing.T) {
	for _, transport := range transports {
		t.Run(transport, func(t *testing.T) {
			cut := make(chan error, 1)
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
spec: {timeouts: {request: 2s, streamIdle: 2s}}
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
			c := u.dial(t)
			defer c.Close()
			fmt.Fprintf(c, "GET /endless HTTP/1.1\r\nHost: shop.example.com\r\nUser-Agent: t\r\nAccept: */*\r\n\r\n")
			select {
			case <-cut:
			case <-time.After(patience):
				t.Error("a client that does not read is served on")
			}
		})
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
