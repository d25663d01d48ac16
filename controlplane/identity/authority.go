package identity

import (
	"cmp"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"github.com/gabion-io/gabion/internal/atomicfile"
)

// Options say where an authority lives and how it signs.
type Options struct {
	Dir         string        // holds ca.key (0600) and ca.pem; made by the caller
	TrustDomain string        // of a new authority; "": DefaultTrustDomain. An old one keeps its own, and another here is an error
	Lifetime    time.Duration // of what it signs; 0: 24 h
	Now         func() time.Time
}

const (
	defaultLifetime   = 24 * time.Hour
	authorityLifetime = 10 * 365 * 24 * time.Hour
	clocks            = time.Minute // by which those of hosts may be behind
)

// Authority signs certificates. It is safe for concurrent use.
type Authority struct {
	o    Options
	td   spiffeid.TrustDomain
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

// Open reads the authority, or makes it at first use. A certificate without its key
// is an error: a new authority would shut out every host that joined the old one.
// A key without its certificate gets one; the pin stays.
func Open(o Options) (*Authority, error) {
	o.Lifetime = cmp.Or(o.Lifetime, defaultLifetime)
	if o.Now == nil {
		o.Now = time.Now
	}
	a := &Authority{o: o}
	key, keyErr := readOptional(a.keyFile())
	cert, certErr := readOptional(a.certFile())
	err := errors.Join(keyErr, certErr)
	switch {
	case err != nil:
	case key == nil && cert != nil:
		err = errors.New("ca.key is missing while ca.pem is there: put a backup of it back")
	default:
		err = a.ready(key, cert)
	}
	if err != nil {
		return nil, fmt.Errorf("open the certificate authority in %s: %w", o.Dir, err)
	}
	return a, nil
}

func (a *Authority) keyFile() string  { return filepath.Join(a.o.Dir, "ca.key") }
func (a *Authority) certFile() string { return filepath.Join(a.o.Dir, "ca.pem") }

func readOptional(path string) ([]byte, error) {
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return b, err
}

// ready reads what there is and makes what is missing, the key first.
func (a *Authority) ready(key, cert []byte) error {
	var err error
	if key == nil {
		err = a.newKey()
	} else {
		err = a.loadKey(key)
	}
	if err != nil {
		return err
	}
	if cert == nil {
		return a.newCertificate()
	}
	return a.loadCertificate(cert)
}

func (a *Authority) newKey() (err error) {
	if a.key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
		return err
	}
	der, err := x509.MarshalPKCS8PrivateKey(a.key)
	if err != nil {
		return err
	}
	return atomicfile.Write(a.keyFile(), encodePEM("PRIVATE KEY", der), 0o600)
}

func (a *Authority) newCertificate() (err error) {
	if a.td, err = spiffeid.TrustDomainFromString(cmp.Or(a.o.TrustDomain, DefaultTrustDomain)); err != nil {
		return err
	}
	now := a.o.Now()
	template := &x509.Certificate{
		SerialNumber: serial(), Subject: pkix.Name{Organization: []string{"gabion"}, CommonName: a.td.Name()},
		NotBefore: now.Add(-time.Hour), NotAfter: now.Add(authorityLifetime),
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageCRLSign, BasicConstraintsValid: true, IsCA: true, MaxPathLenZero: true,
		URIs: []*url.URL{a.td.ID().URL()},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, a.key.Public(), a.key)
	if err != nil {
		return err
	}
	if a.cert, err = x509.ParseCertificate(der); err != nil {
		return err
	}
	return atomicfile.Write(a.certFile(), encodePEM("CERTIFICATE", der), 0o644)
}

func (a *Authority) loadKey(text []byte) error {
	der := decodePEM("PRIVATE KEY", text)
	if der == nil {
		return errors.New("ca.key is damaged: put a backup of it back")
	}
	parsed, err := x509.ParsePKCS8PrivateKey(der)
	if err != nil {
		return fmt.Errorf("read ca.key: %w", err)
	}
	var ok bool
	if a.key, ok = parsed.(*ecdsa.PrivateKey); !ok {
		return errors.New("ca.key is no key that gabion made")
	}
	return nil
}

