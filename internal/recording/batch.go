package recording

import (
	"bytes"
	"compress/flate"
	"crypto/ecdh"
	"crypto/hpke"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"time"
)

// A sealed batch is
//
//	"gabrec1\n"                 8 bytes
//	From, To                    ns since 1970, int64: of its exchanges
//	Count                       uint32: exchanges in it
//	Key                         first 8 bytes of the public key it is sealed to
//	HPKE (RFC 9180, base mode)  encapsulated key, ciphertext
//
// all little endian. The clear head is HPKE's info, so that it cannot be changed
// unnoticed. The plain text is a DEFLATE stream of encoded exchanges. Suite:
// DHKEM(X25519, HKDF-SHA256), HKDF-SHA256, AES-128-GCM.
const (
	batchMagic = "gabrec1\n"
	headBytes  = 8 + 8 + 8 + 4 + 8
	// maxPlain bounds what a batch may inflate to.
	maxPlain = 64 << 20
)

// ErrBatch says that bytes are no batch and never will be.
var ErrBatch = errors.New("no sealed batch")

// head is the clear part of a batch.
type head struct {
	From, To time.Time
	Count    int
	Key      [8]byte
}

// include widens the head's time range.
func (h *head) include(t time.Time) {
	if t.IsZero() {
		t = time.Unix(0, 0) // what decode makes zero again
	}
	if h.From.IsZero() || t.Before(h.From) {
		h.From = t
	}
	if h.To.IsZero() || t.After(h.To) {
		h.To = t
	}
}

func (h head) append(b []byte) []byte {
	b = append(b, batchMagic...)
	b = binary.LittleEndian.AppendUint64(b, uint64(h.From.UnixNano()))
	b = binary.LittleEndian.AppendUint64(b, uint64(h.To.UnixNano()))
	b = binary.LittleEndian.AppendUint32(b, uint32(h.Count))
	return append(b, h.Key[:]...)
}

func readHead(b []byte) (h head, err error) {
	if len(b) < headBytes || string(b[:8]) != batchMagic {
		return h, ErrBatch
	}
	h.From = time.Unix(0, int64(binary.LittleEndian.Uint64(b[8:]))).UTC()
	h.To = time.Unix(0, int64(binary.LittleEndian.Uint64(b[16:]))).UTC()
	h.Count = int(binary.LittleEndian.Uint32(b[24:]))
	copy(h.Key[:], b[28:])
	return h, nil
}

// Count is how many exchanges a sealed batch holds, by its clear head; 1 for what
// is no batch. It is the weight of a record in a spool of recordings.
func Count(batch []byte) int {
	h, err := readHead(batch)
	if err != nil {
		return 1
	}
	return max(h.Count, 1)
}

func keyID(k hpke.PublicKey) (id [8]byte) {
	copy(id[:], k.Bytes())
	return id
}

func kem() hpke.KEM { return hpke.DHKEM(ecdh.X25519()) }

// seal makes a batch; it holds at least one exchange.
func seal(xs []*Exchange, to hpke.PublicKey) ([]byte, error) {
	h := head{Count: len(xs), Key: keyID(to)}
	var plain bytes.Buffer
	z, err := flate.NewWriter(&plain, flate.BestSpeed)
	if err != nil {
		return nil, err
	}
	var one []byte
	for _, x := range xs {
		if one, err = encode(one[:0], x); err != nil {
			return nil, err
		}
		if _, err := z.Write(one); err != nil {
			return nil, err
		}
		h.include(x.Time)
	}
	if err := z.Close(); err != nil {
		return nil, err
	}
	out := h.append(nil)
	sealed, err := hpke.Seal(to, hpke.HKDFSHA256(), hpke.AES128GCM(), out, plain.Bytes())
	if err != nil {
		return nil, fmt.Errorf("seal recording: %w", err)
	}
	return append(out, sealed...), nil
}

// unseal opens a batch.
func unseal(b []byte, with hpke.PrivateKey) ([]*Exchange, error) {
	h, err := readHead(b)
	if err != nil {
		return nil, err
	}
	if h.Key != keyID(with.PublicKey()) {
		return nil, errors.New("sealed to another key")
	}
	packed, err := hpke.Open(with, hpke.HKDFSHA256(), hpke.AES128GCM(), b[:headBytes], b[headBytes:])
	if err != nil {
		return nil, fmt.Errorf("open batch: %w", err)
	}
	plain, err := io.ReadAll(io.LimitReader(flate.NewReader(bytes.NewReader(packed)), maxPlain+1))
	if err != nil {
		return nil, fmt.Errorf("inflate batch: %w", err)
	}
	if len(plain) > maxPlain {
		return nil, fmt.Errorf("batch inflates beyond %d bytes", maxPlain)
	}
	var xs []*Exchange
	for len(plain) > 0 {
		var x *Exchange
		if x, plain, err = decode(plain); err != nil {
			return nil, err
		}
		xs = append(xs, x)
	}
	return xs, nil
}
