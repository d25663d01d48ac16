package survey

import (
	"encoding/binary"
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/gabion-io/gabion/internal/netlink"
)

// Link is an interface, as far as it matters how packets cross it.
type Link struct {
	Index int
	MTU   int
	MAC   [6]byte
	Up    bool
	other int  // the index of its other end, where that is
	loose bool // no bridge and no queue handles its packets
	// XDP is how a program looks at what comes to it before the kernel does; empty:
	// there is none.
	XDP  XDPMode
	away bool // its other end is in another namespace
	// number is that namespace's.
	number int32
}

// XDPMode is where an XDP program runs.
type XDPMode string

// The modes.
const (
	Native  XDPMode = "native"  // in the driver, or the device
	Generic XDPMode = "generic" // when the kernel has made a buffer of the packet
)

// XDPModes are those of this namespace's interfaces that have a program.
func XDPModes() (map[int]XDPMode, error) {
	c, err := netlink.Dial(unix.NETLINK_ROUTE)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	all, err := list(c)
	out := map[int]XDPMode{}
	for _, l := range all {
		if l.XDP != "" {
			out[l.Index] = l.XDP
		}
	}
	return out, err
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
	l.Index, l.loose = int(int32(binary.NativeEndian.Uint32(b[4:]))), true
	l.Up = binary.NativeEndian.Uint32(b[8:])&unix.IFF_UP != 0
	for kind, value := range netlink.Attributes(b[unix.SizeofIfInfomsg:]) {
		n, number := netlink.Uint32(value)
		switch {
		case kind == unix.IFLA_ADDRESS && len(value) == 6:
			l.MAC = [6]byte(value)
		case kind == unix.IFLA_MTU && number:
			l.MTU = int(n)
		case kind == unix.IFLA_LINK && number:
			l.other = int(n)
		case kind == unix.IFLA_LINK_NETNSID && number:
			l.away, l.number = true, int32(n)
		case kind == unix.IFLA_MASTER:
			l.loose = false
		case kind == unix.IFLA_QDISC && string(value) != "noqueue\x00":
			l.loose = false
		case kind == unix.IFLA_XDP:
			l.XDP = xdpMode(value)
		}
	}
	return l, true
}

// xdpMode reads how an interface has an XDP program (linux/if_link.h).
func xdpMode(xdp []byte) XDPMode {
	const (
		mode = 2 // IFLA_XDP_ATTACHED
		none = 0 // XDP_ATTACHED_NONE
		skb  = 2 // XDP_ATTACHED_SKB
	)
	for kind, value := range netlink.Attributes(xdp) {
		switch {
		case kind != mode || len(value) != 1 || value[0] == none:
		case value[0] == skb:
			return Generic
		default:
			return Native
		}
	}
	return ""
}
