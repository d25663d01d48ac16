package enrol

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/status"

	"github.com/gabion-io/gabion/controlplane/identity"
	"github.com/gabion-io/gabion/controlplane/store"
)

// plane is an enrolment service over real TLS, with a real store behind it.
type plane struct {
	*testing.T
	authority *identity.Authority
	store     *store.Store
	addr      string
	lock      sync.Mutex
	asked     int // how often a secret arrived
}

func (p *plane) RedeemJoinToken(ctx context.Context, secret, host string) error {
	p.lock.Lock()
	p.asked++
	p.lock.Unlock()
	return p.store.RedeemJoinToken(ctx, secret, host)
}

func (p *plane) JoinedSince(ctx context.Context, host string, since time.Time) (bool, error) {
	return p.store.JoinedSince(ctx, host, since)
}

func newPlane(t *testing.T, lifetime time.Duration) *plane {
	t.Helper()
	a, err := identity.Open(identity.Options{Dir: t.TempDir(), Lifetime: lifetime})
	if err != nil {
		t.Fatal(err)
	}
	st, err := store.Open(t.Context(), store.Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { st.Close() })
	p := &plane{T: t, authority: a, store: st}
	p.addr = p.serve(a.ServerTLS())
	return p
}

// serve offers enrolment under some certificate.
func (p *plane) serve(config *tls.Config) string {
	p.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		p.Fatal(err)
	}
	g := grpc.NewServer(grpc.Creds(credentials.NewTLS(config)))
	(&identity.Enrolment{Authority: p.authority, Tokens: p, Log: slog.New(slog.DiscardHandler)}).Register(g)
	go g.Serve(ln)
	p.Cleanup(g.Stop)
	return ln.Addr().String()
}

func (p *plane) token(host string, ttl time.Duration) identity.Token {
	p.Helper()
	secret, _, err := p.store.CreateJoinToken(p.Context(), store.JoinSpec{Host: host, TTL: ttl, Author: "test"})
	if err != nil {
		p.Fatal(err)
	}
	token, err := identity.ParseToken(identity.Token{Secret: secret, Pin: p.authority.Pin()}.String())
	if err != nil {
		p.Fatal(err)
	}
	return token
}

func holder(t *testing.T, file, host string) *Holder {
	t.Helper()
	h, err := Open(Options{File: file, Host: host, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func fresh(t *testing.T, host string) *Holder {
	t.Helper()
	return holder(t, filepath.Join(t.TempDir(), "identity.pem"), host)
}

func wantCode(t *testing.T, err error, want codes.Code, words string) {
	t.Helper()
	if status.Code(err) != want || !strings.Contains(err.Error(), words) {
		t.Errorf("%v, want %s with %q", err, want, words)
	}
}

func TestJoin(t *testing.T) {
	p := newPlane(t, 0)
	file := filepath.Join(t.TempDir(), "identity.pem")
	h := holder(t, file, "node-1")
	if h.Joined() == nil {
		t.Error("it has joined before it did")
	}
	if _, err := h.TLS(); err == nil {
		t.Error("it connects without an identity")
	}
	token := p.token("node-1", time.Hour)
	if err := h.Join(t.Context(), p.addr, token); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(file); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the identity's file: %v, %v", info, err)
	}
	// A restart needs no token.
	h = holder(t, file, "node-1")
	if err := h.Joined(); err != nil || !h.Joins(token.Pin) {
		t.Error(err)
	}
	before := h.get()
	if err := h.Renew(t.Context(), p.addr); err != nil {
		t.Fatal(err)
	}
	if after := h.get(); after.leaf().SerialNumber.Cmp(before.leaf().SerialNumber) == 0 {
		t.Error("renewed, it is the same certificate")
	}
	if _, err := Open(Options{File: file, Host: "node-2"}); err == nil || !strings.Contains(err.Error(), "node-1") {
		t.Errorf("another host takes the identity: %v", err)
	}
}

func TestTokensThatAreNotGood(t *testing.T) {
	p := newPlane(t, 0)
	used := p.token("node-1", time.Hour)
	if err := fresh(t, "node-1").Join(t.Context(), p.addr, used); err != nil {
		t.Fatal(err)
	}
	expired := p.token("node-1", time.Nanosecond)
	unknown := p.token("node-1", time.Hour)
	unknown.Secret += "x"
	for name, c := range map[string]struct {
		host  string
		token identity.Token
		words string
	}{
		"used twice":      {"node-1", used, "used already"},
		"expired":         {"node-1", expired, "expired"},
		"of another host": {"node-2", p.token("node-1", time.Hour), "another host"},
		"unknown":         {"node-1", unknown, "unknown"},
	} {
		h := fresh(t, c.host)
		wantCode(t, h.Join(t.Context(), p.addr, c.token), codes.PermissionDenied, c.words)
		if _, err := os.Stat(h.o.File); !os.IsNotExist(err) {
			t.Errorf("%s: something was kept (%v)", name, err)
		}
	}
	// Neither a token nor a certificate.
	config := trusting(func([]*x509.Certificate) (*x509.Certificate, error) {
		c, err := certificates(p.authority.PEM())
		return c[0], err
	})
	for _, method := range []string{identity.JoinMethod, identity.RenewMethod} {
		wantCode(t, fresh(t, "node-1").ask(t.Context(), p.addr, config, method, p.authority.Pin()), codes.Unauthenticated, "")
	}
}

// To a server that is not the one a token was made by, nothing is sent.
func TestOtherServers(t *testing.T) {
	p, other := newPlane(t, 0), newPlane(t, 0)
	token := p.token("node-1", time.Hour)
	h := fresh(t, "node-1")
	if err := h.Join(t.Context(), other.addr, token); err == nil || !strings.Contains(err.Error(), "nothing was sent") {
		t.Errorf("joined at another: %v", err)
	}
	// One that shows the right authority's certificate beside its own.
	mixed := other.authority.ServerTLS()
	get := mixed.GetCertificate
	mixed.GetCertificate = func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
		c, err := get(hello)
		if err != nil {
			return nil, err
		}
		mine, _ := certificates(p.authority.PEM())
		return &tls.Certificate{Certificate: [][]byte{c.Certificate[0], mine[0].Raw}, PrivateKey: c.PrivateKey}, nil
	}
	if err := h.Join(t.Context(), other.serve(mixed), token); err == nil {
		t.Error("joined at one that shows a foreign authority")
	}
	// A host of the installation that plays the control plane.
	thief := fresh(t, "node-2")
	if err := thief.Join(t.Context(), p.addr, p.token("node-2", time.Hour)); err != nil {
		t.Fatal(err)
	}
	played := p.serve(&tls.Config{Certificates: []tls.Certificate{{
		Certificate: [][]byte{thief.get().leaf().Raw, thief.get().authority.Raw}, PrivateKey: thief.get().certificate.PrivateKey,
	}}})
	asked := p.asked
	if err := h.Join(t.Context(), played, token); err == nil || !strings.Contains(err.Error(), "not the control plane") {
		t.Errorf("joined at a host: %v", err)
	}
	if other.asked != 0 || p.asked != asked {
		t.Error("a secret arrived where it should not")
	}
	if err := h.Join(t.Context(), p.addr, token); err != nil {
		t.Errorf("and then at the right one: %v", err)
	}
	for _, server := range []string{other.addr, played} {
		if err := h.Renew(t.Context(), server); err == nil {
			t.Error("renewed at another")
		}
	}
}

// A server that speaks no TLS learns nothing.
func TestNoTLS(t *testing.T) {
	p := newPlane(t, 0)
	token := p.token("node-1", time.Hour)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	heard := make(chan string, 10)
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			c.Write([]byte("HTTP/1.1 200 OK\r\n\r\n"))
			c.SetReadDeadline(time.Now().Add(time.Second))
			b, _ := io.ReadAll(c)
			c.Close()
			heard <- string(b)
		}
	}()
	if err := fresh(t, "node-1").Join(t.Context(), ln.Addr().String(), token); err == nil {
		t.Error("joined")
	}
	if got := <-heard; strings.Contains(got, token.Secret) {
		t.Error("the secret was sent in the clear")
	}
}

