package exchange

import (
	"encoding/hex"
	"testing"
)

func TestKindOf(t *testing.T) {
	for s, want := range map[string]Kind{
		"": KindEmpty, "users": KindWord, "getUserByExternalId": KindWord, "@me": KindWord, "$metadata": KindWord, "-": KindWord,
		"secret-scanning-push-protection-bypass-requests": KindWord, "code_frequency": KindWord, "octocat.github.io": KindWord,
		"s3": KindMixed, "oauth2": KindMixed, "us-east-1": KindMixed, "anna77": KindMixed, "ubuntu-22.04": KindMixed, "d50f75f": KindMixed,
		"v1": KindVersion, "v2.1": KindVersion, "v1beta1": KindVersion, "V3": KindVersion, "v1.2.3": KindVersion, "vary1": KindMixed,
		"5": KindSmall, "2024": KindSmall, "47110": KindNumber, "-5": KindNumber, "1.1": KindDecimal, "-33.86": KindDecimal,
		"true": KindBool, "2010-04-01": KindDate, "2024-01-31T10:00:00Z": KindDateTime, "2024-01-31T10:00:00+01:00": KindDateTime,
		"0b5e3f0a-9c1d-4e55-8a00-d50f75f0b6fe": KindUUID, "01ARZ3NDEKTSV4RRFFQ69G5FAV": KindULID,
		"7fd1a60b01f91b314f59955a4e4d4e80d8edf11d": KindHex, "cus_NffrFeUfNV2Hib": KindPrefixed, "req_11223344": KindPrefixed,
		"4iV5W9uYEdYUVa79Axb7Rh": KindToken, "SMb0a1c2d3e4f5a6b7c8d9e0f1a2b3c4d5": KindToken,
		"a@b.example": KindEmail, "10.0.0.1": KindIP, "2001:db8::1": KindIP, "1,2,3": KindList, "https://a.example/": KindURI,
		"src/main.go": KindURI, "hello world": KindOther, "ümlaut": KindOther,
	} {
		if got := KindOf(s); got != want {
			t.Errorf("%q is %s, want %s", s, got, want)
		}
	}
}

// The vectors of the SipHash paper's reference code: key 00..0f, input 00..
func TestHash(t *testing.T) {
	var k Key
	var in []byte
	for i := range k {
		k[i] = byte(i)
	}
	for i, want := range []string{"310e0edd47db6f72", "fd67dc93c539f874", "5a4fa9d909806c0d", "2d7efbd796666785", "b7877127e09427cf",
		"8da699cd64557618", "cee3fe586e46c9cb", "37d1018bf50002ab", "6224939a79f5f593"} {
		h := k.Hash(string(in))
		got := hex.EncodeToString([]byte{byte(h), byte(h >> 8), byte(h >> 16), byte(h >> 24), byte(h >> 32), byte(h >> 40), byte(h >> 48), byte(h >> 56)})
		if got != want {
			t.Errorf("%d bytes: %s, want %s", i, got, want)
		}
		in = append(in, byte(i))
	}
}

func FuzzKindOf(f *testing.F) {
	f.Add("2024-01-31T10:00:00Z")
	f.Add("cus_NffrFeUfNV2Hib")
	f.Fuzz(func(t *testing.T, s string) {
		if k := KindOf(s); k >= kinds || (k == KindEmpty) != (s == "") {
			t.Fatal(s, k)
		}
		Prefix(s)
	})
}

func BenchmarkKindOf(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		KindOf("secret-scanning")
		KindOf("0b5e3f0a-9c1d-4e55-8a00-d50f75f0b6fe")
	}
}
