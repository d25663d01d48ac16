package main

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"math/big"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/peer"

	"github.com/gabion-io/gabion/controlplane/api/v1alpha1"
	"github.com/gabion-io/gabion/controlplane/segment"
	"github.com/gabion-io/gabion/controlplane/server"
	"github.com/gabion-io/gabion/controlplane/server/servertest"
	"github.com/gabion-io/gabion/internal/netnstest"
	"github.com/gabion-io/gabion/internal/unixsocket"
	"github.com/gabion-io/gabion/segmentation"
	"github.com/gabion-io/gabion/segmentation/agent"
	"github.com/gabion-io/gabion/segmentation/uplink"
	"github.com/gabion-io/gabion/workload"
)

// The two processes of the test below: the test binary under these names.
const (
	planeProcess = "seg-test-plane"
	agentProcess = "seg-test-agent"
)

// processTB lets servertest run in a process of its own, which is ended by a kill.
type processTB struct{}

func (processTB) Helper()                  {}
func (processTB) Fatal(args ...any)        { panic(fmt.Sprint(args...)) }
func (processTB) Cleanup(func())           {}
func (processTB) Context() context.Context { return context.Background() }

// runPlane is a control plane that takes flows on a socket: STATE FILES SOCKET.
func runPlane() {
	state, files, socket := os.Args[1], os.Args[2], os.Args[3]
	p := servertest.Start(processTB{}, state, files)
	config, err := pairTLS(state, "control")
	if err != nil {
		panic(err)
	}
	ln, err := unixsocket.Listen(socket)
	if err != nil {
		panic(err)
	}
	g := grpc.NewServer(grpc.Creds(credentials.NewTLS(config)))
	newFlowDoor(p.Store, p.Loop, commonName, slog.Default(), nil).Register(g)
	panic(g.Serve(ln))
}

// runAgent is an agent that reports over a socket: STATE FILES SOCKET BPFFS.
func runAgent() {
	state, files, socket, bpffs := os.Args[1], os.Args[2], os.Args[3], os.Args[4]
	config, err := pairTLS(filepath.Dir(files), "node-1")
	if err != nil {
		panic(err)
	}
	conn, err := grpc.NewClient("unix:"+socket, grpc.WithTransportCredentials(credentials.NewTLS(config)))
	if err != nil {
		panic(err)
	}
	log := slog.New(slog.NewTextHandler(os.Stderr, nil))
	up, err := uplink.Open(uplink.Options{Dir: filepath.Join(state, "flows"), Conn: conn, Log: log, Retry: 50 * time.Millisecond})
	if err != nil {
		panic(err)
	}
	go up.Run(context.Background())
	a, err := agent.Open(agent.Options{Pins: filepath.Join(bpffs, "gabion"), State: state, Report: up.Add, Log: log})
	if err != nil {
		panic(err)
	}
	desired := make(chan agent.Desired, 1)
	desired <- desiredOf(files)
	panic(a.Run(context.Background(), desired))
}

func desiredOf(dir string) (d agent.Desired) {
	var objects []v1alpha1.Object
	text, err := os.ReadFile(filepath.Join(dir, "shop.yaml"))
	if err != nil {
		panic(err)
	}
	objects, problems := v1alpha1.Decode("shop.yaml", text)
	if len(problems) > 0 {
		panic(problems)
	}
	r := segment.Compile(objects, segment.Options{})
	d.Policies, d.World = r.Policies, segmentation.World{Workloads: r.Workloads}
	for _, o := range objects {
		if w, ok := o.(*v1alpha1.Workload); ok {
			d.Interfaces = append(d.Interfaces, agent.Interface{Name: w.Spec.Interface, Workload: workload.ID{Namespace: w.Namespace, Name: w.Name}})
		}
	}
	return d
}

