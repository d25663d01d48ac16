package ingest

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"math/big"
	"net"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"

	"github.com/gabion-io/gabion/controlplane/store"
	"github.com/gabion-io/gabion/internal/flowreport"
	"github.com/gabion-io/gabion/workload"
)

// authority makes certificates for hosts.
type authority struct {
	t    *testing.T
	key  *ecdsa.PrivateKey
	cert *x509.Certificate
}

func newAuthority(t *testing.T) *authority {
	a := &authority{t: t}
	a.key, a.cert = a.issue("authority", nil, nil)
	return a
}

func (a *authority) issue(name string, parent *x509.Certificate, by *ecdsa.PrivateKey) (*ecdsa.PrivateKey, *x509.Certificate) {
	a.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), BasicConstraintsValid: true, IsCA: parent == nil,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth},
	}
	if parent == nil {
		parent, by = template, key
	}
	raw, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, by)
	if err != nil {
		a.t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(raw)
	if err != nil {
		a.t.Fatal(err)
	}
	return key, cert
}

func (a *authority) tls(name string) *tls.Config {
	key, cert := a.issue(name, a.cert, a.key)
	pool := x509.NewCertPool()
	pool.AddCert(a.cert)
	return &tls.Config{
		Certificates: []tls.Certificate{{Certificate: [][]byte{cert.Raw}, PrivateKey: key}},
		RootCAs:      pool, ClientCAs: pool, ClientAuth: tls.RequireAndVerifyClientCert, ServerName: "control", MinVersion: tls.VersionTLS13,
	}
}

// peerHost reads the host from the certificate of the peer.
func peerHost(ctx context.Context) (string, error) {
	p, ok := peer.FromContext(ctx)
	if !ok {
		return "", errors.New("there is no peer")
	}
	info, ok := p.AuthInfo.(credentials.TLSInfo)
	if !ok || len(info.State.VerifiedChains) == 0 {
		return "", errors.New("the peer has no certificate")
	}
	return info.State.VerifiedChains[0][0].Subject.CommonName, nil
}

// flowBed is a door behind mutual TLS, before a real store.
type flowBed struct {
	*testing.T
	ca    *authority
	store *store.Store
	addr  string
	world map[workload.ID]*workload.Workload
	now   time.Time
}

func newFlowBed(t *testing.T) *flowBed {
	return newFlowBedWith(t, func(*store.Store) *ExchangeDoor { return nil })
}

func newFlowBedWith(t *testing.T, exchanges func(*store.Store) *ExchangeDoor) *flowBed {
	b := &flowBed{T: t, ca: newAuthority(t), world: map[workload.ID]*workload.Workload{}, now: time.Now()}
	var err error
	if b.store, err = store.Open(t.Context(), store.Options{Dir: t.TempDir()}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.store.Close() })
	for name, node := range map[string]string{"web-1": "h1", "cart-1": "h2"} {
		w := &workload.Workload{ID: workload.ID{Namespace: "shop", Name: name}, Labels: workload.Labels{"app": name[:3]}, Node: node}
		b.world[w.ID] = w
	}
	door := NewFlowDoor(FlowOptions{
		Sink: b.store, Host: peerHost, Exchanges: exchanges(b.store), Now: func() time.Time { return b.now },
		Workload: func(id workload.ID) (*workload.Workload, bool) { w, ok := b.world[id]; return w, ok },
	})
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	b.addr = ln.Addr().String()
	g := grpc.NewServer(grpc.Creds(credentials.NewTLS(b.ca.tls("control"))))
	door.Register(g)
	go g.Serve(ln)
	t.Cleanup(g.Stop)
	return b
}

func (b *flowBed) as(host string) *grpc.ClientConn {
	b.Helper()
	conn, err := grpc.NewClient(b.addr, grpc.WithTransportCredentials(credentials.NewTLS(b.ca.tls(host))))
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { conn.Close() })
	return conn
}

// batch is what an agent of web's host says: web to cart, and who says so.
func (b *flowBed) batch(seq uint64, egress bool) flowreport.Message {
	return flowreport.Message{Batch: &flowreport.Batch{
		Queue: "q1", Seq: seq,
		Ends: []flowreport.End{
			{Workload: "shop/web-1", Labels: map[string]string{"app": "a lie"}},
			{Workload: "shop/cart-1", Labels: map[string]string{"app": "a lie"}},
		},
		Rows: []flowreport.Row{{Src: 0, Dst: 1, Protocol: 6, Port: 80, Egress: egress, Verdict: 2, Flows: 1, Answered: 1,
			First: b.now.UnixNano(), Last: b.now.UnixNano()}},
	}}
}

func (b *flowBed) send(conn *grpc.ClientConn, m flowreport.Message) flowreport.Receipt {
	b.Helper()
	text, err := m.Encode()
	if err != nil {
		b.Fatal(err)
	}
	r, err := flowreport.Send(b.Context(), conn, text)
	if err != nil {
		b.Fatal(err)
	}
	return r
}

