package datapath

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/cilium/ebpf"

	"github.com/gabion-io/gabion/segmentation/bpf"
)

// Adopted is what became of flows that were there before.
type Adopted struct{ Known, Taken, Denied, Full int }

// Adopt makes flows that were there before established ones, with the ends that
// opened them: judged as when they were opened, and counted once. Policy for their
// interfaces must be published; the programs need not be attached yet. A flow that a
// packet has made before is left as it is.
func (d *Datapath) Adopt(list []bpf.Adopted) (out Adopted, err error) {
	for i := range list {
		b, err := binary.Append(make([]byte, 14, 80), binary.NativeEndian, &list[i])
		if err != nil {
			return out, fmt.Errorf("write flow to adopt: %w", err)
		}
		answer, err := d.Program("adopt_flow").Run(&ebpf.RunOptions{Data: b})
		if err != nil {
			return out, fmt.Errorf("adopt flow: %w", err)
		}
		switch answer {
		case bpf.AdoptTaken:
			out.Taken++
		case bpf.AdoptDenied:
			out.Denied++
		case bpf.AdoptFull:
			out.Full++
		case bpf.AdoptKnown:
			out.Known++
		default:
			return out, fmt.Errorf("adopt flow: no policy is loaded for interface %d", list[i].Ifindex)
		}
	}
	return out, nil
}

// Attribute remembers whose a socket is, unless the programs saw it themselves.
func (d *Datapath) Attribute(cookie uint64, p bpf.Process) error {
	if err := d.Map("sockets").Update(cookie, &p, ebpf.UpdateNoExist); err != nil && !errors.Is(err, ebpf.ErrKeyExist) {
		return fmt.Errorf("write owner of a socket: %w", err)
	}
	return nil
}
