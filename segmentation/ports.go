package segmentation

import (
	"fmt"

	"github.com/gabion-io/gabion/workload"
)

// Ports is a range of destination ports of one protocol, or a port by the name
// that the destination gives it.
type Ports struct {
	Protocol Protocol // AnyProtocol: all, and then no ports are named
	// From and To are both in the range; 0 and 65535, or two zeros, are all ports.
	From, To uint16
	// Name, if set, stands in the place of From and To. A destination that names
	// no such port of this protocol is not meant, nor is one outside.
	Name string
}

// all says whether every port of the protocol is meant.
func (p Ports) all() bool { return p.Name == "" && p.From == 0 && (p.To == 0 || p.To == 65535) }

// On resolves the ports at a destination; nil for none that is known. A name
// may stand for several. Ranges are never "two zeros" any more.
func (p Ports) On(dst *workload.Workload) []Ports {
	switch {
	case p.Name == "" && (p.all() || p.Protocol == AnyProtocol):
		return []Ports{{Protocol: p.Protocol, From: 0, To: 65535}}
	case p.Name == "":
		return []Ports{p}
	case dst == nil:
		return nil
	}
	var out []Ports
	for _, n := range dst.Ports {
		if n.Name == p.Name && (p.Protocol == AnyProtocol || Protocol(n.Protocol) == p.Protocol) {
			out = append(out, Ports{Protocol: Protocol(n.Protocol), From: n.Number, To: n.Number})
		}
	}
	return out
}

// match says whether a flow goes there.
func (p Ports) match(f *Flow) bool {
	for _, r := range p.On(f.Dst.Workload) {
		if (r.Protocol == AnyProtocol || r.Protocol == f.Protocol) && r.From <= f.Port && f.Port <= r.To {
			return true
		}
	}
	return false
}

func (p Ports) String() string {
	switch {
	case p.Name != "":
		return fmt.Sprintf("%s %s", p.Protocol, p.Name)
	case p.all():
		return p.Protocol.String()
	case p.To <= p.From:
		return fmt.Sprintf("%s %d", p.Protocol, p.From)
	}
	return fmt.Sprintf("%s %d-%d", p.Protocol, p.From, p.To)
}
