package enrol

import (
	"crypto/tls"
	"crypto/x509"
	"errors"

	"github.com/gabion-io/gabion/controlplane/identity"
)

// trusting is the configuration of a connection to a control plane that an
// authority certified; authority chooses it, having seen the chain.
func trusting(authority func(chain []*x509.Certificate) (*x509.Certificate, error)) *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS13,
		// Names of hosts prove nothing here: the SPIFFE ID does. VerifyConnection, unlike
		// VerifyPeerCertificate, is asked on every connection.
		InsecureSkipVerify: true,
		VerifyConnection: func(s tls.ConnectionState) error {
			a, err := authority(s.PeerCertificates)
			if err != nil {
				return err
			}
			return identity.VerifyControlPlane(s.PeerCertificates, a)
		},
	}
}

// pinned finds the authority that a token names in what the server shows.
func pinned(chain []*x509.Certificate, pin identity.Pin) (*x509.Certificate, error) {
	for _, c := range chain {
		if c.IsCA && identity.PinOf(c) == pin {
			return c, nil
		}
	}
	return nil, errors.New("the server is not the control plane that the token was made by: nothing was sent to it")
}
