package nametap

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"testing"

	"github.com/gabion-io/gabion/segmentation/bpf"
)

// frame builds a packet of UDP or TCP around a payload, with its sum whole, only
// begun, left out or wrong.
func frame(version, protocol uint8, payload []byte, sum string) *Message {
	from, to := netip.MustParseAddr("192.0.2.53"), netip.MustParseAddr("10.9.1.2")
	if version == 6 {
		from, to = netip.MustParseAddr("2001:db8::53"), netip.MustParseAddr("fd00:9:1::2")
	}
	head := 8
	if protocol == tcp {
		head = 20
	}
	s := make([]byte, head, head+len(payload))
	binary.BigEndian.PutUint16(s, 53)
	binary.BigEndian.PutUint16(s[2:], 40000)
	at := 6
	if protocol == tcp {
		at, s[12] = 16, 5<<4
	} else {
		binary.BigEndian.PutUint16(s[4:], uint16(head+len(payload)))
	}
	s = append(s, payload...)
	begun := add(add(uint32(protocol)+uint32(len(s)), from.AsSlice()), to.AsSlice())
	switch sum {
	case "whole":
		binary.BigEndian.PutUint16(s[at:], ^fold(add(begun, s)))
	case "begun":
		binary.BigEndian.PutUint16(s[at:], fold(begun))
	case "wrong":
		binary.BigEndian.PutUint16(s[at:], ^fold(add(begun, s))^0x1000)
	}
	m := &Message{Message: bpf.Message{From: bpf.AddressOf(from), To: bpf.AddressOf(to), Protocol: protocol, Version: version}}
	f := make([]byte, 14, 128)
	if version == 4 {
		f = append(f, make([]byte, 20)...)
		f[14] = 0x45
		binary.BigEndian.PutUint16(f[16:], uint16(20+len(s)))
	} else {
		f = append(f, make([]byte, 40)...)
		binary.BigEndian.PutUint16(f[18:], uint16(len(s)))
	}
	m.L4 = uint32(len(f))
	m.Frame = append(append(f, s...), 0, 0, 0, 0) // padded, as short frames are
	m.Length = uint32(len(m.Frame))
	return m
}

func TestPayloads(t *testing.T) {
	whole := frame(4, udp, []byte("message"), "whole")
	for _, c := range []struct {
		name string
		m    *Message
		want [][]byte
	}{
		{"UDP", whole, [][]byte{[]byte("message")}},
		{"UDP over IPv6", frame(6, udp, []byte("message"), "whole"), [][]byte{[]byte("message")}},
		{"its sum is begun", frame(4, udp, []byte("message"), "begun"), [][]byte{[]byte("message")}},
		{"its sum is begun, IPv6", frame(6, udp, []byte("messages"), "begun"), [][]byte{[]byte("messages")}},
		{"it has no sum", frame(4, udp, []byte("message"), ""), [][]byte{[]byte("message")}},
		{"it has no sum, IPv6", frame(6, udp, []byte("message"), ""), nil},
		{"it is damaged", frame(4, udp, []byte("message"), "wrong"), nil},
		{"TCP", frame(4, tcp, []byte("\x00\x03one\x00\x03two"), "begun"), [][]byte{[]byte("one"), []byte("two")}},
		{"TCP, in pieces", frame(6, tcp, []byte("\x00\x09one"), "whole"), nil},
		{"TCP, damaged", frame(6, tcp, []byte("\x00\x03one"), "wrong"), nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			before := bytes.Clone(c.m.Frame)
			got := c.m.Payloads()
			if len(got) != len(c.want) {
				t.Fatalf("%q, not %q", got, c.want)
			}
			for i := range got {
				if !bytes.Equal(got[i], c.want[i]) {
					t.Errorf("%q, not %q", got[i], c.want[i])
				}
			}
			// What was begun is whole now; all else is as it came.
			if again := c.m.Payloads(); len(again) != len(got) {
				t.Errorf("read again it is %q", again)
			}
			if after := bytes.Clone(c.m.Frame); c.want == nil && !bytes.Equal(before, after) {
				t.Error("what is damaged was changed")
			}
		})
	}
	begun := frame(4, udp, []byte("message"), "begun")
	begun.Payloads()
	if !bytes.Equal(begun.Frame, whole.Frame) {
		t.Error("a sum that was begun is not completed")
	}
}

// FuzzPayloads holds that no frame makes it read beyond its end.
func FuzzPayloads(f *testing.F) {
	for _, m := range []*Message{frame(4, udp, []byte("message"), "begun"), frame(6, tcp, []byte("\x00\x03one"), "whole")} {
		f.Add(m.Frame, m.L4, m.Protocol, m.Version)
	}
	f.Fuzz(func(t *testing.T, b []byte, l4 uint32, protocol, version uint8) {
		m := &Message{Frame: b, Message: bpf.Message{L4: l4, Protocol: protocol, Version: version, Length: uint32(len(b))}}
		n, s := 0, NewStreams()
		for _, p := range m.Payloads() {
			n += len(p)
		}
		if s.Payloads(m); protocol == tcp && len(s.Payloads(m)) > 0 {
			t.Fatal("a connection is read that was not seen to begin")
		}
		if n > len(b) {
			t.Fatalf("%d bytes of messages in %d", n, len(b))
		}
	})
}
