package e2e

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/gabion-io/gabion/api-discovery"
)

// roads are the ways to the same routes: plain and TLS.
type roads struct {
	u         *up
	plain     string // host:port
	encrypted string
	ca        certificate
	mode      string
}

// Whatever speaks HTTP passes through unharmed, watched or blocking, however the
// filter is reached.
func TestStreamsUnharmed(t *testing.T) {
	for _, transport := range transports {
		t.Run(transport, func(t *testing.T) {
			t.Parallel()
			r := streamRoads(t, transport)
			for _, mode := range []string{"detect", "block"} {
				r.u.inMode(t, mode)
				r := r
				r.mode = mode
				t.Run(mode, func(t *testing.T) {
					for name, test := range map[string]func(*testing.T, roads){
						"http1": testHTTP1, "http2": testHTTP2, "h2c": testH2C, "websocket": testWebSocket,
						"events": testEventStream, "grpc": testGRPC, "trailers": testTrailers,
						"upload": testUpload, "chunked": testChunked, "continue": testContinue,
					} {
						t.Run(name, func(t *testing.T) { test(t, r) })
					}
				})
			}
			r.learned()
		})
	}
}

func streamRoads(t *testing.T, transport string) roads {
	u := startUp(t, "--transport", transport)
	ca := newCA(t)
	r := roads{u: u, plain: u.listen, encrypted: freePort(t), ca: ca}
	odd, echo := startUpstream(t, oddUpstream()), startGRPC(t)
	demo := strings.TrimPrefix(u.upstream(), "http://")
	u.apply(secret("shop-tls", ca.serve(t, "shop")) + httpsGateway("secure", r.encrypted, "shop-tls") +
		service("odd", odd, "") + service("odd2", odd, "kubernetes.io/h2c") + service("echo", echo, "kubernetes.io/h2c") +
		httpRoute("odd", "gabion", "/odd", "odd", odd) +
		httpRoute("odd2", "gabion", "/odd/trailers", "odd2", odd) +
		httpRoute("echo", "gabion", "/"+grpcService, "echo", echo) +
		httpRoute("secure-echo", "secure", "/"+grpcService, "echo", echo) +
		httpRoute("secure", "secure", "/", "upstream", demo) +
		httpRoute("secure-odd", "secure", "/odd", "odd", odd))
	client := r.client(true, false)
	u.eventually("HTTPS answers", func() error { return getOnce(client, "https://"+r.encrypted+"/odd/digest", 200) })
	u.eventually("the route is in force", func() error { return u.wantStatus("/odd/digest", 200) })
	return r
}

// client speaks one protocol only, so that what was spoken is known.
func (r roads) client(encrypted, http2 bool) *http.Client {
	var p http.Protocols
	p.SetHTTP1(!http2)
	p.SetHTTP2(http2 && encrypted)
	p.SetUnencryptedHTTP2(http2 && !encrypted)
	return &http.Client{Timeout: patience, Transport: &http.Transport{
		Protocols: &p, TLSClientConfig: &tls.Config{RootCAs: r.ca.pool()}, ExpectContinueTimeout: patience,
	}}
}

