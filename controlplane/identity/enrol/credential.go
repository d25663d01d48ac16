package enrol

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/gabion-io/gabion/controlplane/identity"
	"github.com/gabion-io/gabion/internal/atomicfile"
)

// credential is a key with its certificate and the authority's. It is immutable.
type credential struct {
	certificate tls.Certificate
	authority   *x509.Certificate
	host        string
}

func (c *credential) leaf() *x509.Certificate { return c.certificate.Leaf }

// newCredential reads a chain, PEM: the host's certificate, then the authority's.
func newCredential(key *ecdsa.PrivateKey, chain []byte) (*credential, error) {
	certs, err := certificates(chain)
	if err != nil {
		return nil, err
	}
	if len(certs) < 2 {
		return nil, errors.New("want the host's certificate and the authority's")
	}
	leaf, authority := certs[0], certs[len(certs)-1]
	if !key.PublicKey.Equal(leaf.PublicKey) {
		return nil, errors.New("the certificate is for another key")
	}
	host, err := identity.HostOfChain(leaf, authority)
	if err != nil {
		return nil, err
	}
	return &credential{
		certificate: tls.Certificate{Certificate: [][]byte{leaf.Raw}, PrivateKey: key, Leaf: leaf},
		authority:   authority, host: host,
	}, nil
}

func certificates(text []byte) (out []*x509.Certificate, err error) {
	for {
		var b *pem.Block
		if b, text = pem.Decode(text); b == nil {
			return out, nil
		}
		if b.Type != "CERTIFICATE" {
			continue
		}
		c, err := x509.ParseCertificate(b.Bytes)
		if err != nil {
			return nil, err
		}
		out = append(out, c)
	}
}

// readCredential reads what write wrote; nil if there is nothing.
func readCredential(path string) (*credential, error) {
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read this host's identity: %w", err)
	}
	c, err := parseCredential(text)
	if err != nil {
		return nil, fmt.Errorf("read this host's identity from %s: %w; remove it to join again", path, err)
	}
	return c, nil
}

func parseCredential(text []byte) (*credential, error) {
	block, rest := pem.Decode(text)
	if block == nil || block.Type != "PRIVATE KEY" {
		return nil, errors.New("it does not begin with a key")
	}
	parsed, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return nil, err
	}
	key, ok := parsed.(*ecdsa.PrivateKey)
	if !ok {
		return nil, errors.New("its key is not ECDSA")
	}
	return newCredential(key, rest)
}

// write keeps all in one file, so that key and certificate are never of two ages.
func (c *credential) write(path string) error {
	key, err := x509.MarshalPKCS8PrivateKey(c.certificate.PrivateKey)
	if err != nil {
		return err
	}
	var b bytes.Buffer
	for _, block := range []*pem.Block{{Type: "PRIVATE KEY", Bytes: key}, {Type: "CERTIFICATE", Bytes: c.leaf().Raw}, {Type: "CERTIFICATE", Bytes: c.authority.Raw}} {
		if err := pem.Encode(&b, block); err != nil {
			return err
		}
	}
	if err := atomicfile.Write(path, b.Bytes(), 0o600); err != nil {
		return fmt.Errorf("keep this host's identity: %w", err)
	}
	return nil
}