// Certificates of seconds are renewed again and again, and never end.
func TestKeepRenews(t *testing.T) {
	p := newPlane(t, 3*time.Second)
	h := fresh(t, "node-1")
	if err := h.Join(t.Context(), p.addr, p.token("node-1", time.Hour)); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- h.Keep(ctx, p.addr) }()
	for range 2 {
		renewed := h.Renewed()
		select {
		case <-renewed:
		case <-time.After(30 * time.Second):
			t.Fatal("never renewed")
		}
		if again := holder(t, h.o.File, "node-1"); again.get().leaf().SerialNumber.Cmp(h.get().leaf().SerialNumber) != 0 {
			t.Error("the renewed certificate is not the one on disk")
		}
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// Whoever has stolen a host's identity keeps it no longer than its certificate lasts, once
// the host has joined again.
func TestStolenIdentityEndsWhenTheHostJoinsAgain(t *testing.T) {
	p := newPlane(t, 0)
	host := fresh(t, "node-1")
	if err := host.Join(t.Context(), p.addr, p.token("node-1", time.Hour)); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(host.o.File)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "stolen.pem")
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	thief := holder(t, file, "node-1")
	if err := thief.Renew(t.Context(), p.addr); err != nil {
		t.Fatalf("before anybody knows of it: %v", err)
	}
	if err := fresh(t, "node-2").Join(t.Context(), p.addr, p.token("node-2", time.Hour)); err != nil {
		t.Fatal(err)
	}
	if err := host.Renew(t.Context(), p.addr); err != nil {
		t.Errorf("another host has joined: %v", err)
	}
	again := fresh(t, "node-1")
	if err := again.Join(t.Context(), p.addr, p.token("node-1", time.Hour)); err != nil {
		t.Fatal(err)
	}
	wantCode(t, thief.Renew(t.Context(), p.addr), codes.PermissionDenied, "joined again")
	for range 2 {
		if err := again.Renew(t.Context(), p.addr); err != nil {
			t.Error(err)
		}
	}
}

func TestExpiredMustJoinAgain(t *testing.T) {
	p := newPlane(t, time.Second)
	h := fresh(t, "node-1")
	if err := h.Join(t.Context(), p.addr, p.token("node-1", time.Hour)); err != nil {
		t.Fatal(err)
	}
	for h.Joined() == nil {
		time.Sleep(time.Millisecond)
	}
	if err := h.Joined(); !strings.Contains(err.Error(), "join again") {
		t.Error(err)
	}
	if err := h.Renew(t.Context(), p.addr); err == nil {
		t.Error("an expired certificate is renewed")
	}
}

func FuzzParseCredential(f *testing.F) {
	a, err := identity.Open(identity.Options{Dir: f.TempDir()})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(a.PEM())
	f.Add([]byte("-----BEGIN PRIVATE KEY-----\n-----END PRIVATE KEY-----\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		if c, err := parseCredential(text); err == nil && (c.host == "" || c.authority == nil) {
			t.Fatal("an identity without a name")
		}
	})
}
