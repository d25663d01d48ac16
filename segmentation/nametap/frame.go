package nametap

import "encoding/binary"

// Payloads are the messages in the frame, without what TCP puts before them; none if
// it is damaged or holds no whole one. A sum that the sender has left to its network
// card, as it does towards another interface of the same machine, is filled in: the
// frame will not meet a card.
func (m *Message) Payloads() [][]byte {
	s, ok := m.segment()
	if !ok || !m.sum(s) {
		return nil
	}
	if m.Protocol == udp {
		return [][]byte{s[8:]}
	}
	head := int(s[12]>>4) * 4
	if head < 20 || head > len(s) {
		return nil
	}
	// RFC 1035, 4.2.2: each message after its length.
	var out [][]byte
	for rest := s[head:]; len(rest) >= 2; {
		n := int(binary.BigEndian.Uint16(rest))
		if n == 0 || n > len(rest)-2 {
			return nil
		}
		out, rest = append(out, rest[2:2+n]), rest[2+n:]
	}
	return out
}

// Numbers of IANA.
const (
	tcp = 6
	udp = 17
)

// segment is the frame from the transport's header to the end of the packet; what
// pads a short frame is behind it.
func (m *Message) segment() ([]byte, bool) {
	f, l4 := m.Frame, int(m.L4)
	l3 := 14
	for len(f) >= l3 && (binary.BigEndian.Uint16(f[l3-2:]) == 0x8100 || binary.BigEndian.Uint16(f[l3-2:]) == 0x88a8) {
		l3 += 4
	}
	if l4 <= l3 || len(f) < l3+20 || m.Version == 6 && len(f) < l3+40 {
		return nil, false
	}
	end := l3 + int(binary.BigEndian.Uint16(f[l3+2:]))
	if m.Version == 6 {
		end = l3 + 40 + int(binary.BigEndian.Uint16(f[l3+4:]))
	}
	if end > len(f) || end < l4 {
		return nil, false
	}
	s := f[l4:end]
	switch m.Protocol {
	case udp:
		if len(s) < 8 {
			return nil, false
		}
		n := int(binary.BigEndian.Uint16(s[4:]))
		return s[:min(n, len(s))], n >= 8 && n <= len(s)
	case tcp:
		return s, len(s) >= 20
	}
	return nil, false
}

// sum says whether a segment is as it was sent, and completes its checksum if the
// sender has only begun it: then the field holds the sum over the addresses alone.
func (m *Message) sum(s []byte) bool {
	at := 16
	if m.Protocol == udp {
		at = 6
	}
	field := binary.BigEndian.Uint16(s[at:])
	if m.Protocol == udp && field == 0 {
		return m.Version == 4 // it has none (RFC 768); IPv6 must
	}
	begun := uint32(m.Protocol) + uint32(len(s))
	if m.Version == 4 {
		begun = add(add(begun, m.From[12:]), m.To[12:])
	} else {
		begun = add(add(begun, m.From[:]), m.To[:])
	}
	binary.BigEndian.PutUint16(s[at:], 0)
	right := ^fold(add(begun, s))
	if m.Protocol == udp && right == 0 {
		right = 0xffff
	}
	if field == right || field == fold(begun) {
		binary.BigEndian.PutUint16(s[at:], right)
		return true
	}
	binary.BigEndian.PutUint16(s[at:], field)
	return false
}

// add adds words of 16 bits (RFC 1071).
func add(sum uint32, b []byte) uint32 {
	for ; len(b) > 1; b = b[2:] {
		sum += uint32(b[0])<<8 | uint32(b[1])
	}
	if len(b) == 1 {
		sum += uint32(b[0]) << 8
	}
	return sum
}

func fold(sum uint32) uint16 {
	for sum>>16 != 0 {
		sum = sum>>16 + sum&0xffff
	}
	return uint16(sum)
}
