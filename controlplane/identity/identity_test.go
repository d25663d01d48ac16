package identity

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func open(t *testing.T, o Options) *Authority {
	t.Helper()
	if o.Dir == "" {
		o.Dir = t.TempDir()
	}
	a, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

func newKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func request(t *testing.T, key crypto.Signer, template x509.CertificateRequest) []byte {
	t.Helper()
	der, err := x509.CreateCertificateRequest(rand.Reader, &template, key)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

// joined is when the hosts of these tests have.
var joined = time.Date(2026, 11, 27, 3, 52, 48, 613, time.UTC)

// hostCert is what a host gets for a request that asks for more than it may.
func hostCert(t *testing.T, a *Authority, host string) *x509.Certificate {
	t.Helper()
	der := request(t, newKey(t), x509.CertificateRequest{
		Subject:  pkix.Name{CommonName: "other"},
		DNSNames: []string{"plane.example.com"},
		URIs:     []*url.URL{{Scheme: "spiffe", Host: a.TrustDomain().Name(), Path: "/control-plane"}},
	})
	req, claimed, err := ReadRequest(der)
	if err != nil || claimed != "other" {
		t.Fatal(claimed, err)
	}
	chain, err := a.SignHost(req, host, joined)
	if err != nil {
		t.Fatal(err)
	}
	block, rest := pem.Decode(chain)
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		t.Fatal(err)
	}
	if string(rest) != string(a.PEM()) {
		t.Error("the authority's certificate does not follow the host's")
	}
	return cert
}

func TestAuthorityIsKept(t *testing.T) {
	dir := t.TempDir()
	a := open(t, Options{Dir: dir, TrustDomain: "shop.example"})
	if info, err := os.Stat(filepath.Join(dir, "ca.key")); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the key's file: %v, %v", info.Mode(), err)
	}
	b := open(t, Options{Dir: dir})
	if a.Pin() != b.Pin() || string(a.PEM()) != string(b.PEM()) || b.TrustDomain().Name() != "shop.example" {
		t.Error("opened again it is another one")
	}
	if _, err := Open(Options{Dir: dir, TrustDomain: "other"}); err == nil || !strings.Contains(err.Error(), "shop.example") {
		t.Errorf("another trust domain: %v", err)
	}
	// Without its certificate the key gets a new one, and hosts still know it.
	if err := os.Remove(filepath.Join(dir, "ca.pem")); err != nil {
		t.Fatal(err)
	}
	if c := open(t, Options{Dir: dir, TrustDomain: "shop.example"}); c.Pin() != a.Pin() {
		t.Error("a new certificate changes the pin")
	}
	for name, damage := range map[string]func(){
		"damaged certificate": func() { os.WriteFile(filepath.Join(dir, "ca.pem"), []byte("x"), 0o600) },
		"foreign certificate": func() { os.WriteFile(filepath.Join(dir, "ca.pem"), open(t, Options{}).PEM(), 0o600) },
		"damaged key":         func() { os.WriteFile(filepath.Join(dir, "ca.key"), []byte("x"), 0o600) },
		"no key":              func() { os.Remove(filepath.Join(dir, "ca.key")) },
	} {
		damage()
		if _, err := Open(Options{Dir: dir}); err == nil || !strings.Contains(err.Error(), "ca.") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// A host gets its name and nothing that it asks for beside.
func TestHostCertificate(t *testing.T) {
	a := open(t, Options{})
	cert := hostCert(t, a, "node-1")
	if len(cert.URIs) != 1 || cert.URIs[0].String() != "spiffe://gabion/host/node-1" {
		t.Errorf("names %v", cert.URIs)
	}
	if cert.IsCA || len(cert.DNSNames)+len(cert.IPAddresses) > 0 || cert.Subject.CommonName != "" {
		t.Errorf("it may more than it should: %+v", cert.Subject)
	}
	if life := cert.NotAfter.Sub(cert.NotBefore); life < 24*time.Hour || life > 25*time.Hour {
		t.Errorf("it lives for %s", life)
	}
	h, err := a.PeerHost(tls.ConnectionState{PeerCertificates: []*x509.Certificate{cert}})
	if err != nil || h.Name != "node-1" || !h.Ends.Equal(cert.NotAfter) || !h.Joined.Equal(joined) {
		t.Error(h, err)
	}
	for _, bad := range []string{"", "A", "a/b", "..", "a..b", "-a", strings.Repeat("a", 254), "a b", "é"} {
		if _, err := a.SignHost(&x509.CertificateRequest{PublicKey: newKey(t).Public()}, bad, joined); err == nil {
			t.Errorf("a certificate for host %q", bad)
		}
	}
}

func TestPeerHostRefuses(t *testing.T) {
	now := time.Now()
	a := open(t, Options{Now: func() time.Time { return now }})
	own, err := a.newServerCertificate(nil)
	if err != nil {
		t.Fatal(err)
	}
	other := open(t, Options{TrustDomain: a.TrustDomain().Name()})
	good := hostCert(t, a, "node-1")
	for name, certs := range map[string][]*x509.Certificate{
		"none":                 nil,
		"another authority's":  {hostCert(t, other, "node-1")},
		"with their authority": {hostCert(t, other, "node-1"), other.cert},
		"the control plane's":  {own.Leaf},
		"the authority's":      {a.cert},
	} {
		if h, err := a.PeerHost(tls.ConnectionState{PeerCertificates: certs}); err == nil {
			t.Errorf("%s: taken for %v", name, h)
		}
	}
	if _, err := a.PeerHost(tls.ConnectionState{}); !errors.Is(err, ErrNoCertificate) {
		t.Error(err)
	}
	now = good.NotAfter.Add(time.Second)
	if h, err := a.PeerHost(tls.ConnectionState{PeerCertificates: []*x509.Certificate{good}}); err == nil {
		t.Errorf("an expired one: taken for %v", h)
	}
}

func TestRequestsThatAreNone(t *testing.T) {
	weak, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	small, err := ecdsa.GenerateKey(elliptic.P224(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	forged := request(t, newKey(t), x509.CertificateRequest{})
	forged[len(forged)-1] ^= 1
	for name, der := range map[string][]byte{
		"nothing": nil, "garbage": []byte("garbage"), "RSA": request(t, weak, x509.CertificateRequest{}),
		"P-224": request(t, small, x509.CertificateRequest{}), "not signed by its key": forged, "huge": make([]byte, maxRequest+1),
	} {
		if _, _, err := ReadRequest(der); err == nil {
			t.Errorf("%s is taken", name)
		}
	}
	_, edwards, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := ReadRequest(request(t, edwards, x509.CertificateRequest{})); err != nil {
		t.Errorf("Ed25519: %v", err)
	}
}

func TestServerCertificateIsRenewed(t *testing.T) {
	now := time.Now()
	a := open(t, Options{Now: func() time.Time { return now }})
	get := a.ServerCertificate([]string{"plane.example.com", "127.0.0.1", "::1"})
	serial := func() string {
		t.Helper()
		c, err := get(nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{"plane.example.com", "127.0.0.1", "::1"} {
			if err := c.Leaf.VerifyHostname(name); err != nil {
				t.Error(err)
			}
		}
		return c.Leaf.SerialNumber.String()
	}
	first := serial()
	now = now.Add(15 * time.Hour)
	if serial() != first {
		t.Error("renewed early")
	}
	now = now.Add(2 * time.Hour)
	if serial() == first {
		t.Error("not renewed when two thirds of its life are over")
	}
}

func TestTokenText(t *testing.T) {
	want := Token{Secret: "gabion_join_abc-DEF_1", Pin: open(t, Options{}).Pin()}
	got, err := ParseToken(" " + want.String() + "\n")
	if err != nil || got != want {
		t.Fatal(got, err)
	}
	secret := "gabion_join_topsecret"
	for _, bad := range []string{"", ".", secret, secret + ".", "." + want.Pin.String(), secret + "." + want.Pin.String()[1:],
		secret + "x.y." + want.Pin.String(), secret + "\n." + want.Pin.String(), strings.Repeat("a", 600) + "." + want.Pin.String()} {
		if got, err := ParseToken(bad); err == nil || strings.Contains(err.Error(), "topsecret") {
			t.Errorf("%q is read as %v, %v", bad, got, err)
		}
	}
}

func FuzzParseToken(f *testing.F) {
	f.Add("gabion_join_abc." + Pin{}.String())
	f.Add("a.b.c")
	f.Fuzz(func(t *testing.T, text string) {
		token, err := ParseToken(text)
		if err != nil {
			return
		}
		if again, err := ParseToken(token.String()); err != nil || again != token {
			t.Fatalf("%q is read as %v and that as %v, %v", text, token, again, err)
		}
	})
}

func FuzzReadRequest(f *testing.F) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		f.Fatal(err)
	}
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{Subject: pkix.Name{CommonName: "node-1"}}, key)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(der)
	f.Add([]byte{0x30, 0x80})
	f.Fuzz(func(t *testing.T, der []byte) {
		if r, _, err := ReadRequest(der); err == nil && checkKey(r.PublicKey) != nil {
			t.Fatal("a key that is not allowed was taken")
		}
	})
}
