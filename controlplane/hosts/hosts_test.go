package hosts

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"maps"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	discovery "github.com/envoyproxy/go-control-plane/envoy/service/discovery/v3"
	"github.com/google/go-cmp/cmp"
	rpcstatus "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/gabion-io/gabion/controlplane/api/v1alpha1"
	"github.com/gabion-io/gabion/controlplane/identity"
	"github.com/gabion-io/gabion/controlplane/segment"
	"github.com/gabion-io/gabion/segmentation"
)

// patience is how long a test waits for what must come.
const patience = 30 * time.Second

// plane serves hosts over real TLS.
type plane struct {
	*testing.T
	authority *identity.Authority
	server    *Server
	addr      string
	changes   chan struct{}
}

func newPlane(t *testing.T, lifetime time.Duration) *plane {
	t.Helper()
	a, err := identity.Open(identity.Options{Dir: t.TempDir(), Lifetime: lifetime})
	if err != nil {
		t.Fatal(err)
	}
	p := &plane{T: t, authority: a, changes: make(chan struct{}, 100)}
	p.server = New(Options{Identify: a.HostOf, OnChange: func() { p.changes <- struct{}{} }})
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	g := grpc.NewServer(grpc.Creds(credentials.NewTLS(a.ServerTLS())))
	p.server.Register(g)
	go g.Serve(ln)
	t.Cleanup(g.Stop)
	p.addr = ln.Addr().String()
	return p
}

// publish serves the given resources.
func (p *plane) publish(text string) {
	p.Helper()
	objects, problems := v1alpha1.Decode("test", []byte(text))
	if len(problems) > 0 {
		p.Fatal(problems)
	}
	p.server.Publish(objects, segment.Compile(objects, segment.Options{}))
}

// certificate is what a host holds.
func certificate(t *testing.T, a *identity.Authority, host string) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	chain, err := a.SignHost(&x509.CertificateRequest{PublicKey: key.Public()}, host, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode(chain)
	return tls.Certificate{Certificate: [][]byte{block.Bytes}, PrivateKey: key}
}

// client is one stream, whatever it is that is at its end.
type client struct {
	*testing.T
	stream discovery.AggregatedDiscoveryService_DeltaAggregatedResourcesClient
	err    error // of opening it
}

