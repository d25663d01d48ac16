package ingest

import (
	"encoding/json"
	"strings"
	"sync"
	"testing"

	data "github.com/envoyproxy/go-control-plane/envoy/data/accesslog/v3"
	stats "github.com/envoyproxy/go-control-plane/envoy/extensions/filters/http/grpc_stats/v3"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/gabion-io/gabion/filters"
	"github.com/gabion-io/gabion/internal/exchange"
)

// learner keeps what it is told.
type learner struct {
	mu  sync.Mutex
	got []exchange.Observation
}

func (l *learner) Add(o *exchange.Observation) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.got = append(l.got, *o)
}

func plainEntry(i int, change func(*data.HTTPAccessLogEntry)) *data.HTTPAccessLogEntry {
	e := entry(i, nil)
	e.CommonProperties.ResponseFlags = nil
	e.Response.ResponseHeaders = map[string]string{"content-type": "application/json; charset=utf-8"}
	if change != nil {
		change(e)
	}
	return e
}

func TestObservations(t *testing.T) {
	l := &learner{}
	w := newWorld(t, func(o *Options) { o.Operations, o.OperationKey = l, exchange.Key{1} })
	denied, suspect := finding("01DENIED"), finding("01SUSPECT")
	denied.Decision = filters.Denied
	blocked := entry(2, denied)
	blocked.CommonProperties.ResponseFlags = nil
	passed := entry(3, suspect)
	passed.CommonProperties.ResponseFlags = nil
	e := plainEntry(1, nil)
	w.send(e, e, blocked, passed,
		plainEntry(4, func(e *data.HTTPAccessLogEntry) {
			e.CommonProperties.AccessLogType = data.AccessLogType_DownstreamStart
		}),
		plainEntry(5, func(e *data.HTTPAccessLogEntry) { e.CommonProperties.UpstreamCluster = "" }),
		plainEntry(6, func(e *data.HTTPAccessLogEntry) {
			e.CommonProperties.UpstreamCluster, e.CommonProperties.RouteName = "", ""
			e.Request.Authority = "whatever.example"
		}),
		plainEntry(7, func(e *data.HTTPAccessLogEntry) {
			e.CommonProperties.ResponseFlags = &data.ResponseFlags{UpstreamConnectionFailure: true}
			e.Response.ResponseCode = wrapperspb.UInt32(503)
		}),
		plainEntry(8, func(e *data.HTTPAccessLogEntry) {
			e.Request.RequestHeaders = map[string]string{"content-type": "application/grpc"}
			e.Response.ResponseTrailers = map[string]string{"grpc-status": "7"}
			counted := must(anypb.New(&stats.FilterObject{RequestMessageCount: 1, ResponseMessageCount: 3}))
			e.CommonProperties.FilterStateObjects = map[string]*anypb.Any{grpcMessages: counted}
		}))
	w.flush()
	if len(l.got) != 7 { // the repeated one and the one that had only begun are none
		t.Fatalf("%d observations", len(l.got))
	}
	o := l.got[0]
	if o.Service != "default/shop" || len(o.Segments) != 4 || o.Segments[0].Text != "orders" || o.Segments[1].Kind != exchange.KindSmall && o.Segments[1].Kind != exchange.KindNumber ||
		o.Segments[3].Kind != exchange.KindEmail || len(o.Params) != 2 || o.Status != 200 || o.Response.MediaType != "application/json" || o.Caller.Kind != "client" ||
		len(o.Auth) != 0 || o.Blocked || o.Failed || o.Suspect {
		t.Errorf("%+v", o)
	}
	if g := l.got[6]; g.Protocol != "grpc" || g.Streaming != "server" || g.Status != 403 {
		t.Errorf("a gRPC call is seen as %s %s %d", g.Protocol, g.Streaming, g.Status)
	}
	text := string(must(json.Marshal(o)))
	for _, secret := range []string{"anna", "203.0.113", "secretagent", "198.51.100"} {
		if strings.Contains(text, secret) {
			t.Errorf("%q is in an observation", secret)
		}
	}
	for i, want := range []struct {
		service                 string
		blocked, suspect, fails bool
	}{{"default/shop", false, false, false}, {"default/shop", true, false, false}, {"default/shop", false, true, false},
		{"default/shop", false, false, true}, {"unrouted", false, false, true}, {"default/shop", false, false, true}} {
		if g := l.got[i]; g.Service != want.service || g.Blocked != want.blocked || g.Suspect != want.suspect || g.Failed != want.fails {
			t.Errorf("%d: %s blocked %v suspect %v failed %v, want %+v", i, g.Service, g.Blocked, g.Suspect, g.Failed, want)
		}
	}
}
