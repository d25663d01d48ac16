package identity

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"slices"
	"sync"
)

// ServerCertificate is the control plane's own certificate, made anew before it
// ends. names are what clients that look at names know it by.
func (a *Authority) ServerCertificate(names []string) func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	var lock sync.Mutex
	var now *tls.Certificate
	return func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
		lock.Lock()
		defer lock.Unlock()
		if now == nil || !a.o.Now().Before(RenewAt(now.Leaf)) {
			fresh, err := a.newServerCertificate(names)
			if err != nil {
				return nil, err
			}
			now = fresh
		}
		return now, nil
	}
}

func (a *Authority) newServerCertificate(names []string) (*tls.Certificate, error) {
	id, err := ControlPlaneID(a.td)
	if err != nil {
		return nil, err
	}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	cert, err := a.sign(key.Public(), id, pkix.Name{}, slices.Clone(names))
	if err != nil {
		return nil, fmt.Errorf("sign the control plane's certificate: %w", err)
	}
	// With the authority's: a host that joins sees it for the first time, and knows
	// it by its pin.
	return &tls.Certificate{Certificate: [][]byte{cert.Raw, a.cert.Raw}, PrivateKey: key, Leaf: cert}, nil
}

// ServerTLS is the configuration of a listener for hosts. A host that joins has no
// certificate yet, so none is demanded here; one that is shown must be good. Who
// serves a call asks for the host (HostOf), which fails without.
func (a *Authority) ServerTLS() *tls.Config {
	pool := x509.NewCertPool()
	pool.AddCert(a.cert)
	return &tls.Config{
		MinVersion:     tls.VersionTLS13,
		GetCertificate: a.ServerCertificate(nil),
		ClientAuth:     tls.VerifyClientCertIfGiven,
		ClientCAs:      pool,
		// A resumed connection would carry yesterday's certificate on.
		SessionTicketsDisabled: true,
	}
}
