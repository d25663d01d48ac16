package sensitive

import (
	"crypto/sha256"
	"strings"
)

// crypto looks at a long word from i to j: an address of Bitcoin (base58check,
// bech32), Ethereum (EIP-55) or the like.
func (s *scan) crypto(i, j int) {
	w := s.value[i:j]
	if !s.whole(j) {
		return
	}
	switch {
	case len(w) == 42 && w[0] == '0' && w[1] == 'x':
		if with := ethereum(w[2:]); with != no {
			s.emit(CryptoAddress, with, i, j)
		}
	case strings.HasPrefix(w, "bc1") || strings.HasPrefix(w, "BC1"), strings.HasPrefix(w, "tb1"), strings.HasPrefix(w, "ltc1"):
		if bech32(w) {
			s.emit(CryptoAddress, strong, i, j)
		}
	case len(w) <= 35 && strings.IndexByte("13LMDT", w[0]) >= 0 && base58check(w):
		s.emit(CryptoAddress, strong, i, j)
	}
}

const base58 = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"

// base58check: 25 bytes, the last four of them begin the double SHA-256 of the
// others.
func base58check(w string) bool {
	var b [25]byte
	for i := range len(w) {
		carry := strings.IndexByte(base58, w[i])
		if carry < 0 {
			return false
		}
		for k := len(b) - 1; k >= 0; k-- {
			carry += 58 * int(b[k])
			b[k] = byte(carry)
			carry >>= 8
		}
		if carry != 0 {
			return false
		}
	}
	first := sha256.Sum256(b[:21])
	second := sha256.Sum256(first[:])
	return [4]byte(second[:4]) == [4]byte(b[21:])
}

const bech32Letters = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"

// bech32 is BIP 173 and, from version 1 on, BIP 350.
func bech32(w string) bool {
	if len(w) > 90 || strings.ToLower(w) != w && strings.ToUpper(w) != w {
		return false
	}
	one := strings.IndexByte(w, '1')
	c := uint32(1)
	for i := range one {
		c = polymod(c, (w[i]|0x20)>>5)
	}
	c = polymod(c, 0)
	for i := range one {
		c = polymod(c, (w[i]|0x20)&31)
	}
	for i := one + 1; i < len(w); i++ {
		ch := w[i]
		if class(ch) == upper {
			ch |= 0x20
		}
		v := strings.IndexByte(bech32Letters, ch)
		if v < 0 {
			return false
		}
		c = polymod(c, byte(v))
	}
	return c == 1 || c == 0x2bc830a3
}

func polymod(c uint32, v byte) uint32 {
	top := c >> 25
	c = c&0x1ffffff<<5 ^ uint32(v)
	for i, g := range [...]uint32{0x3b6a57b2, 0x26508e6d, 0x1ea119fa, 0x3d4233dd, 0x2a1462b3} {
		if top>>i&1 != 0 {
			c ^= g
		}
	}
	return c
}

// ethereum: mixed case is a checksum over the Keccak-256 of the lower case form.
func ethereum(w string) strength {
	var low [40]byte
	mixed := 0
	for i := range 40 {
		c := w[i]
		if !isHex(c) {
			return no
		}
		switch class(c) {
		case upper:
			mixed |= 1
			c |= 0x20
		case lower:
			mixed |= 2
		}
		low[i] = c
	}
	if mixed != 3 {
		return fair
	}
	sum := keccak256(low[:])
	for i := range 40 {
		nibble := sum[i/2] >> 4
		if i%2 == 1 {
			nibble = sum[i/2] & 0xf
		}
		if class(w[i])&letter != 0 && (nibble >= 8) != (class(w[i]) == upper) {
			return no
		}
	}
	return strong
}

// keccak256 of at most 135 bytes. The standard library has SHA-3 only, which
// pads in another way.
func keccak256(b []byte) (sum [32]byte) {
	var block [136]byte
	copy(block[:], b)
	block[len(b)] = 1
	block[135] |= 0x80
	var a [25]uint64
	for i := range 17 {
		for k := range 8 {
			a[i] |= uint64(block[8*i+k]) << (8 * k)
		}
	}
	keccakF(&a)
	for i := range 32 {
		sum[i] = byte(a[i/8] >> (8 * (i % 8)))
	}
	return sum
}

// keccakF is the permutation of FIPS 202, section 3.3.
func keccakF(a *[25]uint64) {
	lfsr := byte(1)
	for range 24 {
		var c [5]uint64
		for x := range 5 {
			c[x] = a[x] ^ a[x+5] ^ a[x+10] ^ a[x+15] ^ a[x+20]
		}
		for x := range 5 {
			d := c[(x+4)%5] ^ (c[(x+1)%5]<<1 | c[(x+1)%5]>>63)
			for y := 0; y < 25; y += 5 {
				a[x+y] ^= d
			}
		}
		x, y, t := 1, 0, a[1]
		for r := range 24 {
			x, y = y, (2*x+3*y)%5
			shift := (r + 1) * (r + 2) / 2 % 64
			a[x+5*y], t = t<<shift|t>>(64-shift), a[x+5*y]
		}
		for y := 0; y < 25; y += 5 {
			row := [5]uint64(a[y : y+5])
			for x := range 5 {
				a[y+x] = row[x] ^ ^row[(x+1)%5]&row[(x+2)%5]
			}
		}
		for j := range 7 {
			if lfsr&1 != 0 {
				a[0] ^= 1 << (1<<j - 1)
			}
			carry := lfsr >> 7
			lfsr = lfsr<<1 ^ carry*0x71
		}
	}
}
