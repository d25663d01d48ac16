package recording

import (
	"crypto/hpke"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

const keyPrefix = "gabion-recording-key-1:"

// GenerateKey makes an X25519 key pair.
func GenerateKey() (hpke.PrivateKey, error) { return kem().GenerateKey() }

// PublicKey is the form in which filters.Record carries it: 32 bytes.
func PublicKey(k hpke.PrivateKey) []byte { return k.PublicKey().Bytes() }

// LoadOrCreateKey reads the private key file, or makes it with mode 0600.
// A file others can read, or that is no key, is an error; it is never replaced.
func LoadOrCreateKey(path string) (hpke.PrivateKey, error) {
	k, err := loadKey(path)
	if errors.Is(err, os.ErrNotExist) {
		k, err = createKey(path)
		if errors.Is(err, os.ErrExist) { // another process was faster
			k, err = loadKey(path)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("load recording key: %w", err)
	}
	return k, nil
}

func loadKey(path string) (hpke.PrivateKey, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if mode := info.Mode().Perm(); mode&0o077 != 0 {
		return nil, fmt.Errorf("%s can be read by others (mode %04o); run: chmod 600 %s", path, mode, path)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	text, ok := strings.CutPrefix(strings.TrimSpace(string(b)), keyPrefix)
	raw, err := base64.StdEncoding.DecodeString(text)
	if !ok || err != nil {
		return nil, fmt.Errorf("%s is no recording key; put a backup of it back, or move it away to start a new one (what was recorded under the old one stays sealed)", path)
	}
	return kem().NewPrivateKey(raw)
}

// createKey writes beside and links into place: a file under the final name is
// always whole, and never overwritten.
func createKey(path string) (hpke.PrivateKey, error) {
	k, err := GenerateKey()
	if err != nil {
		return nil, err
	}
	raw, err := k.Bytes()
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, err
	}
	f, err := os.CreateTemp(filepath.Dir(path), ".key-*") // mode 0600
	if err != nil {
		return nil, err
	}
	defer os.Remove(f.Name())
	_, err = f.WriteString(keyPrefix + base64.StdEncoding.EncodeToString(raw) + "\n")
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return nil, err
	}
	return k, os.Link(f.Name(), path)
}