func (p *plane) client(certs ...tls.Certificate) *client {
	p.Helper()
	conn, err := grpc.NewClient("passthrough:///"+p.addr, grpc.WithTransportCredentials(credentials.NewTLS(&tls.Config{
		Certificates: certs, InsecureSkipVerify: true, MinVersion: tls.VersionTLS13, // who the server is, is enrol's to test
	})))
	if err != nil {
		p.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(p.Context(), patience)
	p.Cleanup(func() { cancel(); conn.Close() })
	stream, err := discovery.NewAggregatedDiscoveryServiceClient(conn).DeltaAggregatedResources(ctx)
	return &client{p.T, stream, err}
}

func (c *client) send(r *discovery.DeltaDiscoveryRequest) {
	c.Helper()
	if c.err != nil {
		return
	}
	if r.TypeUrl == "" {
		r.TypeUrl = segmentation.PolicyResource
	}
	_ = c.stream.Send(r) // whether it was refused, receiving says
}

func (c *client) recv() *discovery.DeltaDiscoveryResponse {
	c.Helper()
	if c.err != nil {
		c.Fatal(c.err)
	}
	r, err := c.stream.Recv()
	if err != nil {
		c.Fatal(err)
	}
	return r
}

func (c *client) refused(code codes.Code, words string) {
	c.Helper()
	var r *discovery.DeltaDiscoveryResponse
	err := c.err
	if err == nil {
		r, err = c.stream.Recv()
	}
	if err == nil || status.Code(err) != code || !strings.Contains(err.Error(), words) {
		c.Errorf("answered %v, %v; want %s with %q", r, err, code, words)
	}
}

func (c *client) ack(r *discovery.DeltaDiscoveryResponse) {
	c.send(&discovery.DeltaDiscoveryRequest{ResponseNonce: r.Nonce})
}

// texts are the manifests in a response, by name.
func (c *client) texts(r *discovery.DeltaDiscoveryResponse) map[string]string {
	c.Helper()
	out := map[string]string{}
	for _, in := range r.Resources {
		var m wrapperspb.BytesValue
		if in.Resource.TypeUrl != segmentation.PolicyResource {
			c.Errorf("type %q", in.Resource.TypeUrl)
		}
		if err := proto.Unmarshal(in.Resource.Value, &m); err != nil {
			c.Fatal(err)
		}
		out[in.Name] = string(m.Value)
	}
	return out
}

func names(r *discovery.DeltaDiscoveryResponse) (out []string) {
	for _, in := range r.Resources {
		out = append(out, in.Name)
	}
	return out
}

func (c *client) wantNames(r *discovery.DeltaDiscoveryResponse, want ...string) {
	c.Helper()
	if d := cmp.Diff(want, names(r)); d != "" {
		c.Errorf("resources (-want +got):\n%s", d)
	}
}

func workloadText(name, node, address string) string {
	return fmt.Sprintf(`---
apiVersion: gabion.io/v1alpha1
kind: Workload
metadata: {name: %[1]s, namespace: shop, labels: {app: %[1]s}}
spec: {node: %[2]s, addresses: [%[3]s], interface: w-%[1]s}
`, name, node, address)
}

func policyText(name, from string) string {
	return fmt.Sprintf(`---
apiVersion: gabion.io/v1alpha1
kind: SegmentationPolicy
metadata: {name: %[1]s, namespace: shop}
spec: {mode: enforce, selector: {matchLabels: {app: %[1]s}}, ingress: [{from: [{selector: {matchLabels: {app: %[2]s}}}]}]}
`, name, from)
}

var twoHosts = workloadText("cart", "a", "10.0.0.1") + workloadText("web", "b", "10.0.0.2") + workloadText("db", "b", "10.0.0.3") +
	policyText("cart", "web") + policyText("db", "nobody")

// Whoever holds a certificate is that host, whatever it says.
func TestHostIsItsCertificate(t *testing.T) {
	p := newPlane(t, 0)
	p.publish(twoHosts)
	a, b := certificate(t, p.authority, "a"), certificate(t, p.authority, "b")
	honest := p.client(a)
	honest.send(&discovery.DeltaDiscoveryRequest{Node: &core.Node{Id: "a"}})
	r := honest.recv()
	honest.wantNames(r, "SegmentationPolicy/shop/cart", "Workload/shop/cart", "Workload/shop/web")
	if text := honest.texts(r)["Workload/shop/web"]; strings.Contains(text, "w-web") || strings.Contains(text, "node") {
		t.Errorf("where a peer is found is nobody else's business:\n%s", text)
	}
	other := p.client(b)
	other.send(&discovery.DeltaDiscoveryRequest{})
	other.wantNames(other.recv(), "SegmentationPolicy/shop/db", "Workload/shop/db", "Workload/shop/web")

	// A stolen certificate of host a, that wants what b has.
	for _, c := range []struct {
		code  codes.Code
		words string
		ask   *discovery.DeltaDiscoveryRequest
	}{
		{codes.PermissionDenied, "of host a", &discovery.DeltaDiscoveryRequest{Node: &core.Node{Id: "b"}}},
		{codes.InvalidArgument, "subscribe to *", &discovery.DeltaDiscoveryRequest{ResourceNamesSubscribe: []string{"SegmentationPolicy/shop/db"}}},
		{codes.InvalidArgument, "subscribe to *", &discovery.DeltaDiscoveryRequest{ResourceNamesSubscribe: []string{"*", "Workload/shop/db"}}},
		{codes.InvalidArgument, "is served here", &discovery.DeltaDiscoveryRequest{TypeUrl: "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret"}},
	} {
		thief := p.client(a)
		thief.send(c.ask)
		thief.refused(c.code, c.words)
	}
	// Later on the stream as well.
	thief := p.client(a)
	thief.send(&discovery.DeltaDiscoveryRequest{})
	thief.ack(thief.recv())
	thief.send(&discovery.DeltaDiscoveryRequest{Node: &core.Node{Id: "b"}})
	thief.refused(codes.PermissionDenied, "of host a")
	// What it claims to have does not show it what others have.
	liar := p.client(a)
	liar.send(&discovery.DeltaDiscoveryRequest{InitialResourceVersions: map[string]string{"SegmentationPolicy/shop/db": "x", "Workload/shop/cart": "x"}})
	r = liar.recv()
	liar.wantNames(r, "SegmentationPolicy/shop/cart", "Workload/shop/cart", "Workload/shop/web")
	if d := cmp.Diff([]string{"SegmentationPolicy/shop/db"}, r.RemovedResources); d != "" {
		t.Error(d)
	}
}

func TestCertificatesThatAreNotGood(t *testing.T) {
	p, foreign := newPlane(t, 0), newPlane(t, 0)
	p.publish(twoHosts)
	none := p.client()
	none.send(&discovery.DeltaDiscoveryRequest{})
	none.refused(codes.Unauthenticated, "join first")
	self, err := p.authority.ServerCertificate(nil)(nil)
	if err != nil {
		t.Fatal(err)
	}
	plays := p.client(*self)
	plays.send(&discovery.DeltaDiscoveryRequest{})
	plays.refused(codes.Unauthenticated, "no host")
	another := p.client(certificate(t, foreign.authority, "a"))
	another.send(&discovery.DeltaDiscoveryRequest{})
	another.refused(codes.Unavailable, "")
}

// A stream ends with the certificate that it was opened with; with one that has
// ended none is opened.
func TestExpiredCertificate(t *testing.T) {
	p := newPlane(t, 2*time.Second)
	p.publish(twoHosts)
	cert := certificate(t, p.authority, "a")
	c := p.client(cert)
	c.send(&discovery.DeltaDiscoveryRequest{})
	c.ack(c.recv())
	c.refused(codes.Unauthenticated, "has ended")
	late := p.client(cert)
	late.send(&discovery.DeltaDiscoveryRequest{})
	late.refused(codes.Unavailable, "")
}

func TestChangesOnly(t *testing.T) {
	p := newPlane(t, 0)
	c := p.client(certificate(t, p.authority, "a"))
	c.send(&discovery.DeltaDiscoveryRequest{Node: &core.Node{Id: "a"}})
	if _, err := c.stream.Header(); err != nil {
		t.Fatal(err)
	}
	p.publish(twoHosts) // before this there was nothing to say
	r := c.recv()
	c.wantNames(r, "SegmentationPolicy/shop/cart", "Workload/shop/cart", "Workload/shop/web")
	first := r.SystemVersionInfo
	c.ack(r)
	p.acked("a", first)
	p.publish(twoHosts)                                             // nothing new
	p.publish(twoHosts + workloadText("batch", "c", "10.0.0.9"))    // none of its business
	p.publish(strings.Replace(twoHosts, "10.0.0.2", "10.0.0.7", 1)) // its peer moves
	r = c.recv()
	c.wantNames(r, "Workload/shop/web")
	if !strings.Contains(c.texts(r)["Workload/shop/web"], "10.0.0.7") {
		t.Errorf("the new address is missing: %v", c.texts(r))
	}
	c.ack(r)
	p.publish(workloadText("cart", "a", "10.0.0.1"))
	r = c.recv()
	if d := cmp.Diff([]string{"SegmentationPolicy/shop/cart", "Workload/shop/web"}, r.RemovedResources); d != "" || len(r.Resources) > 0 {
		t.Errorf("removed (-want +got):\n%s%v", d, names(r))
	}
	c.ack(r)
	p.publish(twoHosts)
	r = c.recv()
	if r.SystemVersionInfo != first {
		t.Errorf("equal content has the versions %s and %s", first, r.SystemVersionInfo)
	}
	// One that comes back with what it has is told nothing, and is in sync.
	versions := map[string]string{}
	for _, in := range r.Resources {
		versions[in.Name] = in.Version
	}
	versions["Workload/shop/cart"] = versionsOf(p, "a")["Workload/shop/cart"]
	again := p.client(certificate(t, p.authority, "a"))
	again.send(&discovery.DeltaDiscoveryRequest{InitialResourceVersions: versions})
	p.acked("a", first)
	p.publish(strings.Replace(twoHosts, "10.0.0.2", "10.0.0.7", 1))
	again.wantNames(again.recv(), "Workload/shop/web")
	// A host that has nothing to enforce hears that.
	idle := p.client(certificate(t, p.authority, "idle"))
	idle.send(&discovery.DeltaDiscoveryRequest{})
	if r := idle.recv(); len(r.Resources)+len(r.RemovedResources) > 0 {
		t.Errorf("for a host without workloads: %v", r)
	}
}

func versionsOf(p *plane, host string) map[string]string { return p.server.view(host).versions() }

func (p *plane) status(host string) Status {
	p.Helper()
	for _, s := range p.server.Status() {
		if s.Host == host {
			return s
		}
	}
	p.Fatalf("host %s is not known", host)
	return Status{}
}

func (p *plane) acked(host, version string) {
	p.Helper()
	for end := time.Now().Add(patience); p.status(host).Acked != version; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			p.Fatalf("%s is never accepted: %+v", version, p.status(host))
		}
	}
}

