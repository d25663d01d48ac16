package learn

import (
	"net/netip"
	"slices"
)

// From here on the callers of a service are the public, not a list of addresses.
const (
	publicAddresses = 64
	publicNetworks  = 12 // of the first byte
)

// narrow covers addresses with the fewest prefixes that hold nothing else.
func narrow(addrs []netip.Addr) []netip.Prefix {
	set := map[netip.Prefix]bool{}
	for _, a := range addrs {
		set[netip.PrefixFrom(a, a.BitLen())] = true
	}
	for merged := true; merged; {
		merged = false
		for p := range set {
			parent := netip.PrefixFrom(p.Addr(), max(p.Bits()-1, 0)).Masked()
			low := netip.PrefixFrom(parent.Addr(), p.Bits())
			high := netip.PrefixFrom(upperHalf(parent), p.Bits())
			if p.Bits() > 0 && set[low] && set[high] {
				delete(set, low)
				delete(set, high)
				set[parent], merged = true, true
			}
		}
	}
	out := make([]netip.Prefix, 0, len(set))
	for p := range set {
		out = append(out, p)
	}
	slices.SortFunc(out, func(a, b netip.Prefix) int { return a.Addr().Compare(b.Addr()) })
	return out
}

// upperHalf is the first address of a prefix' second half.
func upperHalf(p netip.Prefix) netip.Addr {
	b := p.Addr().AsSlice()
	b[p.Bits()/8] |= 0x80 >> (p.Bits() % 8)
	a, _ := netip.AddrFromSlice(b)
	return a
}

// public says whether callers come from all over the world.
func public(addrs []netip.Addr) bool {
	networks := map[byte]bool{}
	for _, a := range addrs {
		if a.IsPrivate() || a.IsLoopback() || a.IsLinkLocalUnicast() {
			return false
		}
		b := a.As16()
		if a.Is4() {
			networks[b[12]] = true
		} else {
			networks[b[3]] = true
		}
	}
	return len(addrs) >= publicAddresses && len(networks) >= publicNetworks
}
