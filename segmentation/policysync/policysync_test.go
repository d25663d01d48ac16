package policysync

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	discovery "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/gabion-io/gabion/segmentation"
)

const patience = 30 * time.Second

// peer is a control plane whose every word the test chooses.
type peer struct {
	discovery.UnimplementedAggregatedDiscoveryServiceServer
	*testing.T
	addr    string
	streams chan discovery.AggregatedDiscoveryService_DeltaAggregatedResourcesServer
	end     chan error
}

func (p *peer) DeltaAggregatedResources(s discovery.AggregatedDiscoveryService_DeltaAggregatedResourcesServer) error {
	p.streams <- s
	select {
	case err := <-p.end:
		return err
	case <-s.Context().Done():
		return s.Context().Err()
	}
}

func newPeer(t *testing.T) *peer {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &peer{T: t, addr: ln.Addr().String(), streams: make(chan discovery.AggregatedDiscoveryService_DeltaAggregatedResourcesServer), end: make(chan error)}
	g := grpc.NewServer()
	discovery.RegisterAggregatedDiscoveryServiceServer(g, p)
	go g.Serve(ln)
	t.Cleanup(g.Stop)
	return p
}

// accept takes the next stream and reads its hello.
func (p *peer) accept() (discovery.AggregatedDiscoveryService_DeltaAggregatedResourcesServer, *discovery.DeltaDiscoveryRequest) {
	p.Helper()
	select {
	case s := <-p.streams:
		if err := s.SendHeader(nil); err != nil {
			p.Fatal(err)
		}
		hello, err := s.Recv()
		if err != nil {
			p.Fatal(err)
		}
		return s, hello
	case <-time.After(patience):
		p.Fatal("nobody came")
		return nil, nil
	}
}

func resource(name, text string) *discovery.Resource {
	b, err := proto.Marshal(wrapperspb.String(text)) // one field of bytes, whatever its type is called
	if err != nil {
		panic(err)
	}
	return &discovery.Resource{Name: name, Version: "v-" + text, Resource: &anypb.Any{TypeUrl: segmentation.PolicyResource, Value: b}}
}

// host is a client whose kernel is a list.
type host struct {
	*testing.T
	client  *Client
	options Options
	lock    sync.Mutex
	renewed chan struct{}
	applied chan string // each set put in force, as "name=text …"
	refuse  error
}

func newHost(t *testing.T, addr, file string) *host {
	h := &host{T: t, renewed: make(chan struct{}), applied: make(chan string, 100)}
	h.options = Options{
		Host: "a", File: file, Log: slog.New(slog.DiscardHandler),
		Connect: func() (*grpc.ClientConn, error) {
			return grpc.NewClient("passthrough:///"+addr, grpc.WithTransportCredentials(insecure.NewCredentials()))
		},
		Renewed: func() <-chan struct{} { h.lock.Lock(); defer h.lock.Unlock(); return h.renewed },
		Apply: func(_ context.Context, list []Resource) error {
			h.lock.Lock()
			defer h.lock.Unlock()
			if h.refuse != nil {
				return h.refuse
			}
			var all []string
			for _, r := range list {
				all = append(all, r.Name+"="+r.Manifest)
			}
			h.applied <- strings.Join(all, " ")
			return nil
		},
	}
	h.client = New(h.options)
	return h
}

func (h *host) run() {
	ctx, cancel := context.WithCancel(h.Context())
	done := make(chan struct{})
	go func() { defer close(done); h.client.Run(ctx) }()
	h.Cleanup(func() { cancel(); <-done })
}

func (h *host) want(set string) {
	h.Helper()
	select {
	case got := <-h.applied:
		if got != set {
			h.Errorf("in force is %q, want %q", got, set)
		}
	case <-time.After(patience):
		h.Fatalf("never in force: %q", set)
	}
}

func (h *host) refusing(err error) { h.lock.Lock(); defer h.lock.Unlock(); h.refuse = err }

func (h *host) renew() {
	h.lock.Lock()
	defer h.lock.Unlock()
	close(h.renewed)
	h.renewed = make(chan struct{})
}