// makePairs writes certificates of one authority, for the host and the plane.
func makePairs(t *testing.T, dir string) {
	t.Helper()
	var parent *x509.Certificate
	var by *ecdsa.PrivateKey
	for n, name := range []string{"authority", "control", "node-1"} {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		c := &x509.Certificate{
			SerialNumber: big.NewInt(int64(n + 1)), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name}, IsCA: n == 0, BasicConstraintsValid: true,
			NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		}
		if n == 0 {
			parent, by = c, key
		}
		raw, err := x509.CreateCertificate(rand.Reader, c, parent, &key.PublicKey, by)
		if err != nil {
			t.Fatal(err)
		}
		k, err := x509.MarshalPKCS8PrivateKey(key)
		if err != nil {
			t.Fatal(err)
		}
		text := append(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: raw}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: k})...)
		if err := os.WriteFile(filepath.Join(dir, name+".pem"), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

func pairTLS(dir, name string) (*tls.Config, error) {
	file := filepath.Join(dir, name+".pem")
	pair, err := tls.LoadX509KeyPair(file, file)
	if err != nil {
		return nil, err
	}
	root, err := os.ReadFile(filepath.Join(dir, "authority.pem"))
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(root)
	return &tls.Config{
		Certificates: []tls.Certificate{pair}, RootCAs: pool, ClientCAs: pool, ClientAuth: tls.RequireAndVerifyClientCert,
		ServerName: "control", MinVersion: tls.VersionTLS13,
	}, nil
}

func commonName(ctx context.Context) (string, error) {
	p, _ := peer.FromContext(ctx)
	info, ok := p.AuthInfo.(credentials.TLSInfo)
	if !ok || len(info.State.VerifiedChains) == 0 {
		return "", errors.New("the peer has no certificate")
	}
	return info.State.VerifiedChains[0][0].Subject.CommonName, nil
}

// segBed is two workloads, an agent and a control plane.
type segBed struct {
	*testing.T
	net                  *netnstest.Net
	web, cart            *netnstest.Workload
	dir, agentDir, files string
	socket, bpffs        string
	next                 int // source port: none comes back
}

func newSegBed(t *testing.T) *segBed {
	b := &segBed{T: t, net: netnstest.New(t), bpffs: netnstest.Pins(t), dir: t.TempDir(), agentDir: t.TempDir(), next: 3000}
	b.web, b.cart = b.net.Workload("web"), b.net.Workload("cart")
	b.files = filepath.Join(b.dir, "files")
	short, err := os.MkdirTemp("", "gabion-seg") // a socket's path is short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(short) })
	b.socket = filepath.Join(short, "flows.sock")
	if err := os.Mkdir(b.files, 0o700); err != nil {
		t.Fatal(err)
	}
	makePairs(t, b.dir)
	text := ""
	for name, w := range map[string]*netnstest.Workload{"web": b.web, "cart": b.cart} {
		i := w.Interfaces[0]
		text += fmt.Sprintf("apiVersion: gabion.io/v1alpha1\nkind: Workload\nmetadata: {name: %[1]s, namespace: shop, labels: {app: %[1]s}}\nspec: {addresses: [%[2]q, %[3]q], interface: %[4]s, node: node-1}\n---\n", name, i.V4, i.V6, i.HostName)
	}
	text += `apiVersion: gabion.io/v1alpha1
kind: SegmentationPolicy
metadata: {name: cart, namespace: shop}
spec:
  selector: {matchLabels: {app: cart}}
  mode: enforce
  ingress:
  - from: [{selector: {matchLabels: {app: web}}}]
    ports: [{protocol: UDP, port: 80}]
`
	if err := os.WriteFile(filepath.Join(b.files, "shop.yaml"), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("GABION_STATE", b.dir)
	return b
}

// process starts one of the two, by its name in the PATH.
func (b *segBed) process(name string, inHost bool, args ...string) *exec.Cmd {
	b.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		b.Fatal(err)
	}
	c := exec.Command(path, args...)
	if inHost {
		c = b.net.Host.Command(path, args...)
	}
	said := &bytes.Buffer{}
	c.Stderr = said
	if err := c.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		c.Process.Kill()
		c.Wait()
		if b.Failed() {
			b.Logf("%s said:\n%s", name, said)
		}
	})
	return c
}

func (b *segBed) plane() *exec.Cmd {
	return b.process(planeProcess, false, b.dir, b.files, b.socket)
}

func (b *segBed) agent() *exec.Cmd {
	return b.process(agentProcess, true, b.agentDir, b.files, b.socket, b.bpffs)
}

func (b *segBed) kill(c *exec.Cmd) {
	b.Helper()
	if err := c.Process.Kill(); err != nil { // SIGKILL
		b.Fatal(err)
	}
	c.Wait()
}