// A refusal is a condition on what it names, until something else is accepted; and
// what is sent next begins at what the host had before.
func TestRefusal(t *testing.T) {
	p := newPlane(t, 0)
	p.publish(workloadText("cart", "a", "10.0.0.1"))
	if c := p.server.Conditions(); len(c) != 1 || c[0].Reason != "NoAgent" || c[0].Name != "cart" {
		t.Errorf("without an agent: %+v", c)
	}
	c := p.client(certificate(t, p.authority, "a"))
	c.send(&discovery.DeltaDiscoveryRequest{})
	c.ack(c.recv())
	<-p.changes // it came
	if c := p.server.Conditions(); len(c) > 0 {
		t.Errorf("with an agent: %+v", c)
	}
	p.publish(twoHosts)
	r := c.recv()
	c.send(&discovery.DeltaDiscoveryRequest{ResponseNonce: r.Nonce, ErrorDetail: &rpcstatus.Status{Code: 3, Message: "resource SegmentationPolicy/shop/cart: no room\x1b[31m"}})
	<-p.changes
	s := p.status("a")
	if s.Nacked != r.SystemVersionInfo || !strings.Contains(s.Error, "no room") || s.Acked == s.Want {
		t.Errorf("status %+v", s)
	}
	var on []string
	for _, c := range p.server.Conditions() {
		if c.Reason == "Rejected" {
			on = append(on, c.Key().String())
		}
	}
	if d := cmp.Diff([]string{"SegmentationPolicy shop/cart"}, on); d != "" {
		t.Errorf("conditions (-want +got):\n%s", d)
	}
	p.publish(twoHosts) // not sent again
	p.publish(workloadText("cart", "a", "10.0.0.1") + workloadText("web", "b", "10.0.0.2") + policyText("cart", "nobody"))
	r = c.recv()
	c.wantNames(r, "SegmentationPolicy/shop/cart")
	c.ack(r)
	<-p.changes
	if s := p.status("a"); s.Nacked != "" || s.Acked != s.Want {
		t.Errorf("mended: %+v", s)
	}
	// Refused, and then taken back: nobody refuses anything any more.
	p.publish(twoHosts)
	r = c.recv()
	if s := p.status("a"); s.SentAt.IsZero() {
		t.Errorf("nobody sees that it is tried: %+v", s)
	}
	c.send(&discovery.DeltaDiscoveryRequest{ResponseNonce: r.Nonce, ErrorDetail: &rpcstatus.Status{Code: segmentation.TakenBack, Message: "it cut me off"}})
	<-p.changes
	if s := p.status("a"); !s.TakenBack || !s.SentAt.IsZero() {
		t.Errorf("taken back by the host: %+v", s)
	}
	if c := p.server.Conditions(); !slices.ContainsFunc(c, func(c v1alpha1.Condition) bool {
		return c.Reason == "TakenBack" && c.Name == "cart" && strings.Contains(c.Message, "host a took back version")
	}) {
		t.Errorf("taken back by the host: %+v", c)
	}
	// The host hears that, though it has all there is: it may be asked again.
	p.publish(workloadText("cart", "a", "10.0.0.1") + workloadText("web", "b", "10.0.0.2") + policyText("cart", "nobody"))
	r = c.recv()
	if len(r.Resources)+len(r.RemovedResources) > 0 {
		t.Errorf("told %v", r)
	}
	c.ack(r)
	<-p.changes
	if s := p.status("a"); s.Nacked != "" || s.Acked != s.Want || s.TakenBack || !s.SentAt.IsZero() {
		t.Errorf("taken back: %+v", s)
	}
}

