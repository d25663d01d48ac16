package hubble

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/cilium/cilium/api/v1/flow"
	"github.com/cilium/cilium/api/v1/observer"
	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/fieldmaskpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/gabion-io/gabion/controlplane/access"
	"github.com/gabion-io/gabion/controlplane/store"
	"github.com/gabion-io/gabion/internal/unixsocket"
	"github.com/gabion-io/gabion/segmentation"
	"github.com/gabion-io/gabion/workload"
)

func monday(minute int) time.Time { return time.Date(2026, 11, 2, 9, minute, 0, 0, time.UTC) }

// bed is an observer over a real store, and a client of it.
type bed struct {
	*testing.T
	store  *store.Store
	client observer.ObserverClient
	conn   *grpc.ClientConn
	seq    uint64
}

func newBed(t *testing.T, change func(*Options)) *bed {
	t.Helper()
	st, err := store.Open(t.Context(), store.Options{Dir: t.TempDir(), Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { st.Close() })
	addresses := map[string][]netip.Addr{
		"shop/web-1":  {netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("fd00::1")},
		"shop/cart-1": {netip.MustParseAddr("fd00::2"), netip.MustParseAddr("10.0.0.2")},
		"pay/db-1":    {netip.MustParseAddr("fd00::3")},
	}
	o := Options{
		Store: st, Version: "test", Now: func() time.Time { return monday(10) },
		Addresses: func(id workload.ID) []netip.Addr { return addresses[id.String()] },
		Nodes: func(context.Context) ([]Node, error) {
			return []Node{{Name: "node-1", Since: monday(0), Here: true, Rows: 7}, {Name: "node-2", Since: monday(0), Rows: 1}, {Name: "node-3"}}, nil
		},
	}
	if change != nil {
		change(&o)
	}
	s := New(o)
	path := filepath.Join(t.TempDir(), "hubble.sock")
	ln, err := unixsocket.Listen(path)
	if err != nil {
		t.Fatal(err)
	}
	g := grpc.NewServer(s.ServerOptions()...)
	s.Register(g)
	go func() { _ = g.Serve(ln) }()
	t.Cleanup(g.Stop)
	conn, err := grpc.NewClient("unix:"+path, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return &bed{T: t, store: st, client: observer.NewObserverClient(conn), conn: conn}
}

func (b *bed) add(flows ...store.Flow) {
	b.Helper()
	b.seq++
	if _, err := b.store.AddFlows(b.Context(), store.FlowReport{Host: "node-1", Queue: "q", Seq: b.seq, Flows: flows}); err != nil {
		b.Fatal(err)
	}
}

func at(name string) store.FlowEnd {
	if _, err := netip.ParseAddr(name); err == nil {
		return store.FlowEnd{Address: name}
	}
	_, short, _ := strings.Cut(name, "/")
	app, _, _ := strings.Cut(short, "-")
	return store.FlowEnd{Workload: name, Labels: workload.Labels{"app": app, "tier": "x"}}
}

func between(src, dst string, protocol segmentation.Protocol, port uint16, minute int, change func(*store.Flow)) store.Flow {
	f := store.Flow{Src: at(src), Dst: at(dst), Protocol: protocol, Port: port, Direction: segmentation.Egress, Verdict: segmentation.Allowed,
		Rule: "no policy", Flows: 3, Answered: 2, Packets: 20, Bytes: 900, First: monday(minute).Add(-time.Second), Last: monday(minute)}
	if change != nil {
		change(&f)
	}
	return f
}

// sample is seven flows, whose cursors are 1 to 7, a minute apart.
func (b *bed) sample() {
	b.add(
		between("shop/web-1", "shop/cart-1", segmentation.TCP, 80, 1, nil),
		between("shop/web-1", "shop/cart-1", segmentation.TCP, 81, 2, func(f *store.Flow) {
			f.Direction, f.Verdict, f.Reason, f.Rule = segmentation.Ingress, segmentation.Denied, "denied", "SegmentationPolicy shop/cart default deny (ingress)"
			f.Process, f.PID = "/usr/bin/curl", 42
		}),
		between("shop/cart-1", "pay/db-1", segmentation.TCP, 5432, 3, func(f *store.Flow) {
			f.Verdict, f.Rule = segmentation.Audited, "SegmentationPolicy shop/cart egress[1]"
		}),
		between("shop/web-1", "192.0.2.7", segmentation.UDP, 53, 4, nil),
		between("2001:db8::9", "shop/web-1", segmentation.ICMP, 0, 5, nil),
		between("shop/gone-1", "192.0.2.7", segmentation.SCTP, 80, 6, func(f *store.Flow) { f.Verdict, f.Reason = segmentation.Denied, "spoofed source" }),
		between("shop/web-1", "shop/cart-1", segmentation.Protocol(47), 0, 7, nil),
	)
}

func (b *bed) flows(in *observer.GetFlowsRequest) (out []*flow.Flow, err error) {
	b.Helper()
	stream, err := b.client.GetFlows(b.Context(), in)
	for err == nil {
		var m *observer.GetFlowsResponse
		if m, err = stream.Recv(); err == nil {
			out = append(out, m.GetFlow())
		}
	}
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return out, err
}

func cursors(flows []*flow.Flow) (out string) {
	for _, f := range flows {
		out += strings.TrimPrefix(f.GetUuid(), "gabion-")
	}
	return out
}

func filter(text string) *flow.FlowFilter {
	f := &flow.FlowFilter{}
	if err := protojson.Unmarshal([]byte(text), f); err != nil {
		panic(err)
	}
	return f
}

// Each case: a filter and the flows it picks, or a word of why it is refused.
func TestFilters(t *testing.T) {
	b := newBed(t, nil)
	b.sample()
	for _, c := range []struct{ filter, picks, refused string }{
		{`{}`, "1234567", ""},
		{`{"source_pod":["shop/web"]}`, "1247", ""},
		{`{"source_pod":["shop/web","shop/gone"]}`, "12467", ""},
		{`{"source_pod":["shop/"]}`, "123467", ""},
		{`{"source_pod":["/cart-1"]}`, "3", ""},
		{`{"source_pod":["web"]}`, "", ""}, // in the namespace default
		{`{"destination_pod":["/"]}`, "12357", ""},
		{`{"source_pod":[""]}`, "", "is no name"},
		{`{"source_ip":["10.0.0.1"]}`, "1247", ""},
		{`{"source_ip":["fd00::/16"]}`, "12347", ""},
		{`{"source_ip":["2001:db8::9"]}`, "5", ""},
		{`{"destination_ip":["192.0.2.0/24"]}`, "46", ""},
		{`{"destination_ip":["nowhere"]}`, "", "no address"},
		{`{"source_label":["app=web"]}`, "1247", ""},
		{`{"source_label":["k8s:app in (cart,gone)"]}`, "36", ""},
		{`{"destination_label":["reserved:world"]}`, "46", ""},
		{`{"destination_label":["!reserved:world"]}`, "12357", ""},
		{`{"destination_label":["reserved:host"]}`, "", "no label here"},
		{`{"destination_label":["app in (web"]}`, "", "parenthesis"},
		{`{"traffic_direction":["INGRESS"]}`, "2", ""},
		{`{"verdict":["DROPPED"]}`, "26", ""},
		{`{"verdict":["AUDIT","FORWARDED"]}`, "13457", ""},
		{`{"verdict":["REDIRECTED"]}`, "", "no verdict of gabion's"},
		{`{"drop_reason_desc":["POLICY_DENIED"]}`, "2", ""},
		{`{"drop_reason_desc":["INVALID_SOURCE_IP"]}`, "6", ""},
		{`{"event_type":[{"type":5}]}`, "1234567", ""},
		{`{"event_type":[{"type":1}]}`, "", "policy-verdict"},
		{`{"protocol":["tcp"]}`, "123", ""},
		{`{"protocol":["udp","ICMPv6"]}`, "45", ""},
		{`{"protocol":["icmpv4"]}`, "", ""},
		{`{"protocol":["icmp","sctp"]}`, "56", ""},
		{`{"protocol":["http"]}`, "", "none of tcp"},
		{`{"destination_port":["80"]}`, "16", ""},
		{`{"destination_port":["0"]}`, "", ""},
		{`{"destination_port":["http"]}`, "", "is no port"},
		{`{"source_port":["80"]}`, "", "--to-port"},
		{`{"reply":[false]}`, "1234567", ""},
		{`{"reply":[true]}`, "", ""},
		{`{"node_name":["node-*"]}`, "1234567", ""},
		{`{"node_name":["other"]}`, "", ""},
		{`{"node_name":["default/node-1"]}`, "", "without a cluster"},
		{`{"ip_version":["IPv6"]}`, "35", ""},
		{`{"uuid":["gabion-4"]}`, "4", ""},
		{`{"source_pod":["shop/web"],"destination_port":["81"],"verdict":["DROPPED"]}`, "2", ""},
		{`{"source_fqdn":["*.example.com"]}`, "", "kept by address"},
		{`{"destination_service":["shop/cart"]}`, "", "service"},
		{`{"source_workload":[{"name":"web"}]}`, "", "--pod"},
		{`{"source_identity":[2]}`, "", "--label"},
		{`{"http_method":["GET"]}`, "", "gabion api list"},
		{`{"dns_query":["x"]}`, "", "gabion cannot filter by it"},
		{`{"tcp_flags":[{"SYN":true}]}`, "", "do not hold it"},
		{`{"experimental":{"cel_expression":["true"]}}`, "", "do not hold it"},
	} {
		got, err := b.flows(&observer.GetFlowsRequest{Whitelist: []*flow.FlowFilter{filter(c.filter)}})
		switch {
		case c.refused != "":
			if status.Code(err) != codes.InvalidArgument || !strings.Contains(err.Error(), c.refused) || !strings.Contains(err.Error(), "whitelist[0]") {
				t.Errorf("%s: %v, want it refused with %q", c.filter, err, c.refused)
			}
		case err != nil || cursors(got) != c.picks:
			t.Errorf("%s picks %s, want %s: %v", c.filter, cursors(got), c.picks, err)
		}
	}
}

// The two halves of `hubble observe --port`, and lists that exclude.
func TestListsOfFilters(t *testing.T) {
	b := newBed(t, nil)
	b.sample()
	for _, c := range []struct {
		white, black []string
		picks        string
	}{
		{[]string{`{"source_port":["80"]}`, `{"destination_port":["80"]}`}, nil, "16"},
		{nil, []string{`{"source_port":["80"]}`, `{"destination_port":["80"]}`}, "23457"},
		{[]string{`{"verdict":["DROPPED"]}`, `{"protocol":["udp"]}`}, nil, "246"},
		{[]string{`{"source_pod":["shop/"]}`}, []string{`{"verdict":["DROPPED"]}`, `{"protocol":["udp"]}`}, "137"},
		{nil, []string{`{}`}, ""},
	} {
		in := &observer.GetFlowsRequest{}
		for _, text := range c.white {
			in.Whitelist = append(in.Whitelist, filter(text))
		}
		for _, text := range c.black {
			in.Blacklist = append(in.Blacklist, filter(text))
		}
		if got, err := b.flows(in); err != nil || cursors(got) != c.picks {
			t.Errorf("%v without %v: %s, want %s: %v", c.white, c.black, cursors(got), c.picks, err)
		}
	}
}

// unknown is a filter with a field of the future.
func unknown() *flow.FlowFilter {
	f := &flow.FlowFilter{}
	f.ProtoReflect().SetUnknown([]byte{0xfa, 0x3f, 0x01, 'x'}) // field 1023
	return f
}

func TestRequests(t *testing.T) {
	b := newBed(t, nil)
	b.sample()
	ts := func(minute int) *timestamppb.Timestamp { return timestamppb.New(monday(minute)) }
	dropped := []*flow.FlowFilter{{Verdict: []flow.Verdict{flow.Verdict_DROPPED}}}
	for _, c := range []struct {
		name    string
		in      *observer.GetFlowsRequest
		picks   string
		refused string
	}{
		{"all", &observer.GetFlowsRequest{}, "1234567", ""},
		{"the last", &observer.GetFlowsRequest{Number: 2}, "67", ""},
		{"the last of some", &observer.GetFlowsRequest{Number: 1, Whitelist: dropped}, "6", ""},
		{"more than there are", &observer.GetFlowsRequest{Number: 1<<64 - 1}, "1234567", ""},
		{"the first", &observer.GetFlowsRequest{Number: 2, First: true}, "12", ""},
		{"the first of some", &observer.GetFlowsRequest{Number: 1, First: true, Whitelist: dropped}, "2", ""},
		{"since", &observer.GetFlowsRequest{Since: ts(5)}, "567", ""},
		{"until", &observer.GetFlowsRequest{Until: ts(2)}, "12", ""},
		{"between", &observer.GetFlowsRequest{Since: ts(3), Until: ts(4)}, "34", ""},
		{"the last since", &observer.GetFlowsRequest{Since: ts(3), Until: ts(6), Number: 2}, "56", ""},
		{"the first since", &observer.GetFlowsRequest{Since: ts(3), First: true, Number: 2}, "34", ""},
		{"first and follow", &observer.GetFlowsRequest{First: true, Follow: true}, "", "do not go together"},
		{"until and follow", &observer.GetFlowsRequest{Until: ts(3), Follow: true}, "", "do not go together"},
		{"a time that is none", &observer.GetFlowsRequest{Since: &timestamppb.Timestamp{Nanos: -1}}, "", "since, until"},
		{"a mask of nothing", &observer.GetFlowsRequest{FieldMask: &fieldmaskpb.FieldMask{Paths: []string{"colour"}}}, "", "field mask"},
		{"a filter of the future", &observer.GetFlowsRequest{Blacklist: []*flow.FlowFilter{{}, unknown()}}, "", "blacklist[1]: it has fields"},
	} {
		got, err := b.flows(c.in)
		switch {
		case c.refused != "":
			if status.Code(err) != codes.InvalidArgument || !strings.Contains(err.Error(), c.refused) {
				t.Errorf("%s: %v, want it refused with %q", c.name, err, c.refused)
			}
		case err != nil || cursors(got) != c.picks:
			t.Errorf("%s: %s, want %s: %v", c.name, cursors(got), c.picks, err)
		}
	}
}

// More flows than are read at once, forwards and backwards.
func TestPages(t *testing.T) {
	b := newBed(t, nil)
	var all []store.Flow
	for range 2*page + 1 {
		all = append(all, between("shop/web-1", "shop/cart-1", segmentation.TCP, 80, 1, nil))
	}
	b.add(all...)
	for _, c := range []struct {
		in    *observer.GetFlowsRequest
		n     int
		first string
	}{
		{&observer.GetFlowsRequest{}, 2*page + 1, "1"},
		{&observer.GetFlowsRequest{Number: page + 7}, page + 7, fmt.Sprint(page - 5)},
		{&observer.GetFlowsRequest{Number: page + 7, First: true}, page + 7, "1"},
	} {
		got, err := b.flows(c.in)
		if err != nil || len(got) != c.n || got[0].GetUuid() != "gabion-"+c.first {
			t.Errorf("%v: %d flows from %v: %v", c.in, len(got), got[:min(1, len(got))], err)
		}
	}
}

// What stands is listed, then what comes, each once, and only what was asked for.
func TestFollow(t *testing.T) {
	b := newBed(t, nil)
	b.sample()
	stream, err := b.client.GetFlows(b.Context(), &observer.GetFlowsRequest{Number: 1, Follow: true, Whitelist: []*flow.FlowFilter{{Protocol: []string{"tcp"}}}})
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []string{"3", "9", "10"} {
		m, err := stream.Recv()
		if err != nil {
			t.Fatal(err)
		}
		if got := cursors([]*flow.Flow{m.GetFlow()}); got != want {
			t.Fatalf("flow %d is %s, want %s", i, got, want)
		}
		if i == 0 {
			b.add(between("shop/web-1", "192.0.2.7", segmentation.UDP, 53, 8, nil), between("shop/web-1", "192.0.2.7", segmentation.TCP, 53, 8, nil))
		}
		if i == 1 {
			b.add(between("shop/web-1", "192.0.2.7", segmentation.TCP, 53, 9, nil))
		}
	}
}

func TestReadersAreBounded(t *testing.T) {
	b := newBed(t, nil)
	var conns []observer.ObserverClient
	for range maxReaders / maxStreams {
		conn, err := grpc.NewClient(b.conn.Target(), grpc.WithTransportCredentials(insecure.NewCredentials()))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { conn.Close() })
		conns = append(conns, observer.NewObserverClient(conn))
	}
	b.sample()
	for i := range maxReaders {
		stream, err := conns[i%len(conns)].GetFlows(t.Context(), &observer.GetFlowsRequest{Number: 1, Follow: true})
		if err == nil {
			_, err = stream.Recv() // it is served
		}
		if err != nil {
			t.Fatal(i, err)
		}
	}
	if _, err := b.flows(&observer.GetFlowsRequest{}); status.Code(err) != codes.ResourceExhausted {
		t.Errorf("one more reader: %v", err)
	}
}

func TestMessage(t *testing.T) {
	b := newBed(t, nil)
	b.sample()
	want := []string{`{
		"time":"2026-11-02T09:02:00Z", "uuid":"gabion-2", "verdict":"DROPPED", "drop_reason":133, "drop_reason_desc":"POLICY_DENIED",
		"IP":{"source":"10.0.0.1","destination":"10.0.0.2","ipVersion":"IPv4"}, "l4":{"TCP":{"destination_port":81}},
		"source":{"namespace":"shop","pod_name":"web-1","labels":["app=web","tier=x"]}, "destination":{"namespace":"shop","pod_name":"cart-1","labels":["app=cart","tier=x"]},
		"Type":"L3_L4", "node_name":"node-1", "event_type":{"type":5}, "traffic_direction":"INGRESS", "is_reply":false,
		"ingress_denied_by":[{"kind":"SegmentationPolicy","namespace":"shop","name":"cart"}], "policy_log":["SegmentationPolicy shop/cart default deny (ingress)"],
		"Summary":"TCP 81; flows 3, answered 2, packets 20, bytes 900; denied; by curl[42]"}`, `{
		"time":"2026-11-02T09:03:00Z", "uuid":"gabion-3", "verdict":"AUDIT",
		"IP":{"source":"fd00::2","destination":"fd00::3","ipVersion":"IPv6"}, "l4":{"TCP":{"destination_port":5432}},
		"source":{"namespace":"shop","pod_name":"cart-1","labels":["app=cart","tier=x"]}, "destination":{"namespace":"pay","pod_name":"db-1","labels":["app=db","tier=x"]},
		"Type":"L3_L4", "node_name":"node-1", "event_type":{"type":5}, "traffic_direction":"EGRESS", "is_reply":false, "policy_match_type":2,
		"egress_denied_by":[{"kind":"SegmentationPolicy","namespace":"shop","name":"cart"}], "policy_log":["SegmentationPolicy shop/cart egress[1]"],
		"Summary":"TCP 5432; flows 3, answered 2, packets 20, bytes 900"}`, `{
		"time":"2026-11-02T09:04:00Z", "uuid":"gabion-4", "verdict":"FORWARDED",
		"IP":{"source":"10.0.0.1","destination":"192.0.2.7","ipVersion":"IPv4"}, "l4":{"UDP":{"destination_port":53}},
		"source":{"namespace":"shop","pod_name":"web-1","labels":["app=web","tier=x"]}, "destination":{"identity":2,"labels":["reserved:world"]},
		"Type":"L3_L4", "node_name":"node-1", "event_type":{"type":5}, "traffic_direction":"EGRESS", "is_reply":false, "policy_log":["no policy"],
		"Summary":"UDP 53; flows 3, answered 2, packets 20, bytes 900"}`,
	}
	got, err := b.flows(&observer.GetFlowsRequest{Since: timestamppb.New(monday(2)), Until: timestamppb.New(monday(4))})
	if err != nil || len(got) != len(want) {
		t.Fatal(got, err)
	}
	for i := range want {
		w := &flow.Flow{}
		if err := protojson.Unmarshal([]byte(want[i]), w); err != nil {
			t.Fatal(err)
		}
		if !proto.Equal(w, got[i]) {
			t.Error(cmp.Diff(protojson.Format(w), protojson.Format(got[i])))
		}
	}
}

func TestMask(t *testing.T) {
	b := newBed(t, nil)
	b.sample()
	paths := []string{"source.namespace", "source.pod_name", "l4", "verdict", "destination.labels", "destination"}
	for _, in := range []*observer.GetFlowsRequest{
		{FieldMask: &fieldmaskpb.FieldMask{Paths: paths}},
		//lint:ignore SA1019 where older commands put it
		{Experimental: &observer.GetFlowsRequest_Experimental{FieldMask: &fieldmaskpb.FieldMask{Paths: paths}}},
	} {
		in.Number, in.First = 1, true
		got, err := b.flows(in)
		if err != nil || len(got) != 1 {
			t.Fatal(got, err)
		}
		want := &flow.Flow{
			Verdict: flow.Verdict_FORWARDED, L4: &flow.Layer4{Protocol: &flow.Layer4_TCP{TCP: &flow.TCP{DestinationPort: 80}}},
			Source:      &flow.Endpoint{Namespace: "shop", PodName: "web-1"},
			Destination: &flow.Endpoint{Namespace: "shop", PodName: "cart-1", Labels: []string{"app=cart", "tier=x"}},
		}
		if !proto.Equal(want, got[0]) {
			t.Errorf("%v, want %v", got[0], want)
		}
	}
}

func TestStatusNodesNamespaces(t *testing.T) {
	b := newBed(t, nil)
	b.sample()
	ctx := t.Context()
	st, err := b.client.ServerStatus(ctx, &observer.ServerStatusRequest{})
	if err != nil || st.GetNumFlows() != 7 || st.GetSeenFlows() != 7 || st.GetNumConnectedNodes().GetValue() != 1 ||
		st.GetNumUnavailableNodes().GetValue() != 2 || !cmp.Equal(st.GetUnavailableNodes(), []string{"node-2", "node-3"}) || st.GetVersion() != "gabion test" {
		t.Errorf("status %v: %v", st, err)
	}
	nodes, err := b.client.GetNodes(ctx, &observer.GetNodesRequest{})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, n := range nodes.GetNodes() {
		got = append(got, fmt.Sprint(n.GetName(), " ", n.GetState(), " ", n.GetNumFlows(), " ", time.Duration(n.GetUptimeNs())))
	}
	if d := cmp.Diff([]string{"node-1 NODE_CONNECTED 7 10m0s", "node-2 NODE_UNAVAILABLE 1 10m0s", "node-3 NODE_UNAVAILABLE 0 0s"}, got); d != "" {
		t.Error(d)
	}
	names, err := b.client.GetNamespaces(ctx, &observer.GetNamespacesRequest{})
	if err != nil || len(names.GetNamespaces()) != 2 || names.GetNamespaces()[0].GetNamespace() != "pay" || names.GetNamespaces()[1].GetNamespace() != "shop" {
		t.Errorf("namespaces %v: %v", names, err)
	}
	events, err := b.client.GetAgentEvents(ctx, &observer.GetAgentEventsRequest{})
	if err == nil {
		_, err = events.Recv()
	}
	if status.Code(err) != codes.Unimplemented || !strings.Contains(err.Error(), "gabion audit list") {
		t.Errorf("agent events: %v", err)
	}
}

// Without a token nobody is answered, not even whether anybody is there.
func TestAdmission(t *testing.T) {
	b := newBed(t, func(o *Options) {
		o.Admit = func(_ context.Context, _, secret string) error {
			switch secret {
			case "good":
				return nil
			case "guess":
				return access.ErrThrottled
			}
			return access.ErrToken
		}
	})
	b.sample()
	for header, want := range map[string]codes.Code{
		"": codes.Unauthenticated, "Bearer good": codes.OK, "bearer bad": codes.Unauthenticated, "Bearer guess": codes.ResourceExhausted,
		"Basic Z2FiaW9uOmdvb2Q=": codes.OK /* gabion:good */, "Basic Z29vZA==": codes.Unauthenticated /* good */, "Basic !": codes.Unauthenticated,
		"Digest good": codes.Unauthenticated, "good": codes.Unauthenticated,
	} {
		ctx := t.Context()
		if header != "" {
			ctx = metadata.AppendToOutgoingContext(ctx, "authorization", header)
		}
		_, err := grpc_health_v1.NewHealthClient(b.conn).Check(ctx, &grpc_health_v1.HealthCheckRequest{Service: "hubble.server.Observer"})
		if status.Code(err) != want {
			t.Errorf("health with %q: %v, want %s", header, err, want)
		}
		stream, err := b.client.GetFlows(ctx, &observer.GetFlowsRequest{})
		if err == nil {
			_, err = stream.Recv()
		}
		if status.Code(err) != want {
			t.Errorf("flows with %q: %v, want %s", header, err, want)
		}
	}
}

// Who follows is looked at again: a token that is revoked reads no further.
func TestRevokedWhileFollowing(t *testing.T) {
	var revoked atomic.Bool
	b := newBed(t, func(o *Options) {
		o.Again = time.Millisecond
		o.Admit = func(context.Context, string, string) error {
			if revoked.Load() {
				return access.ErrToken
			}
			return nil
		}
	})
	b.sample()
	stream, err := b.client.GetFlows(metadata.AppendToOutgoingContext(t.Context(), "authorization", "Bearer good"), &observer.GetFlowsRequest{Number: 1, Follow: true})
	if err == nil {
		_, err = stream.Recv()
	}
	if err != nil {
		t.Fatal(err)
	}
	revoked.Store(true)
	if m, err := stream.Recv(); status.Code(err) != codes.Unauthenticated {
		t.Errorf("after the token was revoked: %v, %v", m, err)
	}
}
