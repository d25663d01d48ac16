package ads_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gabion-io/gabion/controlplane/ir"
)

// authority signs certificates for one test.
type authority struct {
	t    testing.TB
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pem  []byte
}

var serial atomic.Int64

func newAuthority(t testing.TB) *authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(serial.Add(1)), Subject: pkix.Name{CommonName: "test authority"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return &authority{t: t, cert: cert, key: key, pem: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})}
}

// issue returns a certificate and key in PEM for the names.
func (a *authority) issue(names ...string) (cert, key []byte) {
	a.t.Helper()
	return a.sign(&x509.Certificate{Subject: pkix.Name{CommonName: names[0]}, DNSNames: names})
}

// identify returns a certificate and key in PEM for a SPIFFE ID.
func (a *authority) identify(id string) (cert, key []byte) {
	a.t.Helper()
	u, err := url.Parse(id)
	if err != nil {
		a.t.Fatal(err)
	}
	return a.sign(&x509.Certificate{URIs: []*url.URL{u}})
}

func (a *authority) sign(template *x509.Certificate) (cert, key []byte) {
	a.t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	template.SerialNumber = big.NewInt(serial.Add(1))
	template.NotBefore, template.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(24*time.Hour)
	template.KeyUsage = x509.KeyUsageDigitalSignature
	template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, &k.PublicKey, a.key)
	if err != nil {
		a.t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		a.t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER})
}

func (a *authority) pool() *x509.CertPool {
	p := x509.NewCertPool()
	p.AddCert(a.cert)
	return p
}

// tlsClient dials the listener whatever the URL's host says.
func tlsClient(port uint32, config *tls.Config) *http.Client {
	return &http.Client{Timeout: patience, Transport: &http.Transport{
		TLSClientConfig: config.Clone(), ForceAttemptHTTP2: true, DisableKeepAlives: true,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "tcp", fmt.Sprintf("127.0.0.1:%d", port))
		},
	}}
}

func secretOf(name string, cert, key []byte) ir.Secret {
	return ir.Secret{Name: name, Resource: ir.Ref{Kind: "Secret", Namespace: "default", Name: name}, Cert: cert, Key: key}
}

func bundleOf(name string, ca []byte) ir.Secret {
	return ir.Secret{Name: name, Resource: ir.Ref{Kind: "ConfigMap", Namespace: "default", Name: name}, CA: ca}
}

// secured puts the gateway's one chain behind TLS for shop.example.
func secured(in *ir.IR, secret ir.Secret) *ir.IR {
	in.Secrets = append(in.Secrets, secret)
	c := &in.Listeners[0].Chains[0]
	c.Name, c.ServerNames = "shop", []string{"shop.example"}
	c.TLS = &ir.TLS{Secrets: []string{secret.Name}, MinVersion: "1.2"}
	return in
}

func TestEnvoyRotatesCertificatesUnderLoad(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a := backend(t, "a")
	port := freePort(t)
	ca := newAuthority(t)
	intent := func(cert, key []byte) *ir.IR {
		return secured(gateway(port, []ir.Cluster{clusterOf(t, "a", a)}, route("/", "a")), secretOf("shop", cert, key))
	}
	cert, key := ca.issue("shop.example")
	w.serve(intent(cert, key))

	config := &tls.Config{RootCAs: ca.pool()}
	resp, _ := get(t, tlsClient(port, config), "https://shop.example/x")
	if resp.ProtoMajor != 2 || resp.StatusCode != 200 {
		t.Fatalf("got %s %s, want HTTP/2 and 200", resp.Proto, resp.Status)
	}

	stop := make(chan struct{})
	var group sync.WaitGroup
	var sent atomic.Int64
	for range 4 {
		group.Go(func() {
			c := tlsClient(port, config)
			for {
				select {
				case <-stop:
					return
				default:
				}
				r, err := c.Get("https://shop.example/x")
				if err != nil {
					t.Errorf("request failed while the certificate changed: %v", err)
					return
				}
				io.Copy(io.Discard, r.Body)
				r.Body.Close()
				sent.Add(1)
			}
		})
	}
	for range 5 {
		cert, key := ca.issue("shop.example")
		if err := w.plane.SetSnapshot(w.translate(intent(cert, key))); err != nil {
			t.Fatal(err)
		}
		block, _ := pem.Decode(cert)
		want, _ := x509.ParseCertificate(block.Bytes)
		eventually(t, "the new certificate is shown", func() error {
			c, err := tls.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port), &tls.Config{RootCAs: ca.pool(), ServerName: "shop.example"})
			if err != nil {
				return err
			}
			defer c.Close()
			if got := c.ConnectionState().PeerCertificates[0]; got.SerialNumber.Cmp(want.SerialNumber) != 0 {
				return fmt.Errorf("certificate %v, want %v", got.SerialNumber, want.SerialNumber)
			}
			return nil
		})
	}
	close(stop)
	group.Wait()
	if n := w.envoy.mustStat("listener_manager.listener_modified"); n != 0 {
		t.Errorf("%d listeners were replaced by a change of certificate", n)
	}
	t.Logf("%d requests, none lost", sent.Load())
}

