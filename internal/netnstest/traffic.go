package netnstest

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"
)

// Patience is how long an answer that must come is waited for.
const Patience = 10 * time.Second

// ServeTCP echoes what comes to a port, until the test ends.
func (s Space) ServeTCP(at netip.AddrPort) {
	s.t.Helper()
	var l net.Listener
	var err error
	s.Do(func() { l, err = net.Listen("tcp", at.String()) })
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				io.Copy(c, c)
			}()
		}
	}()
}

// ServeUDP echoes what comes to a port, until the test ends.
func (s Space) ServeUDP(at netip.AddrPort) {
	s.t.Helper()
	var c net.PacketConn
	var err error
	s.Do(func() { c, err = net.ListenPacket("udp", at.String()) })
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { c.Close() })
	go func() {
		b := make([]byte, 65536)
		for {
			n, from, err := c.ReadFrom(b)
			if err != nil {
				return
			}
			c.WriteTo(b[:n], from)
		}
	}()
}

// Dial opens a connection from inside the namespace.
func (s Space) Dial(network string, from netip.Addr, to netip.AddrPort, wait time.Duration) (c net.Conn, err error) {
	d := net.Dialer{Timeout: wait}
	if from.IsValid() {
		switch network {
		case "tcp":
			d.LocalAddr = net.TCPAddrFromAddrPort(netip.AddrPortFrom(from, 0))
		case "udp":
			d.LocalAddr = net.UDPAddrFromAddrPort(netip.AddrPortFrom(from, 0))
		}
	}
	s.Do(func() { c, err = d.Dial(network, to.String()) })
	return c, err
}

// Echo sends a text and waits for it to come back.
func Echo(c net.Conn, text string, wait time.Duration) error {
	if err := c.SetDeadline(time.Now().Add(wait)); err != nil {
		return err
	}
	if _, err := io.WriteString(c, text); err != nil {
		return fmt.Errorf("send: %w", err)
	}
	b := make([]byte, len(text))
	if _, err := io.ReadFull(c, b); err != nil {
		return fmt.Errorf("receive: %w", err)
	}
	if string(b) != text {
		return fmt.Errorf("sent %q, came back %q", text, b)
	}
	return nil
}

// Try opens a connection and echoes once over it.
func (s Space) Try(network string, from netip.Addr, to netip.AddrPort, wait time.Duration) error {
	c, err := s.Dial(network, from, to, wait)
	if err != nil {
		return err
	}
	defer c.Close()
	return Echo(c, "marco", wait)
}

// Ping sends one echo request and waits for its reply.
func (s Space) Ping(from, to netip.Addr, wait time.Duration) (err error) {
	network, request, reply := "ip4:icmp", byte(8), byte(0)
	if to.Is6() {
		network, request, reply = "ip6:ipv6-icmp", 128, 129
	}
	var c net.PacketConn
	s.Do(func() { c, err = net.ListenPacket(network, from.String()) })
	if err != nil {
		return err
	}
	defer c.Close()
	id := uint16(time.Now().UnixNano())
	b := []byte{request, 0, 0, 0, byte(id >> 8), byte(id), 0, 1, 'p', 'i', 'n', 'g'}
	if to.Is4() {
		binary.BigEndian.PutUint16(b[2:], Checksum(b)) // the kernel does it for ICMPv6
	}
	if err := c.SetDeadline(time.Now().Add(wait)); err != nil {
		return err
	}
	if _, err := c.WriteTo(b, &net.IPAddr{IP: to.AsSlice()}); err != nil {
		return err
	}
	for got := make([]byte, 1500); ; {
		n, who, err := c.ReadFrom(got)
		if err != nil {
			return err
		}
		if n >= 8 && got[0] == reply && binary.BigEndian.Uint16(got[4:]) == id && who.String() == to.String() {
			return nil
		}
	}
}

// Checksum is the Internet checksum (RFC 1071).
func Checksum(b []byte) uint16 {
	sum := uint32(0)
	for i := 0; i+1 < len(b); i += 2 {
		sum += uint32(b[i])<<8 | uint32(b[i+1])
	}
	if len(b)%2 == 1 {
		sum += uint32(b[len(b)-1]) << 8
	}
	for sum>>16 != 0 {
		sum = sum>>16 + sum&0xffff
	}
	return ^uint16(sum)
}

// Raw sends frames as they are out of the namespace's interface.
func (s Space) Raw(inside string, frames ...[]byte) error {
	var err error
	s.Do(func() {
		var fd int
		fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return
		}
		defer unix.Close(fd)
		var l *net.Interface
		if l, err = net.InterfaceByName(inside); err != nil {
			return
		}
		to := &unix.SockaddrLinklayer{Ifindex: l.Index}
		for _, f := range frames {
			if err = unix.Sendto(fd, f, 0, to); err != nil {
				if errors.Is(err, unix.ENOBUFS) {
					err = nil
					continue
				}
				return
			}
		}
	})
	return err
}
