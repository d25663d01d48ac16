package ads_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	healthgrpc "google.golang.org/grpc/health/grpc_health_v1"

	"github.com/gabion-io/gabion/controlplane/ir"
)

func TestEnvoyHardensListeners(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	port := freePort(t)
	in := gateway(port, []ir.Cluster{clusterOf(t, "a", backend(t, "a"))}, route("/", "a"))
	in.Listeners[0].Options.RequestHeadersTimeout = 300 * time.Millisecond
	in.Listeners[0].Options.RequestTimeout = 500 * time.Millisecond
	in.Listeners[0].Options.MaxHeadersCount = 20
	in.Listeners[0].Options.MaxRequestHeadersKB = 8
	in.Listeners[0].Options.EscapedSlashes = "reject"
	w.serve(in)
	many := strings.Repeat("x: y\r\n", 30)
	for _, c := range []struct{ name, request, status string }{
		{"plain", "GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n", "200"},
		{"http10", "GET / HTTP/1.0\r\nhost: a\r\n\r\n", "200"},
		{"underscore", "GET / HTTP/1.1\r\nhost: a\r\nx_y: 1\r\nconnection: close\r\n\r\n", "400"},
		{"many headers", "GET / HTTP/1.1\r\nhost: a\r\n" + many + "\r\n", "431"},
		{"large header", "GET / HTTP/1.1\r\nhost: a\r\nx: " + strings.Repeat("y", 10_000) + "\r\n\r\n", "431"},
		{"slow headers", "GET / HTTP/1.1\r\nhost: a\r\nx: ", "408"},
		{"slow body", "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 10\r\n\r\nabc", "408"},
		{"escaped slash", "GET /a%2fb HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n", "400"},
		{"both lengths", "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 3\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n", "400"},
		{"no host", "GET / HTTP/1.1\r\nconnection: close\r\n\r\n", "400"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			got := raw(t, port, c.request)
			if !strings.HasPrefix(got, "HTTP/1.1 "+c.status) && !strings.HasPrefix(got, "HTTP/1.0 "+c.status) {
				t.Errorf("got %.200q, want status %s", got, c.status)
			}
		})
	}
	t.Run("steering headers", func(t *testing.T) {
		got := raw(t, port, "GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\nx-envoy-upstream-alt-stat-name: x\r\nx-envoy-max-retries: 9\r\n\r\n")
		if strings.Contains(strings.ToLower(got), "x-envoy") {
			t.Errorf("x-envoy headers came back: %q", got)
		}
	})
}

func TestEnvoyLimitsConnections(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	port := freePort(t)
	in := gateway(port, []ir.Cluster{clusterOf(t, "a", backend(t, "a"))}, route("/", "a"))
	in.Listeners[0].Options.MaxConnections = 2
	w.serve(in)
	var open []net.Conn
	for range 2 {
		c, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		fmt.Fprint(c, "GET / HTTP/1.1\r\nhost: a\r\n\r\n")
		if _, err := http.ReadResponse(bufio.NewReader(c), nil); err != nil {
			t.Fatal(err)
		}
		open = append(open, c)
	}
	if got := raw(t, port, "GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n"); got != "" {
		t.Errorf("a third connection was served: %.100q", got)
	}
	open[0].Close()
	eventually(t, "a freed place is given away", func() error {
		if got := raw(t, port, "GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n"); !strings.HasPrefix(got, "HTTP/1.1 200") {
			return fmt.Errorf("got %.100q", got)
		}
		return nil
	})
}

func TestEnvoyPassesLongStreams(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	go1 := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/ws" {
			echoSocket(rw, r)
			return
		}
		rw.Header().Set("Content-Type", "text/event-stream")
		for i := range 5 {
			fmt.Fprintf(rw, "data: %d\n\n", i)
			rw.(http.Flusher).Flush()
			time.Sleep(200 * time.Millisecond)
		}
	}))
	t.Cleanup(go1.Close)
	grpcAddress := startGRPC(t)
	port := freePort(t)
	grpcCluster := ir.Cluster{Name: "grpc", Protocol: "http2", Endpoints: []ir.Endpoint{endpointOf(t, grpcAddress)}}
	in := gateway(port, []ir.Cluster{clusterOf(t, "a", go1), grpcCluster},
		with(route("/grpc.health.v1.Health", "grpc"), func(r *ir.Route) { r.Streaming = true }),
		with(route("/test.Collector", "grpc"), func(r *ir.Route) { r.Streaming = true }),
		route("/", "a"))
	in.Listeners[0].Options.RequestTimeout = 300 * time.Millisecond
	w.serve(in)

	t.Run("server-sent events", func(t *testing.T) {
		_, body := get(t, client(), urlOf(port, "/events"))
		if strings.Count(body, "data:") != 5 {
			t.Errorf("got %q", body)
		}
	})
	t.Run("websocket", func(t *testing.T) { talkSocket(t, port) })
	t.Run("grpc", func(t *testing.T) { talkGRPC(t, port) })
	t.Run("http2 without TLS", func(t *testing.T) {
		protocols := new(http.Protocols)
		protocols.SetUnencryptedHTTP2(true)
		c := &http.Client{Timeout: patience, Transport: &http.Transport{Protocols: protocols}}
		resp, _ := get(t, c, urlOf(port, "/events"))
		if resp.ProtoMajor != 2 || resp.StatusCode != 200 {
			t.Errorf("got %s %s", resp.Proto, resp.Status)
		}
	})
}

