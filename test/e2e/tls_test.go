package e2e

import (
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// put writes a file as careful editors do: whole, by rename.
func put(t testing.TB, path, content string) {
	t.Helper()
	tmp := filepath.Join(filepath.Dir(path), ".new")
	if err := os.WriteFile(tmp, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(tmp, path); err != nil {
		t.Fatal(err)
	}
}

// served is the common name of the certificate an address presents.
func served(address string, ca certificate) (string, error) {
	d := tls.Dialer{NetDialer: &net.Dialer{Timeout: patience}, Config: &tls.Config{RootCAs: ca.pool(), ServerName: "localhost"}}
	c, err := d.Dial("tcp", address)
	if err != nil {
		return "", err
	}
	defer c.Close()
	return c.(*tls.Conn).ConnectionState().PeerCertificates[0].Subject.CommonName, nil
}

func (u *up) wantCertificate(address string, ca certificate, name string) {
	u.t.Helper()
	u.eventually("the certificate of "+name, func() error {
		got, err := served(address, ca)
		if err == nil && got != name {
			err = fmt.Errorf("still that of %s", got)
		}
		return err
	})
}

// Certificates of the flags' files and of Secrets below -f are renewed without a
// dropped request.
func TestCertificateRotation(t *testing.T) {
	ca := newCA(t)
	dir, resources := t.TempDir(), t.TempDir()
	cert, key := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	write := func(c certificate) { put(t, cert, string(c.cert)); put(t, key, string(c.key)) }
	write(ca.serve(t, "first"))
	second := freePort(t)
	put(t, filepath.Join(resources, "secret.yaml"), secret("shop-tls", ca.serve(t, "secret one")))
	u := startUp(t, "--tls-cert", cert, "--tls-key", key, "-f", resources)
	u.wantCertificate(u.listen, ca, "first")
	demo := strings.TrimPrefix(u.upstream(), "http://")
	put(t, filepath.Join(resources, "gateway.yaml"), httpsGateway("secure", second, "shop-tls")+httpRoute("secure", "secure", "/", "upstream", demo))
	u.wantCertificate(second, ca, "secret one")

	stop, done := make(chan struct{}), make(chan struct{})
	var failed, all atomic.Int64
	var first atomic.Value
	go func() { // new connections and a kept one, throughout
		defer close(done)
		kept := &http.Client{Timeout: patience, Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: ca.pool()}}}
		for {
			select {
			case <-stop:
				return
			case <-time.After(10 * time.Millisecond):
			}
			fresh := &http.Client{Timeout: patience, Transport: &http.Transport{DisableKeepAlives: true, TLSClientConfig: &tls.Config{RootCAs: ca.pool()}}}
			for _, address := range []string{u.listen, second} {
				for _, client := range []*http.Client{kept, fresh} {
					all.Add(1)
					if err := getOnce(client, "https://"+address+"/healthz", 200); err != nil {
						failed.Add(1)
						first.CompareAndSwap(nil, err.Error())
					}
				}
			}
		}
	}()
	write(ca.serve(t, "renewed"))
	put(t, filepath.Join(resources, "secret.yaml"), secret("shop-tls", ca.serve(t, "secret two")))
	u.wantCertificate(u.listen, ca, "renewed")
	u.wantCertificate(second, ca, "secret two")
	close(stop)
	<-done
	if failed.Load() > 0 || all.Load() == 0 {
		t.Errorf("%d of %d requests failed during the renewal: %v", failed.Load(), all.Load(), first.Load())
	}
}

// An upstream with TLS is verified: with its authority it answers, with another
// the client gets 503 and the backend sees no request.
func TestBackendTLS(t *testing.T) {
	ca, other := newCA(t), newCA(t)
	backend := httptest.NewUnstartedServer(http.HandlerFunc(mirror))
	backend.TLS = &tls.Config{Certificates: []tls.Certificate{ca.serve(t, "backend").pair(t)}}
	backend.StartTLS()
	t.Cleanup(backend.Close)
	address := backend.Listener.Addr().String()
	policy := func(by certificate) string {
		return fmt.Sprintf(`---
apiVersion: v1
kind: ConfigMap
metadata: {name: backend-ca}
data:
  ca.crt: |
%s---
apiVersion: gateway.networking.k8s.io/v1
kind: BackendTLSPolicy
metadata: {name: backend}
spec:
  targetRefs: [{group: "", kind: Service, name: backend}]
  validation: {hostname: shop.example.com, caCertificateRefs: [{group: "", kind: ConfigMap, name: backend-ca}]}
`, indent(by.cert))
	}
	u := startUp(t)
	u.apply(service("backend", address, "") + httpRoute("backend", "gabion", "/mirror", "backend", address) + policy(other))
	u.eventually("an upstream of another authority is refused", func() error { return u.wantStatus("/mirror", 503) })
	if a := u.get("/mirror"); strings.Contains(a.body, "/mirror") {
		t.Errorf("the backend answered: %d %q", a.status, a.body)
	}
	token, err := os.ReadFile(filepath.Join(u.state, "admin.token"))
	if err != nil {
		t.Fatal(err)
	}
	u.eventually("the reason is kept with the exchange", func() error {
		resp, body := u.call(t, http.MethodGet, "/api/v1/exchanges", strings.TrimSpace(string(token)), nil)
		if !strings.Contains(string(body), "CERTIFICATE_VERIFY_FAILED") {
			return fmt.Errorf("status %d: %s", resp.StatusCode, tail(string(body), 500))
		}
		return nil
	})
	u.apply(policy(ca))
	u.eventually("the verified upstream answers", func() error { return u.wantStatus("/mirror", 200) })
}
