package foreign

import (
	"net/netip"
	"slices"

	"github.com/gabion-io/gabion/segmentation"
)

// outside lists the addresses of a name that are no known workload's: a name never
// means one, but a block of addresses would.
func (x *exporter) outside(n *segmentation.Name) (out []netip.Prefix) {
	for _, a := range n.Addresses {
		a = a.Unmap()
		taken := false
		for _, w := range x.workloads {
			taken = taken || slices.ContainsFunc(w.Addresses, func(o netip.Addr) bool { return o.Unmap() == a })
		}
		if !taken {
			out = append(out, netip.PrefixFrom(a, a.BitLen()))
		}
	}
	return out
}