func TestStreamsOfAHostAreBounded(t *testing.T) {
	p := newPlane(t, 0)
	cert := certificate(t, p.authority, "a")
	for range maxStreamsPerHost {
		if _, err := p.client(cert).stream.Header(); err != nil {
			t.Fatal(err)
		}
	}
	p.client(cert).refused(codes.ResourceExhausted, "streams already")
	if _, err := p.client(certificate(t, p.authority, "b")).stream.Header(); err != nil {
		t.Error(err)
	}
}

func FuzzRequests(f *testing.F) {
	good, err := proto.Marshal(&discovery.DeltaDiscoveryRequest{TypeUrl: segmentation.PolicyResource, ResponseNonce: "1", ErrorDetail: &rpcstatus.Status{Message: "no"}})
	if err != nil {
		f.Fatal(err)
	}
	hello, err := proto.Marshal(&discovery.DeltaDiscoveryRequest{TypeUrl: segmentation.PolicyResource, InitialResourceVersions: map[string]string{"a": "b"}})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(hello, good)
	f.Add([]byte{0xff}, []byte{})
	objects, _ := v1alpha1.Decode("test", []byte(twoHosts))
	compiled := segment.Compile(objects, segment.Options{})
	f.Fuzz(func(t *testing.T, one, two []byte) {
		s := New(Options{})
		s.Publish(objects, compiled)
		st, err := s.open(identity.Host{Name: "a", Ends: time.Now()}, "")
		if err != nil {
			t.Fatal(err)
		}
		defer s.close(st)
		for _, b := range [][]byte{one, two} {
			var r discovery.DeltaDiscoveryRequest
			if proto.Unmarshal(b, &r) != nil || s.hear(st, &r) != nil {
				return
			}
			out := s.next(st)
			for _, in := range out.GetResources() {
				if !slices.Contains(slices.Collect(maps.Keys(s.view("a").resources)), in.Name) {
					t.Fatalf("host a was sent %s", in.Name)
				}
			}
		}
		s.Conditions()
		s.Status()
	})
}
