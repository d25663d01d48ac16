package recording

import "crypto/hpke"

// GenerateKey makes an X25519 key pair.
func GenerateKey() (hpke.PrivateKey, error) { panic("todo") }

// PublicKey is the form in which filters.Record carries it: 32 bytes.
func PublicKey(k hpke.PrivateKey) []byte { return k.PublicKey().Bytes() }

// LoadOrCreateKey reads the private key file, or makes it with mode 0600.
// A file others can read, or that is no key, is an error; it is never replaced.
func LoadOrCreateKey(path string) (hpke.PrivateKey, error) { panic("todo") }
