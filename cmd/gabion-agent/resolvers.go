package main

import (
	"fmt"
	"net/netip"

	"github.com/gabion-io/gabion/segmentation/lookup"
)

// resolvers are whose answers count: those that were given, else those that this
// host asks itself.
func (o *options) resolvers() (out []netip.Addr, err error) {
	if len(o.asked) == 0 {
		return lookup.HostResolvers()
	}
	for _, text := range o.asked {
		a, err := netip.ParseAddr(text)
		if err != nil || a.Zone() != "" {
			return nil, fmt.Errorf("read --resolver %q: it is no address", text)
		}
		out = append(out, a.Unmap())
	}
	return out, nil
}
