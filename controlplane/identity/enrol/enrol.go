// Package enrol is a host's side of its identity: it joins a control plane with a
// one-time token, keeps the key and the certificate that it gets, renews them in
// time, and gives the configuration of connections to that control plane and to no
// other.
//
// It signs nothing (controlplane/identity does) and knows no policy. What runs on a
// host imports it: cmd/gabion-agent.
package enrol

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
	"log/slog"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"github.com/gabion-io/gabion/controlplane/identity"
)

// Options say who this host is and where it keeps that.
type Options struct {
	File string // key and certificates in one file, 0600
	Host string // the host's name
	Log  *slog.Logger
	Now  func() time.Time
}

// Holder holds a host's identity. It is safe for concurrent use.
type Holder struct {
	o Options

	lock    sync.Mutex
	current *credential   // nil: the host has not joined
	renewed chan struct{} // closed and replaced at each change
}

// Open reads the identity of an earlier run, if there is one. One that has ended
// counts as none: Joined says so.
func Open(o Options) (*Holder, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	if err := identity.CheckHost(o.Host); err != nil {
		return nil, err
	}
	h := &Holder{o: o, renewed: make(chan struct{})}
	c, err := readCredential(o.File)
	if err != nil {
		return nil, err
	}
	if c != nil && c.host != o.Host {
		return nil, fmt.Errorf("%s is the identity of host %s, and this one is called %s", o.File, c.host, o.Host)
	}
	h.current = c
	return h, nil
}

// ErrNotJoined says that there is no identity yet.
var ErrNotJoined = errors.New("this host has not joined a control plane: it needs a token of 'gabion token join --host'")

// Joined says why there is no identity with which anything could be done.
func (h *Holder) Joined() error {
	c := h.get()
	if c == nil {
		return ErrNotJoined
	}
	if ends := c.leaf().NotAfter; !h.o.Now().Before(ends) {
		return fmt.Errorf("the certificate of this host ended at %s: it was away too long and must join again", ends.Format(time.RFC3339))
	}
	return nil
}

// Joins says whether the identity is of the control plane that a token names.
func (h *Holder) Joins(pin identity.Pin) bool {
	c := h.get()
	return c != nil && identity.PinOf(c.authority) == pin
}

func (h *Holder) get() *credential {
	h.lock.Lock()
	defer h.lock.Unlock()
	return h.current
}

// Renewed is closed when there is a new certificate.
func (h *Holder) Renewed() <-chan struct{} {
	h.lock.Lock()
	defer h.lock.Unlock()
	return h.renewed
}

// set keeps an identity, on disk before anybody uses it.
func (h *Holder) set(c *credential) error {
	if err := c.write(h.o.File); err != nil {
		return err
	}
	h.lock.Lock()
	defer h.lock.Unlock()
	h.current = c
	close(h.renewed)
	h.renewed = make(chan struct{})
	return nil
}

// TLS is the configuration of a connection to the control plane: who is not it by
// its SPIFFE ID and our authority is refused before anything is sent. It shows the
// certificate of the moment.
func (h *Holder) TLS() (*tls.Config, error) {
	c := h.get()
	if c == nil {
		return nil, ErrNotJoined
	}
	config := trusting(func(chain []*x509.Certificate) (*x509.Certificate, error) { return h.get().authority, nil })
	config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
		return &h.get().certificate, nil
	}
	return config, nil
}

// Join gets the first certificate for a token. The control plane is known by the
// token's pin; to another nothing is sent.
func (h *Holder) Join(ctx context.Context, server string, token identity.Token) error {
	authority := func(chain []*x509.Certificate) (*x509.Certificate, error) { return pinned(chain, token.Pin) }
	ctx = metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+token.Secret)
	if err := h.ask(ctx, server, trusting(authority), identity.JoinMethod, token.Pin); err != nil {
		return fmt.Errorf("join the control plane at %s: %w", server, err)
	}
	return nil
}

// Renew gets a new certificate, for a new key, with the one there is.
func (h *Holder) Renew(ctx context.Context, server string) error {
	config, err := h.TLS()
	if err != nil {
		return err
	}
	if err := h.ask(ctx, server, config, identity.RenewMethod, identity.PinOf(h.get().authority)); err != nil {
		return fmt.Errorf("renew the certificate at %s: %w", server, err)
	}
	return nil
}

// ask makes a key, has it certified, and keeps both.
func (h *Holder) ask(ctx context.Context, server string, config *tls.Config, method string, pin identity.Pin) error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	request, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{Subject: pkix.Name{CommonName: h.o.Host}}, key)
	if err != nil {
		return err
	}
	conn, err := Dial(server, config)
	if err != nil {
		return err
	}
	defer conn.Close()
	out := &wrapperspb.BytesValue{}
	if err := conn.Invoke(ctx, method, wrapperspb.Bytes(request), out); err != nil {
		return err
	}
	c, err := newCredential(key, out.GetValue())
	if err != nil {
		return fmt.Errorf("read the certificate: %w", err)
	}
	if c.host != h.o.Host || identity.PinOf(c.authority) != pin {
		return fmt.Errorf("the control plane answered with the certificate of host %q, or of another authority", c.host)
	}
	return h.set(c)
}

// Dial makes a connection for calls; it connects when it is first used. server is
// ADDRESS:PORT, or unix:PATH.
func Dial(server string, config *tls.Config, options ...grpc.DialOption) (*grpc.ClientConn, error) {
	target := "passthrough:///" + server
	if len(server) > 5 && server[:5] == "unix:" {
		target = server
	}
	return grpc.NewClient(target, append(options, grpc.WithTransportCredentials(credentials.NewTLS(config)), grpc.WithNoProxy())...)
}
