package survey

import (
	"encoding/binary"
	"fmt"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/gabion-io/gabion/internal/netlink"
)

// Link is an interface, as far as it matters how packets cross it.
type Link struct {
	Index     int
	away      bool  // its other end is in another namespace
	namespace int32 // the number of that
}

// list lists the links of a connection's namespace.
func list(c *netlink.Conn) (out []Link, err error) {
	err = c.Dump(unix.RTM_GETLINK, make([]byte, unix.SizeofIfInfomsg), func(b []byte) error {
		if l, ok := parseLink(b); ok {
			out = append(out, l)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("list interfaces: %w", err)
	}
	return out, nil
}

// parseLink reads an ifinfomsg with its attributes (rtnetlink(7)).
func parseLink(b []byte) (l Link, ok bool) {
	if len(b) < unix.SizeofIfInfomsg {
		return l, false
	}
	l.Index = int(int32(binary.NativeEndian.Uint32(b[4:])))
	for kind, value := range netlink.Attributes(b[unix.SizeofIfInfomsg:]) {
		if n, ok := netlink.Uint32(value); ok && kind == unix.IFLA_LINK_NETNSID {
			l.away, l.namespace = true, int32(n)
		}
	}
	return l, true
}

func inodeOf(stat any) uint64 {
	if s, ok := stat.(*syscall.Stat_t); ok {
		return s.Ino
	}
	return 0
}
