package identity

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"fmt"
)

// Pin is the SHA-256 of a certificate's public key (its SubjectPublicKeyInfo, RFC
// 7469). It stays when the authority's certificate is made anew for the same key.
type Pin [sha256.Size]byte

// PinOf returns a certificate's pin.
func PinOf(c *x509.Certificate) Pin { return sha256.Sum256(c.RawSubjectPublicKeyInfo) }

func (p Pin) String() string { return base64.RawURLEncoding.EncodeToString(p[:]) }

// ParsePin reads what String writes.
func ParsePin(text string) (Pin, error) {
	b, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if err != nil || len(b) != sha256.Size {
		return Pin{}, fmt.Errorf("%q is no fingerprint: it has %d characters of base64", clip(text), base64.RawURLEncoding.EncodedLen(sha256.Size))
	}
	return Pin(b), nil
}

func clip(s string) string {
	if len(s) > 40 {
		return s[:40] + "…"
	}
	return s
}