// send makes a request as a browser would, to shop.example.com.
func send(client *http.Client, method, url string, body io.Reader, header ...string) (*http.Response, []byte, error) {
	req, err := http.NewRequest(method, url, body)
	if err != nil {
		return nil, nil, err
	}
	req.Host = "shop.example.com"
	req.Header.Set("User-Agent", "Mozilla/5.0 (e2e)")
	req.Header.Set("Accept", "*/*")
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	res, err := client.Do(req)
	if err != nil {
		return nil, nil, err
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	return res, b, err
}

func wantAnswer(t *testing.T, client *http.Client, url, proto, body string) {
	t.Helper()
	res, got, err := send(client, "GET", url, nil)
	if err != nil {
		t.Fatal(err)
	}
	if res.StatusCode != 200 || res.Proto != proto || !strings.Contains(string(got), body) {
		t.Errorf("%s %s, want %s 200 with %q:\n%s", res.Proto, res.Status, proto, body, got)
	}
}

func testHTTP1(t *testing.T, r roads) {
	wantAnswer(t, r.client(false, false), "http://"+r.plain+"/odd/drip", "HTTP/1.1", "part 0;part 1;part 2;")
	wantAnswer(t, r.client(true, false), "https://"+r.encrypted+"/search?q=tea", "HTTP/1.1", "")
}

func testHTTP2(t *testing.T, r roads) {
	wantAnswer(t, r.client(true, true), "https://"+r.encrypted+"/odd/drip", "HTTP/2.0", "part 0;part 1;part 2;")
}

func testH2C(t *testing.T, r roads) {
	wantAnswer(t, r.client(false, true), "http://"+r.plain+"/odd/drip", "HTTP/2.0", "part 0;part 1;part 2;")
}

func testWebSocket(t *testing.T, r roads) {
	for url, client := range map[string]*http.Client{"ws://" + r.plain: r.client(false, false), "wss://" + r.encrypted: r.client(true, false)} {
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		client.Timeout = 0
		c, _, err := websocket.Dial(ctx, url+"/ws", &websocket.DialOptions{HTTPClient: client, Host: "shop.example.com"})
		if err != nil {
			cancel()
			t.Fatalf("%s: %v", url, err)
		}
		for _, message := range []string{"hello", "1' OR '1'='1' -- ", strings.Repeat("x", 40_000)} {
			if err := c.Write(ctx, websocket.MessageText, []byte(message)); err != nil {
				t.Fatal(err)
			}
			c.SetReadLimit(1 << 20)
			if _, got, err := c.Read(ctx); err != nil || string(got) != message {
				t.Fatalf("%s: %.40q came back as %.40q, %v", url, message, got, err)
			}
		}
		c.Close(websocket.StatusNormalClosure, "")
		cancel()
	}
}

// The stream of /events has no end: that anything is read shows that it is not
// kept until then.
func testEventStream(t *testing.T, r roads) {
	for _, http2 := range []bool{false, true} {
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		req, _ := http.NewRequestWithContext(ctx, "GET", "http://"+r.plain+"/events", nil)
		req.Host = "shop.example.com"
		req.Header.Set("Accept", "text/event-stream")
		client := r.client(false, http2)
		client.Timeout = 0
		res, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		in := bufio.NewScanner(res.Body)
		events := 0
		for events < 2 && in.Scan() {
			if strings.HasPrefix(in.Text(), "data:") {
				events++
			}
		}
		if events < 2 || res.StatusCode != 200 {
			t.Errorf("status %d, %d events while the stream is open: %v", res.StatusCode, events, in.Err())
		}
		cancel()
		res.Body.Close()
	}
}

func testGRPC(t *testing.T, r roads) {
	for name, dial := range map[string]struct {
		address     string
		credentials credentials.TransportCredentials
	}{
		"plain": {r.plain, insecure.NewCredentials()},
		"tls":   {r.encrypted, credentials.NewTLS(&tls.Config{RootCAs: r.ca.pool(), ServerName: "shop.example.com"})},
	} {
		t.Run(name, func(t *testing.T) {
			c, err := grpc.NewClient("passthrough:///"+dial.address, grpc.WithTransportCredentials(dial.credentials), grpc.WithAuthority("shop.example.com"))
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			testGRPCUnary(ctx, t, c)
			testGRPCStreams(ctx, t, c)
			if err := c.Invoke(ctx, "/"+grpcService+"/Nothing", wrapperspb.String("x"), &wrapperspb.StringValue{}); status.Code(err) != codes.Unimplemented {
				t.Errorf("a method that is none ends with %v", err)
			}
		})
	}
}

func testGRPCUnary(ctx context.Context, t *testing.T, c *grpc.ClientConn) {
	t.Helper()
	for _, text := range []string{"hello", strings.Repeat("y", 300_000)} {
		var out wrapperspb.StringValue
		if err := c.Invoke(ctx, "/"+grpcService+"/Unary", wrapperspb.String(text), &out); err != nil {
			t.Fatalf("unary of %d bytes: %v", len(text), err)
		}
		if out.Value != "echo "+text {
			t.Errorf("unary answered %.40q", out.Value)
		}
	}
}

func testGRPCStreams(ctx context.Context, t *testing.T, c *grpc.ClientConn) {
	t.Helper()
	both := grpc.StreamDesc{ServerStreams: true, ClientStreams: true}
	open := func(method string) grpc.ClientStream {
		t.Helper()
		s, err := c.NewStream(ctx, &both, "/"+grpcService+"/"+method)
		if err != nil {
			t.Fatalf("%s: %v", method, err)
		}
		return s
	}
	receive := func(s grpc.ClientStream, want string) {
		t.Helper()
		var out wrapperspb.StringValue
		if err := s.RecvMsg(&out); err != nil || out.Value != want {
			t.Fatalf("received %q, %v; want %q", out.Value, err, want)
		}
	}
	end := func(s grpc.ClientStream) {
		t.Helper()
		if err := s.RecvMsg(&wrapperspb.StringValue{}); !errors.Is(err, io.EOF) {
			t.Errorf("the stream ends with %v", err)
		}
	}
	// Strictly by turns: a proxy that holds a part breaks it.
	s := open("Bidi")
	for i := range 5 {
		if err := s.SendMsg(wrapperspb.String(fmt.Sprint("turn ", i))); err != nil {
			t.Fatal(err)
		}
		receive(s, fmt.Sprint("echo turn ", i))
	}
	s.CloseSend()
	end(s)

	s = open("Server")
	s.SendMsg(wrapperspb.String("part "))
	s.CloseSend()
	for i := range 3 {
		receive(s, fmt.Sprint("part ", i))
	}
	end(s)

	s = open("Client")
	for range 3 {
		s.SendMsg(wrapperspb.String("ab"))
	}
	s.CloseSend()
	receive(s, "ababab")
	end(s)
}

// learned waits until the inventory has what was called, which way it streams, and
// no method that is none.
func (r roads) learned() {
	want := []string{"GET /events sse server", "GET /ws websocket bidi"}
	for _, call := range []string{"Bidi grpc bidi", "Client grpc client", "Server grpc server", "Unary grpc "} {
		want = append(want, "POST /"+grpcService+"/"+call)
	}
	r.u.eventually("streams are in the inventory", func() error {
		var list struct {
			Items []struct {
				ID string `json:"id"`
				apidiscovery.OperationKey
			}
		}
		r.u.runJSON(&list, "api", "list")
		var got []string
		for _, k := range list.Items {
			if k.Protocol == apidiscovery.REST {
				continue
			}
			var o apidiscovery.Operation
			r.u.runJSON(&o, "api", "show", k.ID)
			got = append(got, fmt.Sprint(o.Method, " ", o.Template, " ", o.Protocol, " ", o.Streaming))
		}
		slices.Sort(got)
		if !slices.Equal(got, want) {
			return fmt.Errorf("operations are %q, want %q", got, want)
		}
		return nil
	})
}

func testTrailers(t *testing.T, r roads) {
	req, _ := http.NewRequest("POST", "http://"+r.plain+"/odd/trailers", io.MultiReader(strings.NewReader("q=tea")))
	req.Host = "shop.example.com"
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("User-Agent", "Mozilla/5.0 (e2e)")
	req.Header.Set("Accept", "*/*")
	req.Trailer = http.Header{"X-Request-Sum": {"request"}}
	res, err := r.client(false, true).Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != 200 || string(body) != "body, then a trailer" {
		t.Fatalf("%s %q %v", res.Status, body, err)
	}
	if got := res.Trailer.Get("X-Sum"); got != "after request" {
		t.Errorf("trailer %q, want that of the response with that of the request", got)
	}
}

// An upload of 1 MiB arrives byte by byte as it was sent. Types the rule set
// does not list are denied by name in block mode, so they go with detect only.
func testUpload(t *testing.T, r roads) {
	const size = 1 << 20
	numbered := &bytes.Buffer{} // no two parts alike: a part sent twice is noticed
	for i := 0; numbered.Len() < size-1024; i++ {
		fmt.Fprintf(numbered, "harbour%08d ", i)
	}
	bodies := map[string][]byte{
		"application/json": []byte(`{"note":"` + numbered.String() + `"}`),
		"multipart/form-data; boundary=b": []byte("--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.txt\"\r\nContent-Type: text/plain\r\n\r\n" +
			numbered.String()[:300_000] + "\r\n--b--\r\n"),
	}
	if r.mode == "detect" {
		bodies["application/octet-stream"] = numbered.Bytes()
		bodies["text/plain"] = numbered.Bytes()[:200_000]
	}
	for kind, body := range bodies {
		for _, http2 := range []bool{false, true} {
			wantDigest(t, r.client(false, http2), r.plain, bytes.NewReader(body), body, kind)
		}
	}
}

// Chunked: a body of unknown length.
func testChunked(t *testing.T, r roads) {
	body := []byte("q=tea&" + strings.Repeat("note=harbour&", 100))
	wantDigest(t, r.client(false, false), r.plain, io.MultiReader(bytes.NewReader(body)), body, "application/x-www-form-urlencoded")
	wantDigest(t, r.client(true, true), r.encrypted, io.MultiReader(bytes.NewReader(body)), body, "application/x-www-form-urlencoded")
}

func wantDigest(t *testing.T, client *http.Client, address string, in io.Reader, body []byte, kind string) {
	t.Helper()
	scheme := "http"
	if p := client.Transport.(*http.Transport).Protocols; p.HTTP2() {
		scheme = "https"
	}
	res, got, err := send(client, "POST", scheme+"://"+address+"/odd/digest", in, "Content-Type", kind)
	if err != nil {
		t.Errorf("%s: %v", kind, err)
		return
	}
	sum := sha256.Sum256(body)
	want := fmt.Sprintf("%d %s", len(body), hex.EncodeToString(sum[:]))
	if res.StatusCode != 200 || !strings.HasSuffix(string(got), want) {
		t.Errorf("%s of %d bytes over %s: %s %.200q, want %q", kind, len(body), res.Proto, res.Status, got, want)
	}
}

// A client that waits for 100 Continue gets it, also while the body is held.
func testContinue(t *testing.T, r roads) {
	conn, err := net.DialTimeout("tcp", r.plain, patience)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(patience))
	const body = "q=tea"
	fmt.Fprintf(conn, "POST /odd/digest HTTP/1.1\r\nHost: shop.example.com\r\nUser-Agent: Mozilla/5.0 (e2e)\r\nAccept: */*\r\n"+
		"Content-Type: application/x-www-form-urlencoded\r\nContent-Length: %d\r\nExpect: 100-continue\r\n\r\n", len(body))
	in := bufio.NewReader(conn)
	line, err := in.ReadString('\n')
	if err != nil || !strings.HasPrefix(line, "HTTP/1.1 100") {
		t.Fatalf("waiting to go on: %q %v", line, err)
	}
	if _, err := in.ReadString('\n'); err != nil {
		t.Fatal(err)
	}
	io.WriteString(conn, body)
	res, err := http.ReadResponse(in, nil)
	if err != nil {
		t.Fatal(err)
	}
	got, _ := io.ReadAll(res.Body)
	if res.StatusCode != 200 || !strings.Contains(string(got), " 5 ") {
		t.Errorf("%s %q", res.Status, got)
	}
}
