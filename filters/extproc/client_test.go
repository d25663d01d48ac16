package extproc

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	discovery "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"

	"github.com/google/go-cmp/cmp"

	"github.com/gabion-io/gabion/filters/chain"
)

const (
	emptyTable = `{"listener":"a","bindings":{},"policies":{},"unknown":"open"}`
	otherTable = `{"listener":"b","bindings":{},"policies":{},"unknown":"closed"}`
)

// plane is a control plane that hands its streams to the test.
type plane struct {
	discovery.UnimplementedAggregatedDiscoveryServiceServer
	streams chan discovery.AggregatedDiscoveryService_DeltaAggregatedResourcesServer
}

func (p *plane) DeltaAggregatedResources(s discovery.AggregatedDiscoveryService_DeltaAggregatedResourcesServer) error {
	select {
	case p.streams <- s:
	case <-s.Context().Done():
	}
	<-s.Context().Done()
	return nil
}

func startPlane(t *testing.T, socket string) (*plane, *grpc.Server) {
	t.Helper()
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	p := &plane{streams: make(chan discovery.AggregatedDiscoveryService_DeltaAggregatedResourcesServer)}
	g := grpc.NewServer()
	discovery.RegisterAggregatedDiscoveryServiceServer(g, p)
	go func() { _ = g.Serve(l) }()
	t.Cleanup(g.Stop)
	return p, g
}

func (p *plane) accept(t *testing.T) discovery.AggregatedDiscoveryService_DeltaAggregatedResourcesServer {
	t.Helper()
	select {
	case s := <-p.streams:
		return s
	case <-time.After(30 * time.Second):
		t.Fatal("the filter did not connect")
		return nil
	}
}

func resource(t *testing.T, name, version, table string) *discovery.Resource {
	t.Helper()
	return &discovery.Resource{Name: name, Version: version, Resource: pack(t, &core.TypedExtensionConfig{
		Name: name, TypedConfig: pack(t, wrapperspb.String(table)),
	})}
}

func pack(t *testing.T, m proto.Message) *anypb.Any {
	t.Helper()
	a, err := anypb.New(m)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// exchange sends an answer and gives the filter's word on it.
func exchange(t *testing.T, s discovery.AggregatedDiscoveryService_DeltaAggregatedResourcesServer, r *discovery.DeltaDiscoveryResponse) *discovery.DeltaDiscoveryRequest {
	t.Helper()
	r.TypeUrl = extensionType
	if err := s.Send(r); err != nil {
		t.Fatal(err)
	}
	got, err := s.Recv()
	if err != nil {
		t.Fatal(err)
	}
	if got.GetResponseNonce() != r.GetNonce() {
		t.Errorf("nonce %q, want %q", got.GetResponseNonce(), r.GetNonce())
	}
	return got
}

func startClient(t *testing.T, socket, state string) *tables {
	t.Helper()
	ts := newTables(chain.NewRuntime(chain.Options{}))
	d := disk{dir: state}
	log := slog.New(slog.DiscardHandler)
	if err := startFromDisk(ts, d, log); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	c := client{socket: socket, node: "test", tables: ts, disk: d, log: log}
	go func() { done <- c.run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return ts
}

// The client's life: subscribe, accept, refuse, lose a table, lose the control
// plane, come back knowing what it has, and start without a control plane.
func TestClient(t *testing.T) {
	dir := t.TempDir()
	socket, state := filepath.Join(dir, "ads.sock"), filepath.Join(dir, "state")
	p, g := startPlane(t, socket)
	ts := startClient(t, socket, state)

	s := p.accept(t)
	hello, err := s.Recv()
	if err != nil {
		t.Fatal(err)
	}
	if hello.GetNode().GetCluster() != filterCluster || !cmp.Equal(hello.GetResourceNamesSubscribe(), []string{"*"}) || len(hello.GetInitialResourceVersions()) != 0 {
		t.Errorf("hello %v", hello)
	}
	ack := exchange(t, s, &discovery.DeltaDiscoveryResponse{Nonce: "1", Resources: []*discovery.Resource{
		resource(t, "a", "v1", emptyTable), resource(t, "b", "v1", otherTable),
	}})
	if ack.GetErrorDetail() != nil {
		t.Errorf("refused good tables: %v", ack.GetErrorDetail())
	}
	want := []shipped{{"a", "v1", emptyTable}, {"b", "v1", otherTable}}
	if d := cmp.Diff(want, ts.list()); d != "" {
		t.Error(d)
	}

	nack := exchange(t, s, &discovery.DeltaDiscoveryResponse{Nonce: "2", Resources: []*discovery.Resource{
		resource(t, "a", "v2", `{"listener":"a","nonsense":1}`), resource(t, "b", "v2", emptyTable),
	}})
	if msg := nack.GetErrorDetail().GetMessage(); msg == "" {
		t.Error("took a bad table")
	}
	want[1] = shipped{"b", "v2", emptyTable}
	if d := cmp.Diff(want, ts.list()); d != "" {
		t.Errorf("the good one of two must be taken, the old one of the bad kept: %s", d)
	}
	exchange(t, s, &discovery.DeltaDiscoveryResponse{Nonce: "3", RemovedResources: []string{"b"}})
	if d := cmp.Diff(want[:1], ts.list()); d != "" {
		t.Error(d)
	}

	g.Stop() // the control plane dies
	p, _ = startPlane(t, socket)
	hello, err = p.accept(t).Recv()
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(map[string]string{"a": "v1"}, hello.GetInitialResourceVersions()); d != "" {
		t.Errorf("versions told on return: %s", d)
	}
	if d := cmp.Diff(want[:1], startClient(t, filepath.Join(dir, "nobody.sock"), state).list()); d != "" {
		t.Errorf("start from disk: %s", d)
	}
}

// What is on disk may be anything; the filter starts all the same.
func TestStartFromDisk(t *testing.T) {
	for name, content := range map[string]string{
		"empty": "", "not JSON": "{", "other format": `{"format":9}`, "bad table": `{"format":1,"tables":[{"name":"a","version":"1","table":"{"}]}`,
	} {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "tables.json"), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		ts := newTables(chain.NewRuntime(chain.Options{}))
		if err := startFromDisk(ts, disk{dir: dir}, slog.New(slog.DiscardHandler)); err != nil || len(ts.list()) != 0 {
			t.Errorf("%s: %v, %v", name, err, ts.list())
		}
	}
}

func TestUnknownTable(t *testing.T) {
	if _, _, err := newTables(chain.NewRuntime(chain.Options{})).begin("nowhere", "k"); !errors.Is(err, errNoTable) {
		t.Error(err)
	}
}

// Whatever the control plane sends, the client answers and lives.
func FuzzReply(f *testing.F) {
	f.Add([]byte("x"), "name")
	f.Add([]byte{0x0a, 0x01, 'a'}, "")
	c := client{tables: newTables(chain.NewRuntime(chain.Options{})), log: slog.New(slog.DiscardHandler)}
	f.Fuzz(func(t *testing.T, body []byte, name string) {
		var r discovery.DeltaDiscoveryResponse
		if proto.Unmarshal(body, &r) != nil {
			r = discovery.DeltaDiscoveryResponse{TypeUrl: extensionType, Resources: []*discovery.Resource{
				{Name: name, Resource: &anypb.Any{TypeUrl: extensionType, Value: body}},
			}}
		}
		if c.reply(&r) == nil {
			t.Error("no answer")
		}
	})
}