func (a *Authority) loadCertificate(text []byte) error {
	der := decodePEM("CERTIFICATE", text)
	if der == nil {
		return errors.New("ca.pem is damaged: remove it, and it is made anew for ca.key")
	}
	var err error
	if a.cert, err = x509.ParseCertificate(der); err != nil {
		return fmt.Errorf("read ca.pem: %w", err)
	}
	if !a.key.PublicKey.Equal(a.cert.PublicKey) {
		return errors.New("ca.key is not the key of ca.pem: put a backup of both back")
	}
	if len(a.cert.URIs) != 1 || !a.cert.IsCA {
		return errors.New("ca.pem is no authority that gabion made")
	}
	if a.td, err = spiffeid.TrustDomainFromURI(a.cert.URIs[0]); err != nil {
		return fmt.Errorf("read the trust domain of ca.pem: %w", err)
	}
	if want := a.o.TrustDomain; want != "" && want != a.td.Name() {
		return fmt.Errorf("it is for the trust domain %s, not %s: every host would have to join again", a.td, want)
	}
	if a.o.Now().After(a.cert.NotAfter) {
		return fmt.Errorf("ca.pem ended on %s: remove it, and it is made anew for ca.key", a.cert.NotAfter.Format(time.DateOnly))
	}
	return nil
}

// TrustDomain is the authority's.
func (a *Authority) TrustDomain() spiffeid.TrustDomain { return a.td }

// Pin is what a joining host knows the authority by.
func (a *Authority) Pin() Pin { return PinOf(a.cert) }

// PEM is the authority's certificate.
func (a *Authority) PEM() []byte { return encodePEM("CERTIFICATE", a.cert.Raw) }

// maxRequest bounds a certificate request, in bytes.
const maxRequest = 8 << 10

// ReadRequest parses a certificate request (PKCS #10, DER) and checks that its
// sender has the key. The name in it is a claim.
func ReadRequest(der []byte) (request *x509.CertificateRequest, host string, err error) {
	if len(der) > maxRequest {
		return nil, "", fmt.Errorf("read certificate request: %d bytes, at most %d are read", len(der), maxRequest)
	}
	if request, err = x509.ParseCertificateRequest(der); err != nil {
		return nil, "", fmt.Errorf("read certificate request: %w", err)
	}
	if err := checkKey(request.PublicKey); err != nil {
		return nil, "", fmt.Errorf("read certificate request: %w", err)
	}
	if err := request.CheckSignature(); err != nil {
		return nil, "", fmt.Errorf("check certificate request: %w", err)
	}
	return request, request.Subject.CommonName, nil
}

func checkKey(key any) error {
	switch key := key.(type) {
	case ed25519.PublicKey:
		return nil
	case *ecdsa.PublicKey:
		if key.Curve == elliptic.P256() || key.Curve == elliptic.P384() {
			return nil
		}
	}
	return errors.New("its key is neither ECDSA on P-256 or P-384, nor Ed25519")
}

// SignHost gives a host a certificate for the key of a request: PEM, first the
// host's, then the authority's. Of the request nothing but the key is used. When the
// host joined stays in each certificate that comes of it.
func (a *Authority) SignHost(request *x509.CertificateRequest, host string, joined time.Time) ([]byte, error) {
	id, err := HostID(a.td, host)
	if err != nil {
		return nil, err
	}
	cert, err := a.sign(request.PublicKey, id, pkix.Name{SerialNumber: joined.UTC().Format(time.RFC3339Nano)}, nil)
	if err != nil {
		return nil, fmt.Errorf("sign certificate of host %s: %w", host, err)
	}
	return append(encodePEM("CERTIFICATE", cert.Raw), a.PEM()...), nil
}

// sign makes a certificate of an ID, for client and server. names are what it is
// reached by, for those who look at names.
func (a *Authority) sign(key any, id spiffeid.ID, subject pkix.Name, names []string) (*x509.Certificate, error) {
	now := a.o.Now()
	subject.Organization = []string{"gabion"}
	template := &x509.Certificate{
		SerialNumber: serial(), Subject: subject,
		// Clocks differ; a short life is not made long by it.
		NotBefore: now.Add(-min(clocks, a.o.Lifetime/10)), NotAfter: now.Add(a.o.Lifetime),
		KeyUsage: x509.KeyUsageDigitalSignature, BasicConstraintsValid: true,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth},
		URIs:        []*url.URL{id.URL()},
	}
	for _, n := range names {
		if ip := net.ParseIP(n); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, n)
		}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, key, a.key)
	if err != nil {
		return nil, err
	}
	return x509.ParseCertificate(der)
}

// serial is 127 random bits (RFC 5280 allows 20 bytes and wants it positive).
func serial() *big.Int {
	b := make([]byte, 16)
	rand.Read(b) // never fails
	b[0] &= 0x7f
	return new(big.Int).SetBytes(b)
}

func encodePEM(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}

// decodePEM returns the first block of a kind; nil if there is none.
func decodePEM(kind string, text []byte) []byte {
	for {
		var b *pem.Block
		if b, text = pem.Decode(text); b == nil {
			return nil
		}
		if b.Type == kind {
			return b.Bytes
		}
	}
}
