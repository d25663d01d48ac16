package segmentation

import (
	"net/netip"

	"github.com/gabion-io/gabion/workload"
)

// Flow is one connection, seen from who opened it: replies belong to it and are
// judged with it.
type Flow struct {
	Src, Dst Endpoint
	Protocol Protocol // ICMP for ICMPv6 as well
	Port     uint16   // of the destination; 0 where the protocol has none
	// Proxied says that a proxy that judges HTTP stands in the path: then the
	// network lets pass what an HTTP rule might allow.
	Proxied bool
	Request *Request // set: the verdict is on this request, not on the connection
}

// Endpoint is one end of a flow.
type Endpoint struct {
	Workload *workload.Workload // nil: none that is known, outside
	Addr     netip.Addr         // may be invalid when only the workload is known: then no CIDR holds it
	Names    []string           // the DNS names by which the other end knows the address
}

// At is a workload by its first address.
func At(w *workload.Workload) Endpoint {
	e := Endpoint{Workload: w}
	if len(w.Addresses) > 0 {
		e.Addr = w.Addresses[0].Unmap()
	}
	return e
}

// Between is the two ends of a flow between workloads: the first addresses of one
// family that both have.
func Between(src, dst *workload.Workload) (Endpoint, Endpoint) {
	for _, s := range src.Addresses {
		for _, d := range dst.Addresses {
			if s, d := s.Unmap(), d.Unmap(); s.Is4() == d.Is4() {
				return Endpoint{Workload: src, Addr: s}, Endpoint{Workload: dst, Addr: d}
			}
		}
	}
	return At(src), At(dst)
}

// Facing is a workload by the first of its addresses that is of another's family.
func Facing(w *workload.Workload, other netip.Addr) Endpoint {
	for _, a := range w.Addresses {
		if a = a.Unmap(); other.IsValid() && a.Is4() == other.Unmap().Is4() {
			return Endpoint{Workload: w, Addr: a}
		}
	}
	return At(w)
}

// Outside is an end that is no known workload.
func Outside(addr netip.Addr, names ...string) Endpoint {
	return Endpoint{Addr: addr.Unmap(), Names: names}
}

// subject and peer of a flow as a policy of one direction sees them.
func (f *Flow) sides(d Direction) (subject, peer *Endpoint) {
	if d == Ingress {
		return &f.Dst, &f.Src
	}
	return &f.Src, &f.Dst
}
