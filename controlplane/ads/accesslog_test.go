package ads_test

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	alsdata "github.com/envoyproxy/go-control-plane/envoy/data/accesslog/v3"
	als "github.com/envoyproxy/go-control-plane/envoy/service/accesslog/v3"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/gabion-io/gabion/controlplane/ads"
	"github.com/gabion-io/gabion/controlplane/ir"
	"github.com/gabion-io/gabion/controlplane/xds"
	"github.com/gabion-io/gabion/internal/unixsocket"
)

// logSink is an access log service that keeps what arrives.
type logSink struct {
	als.UnimplementedAccessLogServiceServer
	entries chan logged
}

type logged struct {
	name, node string
	entry      *alsdata.HTTPAccessLogEntry
}

func (s logSink) StreamAccessLogs(stream als.AccessLogService_StreamAccessLogsServer) error {
	var name, node string // only the first message tells
	for {
		m, err := stream.Recv()
		if err != nil {
			return err
		}
		if id := m.GetIdentifier(); id != nil {
			name, node = id.GetLogName(), id.GetNode().GetId()
		}
		for _, e := range m.GetHttpLogs().GetLogEntry() {
			s.entries <- logged{name, node, e}
		}
	}
}

func startSink(t *testing.T, socket string) logSink {
	t.Helper()
	l, err := unixsocket.Listen(socket)
	if err != nil {
		t.Fatal(err)
	}
	s := logSink{entries: make(chan logged, 100)}
	g := grpc.NewServer(ads.ServerOptions()...)
	als.RegisterAccessLogServiceServer(g, s)
	go g.Serve(l)
	t.Cleanup(g.Stop)
	return s
}

func (s logSink) next(t *testing.T) logged {
	t.Helper()
	select {
	case e := <-s.entries:
		return e
	case <-time.After(patience):
		t.Fatal("no access log entry")
	}
	return logged{}
}

// Whatever Envoy answers, even what it refuses before any filter, is logged.
func TestEnvoyLogsEveryExchange(t *testing.T) {
	t.Parallel()
	dir := ""
	w := newWorld(t, func(o *xds.BootstrapOptions) {
		dir = filepath.Dir(o.ADSSocket)
		o.ALSSocket = filepath.Join(dir, "als.sock")
	})
	w.opts = xds.Options{ALS: xds.ALSCluster, StreamReport: time.Second}
	sink := startSink(t, filepath.Join(dir, "als.sock"))
	port := freePort(t)
	w.serve(gateway(port, []ir.Cluster{clusterOf(t, "a", backend(t, "a"))}, route("/a", "a")))
	for _, c := range []struct {
		request string
		status  uint32
		route   string
	}{
		{"GET /a?q=1 HTTP/1.1\r\nhost: shop.example\r\nuser-agent: test\r\ncontent-type: x/y\r\nconnection: close\r\n\r\n", 200, "default/shop/a"},
		{"GET /none HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n", 404, ""},
		{"GET /a HTTP/1.1\r\nhost: a\r\nx_y: 1\r\nconnection: close\r\n\r\n", 400, ""},
	} {
		raw(t, port, c.request)
		got := sink.next(t)
		e := got.entry
		if got.name != "default/web/http" || got.node != "proxy-1" {
			t.Errorf("logged as %q by %q", got.name, got.node)
		}
		if e.GetResponse().GetResponseCode().GetValue() != c.status || e.GetCommonProperties().GetRouteName() != c.route {
			t.Errorf("%.20q: status %v, route %q", c.request, e.GetResponse().GetResponseCode(), e.GetCommonProperties().GetRouteName())
		}
		if c.status != 200 {
			continue
		}
		if e.GetRequest().GetPath() != "/a?q=1" || e.GetRequest().GetAuthority() != "shop.example" || e.GetRequest().GetUserAgent() != "test" ||
			e.GetRequest().GetRequestId() == "" || e.GetRequest().GetRequestHeaders()["content-type"] != "x/y" ||
			!strings.HasPrefix(e.GetResponse().GetResponseHeaders()["content-type"], "text/plain") {
			t.Errorf("entry %v", e)
		}
	}
}

// A stream that lasts is reported while it lasts.
func TestEnvoyLogsLongStreams(t *testing.T) {
	t.Parallel()
	dir := ""
	w := newWorld(t, func(o *xds.BootstrapOptions) {
		dir = filepath.Dir(o.ADSSocket)
		o.ALSSocket = filepath.Join(dir, "als.sock")
	})
	w.opts = xds.Options{ALS: xds.ALSCluster, StreamReport: time.Second}
	sink := startSink(t, filepath.Join(dir, "als.sock"))
	address := startGRPC(t)
	port := freePort(t)
	w.serve(gateway(port, []ir.Cluster{{Name: "grpc", Protocol: "http2", Endpoints: []ir.Endpoint{endpointOf(t, address)}}}, route("/", "grpc")))
	c, err := grpc.NewClient(fmt.Sprintf("127.0.0.1:%d", port), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	s, err := c.NewStream(t.Context(), &grpc.StreamDesc{ClientStreams: true}, "/test.Collector/Collect")
	if err != nil {
		t.Fatal(err)
	}
	first := sink.next(t)
	if kind := first.entry.GetCommonProperties().GetAccessLogType(); kind != alsdata.AccessLogType_DownstreamPeriodic {
		t.Errorf("first entry is %v", kind)
	}
	s.CloseSend()
	for {
		e := sink.next(t)
		if e.entry.GetCommonProperties().GetAccessLogType() == alsdata.AccessLogType_DownstreamEnd {
			if a, b := first.entry.GetCommonProperties().GetStreamId(), e.entry.GetCommonProperties().GetStreamId(); a != b || a == "" {
				t.Errorf("stream ids %q and %q", a, b)
			}
			return
		}
	}
}
