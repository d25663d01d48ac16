package identity

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"time"

	"github.com/spiffe/go-spiffe/v2/bundle/x509bundle"
	"github.com/spiffe/go-spiffe/v2/spiffeid"
	"github.com/spiffe/go-spiffe/v2/svid/x509svid"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/status"
)

// Host is who is at the other end of a connection, by its certificate.
type Host struct {
	Name   string
	Ends   time.Time // of its certificate: what is done for the host ends by then
	Joined time.Time // by which join it has its certificate
}

// ErrNoCertificate says that the peer showed none.
var ErrNoCertificate = errors.New("no client certificate was shown: join first")

// PeerHost verifies the certificate of a connection's peer, as of now: chain,
// life, and that it is a host of this trust domain. A connection can be older than
// its certificate's end, so the answer is for this call, not for the next.
func (a *Authority) PeerHost(c tls.ConnectionState) (Host, error) {
	if len(c.PeerCertificates) == 0 {
		return Host{}, ErrNoCertificate
	}
	id, err := verify(c.PeerCertificates, a.cert, a.td, x509svid.WithTime(a.o.Now()))
	if err != nil {
		return Host{}, fmt.Errorf("verify the peer's certificate: %w", err)
	}
	name, err := hostOf(a.td, id)
	if err != nil {
		return Host{}, err
	}
	leaf := c.PeerCertificates[0]
	return Host{Name: name, Ends: leaf.NotAfter, Joined: joinedOf(leaf)}, nil
}

// joinedOf is when a host joined, by the certificate that came of it; of one that does not
// say so, because an earlier version signed it, when that was.
func joinedOf(c *x509.Certificate) time.Time {
	if at, err := time.Parse(time.RFC3339Nano, c.Subject.SerialNumber); err == nil {
		return at
	}
	return c.NotBefore.Add(clocks)
}

// verify checks a chain against one authority and returns whose it is.
func verify(chain []*x509.Certificate, authority *x509.Certificate, td spiffeid.TrustDomain, o ...x509svid.VerifyOption) (spiffeid.ID, error) {
	id, _, err := x509svid.Verify(chain, x509bundle.FromX509Authorities(td, []*x509.Certificate{authority}), o...)
	return id, err
}

// domainOf is the trust domain of an authority's certificate.
func domainOf(authority *x509.Certificate) (spiffeid.TrustDomain, error) {
	if !authority.IsCA || len(authority.URIs) != 1 {
		return spiffeid.TrustDomain{}, errors.New("the authority's certificate is none that gabion made")
	}
	return spiffeid.TrustDomainFromURI(authority.URIs[0])
}

// VerifyControlPlane says whether a chain is the control plane's of an authority:
// what a host asks before it says anything.
func VerifyControlPlane(chain []*x509.Certificate, authority *x509.Certificate) error {
	td, err := domainOf(authority)
	if err != nil {
		return err
	}
	if len(chain) == 0 {
		return errors.New("the server shows no certificate")
	}
	id, err := verify(chain[:1], authority, td)
	if err != nil {
		return fmt.Errorf("verify the control plane's certificate: %w", err)
	}
	if want, err := ControlPlaneID(td); err != nil || id != want {
		return fmt.Errorf("the server is %s, not the control plane", id)
	}
	return nil
}

// HostOfChain is the host that a certificate of an authority names. Whether it has
// ended is not looked at.
func HostOfChain(leaf, authority *x509.Certificate) (string, error) {
	td, err := domainOf(authority)
	if err != nil {
		return "", err
	}
	id, err := verify([]*x509.Certificate{leaf}, authority, td, x509svid.WithTime(leaf.NotAfter))
	if err != nil {
		return "", fmt.Errorf("verify the host's certificate: %w", err)
	}
	return hostOf(td, id)
}

// HostOf is PeerHost for a gRPC call. Its error is a gRPC status: Unauthenticated.
func (a *Authority) HostOf(ctx context.Context) (Host, error) {
	p, ok := peer.FromContext(ctx)
	if !ok {
		return Host{}, status.Error(codes.Unauthenticated, ErrNoCertificate.Error())
	}
	info, ok := p.AuthInfo.(credentials.TLSInfo)
	if !ok {
		return Host{}, status.Error(codes.Unauthenticated, ErrNoCertificate.Error())
	}
	h, err := a.PeerHost(info.State)
	if err != nil {
		return Host{}, status.Error(codes.Unauthenticated, err.Error())
	}
	return h, nil
}

// RenewAt is when a certificate should be renewed: when two thirds of its life are
// over.
func RenewAt(c *x509.Certificate) time.Time {
	return c.NotBefore.Add(c.NotAfter.Sub(c.NotBefore) * 2 / 3)
}