func (b *flowBed) coverage() string {
	b.Helper()
	all, err := b.store.Coverage(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	text := ""
	for _, c := range all {
		text += fmt.Sprintf("%s: %d stored, %d repeated, %d lost, %d refused\n", c.Source, c.Received, c.Duplicates, c.Lost, c.Garbage)
	}
	return text
}

// A host speaks for its own workloads only, whatever a report says, and labels
// are what the resources say.
func TestFlowsOfOtherHostsAreRefused(t *testing.T) {
	b := newFlowBed(t)
	h1, h2 := b.as("h1"), b.as("h2")
	if r := b.send(h1, b.batch(1, true)); r != (flowreport.Receipt{}) {
		t.Errorf("its own: %+v", r)
	}
	r := b.send(h1, b.batch(2, false)) // judged at cart, which is of h2
	if want := (flowreport.Receipt{Refused: 1, Why: "shop/cart-1 is no workload of host h1"}); r != want {
		t.Errorf("of another host: %+v", r)
	}
	if r := b.send(h2, b.batch(1, false)); r.Refused != 0 {
		t.Errorf("the other's own: %+v", r)
	}
	if r := b.send(b.as("h3"), b.batch(1, true)); r.Refused != 1 {
		t.Errorf("of a host without workloads: %+v", r)
	}
	flows, err := b.store.Flows(t.Context(), store.FlowQuery{})
	if err != nil || len(flows) != 2 {
		t.Fatal(flows, err)
	}
	for _, f := range flows {
		if f.Src.Labels["app"] != "web" || f.Dst.Labels["app"] != "car" {
			t.Errorf("labels are %v and %v", f.Src.Labels, f.Dst.Labels)
		}
	}
	if got, want := b.coverage(), "flows h1: 1 stored, 0 repeated, 0 lost, 1 refused\nflows h2: 1 stored, 0 repeated, 0 lost, 0 refused\nflows h3: 0 stored, 0 repeated, 0 lost, 1 refused\n"; got != want {
		t.Errorf("coverage is\n%swant\n%s", got, want)
	}
}

func TestFlowRepetitionsAndLosses(t *testing.T) {
	b := newFlowBed(t)
	h1 := b.as("h1")
	b.send(h1, b.batch(5, true))
	for range 2 {
		if r := b.send(h1, b.batch(5, true)); !r.Repeated {
			t.Error("a repetition is new")
		}
		b.send(h1, flowreport.Message{Lost: &flowreport.Lost{Queue: "q1", Total: 7}})
		b.send(h1, flowreport.Message{Alive: true})
	}
	if got, want := b.coverage(), "flows h1: 1 stored, 2 repeated, 7 lost, 0 refused\n"; got != want {
		t.Errorf("coverage is %swant %s", got, want)
	}
}

// The last of a workload that is gone, or has moved, may still be told.
func TestFlowsOfWhatHasGone(t *testing.T) {
	b := newFlowBed(t)
	h1 := b.as("h1")
	b.send(h1, b.batch(1, true))
	delete(b.world, workload.ID{Namespace: "shop", Name: "web-1"})
	b.now = b.now.Add(flowGrace / 2)
	if r := b.send(h1, b.batch(2, true)); r.Refused != 0 {
		t.Errorf("soon after: %+v", r)
	}
	b.now = b.now.Add(flowGrace)
	if r := b.send(h1, b.batch(3, true)); r.Refused != 1 {
		t.Errorf("long after: %+v", r)
	}
}

func TestFlowTimes(t *testing.T) {
	b := newFlowBed(t)
	h1 := b.as("h1")
	ahead, old := b.batch(1, true), b.batch(2, true)
	ahead.Batch.Rows[0].Last += int64(48 * time.Hour)
	old.Batch.Rows[0].First, old.Batch.Rows[0].Last = 1, 2
	b.send(h1, ahead)
	if r := b.send(h1, old); r.Refused != 1 {
		t.Errorf("flows of 1970: %+v", r)
	}
	flows, err := b.store.Flows(t.Context(), store.FlowQuery{})
	if err != nil || len(flows) != 1 || flows[0].Last.After(b.now) {
		t.Fatal(flows, err)
	}
}

// Nobody without a certificate, and no garbage.
func TestFlowGarbage(t *testing.T) {
	b := newFlowBed(t)
	_, err := flowreport.Send(t.Context(), b.as("h1"), []byte(`{"batch":{"queue":"q","seq":1,"rows":[{"src":9}]}}`))
	if !flowreport.Hopeless(err) {
		t.Errorf("garbage: %v", err)
	}
	other := newAuthority(t).tls("h1")
	conn, err := grpc.NewClient(b.addr, grpc.WithTransportCredentials(credentials.NewTLS(&tls.Config{
		Certificates: other.Certificates, RootCAs: b.ca.tls("x").RootCAs, ServerName: "control", MinVersion: tls.VersionTLS13,
	})))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	text, _ := b.batch(1, true).Encode()
	if _, err := flowreport.Send(t.Context(), conn, text); status.Code(err) != codes.Unavailable {
		t.Errorf("a stranger's certificate: %v", err)
	}
	if got := b.coverage(); got != "" {
		t.Errorf("coverage is %s", got)
	}
}
