package xds

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"

	core "github.com/envoyproxy/go-control-plane/envoy/config/core/v3"
	tlsv3 "github.com/envoyproxy/go-control-plane/envoy/extensions/transport_sockets/tls/v3"

	"github.com/gabion-io/gabion/controlplane/ir"
)

// secrets become SDS resources. One that Envoy would refuse is left out, and so
// is whatever refers to it: a listener must not wait for a certificate for ever.
func (t *translation) secrets(list []ir.Secret) {
	t.keyPairs, t.cas = map[string]bool{}, map[string]bool{}
	for _, s := range list {
		part := "secret " + s.Name
		if !readable(s) || s.Name == "" {
			t.out.problem(s.Resource, part, brokenText)
			continue
		}
		if t.out.has(SecretType, s.Name) {
			t.out.problem(s.Resource, part, "two secrets have this name; the first is used")
			continue
		}
		m, err := secret(s)
		if err != nil {
			t.out.problem(s.Resource, part, "%v", err)
			continue
		}
		t.out.add(SecretType, s.Name, m, s.Resource)
		t.keyPairs[s.Name] = m.GetTlsCertificate() != nil
		t.cas[s.Name] = m.GetValidationContext() != nil
	}
}

func secret(s ir.Secret) (*tlsv3.Secret, error) {
	if len(s.CA) > 0 {
		if !x509.NewCertPool().AppendCertsFromPEM(s.CA) {
			return nil, errors.New("the CA bundle holds no certificate in PEM form")
		}
		return &tlsv3.Secret{Name: s.Name, Type: &tlsv3.Secret_ValidationContext{
			ValidationContext: &tlsv3.CertificateValidationContext{TrustedCa: inline(s.CA)},
		}}, nil
	}
	if _, err := tls.X509KeyPair(s.Cert, s.Key); err != nil {
		return nil, fmt.Errorf("not a usable key pair: %w", err)
	}
	return &tlsv3.Secret{Name: s.Name, Type: &tlsv3.Secret_TlsCertificate{
		TlsCertificate: &tlsv3.TlsCertificate{CertificateChain: inline(s.Cert), PrivateKey: inline(s.Key)},
	}}, nil
}

func inline(b []byte) *core.DataSource {
	return &core.DataSource{Specifier: &core.DataSource_InlineBytes{InlineBytes: b}}
}

func secretFromADS(name string) *tlsv3.SdsSecretConfig {
	return &tlsv3.SdsSecretConfig{Name: name, SdsConfig: fromADS()}
}
