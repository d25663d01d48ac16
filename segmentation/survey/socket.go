package survey

import (
	"encoding/binary"
	"fmt"
	"net/netip"

	"golang.org/x/sys/unix"

	"github.com/gabion-io/gabion/internal/netlink"
)

// socket is one as the kernel lists it (sock_diag(7)).
type socket struct {
	protocol      uint8
	state         uint8
	local, remote netip.AddrPort
	cookie        uint64
	cgroup        uint64 // 0: the kernel does not say
	uid           uint32
	inode         uint32
}

// States of a socket (net/tcp_states.h); datagram sockets have two of them.
const (
	stateEstablished = 1
	stateFinWait1    = 4
	stateFinWait2    = 5
	stateClose       = 7 // of a datagram socket: it has no peer
	stateCloseWait   = 8
	stateListen      = 10
)

// states are those of sockets over which something may still be said, and of those
// that wait for others.
const states = 1<<stateEstablished | 1<<stateFinWait1 | 1<<stateFinWait2 | 1<<stateClose | 1<<stateCloseWait | 1<<stateListen

// Sizes and a number of linux/inet_diag.h and linux/sock_diag.h.
const (
	byFamily     = 20 // SOCK_DIAG_BY_FAMILY
	sizeRequest  = 56
	sizeSocket   = 72
	attrCgroupID = 21 // INET_DIAG_CGROUP_ID, since Linux 5.9
)

// sockets lists those of TCP and UDP in a connection's namespace.
func sockets(c *netlink.Conn) (out []socket, err error) {
	for _, protocol := range []uint8{unix.IPPROTO_TCP, unix.IPPROTO_UDP} {
		for _, family := range []uint8{unix.AF_INET, unix.AF_INET6} {
			q := make([]byte, sizeRequest)
			q[0], q[1] = family, protocol
			binary.NativeEndian.PutUint32(q[4:], states)
			err := c.Dump(byFamily, q, func(b []byte) error {
				if s, ok := parseSocket(b, protocol); ok {
					out = append(out, s)
				}
				return nil
			})
			if err != nil {
				return nil, fmt.Errorf("list sockets: %w", err)
			}
		}
	}
	return out, nil
}

// parseSocket reads an inet_diag_msg with its attributes.
func parseSocket(b []byte, protocol uint8) (s socket, ok bool) {
	if len(b) < sizeSocket {
		return s, false
	}
	family := b[0]
	s.protocol, s.state = protocol, b[1]
	s.local, s.remote = end(family, b[8:24], b[4:6]), end(family, b[24:40], b[6:8])
	if !s.local.IsValid() || !s.remote.IsValid() {
		return s, false
	}
	s.cookie = uint64(binary.NativeEndian.Uint32(b[44:])) | uint64(binary.NativeEndian.Uint32(b[48:]))<<32
	s.uid, s.inode = binary.NativeEndian.Uint32(b[64:]), binary.NativeEndian.Uint32(b[68:])
	for kind, value := range netlink.Attributes(b[sizeSocket:]) {
		if kind == attrCgroupID && len(value) == 8 {
			s.cgroup = binary.NativeEndian.Uint64(value)
		}
	}
	return s, true
}

// end reads an address and a port, both in network order.
func end(family uint8, addr, port []byte) netip.AddrPort {
	var a netip.Addr
	switch family {
	case unix.AF_INET:
		a = netip.AddrFrom4([4]byte(addr))
	case unix.AF_INET6:
		a = netip.AddrFrom16([16]byte(addr)).Unmap()
	}
	return netip.AddrPortFrom(a, binary.BigEndian.Uint16(port))
}