func answer(t *testing.T, s discovery.AggregatedDiscoveryService_DeltaAggregatedResourcesServer, nonce string) *discovery.DeltaDiscoveryRequest {
	t.Helper()
	r, err := s.Recv()
	if err != nil {
		t.Fatal(err)
	}
	if r.ResponseNonce != nonce {
		t.Errorf("answers %q, want %q", r.ResponseNonce, nonce)
	}
	return r
}

// Sets are put in force whole, kept, and are what the next run begins with.
func TestFollowAndRestore(t *testing.T) {
	p := newPeer(t)
	file := filepath.Join(t.TempDir(), "policy.json")
	h := newHost(t, p.addr, file)
	if ok, err := h.client.Restore(t.Context()); ok || err != nil {
		t.Errorf("restored from nothing: %v, %v", ok, err)
	}
	h.run()
	s, hello := p.accept()
	if hello.Node.Id != "a" || hello.TypeUrl != segmentation.PolicyResource || len(hello.InitialResourceVersions) > 0 {
		t.Errorf("hello %v", hello)
	}
	s.Send(&discovery.DeltaDiscoveryResponse{TypeUrl: segmentation.PolicyResource, Nonce: "1", Resources: []*discovery.Resource{resource("b", "1"), resource("a", "1")}})
	h.want("a=1 b=1")
	if r := answer(t, s, "1"); r.ErrorDetail != nil {
		t.Errorf("refused: %v", r)
	}
	s.Send(&discovery.DeltaDiscoveryResponse{TypeUrl: segmentation.PolicyResource, Nonce: "2", Resources: []*discovery.Resource{resource("a", "2")}, RemovedResources: []string{"b"}})
	h.want("a=2")
	answer(t, s, "2")
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the kept set: %v, %v", info, err)
	}

	next := newHost(t, p.addr, file)
	if ok, err := next.client.Restore(t.Context()); !ok || err != nil {
		t.Errorf("restored: %v, %v", ok, err)
	}
	next.want("a=2")
	next.run()
	if _, hello := p.accept(); hello.InitialResourceVersions["a"] != "v-2" || len(hello.InitialResourceVersions) != 1 {
		t.Errorf("it says it has %v", hello.InitialResourceVersions)
	}
}

// What cannot be put in force is refused with its reason, and nothing of it is kept:
// the next change is one of the set before.
func TestRefuse(t *testing.T) {
	p := newPeer(t)
	h := newHost(t, p.addr, filepath.Join(t.TempDir(), "policy.json"))
	h.run()
	s, _ := p.accept()
	send := func(nonce string, resources ...*discovery.Resource) *discovery.DeltaDiscoveryRequest {
		t.Helper()
		s.Send(&discovery.DeltaDiscoveryResponse{TypeUrl: segmentation.PolicyResource, Nonce: nonce, Resources: resources})
		return answer(t, s, nonce)
	}
	send("1", resource("a", "1"))
	h.want("a=1")
	h.refusing(errors.New("no room for a"))
	if r := send("2", resource("a", "2"), resource("b", "2")); !strings.Contains(r.ErrorDetail.GetMessage(), "no room for a") {
		t.Errorf("answered %v", r)
	}
	h.refusing(nil)
	broken := resource("b", "3")
	broken.Resource.Value = []byte{0xff}
	foreign := resource("b", "3")
	foreign.Resource.TypeUrl = "type.googleapis.com/google.protobuf.StringValue"
	for i, bad := range []*discovery.Resource{broken, foreign} {
		if r := send(fmt.Sprint("bad", i), bad); r.ErrorDetail == nil {
			t.Errorf("%v is taken", bad)
		}
	}
	s.Send(&discovery.DeltaDiscoveryResponse{TypeUrl: "type.googleapis.com/other", Nonce: "other"})
	if r := answer(t, s, "other"); r.ErrorDetail == nil {
		t.Error("another type is taken")
	}
	send("4", resource("c", "4"))
	h.want("a=1 c=4")
}

