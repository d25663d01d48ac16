package module

import (
	"bufio"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"
)

// runStreams holds a transport to passing streams as they come: each part must
// arrive before the next is sent, or the test waits in vain.
func runStreams(t *testing.T, p *proxy) {
	for _, key := range []string{"detect", "block"} {
		t.Run(key+"/events", func(t *testing.T) { eventStream(t, p, key) })
		t.Run(key+"/websocket", func(t *testing.T) { webSocket(t, p, key) })
		t.Run(key+"/grpc", func(t *testing.T) { duplex(t, p, key) })
		t.Run(key+"/no-grpc", func(t *testing.T) { masked(t, p, key) })
	}
	if !p.alive() {
		t.Fatal("Envoy ended")
	}
}

// eventStream: the first event is there while the upstream still owes the rest.
func eventStream(t *testing.T, p *proxy, key string) {
	res, err := client(false).Get("http://" + p.addr + "/" + key + "/sse")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	start, lines := time.Now(), bufio.NewScanner(res.Body)
	var at []time.Duration
	for lines.Scan() {
		if strings.HasPrefix(lines.Text(), "data: ") {
			at = append(at, time.Since(start))
		}
	}
	if len(at) != 3 || at[2]-at[0] < 100*time.Millisecond {
		t.Errorf("events came at %v, want three apart", at)
	}
}

func webSocket(t *testing.T, p *proxy, key string) {
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	c, _, err := websocket.Dial(ctx, "ws://"+p.addr+"/"+key+"/ws", &websocket.DialOptions{
		HTTPHeader: http.Header{"User-Agent": {"gabion-test/1"}, "Accept": {"*/*"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	defer c.CloseNow()
	for i := range 3 {
		msg := fmt.Sprintf("%d %s", i, plainSQLi) // opaque to the filter
		if err := c.Write(ctx, websocket.MessageText, []byte(msg)); err != nil {
			t.Fatal(err)
		}
		_, got, err := c.Read(ctx)
		if err != nil || string(got) != "echo "+msg {
			t.Fatalf("read %q, %v", got, err)
		}
	}
}

// frame is one gRPC message.
func frame(message string) string {
	return string(binary.BigEndian.AppendUint32([]byte{0}, uint32(len(message)))) + message
}

// masked: what calls itself gRPC and is not is inspected as what it is, and
// reaches the upstream whole.
func masked(t *testing.T, p *proxy, key string) {
	for i, c := range []verdictCase{
		{body: `{"item":7}`}, {body: `{"note":"` + plainSQLi + `"}`, attack: true},
		{body: longJSON(48<<10, "fine")}, {body: longJSON(48<<10, plainSQLi), attack: true},
		{body: frame("hello") + frame(plainSQLi)}, {body: frame("hello") + `{"note":"` + plainSQLi + `"}`, attack: true},
	} {
		c.path, c.http2, c.chunked = "orders", true, true
		c.header = map[string]string{"Content-Type": "application/grpc", "TE": "trailers"}
		id := fmt.Sprintf("masked-%s-%d", key, i)
		a := c.send(t, p, key, id)
		e := p.logged(t, id).event(t)
		if c.attack && (e == nil || e.Score < 5) || !c.attack && e != nil && e.Score >= 5 {
			t.Errorf("%d: event %+v", i, e)
		}
		if c.attack && key == "block" {
			// A denied call is told so in gRPC's way: by its grpc-status.
			if a.Status == http.StatusOK && a.Header.Get("Grpc-Status") == "" {
				t.Errorf("%d: status %d %v %s", i, a.Status, a.Header, a.Body)
			}
			continue
		}
		c.unharmed(t, a)
	}
}

// duplex sends a message only after the one before was answered.
func duplex(t *testing.T, p *proxy, key string) {
	pr, pw := io.Pipe()
	req, err := http.NewRequestWithContext(t.Context(), "POST", "http://"+p.addr+"/"+key+"/duplex", pr)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/grpc")
	req.Header.Set("X-Case", "grpc-"+key)
	req.Host = "shop.example"
	req.Header.Set("TE", "trailers")
	req.Header.Set("User-Agent", "grpc-go/1")
	res, err := client(true).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK || res.Header.Get("Grpc-Status") != "" { // a denial is trailers only
		t.Fatalf("status %d: %+v", res.StatusCode, p.logged(t, "grpc-"+key).event(t))
	}
	for i := range 3 {
		line := fmt.Sprintf("line %d", i)
		if _, err := io.WriteString(pw, frame(line)); err != nil {
			t.Fatal(err)
		}
		buf := make([]byte, len("got "+line))
		if _, err := io.ReadFull(res.Body, buf); err != nil || string(buf) != "got "+line {
			t.Fatalf("read %q, %v", buf, err)
		}
	}
	pw.Close()
	if _, err := io.Copy(io.Discard, res.Body); err != nil {
		t.Fatal(err)
	}
	if s := res.Trailer.Get("Grpc-Status"); s != "0" {
		t.Errorf("grpc-status %q", s)
	}
}

func runConcurrent(t *testing.T, p *proxy) {
	for _, key := range []string{"detect", "block"} {
		t.Run(key, func(t *testing.T) { concurrent(t, p, key) })
	}
	if !p.alive() {
		t.Fatal("Envoy ended")
	}
}

// concurrent: 200 requests at once, good and bad, bodies of many sizes; each
// gets its own answer.
func concurrent(t *testing.T, p *proxy, key string) {
	var wg sync.WaitGroup
	room := make(chan struct{}, 50)
	for i := range 200 {
		wg.Add(1)
		go func() {
			defer wg.Done()
			room <- struct{}{}
			defer func() { <-room }()
			c := verdictCase{path: "orders", header: jsonBody, http2: i%2 == 0, chunked: i%3 == 0}
			if i%4 == 0 {
				c.attack, c.body = true, longJSON((i%8)<<11, plainSQLi)
			} else {
				c.body = longJSON((i%8)<<11, "fine")
			}
			a := c.send(t, p, key, fmt.Sprintf("concurrent-%s-%d", key, i))
			if c.attack && key == "block" {
				if a.Status != http.StatusForbidden {
					t.Errorf("request %d: status %d", i, a.Status)
				}
				return
			}
			c.unharmed(t, a)
		}()
	}
	wg.Wait()
}
