package survey

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/gabion-io/gabion/internal/netlink"
)

// netfilter says what would judge packets that the host forwards; empty: nothing.
// Modules that hook themselves in without nftables or iptables (IPVS) are not seen.
func netfilter() (string, error) {
	for _, table := range []string{"/proc/self/net/ip_tables_names", "/proc/self/net/ip6_tables_names"} {
		// No such file: no such tables.
		if b, err := os.ReadFile(table); err == nil && len(strings.TrimSpace(string(b))) > 0 {
			return "iptables has tables", nil
		}
	}
	c, err := netlink.Dial(unix.NETLINK_NETFILTER)
	if errors.Is(err, unix.EPROTONOSUPPORT) {
		return "", nil // a kernel without netfilter
	}
	if err != nil {
		return "", err
	}
	defer c.Close()
	why := ""
	const getChain = unix.NFNL_SUBSYS_NFTABLES<<8 | unix.NFT_MSG_GETCHAIN
	err = c.Dump(getChain, make([]byte, 4), func(b []byte) error {
		if judges(b) {
			why = "nftables has rules for what is forwarded"
		}
		return nil
	})
	switch {
	case errors.Is(err, unix.EINVAL), errors.Is(err, unix.EOPNOTSUPP), errors.Is(err, unix.ENOENT):
		return "", nil // a kernel without nftables
	case err != nil:
		return "", fmt.Errorf("list chains of nftables: %w", err)
	}
	return why, nil
}

// judges says whether a chain of nftables looks at what a host forwards, and has
// rules or drops. It reads an nfgenmsg with its attributes
// (linux/netfilter/nf_tables.h).
func judges(b []byte) bool {
	if len(b) < 4 {
		return false
	}
	family := b[0]
	hook, hooked, rules, policy := uint32(0), false, uint32(0), uint32(1)
	big := func(v []byte) uint32 {
		if len(v) != 4 {
			return 0
		}
		return binary.BigEndian.Uint32(v)
	}
	for kind, value := range netlink.Attributes(b[4:]) {
		switch kind {
		case unix.NFTA_CHAIN_HOOK:
			hooked = true
			for k, v := range netlink.Attributes(value) {
				if k == unix.NFTA_HOOK_HOOKNUM {
					hook = big(v)
				}
			}
		case unix.NFTA_CHAIN_USE:
			rules = big(value)
		case unix.NFTA_CHAIN_POLICY:
			policy = big(value)
		}
	}
	if !hooked || rules == 0 && policy == 1 {
		return false
	}
	switch family {
	case unix.NFPROTO_IPV4, unix.NFPROTO_IPV6, unix.NFPROTO_INET:
		const input, output = 1, 3 // what the host itself receives and sends
		return hook != input && hook != output
	case unix.NFPROTO_NETDEV:
		return true
	}
	return false
}
