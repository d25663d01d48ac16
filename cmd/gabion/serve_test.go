package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/gabion-io/gabion/controlplane/identity"
	"github.com/gabion-io/gabion/controlplane/identity/enrol"
	"github.com/gabion-io/gabion/internal/lockedbuffer"
)

// served is one running `gabion serve`.
type served struct {
	*testing.T
	state  string
	agents string
	out    *lockedbuffer.Buffer
	stop   func() int // ends it and gives its exit code
}

func startServe(t *testing.T, state string, args ...string) *served {
	t.Helper()
	s := &served{T: t, state: state, out: &lockedbuffer.Buffer{}}
	ctx, cancel := context.WithCancel(t.Context())
	code := make(chan int, 1)
	all := append([]string{"serve", "--state", state, "--admin", "127.0.0.1:0", "--agents", "127.0.0.1:0"}, args...)
	go func() { code <- execute(ctx, all, strings.NewReader(""), s.out, s.out) }()
	ended := sync.OnceValue(func() int { cancel(); return <-code })
	s.stop = ended
	t.Cleanup(func() {
		ended()
		if t.Failed() {
			t.Logf("gabion serve said:\n%s", s.out)
		}
	})
	for end := time.Now().Add(time.Minute); !strings.Contains(s.out.String(), "Ctrl-C stops it"); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("gabion serve does not come up:\n%s", s.out)
		}
	}
	_, after, _ := strings.Cut(s.out.String(), "  agents   ")
	s.agents = strings.Fields(after)[0]
	return s
}

// run is a gabion command against it.
func (s *served) run(args ...string) (string, string, int) {
	s.Helper()
	var out, errs bytes.Buffer
	code := execute(s.Context(), append(args, "--state", s.state), strings.NewReader(""), &out, &errs)
	return out.String(), errs.String(), code
}

func (s *served) must(args ...string) string {
	s.Helper()
	out, errs, code := s.run(args...)
	if code != exitOK {
		s.Fatalf("gabion %s: %s", strings.Join(args, " "), errs)
	}
	return out
}

func (s *served) joined(host string) *enrol.Holder {
	s.Helper()
	h, err := enrol.Open(enrol.Options{File: filepath.Join(s.TempDir(), "identity.pem"), Host: host, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		s.Fatal(err)
	}
	token, err := identity.ParseToken(s.must("token", "join", "--host", host))
	if err != nil {
		s.Fatal(err)
	}
	if err := h.Join(s.Context(), s.agents, token); err != nil {
		s.Fatal(err)
	}
	return h
}

func TestServe(t *testing.T) {
	state := t.TempDir()
	s := startServe(t, state)
	if out := s.must("status"); !strings.Contains(out, "no proxy has connected") || !strings.Contains(out, "\nrecordings ") {
		t.Errorf("status over TLS:\n%s", out)
	}
	s.joined("node-1")
	if out := s.must("audit", "list"); !strings.Contains(out, "host join") || !strings.Contains(out, "join token create") {
		t.Errorf("audit log:\n%s", out)
	}
	if info, err := os.Stat(filepath.Join(state, "keys", "ca.key")); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the authority's key: %v, %v", info, err)
	}
	// Without the authority's certificate nobody is talked to.
	url, err := os.ReadFile(filepath.Join(state, "server.url"))
	if err != nil || !strings.HasPrefix(string(url), "https://") {
		t.Fatal(string(url), err)
	}
	if _, err := http.Get(strings.TrimSpace(string(url)) + "/healthz"); err == nil {
		t.Error("a client that knows no authority trusts the server")
	}
	elsewhere := t.TempDir()
	var errs bytes.Buffer
	code := execute(t.Context(), []string{"status", "--state", elsewhere, "--server", strings.TrimSpace(string(url)), "--token-file", filepath.Join(state, "admin.token")},
		strings.NewReader(""), &errs, &errs)
	if code != exitError || !strings.Contains(errs.String(), "--ca-file") {
		t.Errorf("without the authority: %d %s", code, &errs)
	}
	for _, bad := range [][]string{{"token", "join"}, {"token", "join", "--host", "a", "--ttl", "0s"}, {"token", "join", "--host", "a", "--ttl", "999h"}} {
		if _, _, code := s.run(bad...); code != exitUsage {
			t.Errorf("%v: %d", bad, code)
		}
	}
	if _, errs, code := s.run("token", "join", "--host", "Not A Host"); code != exitError || !strings.Contains(errs, "no name of a host") {
		t.Errorf("a bad name: %d %s", code, errs)
	}
	if code := s.stop(); code != exitOK {
		t.Errorf("stopped, it answers %d", code)
	}
	// Started again it is the same authority: who knows it, knows it still.
	before, _ := os.ReadFile(filepath.Join(state, "keys", "ca.pem"))
	startServe(t, state).must("status")
	if after, _ := os.ReadFile(filepath.Join(state, "keys", "ca.pem")); !bytes.Equal(before, after) {
		t.Error("started again it is another authority")
	}
}

