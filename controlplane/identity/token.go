package identity

import (
	"errors"
	"strings"
)

// Token is what a new host is given: a secret that is good once, and the pin by
// which it knows the control plane before it trusts anything. It is written as
// SECRET.PIN.
type Token struct {
	Secret string
	Pin    Pin
}

func (t Token) String() string { return t.Secret + "." + t.Pin.String() }

// maxToken is generous: a secret is some 55 bytes long.
const maxToken = 512

// ParseToken reads what String writes. Its errors do not quote the secret.
func ParseToken(text string) (Token, error) {
	text = strings.TrimSpace(text)
	at := strings.LastIndexByte(text, '.')
	if at <= 0 || len(text) > maxToken || strings.ContainsFunc(text[:max(at, 0)], notInSecret) {
		return Token{}, errors.New("read the join token: it is no token that 'gabion token join' printed")
	}
	pin, err := ParsePin(text[at+1:])
	if err != nil {
		return Token{}, errors.New("read the join token: its end, the fingerprint of the control plane, is damaged")
	}
	return Token{Secret: text[:at], Pin: pin}, nil
}

// notInSecret: a secret travels in a header.
func notInSecret(r rune) bool {
	return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '-' && r != '_'
}