func TestEnvoySpeaksOnlyWhatItMay(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	port := freePort(t)
	ca := newAuthority(t)
	cert, key := ca.issue("shop.example")
	in := secured(gateway(port, []ir.Cluster{clusterOf(t, "a", backend(t, "a"))}, route("/", "a")), secretOf("shop", cert, key))
	in.Listeners[0].Options.Protocols = []string{"http1"}
	w.serve(in)
	resp, _ := get(t, tlsClient(port, &tls.Config{RootCAs: ca.pool()}), "https://shop.example/")
	if resp.ProtoMajor != 1 || resp.StatusCode != 200 {
		t.Errorf("got %s %s", resp.Proto, resp.Status)
	}
}

func echoSocket(w http.ResponseWriter, r *http.Request) {
	c, err := websocket.Accept(w, r, nil)
	if err != nil {
		return
	}
	defer c.CloseNow()
	for {
		kind, b, err := c.Read(r.Context())
		if err != nil {
			return
		}
		if c.Write(r.Context(), kind, b) != nil {
			return
		}
	}
}

func talkSocket(t *testing.T, port uint32) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	c, _, err := websocket.Dial(ctx, fmt.Sprintf("ws://127.0.0.1:%d/ws", port), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer c.CloseNow()
	for i := range 5 {
		say := fmt.Sprintf("word %d", i)
		if err := c.Write(ctx, websocket.MessageText, []byte(say)); err != nil {
			t.Fatal(err)
		}
		if _, b, err := c.Read(ctx); err != nil || string(b) != say {
			t.Fatalf("got %q, %v; want %q", b, err, say)
		}
		time.Sleep(150 * time.Millisecond) // together longer than the request timeout
	}
}

// health counts the messages of a client stream, which no ready-made service has.
type health struct {
	healthgrpc.UnimplementedHealthServer
}

func (health) Check(context.Context, *healthgrpc.HealthCheckRequest) (*healthgrpc.HealthCheckResponse, error) {
	return &healthgrpc.HealthCheckResponse{Status: healthgrpc.HealthCheckResponse_SERVING}, nil
}

func (health) Watch(_ *healthgrpc.HealthCheckRequest, s grpc.ServerStreamingServer[healthgrpc.HealthCheckResponse]) error {
	for range 5 {
		if err := s.Send(&healthgrpc.HealthCheckResponse{Status: healthgrpc.HealthCheckResponse_SERVING}); err != nil {
			return err
		}
		time.Sleep(150 * time.Millisecond)
	}
	return nil
}

// collect is a client-streaming method: it answers when the client has finished.
func collect(_ any, s grpc.ServerStream) error {
	n := 0
	for {
		var m healthgrpc.HealthCheckRequest
		if err := s.RecvMsg(&m); err == io.EOF {
			break
		} else if err != nil {
			return err
		}
		n++
	}
	if n != 5 {
		return fmt.Errorf("%d messages", n)
	}
	return s.SendMsg(&healthgrpc.HealthCheckResponse{Status: healthgrpc.HealthCheckResponse_SERVING})
}

func startGRPC(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	g := grpc.NewServer()
	healthgrpc.RegisterHealthServer(g, health{})
	g.RegisterService(&grpc.ServiceDesc{
		ServiceName: "test.Collector", HandlerType: (*any)(nil),
		Streams: []grpc.StreamDesc{{StreamName: "Collect", Handler: collect, ClientStreams: true}},
	}, struct{}{})
	go g.Serve(l)
	t.Cleanup(g.Stop)
	return l.Addr().String()
}

func talkGRPC(t *testing.T, port uint32) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	conn, err := grpc.NewClient(fmt.Sprintf("127.0.0.1:%d", port), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	c := healthgrpc.NewHealthClient(conn)
	if _, err := c.Check(ctx, &healthgrpc.HealthCheckRequest{}); err != nil {
		t.Errorf("unary: %v", err)
	}
	stream, err := c.Watch(ctx, &healthgrpc.HealthCheckRequest{})
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for {
		if _, err := stream.Recv(); err == io.EOF {
			break
		} else if err != nil {
			t.Fatalf("server stream after %d: %v", n, err)
		}
		n++
	}
	if n != 5 {
		t.Errorf("server stream gave %d messages", n)
	}
	sendStream(t, ctx, conn)
}

// sendStream sends for longer than the listener's request timeout.
func sendStream(t *testing.T, ctx context.Context, conn *grpc.ClientConn) {
	t.Helper()
	s, err := conn.NewStream(ctx, &grpc.StreamDesc{ClientStreams: true}, "/test.Collector/Collect")
	if err != nil {
		t.Fatal(err)
	}
	for range 5 {
		if err := s.SendMsg(&healthgrpc.HealthCheckRequest{}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(150 * time.Millisecond)
	}
	if err := s.CloseSend(); err != nil {
		t.Fatal(err)
	}
	if err := s.RecvMsg(&healthgrpc.HealthCheckResponse{}); err != nil {
		t.Errorf("client stream: %v", err)
	}
}
