package ingest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	data "github.com/envoyproxy/go-control-plane/envoy/data/accesslog/v3"
	accesslog "github.com/envoyproxy/go-control-plane/envoy/service/accesslog/v3"
	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/timestamppb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/gabion-io/gabion/controlplane/store"
	"github.com/gabion-io/gabion/filters"
	"github.com/gabion-io/gabion/internal/recording"
	"github.com/gabion-io/gabion/internal/spool"
)

// world is a running ingest with a real store and a real gRPC connection.
type world struct {
	t      *testing.T
	in     *Ingest
	store  *store.Store
	client accesslog.AccessLogServiceClient
	dir    string
	stop   func()
}

func newWorld(t *testing.T, change func(*Options)) *world {
	t.Helper()
	dir := t.TempDir()
	st, err := store.Open(t.Context(), store.Options{Dir: filepath.Join(dir, "db")})
	if err != nil {
		t.Fatal(err)
	}
	key, err := st.InstallationKey(t.Context(), "client")
	if err != nil {
		t.Fatal(err)
	}
	o := Options{Sink: st, ClientKey: key, EventSpools: []string{filepath.Join(dir, "events")}, Poll: 20 * time.Millisecond,
		RecordingSpools: []string{filepath.Join(dir, "recordings")}, Archive: &recording.Archive{Dir: filepath.Join(dir, "archive")},
		Registry: prometheus.NewRegistry()}
	if change != nil {
		change(&o)
	}
	in, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { in.Run(ctx); close(done) }()
	listener, err := net.Listen("unix", filepath.Join(dir, "als.sock"))
	if err != nil {
		t.Fatal(err)
	}
	g := grpc.NewServer()
	in.Register(g)
	go g.Serve(listener)
	conn, err := grpc.NewClient("unix://"+listener.Addr().String(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, in: in, store: st, client: accesslog.NewAccessLogServiceClient(conn), dir: dir}
	stopped := false
	w.stop = func() {
		if !stopped {
			stopped = true
			cancel()
			<-done
		}
	}
	t.Cleanup(func() { conn.Close(); g.Stop(); w.stop(); st.Close() })
	return w
}

func (w *world) send(entries ...*data.HTTPAccessLogEntry) {
	w.t.Helper()
	stream, err := w.client.StreamAccessLogs(w.t.Context())
	if err != nil {
		w.t.Fatal(err)
	}
	for i, e := range entries {
		m := &accesslog.StreamAccessLogsMessage{LogEntries: &accesslog.StreamAccessLogsMessage_HttpLogs{
			HttpLogs: &accesslog.StreamAccessLogsMessage_HTTPAccessLogEntries{LogEntry: []*data.HTTPAccessLogEntry{e}}}}
		if i == 0 {
			m.Identifier = &accesslog.StreamAccessLogsMessage_Identifier{Node: &core.Node{Id: "edge-1"}, LogName: "default/web/http"}
		}
		if err := stream.Send(m); err != nil {
			w.t.Fatal(err)
		}
	}
	stream.CloseAndRecv() // the server ends the stream with io.EOF, having read it all
}

func (w *world) flush() {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), 20*time.Second)
	defer cancel()
	if err := w.in.Flush(ctx); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) coverage(source string) store.Coverage {
	w.t.Helper()
	all, err := w.store.Coverage(w.t.Context())
	if err != nil {
		w.t.Fatal(err)
	}
	for _, c := range all {
		if c.Source == source {
			return c
		}
	}
	return store.Coverage{}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func entry(i int, event any) *data.HTTPAccessLogEntry {
	e := &data.HTTPAccessLogEntry{
		ProtocolVersion: data.HTTPAccessLogEntry_HTTP11,
		CommonProperties: &data.AccessLogCommon{
			DownstreamRemoteAddress: socket("203.0.113.77", uint32(1000+i)),
			StartTime:               timestamppb.New(time.Now()),
			Duration:                durationpb.New(5 * time.Millisecond),
			RouteName:               "default/shop/0/1", UpstreamCluster: "default/shop:80",
			StreamId: fmt.Sprint("s", i), AccessLogType: data.AccessLogType_DownstreamEnd,
			ResponseFlags: &data.ResponseFlags{UpstreamOverflow: true, NoRouteFound: true},
		},
		Request: &data.HTTPRequestProperties{RequestMethod: core.RequestMethod_GET, Authority: "Shop.example:8080",
			Path: "/orders/4711/by/anna@example.com?token=hunter2&q=card4111", UserAgent: "secretagent", RequestHeadersBytes: 10,
			RequestBodyBytes: 5, ForwardedFor: "198.51.100.9", RequestHeaders: map[string]string{"x-forwarded-for": "198.51.100.9"}},
		Response: &data.HTTPResponseProperties{ResponseCode: wrapperspb.UInt32(200), ResponseBodyBytes: 7},
	}
	if event != nil {
		text, ok := event.(string)
		if !ok {
			text = string(must(json.Marshal(event)))
		}
		e.CommonProperties.Metadata = &core.Metadata{FilterMetadata: map[string]*structpb.Struct{
			filters.MetadataNamespace: {Fields: map[string]*structpb.Value{filters.MetadataKey: structpb.NewStringValue(text)}}}}
	}
	return e
}

func socket(address string, port uint32) *core.Address {
	return &core.Address{Address: &core.Address_SocketAddress{SocketAddress: &core.SocketAddress{Address: address,
		PortSpecifier: &core.SocketAddress_PortValue{PortValue: port}}}}
}

func finding(id string) filters.Event {
	return filters.Event{ID: id, Time: time.Now(), Mode: filters.ModeDetect, Decision: filters.Detect, Engine: "waf", Score: 5,
		Client: "203.0.113.77:1001", Method: "GET", Host: "shop.example:8080", Path: "/orders/4711/by/anna@example.com",
		Route: "default/shop", RouteRule: "0", Policy: "WAFPolicy default/shop",
		Matches: []filters.Match{{Rule: 942100, Variable: "ARGS:q", Value: "[redacted]"}}}
}

func TestNoValuePassesTheDoor(t *testing.T) {
	w := newWorld(t, nil)
	w.send(entry(1, finding("01EVENT")))
	w.flush()
	xs := must(w.store.Exchanges(t.Context(), store.ExchangeQuery{}))
	if len(xs) != 1 {
		t.Fatalf("%d exchanges", len(xs))
	}
	x := xs[0]
	x.ID, x.Time = "", time.Time{}
	if x.Client == "" || len(x.Client) != 16 {
		t.Fatalf("client %q", x.Client)
	}
	client := x.Client
	x.Client = ""
	want := `{"id":"","time":"0001-01-01T00:00:00Z","proxy":"edge-1","listener":"default/web/http","route":"default/shop","routeRule":"0","cluster":"default/shop:80","method":"GET","host":"shop.example","path":"/orders/{number}/by/{email}","params":["token","q"],"proto":"HTTP/1.1","status":200,"bytesIn":15,"bytesOut":7,"duration":5000000,"flags":"UO,NR","event":"01EVENT"}`
	if diff := cmp.Diff(want, string(must(json.Marshal(x)))); diff != "" {
		t.Fatal(diff)
	}
	e := must(w.store.Event(t.Context(), "01EVENT"))
	if e.Client != client || e.ClientNet != "203.0.113.0/24" || e.Proxy != "edge-1" || e.Status != 200 || e.Path != x.Path {
		t.Fatalf("%+v", e)
	}
	stored := string(must(json.Marshal(e))) + string(must(json.Marshal(xs)))
	for _, secret := range []string{"4711", "anna", "hunter2", "4111", "secretagent", "203.0.113.77", "198.51.100"} {
		if strings.Contains(stored, secret) {
			t.Errorf("%q reached the store", secret)
		}
	}
}

func TestRepeatsCountOnce(t *testing.T) {
	w := newWorld(t, nil)
	e := entry(1, finding("01EVENT"))
	w.send(e, e)
	w.send(e) // the proxy came back and sent it again
	w.flush()
	if n := len(must(w.store.Exchanges(t.Context(), store.ExchangeQuery{}))); n != 1 {
		t.Fatalf("%d exchanges", n)
	}
	if c := w.coverage("accesslog edge-1"); c.Received != 1 || c.Duplicates != 2 || c.Lost != 0 {
		t.Fatalf("%+v", c)
	}
}

func TestLongStreamIsOneExchange(t *testing.T) {
	w := newWorld(t, nil)
	e := entry(1, nil)
	start := e.CommonProperties.StartTime
	for i := range 4 {
		part := entry(1, nil)
		part.CommonProperties.StartTime = start
		part.CommonProperties.AccessLogType = data.AccessLogType_DownstreamPeriodic
		part.Response.ResponseBodyBytes = uint64(i)
		w.send(part)
	}
	w.flush()
	if xs := must(w.store.Exchanges(t.Context(), store.ExchangeQuery{})); len(xs) != 1 || xs[0].BytesOut != 3 {
		t.Fatalf("%+v", xs)
	}
	e.Response.ResponseBodyBytes = 100
	w.send(e)
	w.flush()
	if xs := must(w.store.Exchanges(t.Context(), store.ExchangeQuery{})); len(xs) != 1 || xs[0].BytesOut != 100 {
		t.Fatalf("%+v", xs)
	}
	if c := w.coverage("accesslog edge-1"); c.Received != 1 || c.Duplicates != 0 {
		t.Fatalf("%+v", c)
	}
}

func TestGarbageIsCounted(t *testing.T) {
	w := newWorld(t, nil)
	bad := []any{"", "{", "null", "[]", `{"id":""}`, `{"id":"a b","decision":"deny"}`, `{"id":"a","decision":"maybe"}`,
		`{"id":"a","decision":"ended"}`, `{"id":"a","decision":"ended","process":{"exit":"x"}}`,
		`{"id":"a","decision":"ended","process":{"name":"envoy","restarts":-1}}`, `{"id":"a","decision":"ended","process":{"name":"envoy","back":"soon"}}`,
		`{"id":"a","decision":"ended","process":{"name":"envoy"}}`, // of an exchange it tells nothing
		`{"id":"a","decision":"deny","mode":"x"}`, `{"id":7,"decision":"deny"}`, `{"id":"a","decision":"deny","reason":"` + strings.Repeat("x", 70_000) + `"}`}
	var entries []*data.HTTPAccessLogEntry
	for i, b := range bad {
		entries = append(entries, entry(i, b))
	}
	entries = append(entries, nil, &data.HTTPAccessLogEntry{}, entry(99, `{"id":"good","decision":"deny","fromTheFuture":1}`))
	w.send(entries...)
	w.flush()
	if events := must(w.store.Events(t.Context(), store.EventQuery{})); len(events) != 1 || events[0].ID != "good" {
		t.Fatalf("%+v", events)
	}
	if c := w.coverage("accesslog edge-1"); c.Garbage != uint64(len(bad)) || c.Received+c.Duplicates != uint64(len(entries)) {
		t.Fatalf("%+v", c)
	}
}

// The same event by both ways is one event; an event that only the spool has
// (the proxy died, or we were away) arrives; what the spool lost is exact.
func TestSpool(t *testing.T) {
	w := newWorld(t, nil)
	sp, err := spool.OpenWith(filepath.Join(w.dir, "events"), spool.Options{FlushEvery: time.Hour, QueueRecords: 3})
	if err != nil {
		t.Fatal(err)
	}
	w.send(entry(1, finding("01BOTH")))
	for _, id := range []string{"01BOTH", "02SPOOL"} {
		sp.Append(must(json.Marshal(finding(id))))
	}
	sp.Append([]byte("garbage"))
	for range 5 {
		sp.Append([]byte("too many"))
	}
	sp.Close()
	w.flush()
	w.flush()
	events := must(w.store.Events(t.Context(), store.EventQuery{}))
	if len(events) != 2 || events[0].Client == "" || strings.Contains(events[0].Path, "4711") {
		t.Fatalf("%+v", events)
	}
	if c := w.coverage("spool"); c.Received != 2 || c.Garbage != 1 || c.Lost != 5 {
		t.Fatalf("%+v", c)
	}
	if e := must(w.store.Event(t.Context(), "01BOTH")); e.Proxy != "edge-1" {
		t.Fatalf("%+v", e)
	}
}

// The end of a process arrives by the spool, is completed in place when the process
// is back, and has nothing of a request, whatever the spool says.
func TestEndsOfProcesses(t *testing.T) {
	w := newWorld(t, nil)
	sp := must(spool.Open(filepath.Join(w.dir, "events"), 1<<20))
	now := time.Now().UTC().Truncate(time.Microsecond)
	end := func(change func(*filters.Event)) []byte {
		e := finding("01ENDED")
		e.Time, e.Proxy, e.Decision, e.Engine = now, "up-here", filters.Ended, "waf"
		e.API = &filters.APIFinding{Operation: "GET /"}
		e.Process = &filters.ProcessEnd{Name: "envoy", Exit: "signal: killed", Fatal: "fatal error: x", Ready: now.Add(-time.Hour), Restarts: 2}
		change(&e)
		return must(json.Marshal(e))
	}
	back := func(e *filters.Event) { e.Process.Back, e.Process.Restarts = now.Add(time.Second), 4 }
	sp.Append(end(func(*filters.Event) {}))
	sp.Flush()
	w.flush()
	want := filters.Event{ID: "01ENDED", Time: now, Proxy: "up-here", Decision: filters.Ended, Engine: filters.ProcessEngine,
		Process: &filters.ProcessEnd{Name: "envoy", Exit: "signal: killed", Fatal: "fatal error: x", Ready: now.Add(-time.Hour), Restarts: 2}}
	if diff := cmp.Diff(want, must(w.store.Event(t.Context(), "01ENDED")).Event); diff != "" {
		t.Error(diff)
	}
	sp.Append(end(back))
	sp.Append(end(func(*filters.Event) {})) // an old one again takes nothing away
	sp.Append(end(func(e *filters.Event) {  // no moment that cannot be, and no text without end
		e.ID = "02ENDED"
		e.Process = &filters.ProcessEnd{Name: strings.Repeat("n", 99), Exit: strings.Repeat("e", 999), Fatal: strings.Repeat("f", 999),
			Ready: now.Add(time.Minute), Back: now.Add(-time.Minute)}
	}))
	sp.Append(end(func(e *filters.Event) { e.ID, e.Process.Back = "03ENDED", now.Add(1000*time.Hour) }))
	// A year below 0, which JSON cannot write, must not keep what comes after it.
	sp.Append([]byte(strings.Replace(string(end(func(e *filters.Event) { e.ID, e.Process.Ready = "06ENDED", now })),
		now.Format(`"ready":"2006-01-02T15:04:05.999999Z"`), `"ready":"0000-01-01T00:00:00+01:00"`, 1)))
	sp.Append(end(func(e *filters.Event) { e.ID, e.Decision = "04DENIED", filters.Denied }))
	sp.Append(end(func(e *filters.Event) { e.ID, e.Process = "05ENDED", nil }))
	sp.Close()
	w.flush()
	want.Process.Back, want.Process.Restarts = now.Add(time.Second), 4
	if diff := cmp.Diff(want, must(w.store.Event(t.Context(), "01ENDED")).Event); diff != "" {
		t.Error(diff)
	}
	p := must(w.store.Event(t.Context(), "02ENDED")).Process
	if len(p.Name) != 64 || len(p.Exit) != 128 || len(p.Fatal) != 512 || !p.Ready.IsZero() || !p.Back.IsZero() {
		t.Errorf("%+v", p)
	}
	if p := must(w.store.Event(t.Context(), "03ENDED")).Process; !p.Back.IsZero() {
		t.Errorf("back in the far future: %+v", p)
	}
	if p := must(w.store.Event(t.Context(), "06ENDED")).Process; !p.Ready.IsZero() {
		t.Errorf("ready before all time: %+v", p)
	}
	if e := must(w.store.Event(t.Context(), "04DENIED")); e.Process != nil || e.Engine != "waf" {
		t.Errorf("of a request, with a process: %+v", e)
	}
	if events := must(w.store.Events(t.Context(), store.EventQuery{Decision: filters.Ended})); len(events) != 4 {
		t.Errorf("%d ended, want 4", len(events))
	}
	if events := must(w.store.Events(t.Context(), store.EventQuery{Rule: 942100})); len(events) != 1 {
		t.Errorf("%d with rules, want that of the request", len(events))
	}
	if xs := must(w.store.Exchanges(t.Context(), store.ExchangeQuery{})); len(xs) != 0 {
		t.Errorf("%d exchanges", len(xs))
	}
	if c := w.coverage("spool"); c.Received != 7 || c.Duplicates != 2 || c.Garbage != 1 {
		t.Errorf("%+v", c)
	}
}

func TestRecordingsReachTheArchive(t *testing.T) {
	w := newWorld(t, nil)
	key := must(recording.GenerateKey())
	sp := must(spool.OpenWith(filepath.Join(w.dir, "recordings"), spool.Options{MaxBytes: 1 << 20, Weight: recording.Count}))
	sealer := must(recording.NewSealer(recording.PublicKey(key), sp, recording.SealerOptions{}))
	for i := range 5 {
		sealer.Add(&recording.Exchange{ID: fmt.Sprint(i), Time: time.Now()})
	}
	sealer.Close()
	if sealer.Add(&recording.Exchange{ID: "late"}) { // lost before it was sealed
		t.Error("a closed sealer takes more")
	}
	sp.Append([]byte("no batch at all"))
	sp.Close()
	w.flush()
	n := 0
	report, err := recording.NewOpener(filepath.Join(w.dir, "archive"), key).Each(recording.Query{}, func(*recording.Exchange) error { n++; return nil })
	if err != nil || n != 5 {
		t.Fatal(n, report, err)
	}
	if c := w.coverage("recording"); c.Received != 5 || c.Garbage != 1 || c.Lost != 1 { // exchanges, not batches
		t.Fatalf("%+v", c)
	}
}

// blocked is a store that takes nothing.
type blocked struct{ *store.Store }

func (blocked) AddEvents(context.Context, []filters.Event) (int, error) {
	return 0, errors.New("no room")
}

func TestSpoolWaitsForAStoreThatRefuses(t *testing.T) {
	w := newWorld(t, func(o *Options) { o.Sink = blocked{o.Sink.(*store.Store)} })
	sp := must(spool.Open(filepath.Join(w.dir, "events"), 1<<20))
	sp.Append(must(json.Marshal(finding("01KEPT"))))
	sp.Close()
	w.in.pass(t.Context())
	n := 0
	if _, err := spool.Drain(filepath.Join(w.dir, "events"), func([]byte) error { n++; return nil }); err != nil && !errors.Is(err, spool.ErrBusy) || n != 1 && err == nil {
		t.Fatal(n, err)
	}
}

// slow never finishes a write until told.
type slow struct {
	*store.Store
	gate chan struct{}
}

func (s slow) AddEvents(ctx context.Context, es []filters.Event) (int, error) {
	<-s.gate
	return s.Store.AddEvents(ctx, es)
}

func TestFullQueueDropsAndCounts(t *testing.T) {
	gate := make(chan struct{})
	w := newWorld(t, func(o *Options) {
		o.Queue = 10
		o.EventSpools = nil
		o.Sink = slow{o.Sink.(*store.Store), gate}
	})
	w.send(entry(0, nil))
	time.Sleep(300 * time.Millisecond) // the writer now hangs in the store
	var entries []*data.HTTPAccessLogEntry
	for i := range 50 {
		entries = append(entries, entry(i+1, nil))
	}
	w.send(entries...)
	close(gate)
	w.flush()
	c := w.coverage("accesslog edge-1")
	stored := len(must(w.store.Exchanges(t.Context(), store.ExchangeQuery{})))
	if c.Received != 51 || c.Lost != 40 || stored != 11 {
		t.Fatalf("%+v, %d stored", c, stored)
	}
}

func TestStopWritesWhatIsQueued(t *testing.T) {
	w := newWorld(t, nil)
	var entries []*data.HTTPAccessLogEntry
	for i := range 700 {
		entries = append(entries, entry(i, nil))
	}
	w.send(entries...)
	w.stop()
	if n := len(must(w.store.Exchanges(t.Context(), store.ExchangeQuery{Limit: 1000}))); n != 700 {
		t.Fatal(n)
	}
	if c := w.coverage("accesslog edge-1"); c.Received != 700 || c.Lost != 0 {
		t.Fatalf("%+v", c)
	}
}

func TestEventIsReadableSoon(t *testing.T) {
	w := newWorld(t, nil)
	wake := w.store.EventsChanged()
	w.send(entry(1, finding("01SOON")))
	select {
	case <-wake:
	case <-time.After(20 * time.Second):
		t.Fatal("no event")
	}
}

func FuzzDecodeEvent(f *testing.F) {
	f.Add(must(json.Marshal(finding("01"))))
	f.Add([]byte(`{"id":"a","decision":"deny","matches":[{"tags":["a"]}]}`))
	f.Add([]byte(`{"id":"a","decision":"ended","score":3,"process":{"name":"envoy","exit":"x","ready":"2026-01-01T00:00:00Z","back":"2026-01-01T00:00:00Z"}}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		e, err := decodeEvent(b)
		if err != nil {
			return
		}
		d := door{key: make([]byte, 32), now: time.Now}
		d.spooled(e)
		if strings.ContainsAny(e.Path, "?%@") || len(e.Matches) > filters.MaxMatches || len(e.Reason) > 1100 {
			t.Fatalf("%+v", e)
		}
		if p := e.Process; (p != nil) != (e.Decision == filters.Ended) || p != nil && (e.Score != 0 || len(e.Matches) > 0 || p.Away(e.Time) < 0) {
			t.Fatalf("%+v of process %+v", e, p)
		}
	})
}

// What segmentation policies say against a request is an event, beside what the
// filter found or by itself.
func TestAccessBecomesAnEvent(t *testing.T) {
	w := newWorld(t, nil)
	with := func(i int, event any, details, audited string) *data.HTTPAccessLogEntry {
		e := entry(i, event)
		e.Response.ResponseCodeDetails = details
		if audited != "" {
			if e.CommonProperties.Metadata == nil {
				e.CommonProperties.Metadata = &core.Metadata{FilterMetadata: map[string]*structpb.Struct{}}
			}
			e.CommonProperties.Metadata.FilterMetadata["envoy.filters.http.rbac"] = &structpb.Struct{
				Fields: map[string]*structpb.Value{"shadow_engine_result": structpb.NewStringValue(audited)}}
		}
		return e
	}
	w.send(
		with(1, nil, "via_upstream", "allowed"),
		with(2, nil, "via_upstream", "denied"),
		with(3, nil, "rbac_access_denied_matched_policy[none]", "denied"),
		with(4, finding("01EVENT"), "via_upstream", "denied"),
	)
	w.flush()
	events, err := w.store.Events(t.Context(), store.EventQuery{})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range events {
		got = append(got, fmt.Sprintf("%s %s %d: %s", e.Engine, e.Decision, e.WouldBe, e.Reason))
	}
	slices.Sort(got)
	want := []string{
		"segmentation deny 403: no segmentation policy allows the request",
		"segmentation detect 403: enforced, the audited segmentation policies would not allow the request",
	}
	if len(got) != 3 || !slices.Equal(got[:2], want) || !strings.HasSuffix(got[2], want[1][len("segmentation detect 403: "):]) {
		t.Errorf("events:\n%s", strings.Join(got, "\n"))
	}
}
