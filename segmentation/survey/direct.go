package survey

import (
	"encoding/binary"
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/gabion-io/gabion/internal/netlink"
)

// Direct is a link to whose other end packets can be handed past the host's stack,
// because nothing there would look at them: neither a bridge, a queue, a classifier,
// an XDP program nor somebody who listens.
type Direct struct {
	Index     int
	MTU       int
	Host, MAC [6]byte // of its two ends
}

// Directs finds which of some links are direct now. Why says what makes it none at
// all; empty: nothing does. Programs in the links' TCX hooks are not looked at.
func Directs(indexes []int) (out map[int]Direct, why string, err error) {
	out = map[int]Direct{}
	why, err = netfilter()
	if why != "" || err != nil {
		return out, why, err
	}
	listened, err := listeners()
	if err != nil {
		return out, "", err
	}
	if listened[0] {
		return out, "somebody listens on all interfaces", nil
	}
	c, err := netlink.Dial(unix.NETLINK_ROUTE)
	if err != nil {
		return out, "", err
	}
	defer c.Close()
	links, err := list(c)
	if err != nil {
		return out, "", err
	}
	classified, err := classifiers(c)
	if err != nil {
		return out, "", err
	}
	peers, err := Peers(indexes)
	if err != nil {
		return out, "", err
	}
	inside := map[*Namespace][]Link{}
	for _, l := range links {
		n := peers[l.Index]
		if n == nil || !l.Up || !l.loose || listened[l.Index] || classified[l.Index] {
			continue
		}
		if _, known := inside[n]; !known {
			inside[n] = n.links()
			defer n.Close()
		}
		for _, other := range inside[n] {
			// What handles the packets that it sends is passed before ours.
			if other.Index == l.other && other.Up && other.MTU == l.MTU && other.XDP == "" {
				out[l.Index] = Direct{Index: l.Index, MTU: l.MTU, Host: l.MAC, MAC: other.MAC}
			}
		}
	}
	for _, n := range peers {
		if _, known := inside[n]; !known {
			n.Close()
			inside[n] = nil
		}
	}
	return out, "", nil
}

// links lists a namespace's; none if it is gone.
func (n *Namespace) links() (out []Link) {
	var c *netlink.Conn
	err := n.Do(func() (err error) {
		c, err = netlink.Dial(unix.NETLINK_ROUTE)
		return err
	})
	if err != nil {
		return nil
	}
	defer c.Close()
	out, err = list(c)
	if err != nil {
		return nil
	}
	return out
}

// classifiers are the links that have classifiers of the old kind (tc).
func classifiers(c *netlink.Conn) (map[int]bool, error) {
	const sizeTcmsg, kindAttr = 20, 1 // linux/rtnetlink.h, TCA_KIND
	out := map[int]bool{}
	err := c.Dump(unix.RTM_GETQDISC, make([]byte, sizeTcmsg), func(b []byte) error {
		if len(b) < sizeTcmsg {
			return nil
		}
		for kind, value := range netlink.Attributes(b[sizeTcmsg:]) {
			if kind == kindAttr && (string(value) == "clsact\x00" || string(value) == "ingress\x00") {
				out[int(int32(binary.NativeEndian.Uint32(b[4:])))] = true
			}
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("list classifiers: %w", err)
	}
	return out, nil
}