// flows opens n flows from web to a port of cart.
func (b *segBed) flows(n int, port uint16, answered bool) {
	b.Helper()
	from, to := b.web.Interfaces[0].V4, netip.AddrPortFrom(b.cart.Interfaces[0].V4, port)
	b.web.Do(func() {
		for range n {
			b.next++
			c, err := net.DialUDP("udp", net.UDPAddrFromAddrPort(netip.AddrPortFrom(from, uint16(b.next))), net.UDPAddrFromAddrPort(to))
			if err != nil {
				b.Error(err)
				return
			}
			if answered {
				err = netnstest.Echo(c, "marco", netnstest.Patience)
			} else {
				_, err = c.Write([]byte("never"))
			}
			c.Close()
			if err != nil {
				b.Error(err)
				return
			}
		}
	})
}

// counted is what `gabion seg edges -o json` says of a port.
func (b *segBed) counted(port uint16) (flows, denied uint64) {
	var out, errs bytes.Buffer
	if execute(b.Context(), []string{"seg", "edges", "--from", "shop/web", "-o", "json"}, strings.NewReader(""), &out, &errs) != exitOK {
		return 0, 0 // the control plane is not there yet
	}
	var list server.EdgeList
	if err := json.Unmarshal(out.Bytes(), &list); err != nil {
		b.Fatal(err)
	}
	for _, e := range list.Items {
		if e.Port == port && e.Dst.Workload == "shop/cart" && e.Dst.Labels["app"] == "cart" {
			return e.Flows, e.Denied
		}
	}
	return 0, 0
}

func (b *segBed) until(what string, true func() bool) {
	b.Helper()
	for end := time.Now().Add(6 * netnstest.Patience); !true(); time.Sleep(20 * time.Millisecond) {
		if b.Failed() || time.Now().After(end) {
			b.Fatalf("waited in vain until %s", what)
		}
	}
}

// Traffic between two namespaces shows in `gabion seg edges`, all of it, whichever
// of the agent and the control plane is killed in its middle.
func TestFlowsFromKernelToCommandLine(t *testing.T) {
	b := newSegBed(t)
	b.cart.ServeUDP(netip.AddrPortFrom(b.cart.Interfaces[0].V4, 80))
	plane, agent := b.plane(), b.agent()
	attached := func() bool {
		return b.web.Try("udp", netip.Addr{}, netip.AddrPortFrom(b.cart.Interfaces[0].V4, 82), time.Millisecond) != nil && b.sawPort(82)
	}
	b.until("the agent is attached and reports", attached)
	good, bad := uint64(0), uint64(0)
	round := func(n int) {
		b.flows(n, 80, true)
		b.flows(n/4, 81, false)
		good, bad = good+uint64(n), bad+uint64(n/4)
	}
	all := func() bool {
		flows, _ := b.counted(80)
		_, denied := b.counted(81)
		return flows >= good && denied >= bad
	}
	round(20)
	b.until("the edges are there", all)
	b.attributed()

	b.kill(plane)
	round(40)
	plane = b.plane()
	round(20)
	b.until("what was seen while the control plane was away is there", all)

	for range 3 {
		round(20)
		b.kill(agent)
		round(20)
		agent = b.agent()
	}
	b.until("what was seen while the agent was away is there", all)
	flows, _ := b.counted(80)
	_, denied := b.counted(81)
	if flows != good || denied != bad {
		t.Errorf("%d flows of %d are counted, %d denied of %d", flows, good, denied, bad)
	}
	_ = plane
}

// attributed holds that what was denied is told with the process that tried: us.
func (b *segBed) attributed() {
	b.Helper()
	self, err := os.Executable()
	if err != nil {
		b.Fatal(err)
	}
	var out, errs bytes.Buffer
	if code := execute(b.Context(), []string{"seg", "flows", "--verdict", "denied", "-o", "json"}, strings.NewReader(""), &out, &errs); code != exitOK {
		b.Fatalf("gabion seg flows: exit code %d: %s", code, &errs)
	}
	var list server.FlowList
	if err := json.Unmarshal(out.Bytes(), &list); err != nil {
		b.Fatal(err)
	}
	for _, f := range list.Items {
		if f.Port == 81 && f.PID == uint32(os.Getpid()) && f.Process == self {
			return
		}
	}
	b.Errorf("no denied flow is attributed to process %d, %s:\n%s", os.Getpid(), self, &out)
}

func (b *segBed) sawPort(port uint16) bool {
	flows, _ := b.counted(port)
	return flows > 0
}