func TestServeWithFiles(t *testing.T) {
	dir := t.TempDir()
	for _, bad := range [][]string{{"--tls-cert", "x"}, {"--agents", "nonsense"}, {"--admin", ""}, {"--database", "mysql://x"}} {
		var out bytes.Buffer
		if code := execute(t.Context(), append([]string{"serve", "--state", dir}, bad...), strings.NewReader(""), &out, &out); code != exitUsage {
			t.Errorf("%v: %d %s", bad, code, &out)
		}
	}
	cert, key := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	write := func() {
		t.Helper()
		a, err := identity.Open(identity.Options{Dir: t.TempDir()})
		if err != nil {
			t.Fatal(err)
		}
		c, err := a.ServerCertificate([]string{"127.0.0.1"})(nil)
		if err != nil {
			t.Fatal(err)
		}
		writePair(t, cert, key, c)
		if err := os.WriteFile(filepath.Join(dir, "ca.pem"), a.PEM(), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write()
	s := startServe(t, t.TempDir(), "--tls-cert", cert, "--tls-key", key)
	s.must("status", "--ca-file", filepath.Join(dir, "ca.pem"))
	if _, errs, code := s.run("status"); code != exitError || !strings.Contains(errs, "--ca-file") {
		t.Errorf("with the wrong authority: %d %s", code, errs)
	}
	write() // renewed: no restart
	t.Setenv("GABION_CA_FILE", filepath.Join(dir, "ca.pem"))
	s.must("status")
	s.joined("node-1") // agents know it as before
}

// Garbage on its listeners harms nothing, whatever it looks like.
func TestGarbageOnListeners(t *testing.T) {
	s := startServe(t, t.TempDir())
	url, _ := os.ReadFile(filepath.Join(s.state, "server.url"))
	for _, address := range []string{s.agents, strings.TrimPrefix(strings.TrimSpace(string(url)), "https://")} {
		noise := make([]byte, 100_000)
		rand.Read(noise)
		for _, text := range [][]byte{nil, noise, []byte("GET / HTTP/1.1\r\nHost: x\r\n\r\n"), []byte("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
			append([]byte{0x16, 3, 1, 0xff, 0xff, 1}, noise...), bytes.Repeat([]byte{0x16, 3, 3, 0, 1, 1}, 1000)} {
			c, err := net.DialTimeout("tcp", address, 10*time.Second)
			if err != nil {
				t.Fatal(err)
			}
			c.Write(text)
			c.Close()
		}
	}
	s.must("status")
	s.joined("node-1")
}

// Hubble's door: TLS and a token at a port, the owner alone at a socket.
func TestServeHubble(t *testing.T) {
	state := t.TempDir()
	s := startServe(t, state, "--hubble", "127.0.0.1:0")
	_, after, ok := strings.Cut(s.out.String(), "--server tls://")
	if !ok {
		t.Fatalf("the banner does not say how to ask:\n%s", s.out)
	}
	pem, err := os.ReadFile(filepath.Join(state, "keys", "ca.pem"))
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(pem)
	asked := func(target string, creds credentials.TransportCredentials, authorization string) codes.Code {
		conn, err := grpc.NewClient(target, grpc.WithTransportCredentials(creds))
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		ctx := metadata.AppendToOutgoingContext(t.Context(), "authorization", authorization)
		_, err = grpc_health_v1.NewHealthClient(conn).Check(ctx, &grpc_health_v1.HealthCheckRequest{Service: "hubble.server.Observer"})
		return status.Code(err)
	}
	secret := strings.TrimSpace(s.must("token", "create", "hubble", "--role", "viewer"))
	secret = secret[strings.Index(secret, "gabion_"):]
	encrypted := credentials.NewTLS(&tls.Config{RootCAs: roots})
	address := strings.Fields(after)[0]
	basic := "Basic " + base64.StdEncoding.EncodeToString([]byte("gabion:"+strings.Fields(secret)[0]))
	if got := asked(address, encrypted, basic); got != codes.OK {
		t.Errorf("with a token: %s", got)
	}
	if got := asked(address, encrypted, "Bearer gabion_guessed"); got != codes.Unauthenticated {
		t.Errorf("with none: %s", got)
	}
	if got := asked(address, insecure.NewCredentials(), basic); got != codes.Unavailable {
		t.Errorf("without TLS: %s", got)
	}
	s.stop()
	socket := filepath.Join(t.TempDir(), "hubble.sock")
	startServe(t, state, "--hubble", "unix:"+socket)
	if info, err := os.Stat(socket); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the socket: %v, %v", info, err)
	}
	if got := asked("unix:"+socket, insecure.NewCredentials(), ""); got != codes.OK {
		t.Errorf("at the socket: %s", got)
	}
}
