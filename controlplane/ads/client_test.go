package ads_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	discovery "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/gabion-io/gabion/controlplane/ads"
	"github.com/gabion-io/gabion/controlplane/ir"
	"github.com/gabion-io/gabion/controlplane/xds"
)

// deltaClient speaks the protocol by hand, where Envoy would hide what is sent.
type deltaClient struct {
	t         *testing.T
	stream    discovery.AggregatedDiscoveryService_DeltaAggregatedResourcesClient
	node      *core.Node
	responses chan *discovery.DeltaDiscoveryResponse
}

func dial(t *testing.T, socket string) discovery.AggregatedDiscoveryServiceClient {
	t.Helper()
	conn, err := grpc.NewClient("unix:"+socket, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return discovery.NewAggregatedDiscoveryServiceClient(conn)
}

func connectDelta(t *testing.T, socket, id, cluster string) *deltaClient {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(cancel)
	stream, err := dial(t, socket).DeltaAggregatedResources(ctx, grpc.WaitForReady(true))
	if err != nil {
		t.Fatal(err)
	}
	c := &deltaClient{t: t, stream: stream, node: &core.Node{Id: id, Cluster: cluster}, responses: make(chan *discovery.DeltaDiscoveryResponse, 16)}
	go func() {
		defer close(c.responses)
		for {
			r, err := stream.Recv()
			if err != nil {
				return
			}
			c.responses <- r
		}
	}()
	return c
}

func (c *deltaClient) send(r *discovery.DeltaDiscoveryRequest) {
	c.t.Helper()
	r.Node, c.node = c.node, nil // only the first message introduces
	if err := c.stream.Send(r); err != nil {
		c.t.Fatal(err)
	}
}

func (c *deltaClient) receive() *discovery.DeltaDiscoveryResponse {
	c.t.Helper()
	select {
	case r, ok := <-c.responses:
		if !ok {
			c.t.Fatal("the stream ended")
		}
		return r
	case <-time.After(patience):
		c.t.Fatal("no response")
	}
	return nil
}

func (c *deltaClient) ack(r *discovery.DeltaDiscoveryResponse) {
	c.send(&discovery.DeltaDiscoveryRequest{TypeUrl: r.GetTypeUrl(), ResponseNonce: r.GetNonce()})
}

// quiet makes sure that nothing else was sent: it asks for something new and
// gets only that.
func (c *deltaClient) quiet(want string) {
	c.t.Helper()
	if r := c.receive(); r.GetTypeUrl() != want {
		c.t.Errorf("got %s %v, want %s next", r.GetTypeUrl(), names(r), want)
	}
}

func names(r *discovery.DeltaDiscoveryResponse) []string {
	var out []string
	for _, res := range r.GetResources() {
		out = append(out, res.GetName())
	}
	slices.Sort(out)
	return out
}

func snapshotOf(t *testing.T, in *ir.IR) *xds.Snapshot {
	t.Helper()
	s, err := xds.Translate(in, xds.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func cluster(name string, port uint32) ir.Cluster {
	return ir.Cluster{Name: name, Protocol: "http1", Resource: ir.Ref{Kind: "Service", Namespace: "default", Name: name},
		Endpoints: []ir.Endpoint{{Address: "127.0.0.1", Port: port, Healthy: true}}}
}

func TestDeltaSendsOnlyWhatChanged(t *testing.T) {
	t.Parallel()
	p := startPlane(t, filepath.Join(tempDir(t), "ads.sock"), ads.Options{Linger: -1})
	c := connectDelta(t, p.socket, "n", "edge")
	c.send(&discovery.DeltaDiscoveryRequest{TypeUrl: xds.ClusterType})
	first := snapshotOf(t, &ir.IR{Clusters: []ir.Cluster{cluster("a", 1), cluster("b", 2)}})
	p.SetSnapshot(first)
	r := c.receive()
	if got := names(r); !slices.Equal(got, []string{"a", "b"}) {
		t.Errorf("first: %v", got)
	}
	c.ack(r)

	p.SetSnapshot(snapshotOf(t, &ir.IR{Clusters: []ir.Cluster{cluster("a", 1), cluster("b", 2)}})) // equal
	changed := cluster("b", 2)
	changed.Protocol = "http2"
	p.SetSnapshot(snapshotOf(t, &ir.IR{Clusters: []ir.Cluster{cluster("a", 1), changed}}))
	r = c.receive()
	if got := names(r); !slices.Equal(got, []string{"b"}) {
		t.Errorf("after a change of b: %v", got)
	}
	c.ack(r)
	p.SetSnapshot(snapshotOf(t, &ir.IR{Clusters: []ir.Cluster{changed}}))
	r = c.receive()
	if got := r.GetRemovedResources(); !slices.Equal(got, []string{"a"}) || len(r.GetResources()) > 0 {
		t.Errorf("after a left: %v removed, %v sent", got, names(r))
	}
	c.ack(r)
	eventually(t, "status agrees", func() error {
		s := p.Status()
		if len(s) != 1 || len(s[0].Types) != 1 || s[0].Types[0].Acked != s[0].Types[0].Want {
			return fmt.Errorf("%+v", s)
		}
		return nil
	})
}

func TestDeltaReconnectNeedsNoPush(t *testing.T) {
	t.Parallel()
	dir := tempDir(t)
	s := snapshotOf(t, &ir.IR{Clusters: []ir.Cluster{cluster("a", 1), cluster("b", 2)}})
	known := map[string]string{}
	for _, r := range s.Types[xds.ClusterType] {
		known[r.Name] = r.Version
	}
	p := startPlane(t, filepath.Join(dir, "ads.sock"), ads.Options{})
	c := connectDelta(t, p.socket, "n", "edge")
	c.send(&discovery.DeltaDiscoveryRequest{TypeUrl: xds.ClusterType, InitialResourceVersions: known})
	// The snapshot comes after the proxy: a control plane that has just started
	// must not push its emptiness.
	p.SetSnapshot(s)
	c.send(&discovery.DeltaDiscoveryRequest{TypeUrl: xds.EndpointType, ResourceNamesSubscribe: []string{"a"}})
	c.quiet(xds.EndpointType)

	// One that is gone meanwhile is removed.
	old := connectDelta(t, p.socket, "m", "edge")
	known["gone"] = "1"
	old.send(&discovery.DeltaDiscoveryRequest{TypeUrl: xds.ClusterType, InitialResourceVersions: known})
	if r := old.receive(); !slices.Equal(r.GetRemovedResources(), []string{"gone"}) || len(r.GetResources()) > 0 {
		t.Errorf("removed %v, sent %v", r.GetRemovedResources(), names(r))
	}
}

func TestRefusedIsNotSentAgain(t *testing.T) {
	t.Parallel()
	var ended atomic.Int32
	p := startPlane(t, filepath.Join(tempDir(t), "ads.sock"), ads.Options{Linger: -1, OnMend: func() { ended.Add(1) }})
	p.SetSnapshot(snapshotOf(t, &ir.IR{Clusters: []ir.Cluster{cluster("a", 1), cluster("b", 2)}}))
	c := connectDelta(t, p.socket, "n", "edge")
	c.send(&discovery.DeltaDiscoveryRequest{TypeUrl: xds.ClusterType})
	r := c.receive()
	c.send(&discovery.DeltaDiscoveryRequest{
		TypeUrl: xds.ClusterType, ResponseNonce: r.GetNonce(),
		ErrorDetail: &status.Status{Code: 3, Message: "Error adding/updating cluster(s) b: no good"},
	})
	var n ads.Nack
	select {
	case n = <-p.nacks:
	case <-time.After(patience):
		t.Fatal("no refusal was told")
	}
	if !slices.Equal(n.Resources, []string{"b"}) || len(n.Causes) != 1 || n.Causes[0].Name != "b" {
		t.Errorf("refusal %+v", n)
	}
	c.send(&discovery.DeltaDiscoveryRequest{TypeUrl: xds.EndpointType, ResourceNamesSubscribe: []string{"a"}})
	c.quiet(xds.EndpointType)

	// Accepting something about another cluster mends nothing; about b does.
	other := cluster("a", 1)
	other.Protocol = "http2"
	p.SetSnapshot(snapshotOf(t, &ir.IR{Clusters: []ir.Cluster{other, cluster("b", 2)}}))
	r = c.receive()
	c.ack(r)
	c.send(&discovery.DeltaDiscoveryRequest{TypeUrl: xds.SecretType, ResourceNamesSubscribe: []string{"x"}})
	eventually(t, "the new version is accepted", func() error {
		if got := acked(p, xds.ClusterType); got != r.GetSystemVersionInfo() {
			return fmt.Errorf("at %q", got)
		}
		return nil
	})
	if len(p.Nacks()) != 1 || ended.Load() != 0 {
		t.Error("accepting another cluster ended the refusal")
	}
	mended := cluster("b", 2)
	mended.Protocol = "http2"
	p.SetSnapshot(snapshotOf(t, &ir.IR{Clusters: []ir.Cluster{other, mended}}))
	for len(p.Nacks()) > 0 {
		c.ack(c.receive())
		eventually(t, "the refusal ends", func() error {
			if len(p.Nacks()) > 0 && len(c.responses) == 0 {
				return errors.New("stands")
			}
			return nil
		})
	}
	eventually(t, "the end is told", func() error {
		if n := ended.Load(); n != 1 {
			return fmt.Errorf("%d times", n)
		}
		return nil
	})
}

func acked(p *plane, typeURL string) string {
	for _, s := range p.Status() {
		for _, typ := range s.Types {
			if typ.TypeURL == typeURL {
				return typ.Acked
			}
		}
	}
	return ""
}

// `gabion filter` gets the tables under the names that Envoy has filters under.
func TestFiltersReadTables(t *testing.T) {
	t.Parallel()
	p := startPlane(t, filepath.Join(tempDir(t), "ads.sock"), ads.Options{})
	in := gateway(1, []ir.Cluster{cluster("a", 1)}, route("/", "a"))
	in.Listeners[0].FilterTable = []byte(`{"unknown":"open"}`)
	s := snapshotOf(t, in)
	p.SetSnapshot(s)
	for clusterName, want := range map[string]string{
		xds.FilterCluster: "google.protobuf.StringValue",
		"edge":            "DynamicModuleFilter",
	} {
		c := connectDelta(t, p.socket, "n-"+clusterName, clusterName)
		c.send(&discovery.DeltaDiscoveryRequest{TypeUrl: xds.ExtensionType, ResourceNamesSubscribe: []string{xds.TableName("default/web/http")}})
		r := c.receive()
		var got core.TypedExtensionConfig
		if err := r.GetResources()[0].GetResource().UnmarshalTo(&got); err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(got.GetTypedConfig().GetTypeUrl(), want) {
			t.Errorf("%s got %s", clusterName, got.GetTypedConfig().GetTypeUrl())
		}
	}
}

// A proxy that subscribes to routes alone gets them, if a little late.
func TestRoutesAloneAreServed(t *testing.T) {
	t.Parallel()
	p := startPlane(t, filepath.Join(tempDir(t), "ads.sock"), ads.Options{})
	p.SetSnapshot(snapshotOf(t, gateway(1, []ir.Cluster{cluster("a", 1)}, route("/", "a"))))
	c := connectDelta(t, p.socket, "n", "edge")
	c.send(&discovery.DeltaDiscoveryRequest{TypeUrl: xds.RouteType, ResourceNamesSubscribe: []string{"default/web/http"}})
	if got := names(c.receive()); !slices.Equal(got, []string{"default/web/http"}) {
		t.Errorf("got %v", got)
	}
}
