package tcx

import (
	"errors"
	"fmt"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/link"
)

// XDP is where packets come in before the kernel has made anything of them. An
// interface has one program there, and neither First nor Last.
const XDP Hook = "xdp"

// AttachXDP is Attach for XDP: in the driver, else, where that cannot run programs, in
// the kernel's generic way.
func (p Pins) AttachXDP(prog *ebpf.Program, ifindex int) error {
	if there, err := p.replace(prog, ifindex, XDP); there || err != nil {
		return err
	}
	l, err := link.AttachXDP(link.XDPOptions{Program: prog, Interface: ifindex, Flags: link.XDPDriverMode})
	if err != nil {
		var generic error
		if l, generic = link.AttachXDP(link.XDPOptions{Program: prog, Interface: ifindex, Flags: link.XDPGenericMode}); generic != nil {
			return fmt.Errorf("attach to XDP of interface %d: %w", ifindex, errors.Join(generic, err))
		}
	}
	return p.pin(l, ifindex, XDP)
}

// AttachedXDP is Attached for XDP.
func (p Pins) AttachedXDP() ([]int, error) { return p.with(link.Link.Unpin, XDP) }