// With a new certificate there is a new stream before the old one ends, and nothing
// is put in force twice.
func TestChangesOver(t *testing.T) {
	p := newPeer(t)
	h := newHost(t, p.addr, filepath.Join(t.TempDir(), "policy.json"))
	h.run()
	old, _ := p.accept()
	old.Send(&discovery.DeltaDiscoveryResponse{TypeUrl: segmentation.PolicyResource, Nonce: "1", Resources: []*discovery.Resource{resource("a", "1")}})
	h.want("a=1")
	answer(t, old, "1")
	h.renew()
	select {
	case next := <-p.streams:
		if old.Context().Err() != nil {
			t.Error("the old stream ended before there was a new one")
		}
		if hello, err := next.Recv(); err != nil || hello.InitialResourceVersions["a"] != "v-1" {
			t.Errorf("hello %v, %v", hello, err)
		}
		if err := next.SendHeader(nil); err != nil {
			t.Fatal(err)
		}
		select {
		case <-old.Context().Done():
		case <-time.After(patience):
			t.Fatal("the old stream never ends")
		}
		next.Send(&discovery.DeltaDiscoveryResponse{TypeUrl: segmentation.PolicyResource, Nonce: "2", Resources: []*discovery.Resource{resource("a", "2")}})
		h.want("a=2")
	case <-time.After(patience):
		t.Fatal("no new stream")
	}
}

// A control plane that refuses, ends streams, or is not there: it is tried again.
func TestComesBack(t *testing.T) {
	p := newPeer(t)
	h := newHost(t, p.addr, filepath.Join(t.TempDir(), "policy.json"))
	h.run()
	<-p.streams
	p.end <- status.Error(codes.Unavailable, "not yet") // before it was accepted
	p.accept()
	p.end <- nil
	p.accept()
	p.end <- status.Error(codes.Internal, "broken")
	s, _ := p.accept()
	s.Send(&discovery.DeltaDiscoveryResponse{TypeUrl: segmentation.PolicyResource, Nonce: "1", Resources: []*discovery.Resource{resource("a", "1")}})
	h.want("a=1")
}

// A kept set that is damaged is an error, and what cannot be put in force any more
// is not believed to be.
func TestDamagedFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "policy.json")
	for _, text := range []string{"", "x", `{"format":9}`, `{"format":1,"resources":[{"name":""}]}`, `{"format":1,"resources":[{"name":"a"},{"name":"a"}]}`} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		h := newHost(t, "", file)
		if ok, err := h.client.Restore(t.Context()); ok || err == nil {
			t.Errorf("%q is restored", text)
		}
	}
	if err := (set{"a": {Name: "a", Version: "1", Manifest: "x"}}).write(file, nil); err != nil {
		t.Fatal(err)
	}
	h := newHost(t, "", file)
	h.refusing(errors.New("no"))
	if ok, err := h.client.Restore(t.Context()); ok || err == nil || len(h.client.current()) > 0 {
		t.Errorf("restored what was refused: %v, %v", ok, err)
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(`{"format":1,"resources":[{"name":"a","version":"1","manifest":"x"}]}`))
	f.Add([]byte(`{"format":1,"resources":null}`))
	f.Add([]byte(`{"format":1,"resources":[],"takenBack":{"why":"x","policies":{"SegmentationPolicy/a":"1"},"others":{"Workload/a":""}}}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		s, taken, err := parse(text)
		if err != nil {
			return
		}
		again, err := json.Marshal(kept{fileFormat, s.list(), taken})
		if err != nil {
			t.Fatal(err)
		}
		same, sameTaken, err := parse(again)
		if err != nil || cmp.Diff(s, same) != "" || cmp.Diff(taken, sameTaken, cmpopts.EquateEmpty()) != "" {
			t.Fatalf("%q is read as %v and %v, and written again as %v and %v, %v", text, s, taken, same, sameTaken, err)
		}
	})
}

func FuzzResponse(f *testing.F) {
	good, err := proto.Marshal(&discovery.DeltaDiscoveryResponse{TypeUrl: segmentation.PolicyResource, Resources: []*discovery.Resource{resource("a", "1")}, RemovedResources: []string{"b"}})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Fuzz(func(t *testing.T, b []byte) {
		var r discovery.DeltaDiscoveryResponse
		if proto.Unmarshal(b, &r) != nil {
			return
		}
		base := set{"b": {Name: "b"}, "c": {Name: "c"}}
		if _, err := base.with(&r); err == nil && len(base) != 2 {
			t.Fatal("the set before was changed")
		}
	})
}