func TestEnvoyAsksForClientCertificates(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a := backend(t, "a")
	port := freePort(t)
	ca := newAuthority(t)
	cert, key := ca.issue("shop.example")
	in := secured(gateway(port, []ir.Cluster{clusterOf(t, "a", a)}, route("/", "a")), secretOf("shop", cert, key))
	in.Secrets = append(in.Secrets, bundleOf("clients", ca.pem))
	in.Listeners[0].Chains[0].TLS.ClientCA = "clients"
	in.Listeners[0].Chains[0].TLS.RequireClientCert = true
	in.Listeners[0].Chains[0].TLS.MinVersion = "1.3"
	w.serve(in)

	if r, err := tlsClient(port, &tls.Config{RootCAs: ca.pool()}).Get("https://shop.example/"); err == nil {
		t.Errorf("a client without certificate got %s", r.Status)
	}
	clientCert, clientKey := ca.issue("client")
	pair, err := tls.X509KeyPair(clientCert, clientKey)
	if err != nil {
		t.Fatal(err)
	}
	with := &tls.Config{RootCAs: ca.pool(), Certificates: []tls.Certificate{pair}}
	if resp, _ := get(t, tlsClient(port, with), "https://shop.example/"); resp.StatusCode != 200 {
		t.Errorf("a client with certificate got %s", resp.Status)
	}
	old := with.Clone()
	old.MaxVersion = tls.VersionTLS12
	if r, err := tlsClient(port, old).Get("https://shop.example/"); err == nil {
		t.Errorf("TLS 1.2 got %s where 1.3 is the minimum", r.Status)
	}
}

func TestEnvoyVerifiesBackends(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ca, stranger := newAuthority(t), newAuthority(t)
	cert, key := ca.issue("inner.example")
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		t.Fatal(err)
	}
	up := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprint(w, r.TLS.ServerName)
	}))
	up.TLS = &tls.Config{Certificates: []tls.Certificate{pair}}
	up.StartTLS()
	t.Cleanup(up.Close)

	secure := func(name, sni, bundle string) ir.Cluster {
		c := clusterOf(t, name, up)
		c.TLS = &ir.UpstreamTLS{SNI: sni, CA: bundle}
		return c
	}
	port := freePort(t)
	in := gateway(port, []ir.Cluster{
		secure("good", "inner.example", "ca"), secure("name", "outer.example", "ca"), secure("ca", "inner.example", "stranger"),
		{Name: "system", Protocol: "http1", Endpoints: clusterOf(t, "x", up).Endpoints, TLS: &ir.UpstreamTLS{SNI: "inner.example", System: true}},
	}, route("/good", "good"), route("/name", "name"), route("/ca", "ca"), route("/system", "system"))
	in.Secrets = []ir.Secret{bundleOf("ca", ca.pem), bundleOf("stranger", stranger.pem)}
	w.serve(in)

	for path, want := range map[string]int{"/good": 200, "/name": 503, "/ca": 503, "/system": 503} {
		resp, body := get(t, client(), urlOf(port, path))
		if resp.StatusCode != want {
			t.Errorf("%s: %s, want %d: %s", path, resp.Status, want, body)
		}
		if want == 200 && body != "inner.example" {
			t.Errorf("the backend was asked for %q", body)
		}
	}
}
