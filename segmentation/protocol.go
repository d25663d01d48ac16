package segmentation

import (
	"fmt"
	"strconv"
	"strings"
)

// Protocol is an IP protocol by its number (IANA). ICMP stands for ICMPv6 too.
type Protocol uint8

// The protocols that rules can name.
const (
	AnyProtocol Protocol = 0
	ICMP        Protocol = 1
	TCP         Protocol = 6
	UDP         Protocol = 17
	SCTP        Protocol = 132
)

// ICMPv6 is the number on the wire; a Flow carries ICMP instead.
const ICMPv6 Protocol = 58

// Normal folds ICMPv6 into ICMP.
func (p Protocol) Normal() Protocol {
	if p == ICMPv6 {
		return ICMP
	}
	return p
}

// HasPorts says whether the protocol's flows go to a port.
func (p Protocol) HasPorts() bool { return p == TCP || p == UDP || p == SCTP }

// ParseProtocol reads a name (TCP, in any case) or a number.
func ParseProtocol(text string) (Protocol, error) {
	switch strings.ToUpper(text) {
	case "TCP":
		return TCP, nil
	case "UDP":
		return UDP, nil
	case "SCTP":
		return SCTP, nil
	case "ICMP", "ICMPV6", "IPV6-ICMP":
		return ICMP, nil
	}
	if n, err := strconv.ParseUint(text, 10, 8); err == nil && n > 0 {
		return Protocol(n).Normal(), nil
	}
	return 0, fmt.Errorf("read protocol %q: it is one of TCP, UDP, SCTP, ICMP, or a number from 1 to 255", text)
}

func (p Protocol) String() string {
	switch p {
	case AnyProtocol:
		return "any"
	case ICMP:
		return "ICMP"
	case TCP:
		return "TCP"
	case UDP:
		return "UDP"
	case SCTP:
		return "SCTP"
	}
	return strconv.Itoa(int(p))
}

// MarshalText writes String.
func (p Protocol) MarshalText() ([]byte, error) { return []byte(p.String()), nil }

// UnmarshalText reads what ParseProtocol reads.
func (p *Protocol) UnmarshalText(text []byte) (err error) {
	*p, err = ParseProtocol(string(text))
	return err
}
