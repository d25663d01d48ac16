package agent

import (
	"cmp"
	"net/netip"
	"slices"

	"github.com/gabion-io/gabion/segmentation/bpf"
	"github.com/gabion-io/gabion/segmentation/policymap"
	"github.com/gabion-io/gabion/segmentation/survey"
	"github.com/gabion-io/gabion/workload"
)

// existing are the connections that workloads had before their interfaces were
// watched: they are learned and judged like others, by who opened them, although
// that was before our time. It is for one Reconcile.
type existing struct {
	agent  *Agent
	fresh  []policymap.Interface
	spaces map[int]*survey.Namespace // by interface index
}

// lookAround finds the namespaces of interfaces that are new to us. What cannot be
// found is a loss of knowledge, not of enforcement: flows are then judged by their
// first packets.
func (a *Agent) lookAround(fresh []policymap.Interface) *existing {
	e := &existing{agent: a, fresh: fresh}
	if len(fresh) == 0 {
		return e
	}
	indexes := make([]int, len(fresh))
	for i, one := range fresh {
		indexes[i] = one.Index
	}
	spaces, err := survey.Peers(indexes)
	if err != nil {
		a.options.Log.Warn("connections from before are not known; they are judged by their next packets", "error", err)
	}
	e.spaces = spaces
	return e
}

func (e *existing) close() {
	for _, n := range e.spaces {
		n.Close() // one that two links lead to is closed twice, which is no harm
	}
}

// held is a connection as one workload has it.
type held struct {
	survey.Connection
	ifindex int
	key     bpf.FlowKey
	me      uint8
}

// opener is the end of the key that opened the connection, as this end sees it.
func (h *held) opener() uint8 {
	if h.In {
		return 1 - h.me
	}
	return h.me
}

// adopt makes the datapath know them. Policy must be published. Done before the
// programs are attached, no packet of theirs is taken for a flow's first; done again
// afterwards, those are found that were opened in between.
func (e *existing) adopt() error {
	var all []held
	for _, i := range e.fresh {
		n := e.spaces[i.Index]
		if n == nil {
			continue
		}
		list, err := n.Connections()
		if err != nil {
			e.agent.options.Log.Warn("connections from before are not known; they are judged by their next packets", "workload", i.Workload, "error", err)
			continue
		}
		own := e.agent.addressesOf(i.Workload)
		for _, c := range list {
			if !own[c.Local.Addr()] {
				continue
			}
			h := held{Connection: c, ifindex: i.Index}
			h.key, h.me = bpf.FlowKeyOf(c.Local, c.Remote, c.Protocol)
			all = append(all, h)
		}
	}
	return e.agent.takeOver(all)
}

// takeOver makes the datapath know connections.
func (a *Agent) takeOver(all []held) error {
	if len(all) == 0 {
		return nil
	}
	out, err := a.dp.Adopt(adopted(all))
	if out.Taken+out.Denied+out.Full > 0 {
		a.options.Log.Info("found connections from before", "taken", out.Taken, "denied", out.Denied, "no-room", out.Full)
	}
	return err
}

// adopted agrees, where both ends are of this host, on who opened a connection: the
// end at which somebody waits for others knows best.
func adopted(all []held) []bpf.Adopted {
	// The sure ones first, and a stable order.
	slices.SortStableFunc(all, func(a, b held) int {
		return cmp.Or(cmp.Compare(order(a), order(b)), slices.Compare(a.key.Ports[:], b.key.Ports[:]))
	})
	openers := map[bpf.FlowKey]uint8{}
	out := make([]bpf.Adopted, 0, len(all))
	for i := range all {
		h := &all[i]
		if _, known := openers[h.key]; !known {
			openers[h.key] = h.opener()
		}
		out = append(out, bpf.Adopted{Key: h.key, Cookie: h.Cookie, Ifindex: uint32(h.ifindex), Me: h.me, Initiator: openers[h.key]})
	}
	return out
}

func order(h held) int {
	if h.Sure {
		return 0
	}
	return 1
}

// attribute remembers who has the sockets, as if it had been seen opening them.
func (e *existing) attribute() {
	if e.agent.names.Openers == nil {
		return
	}
	done := map[*survey.Namespace]bool{}
	for _, n := range e.spaces {
		if done[n] {
			continue
		}
		done[n] = true
		list, err := n.Connections()
		if err == nil {
			err = e.attributeIn(n, list)
		}
		if err != nil {
			e.agent.options.Log.Warn("who opened connections from before is not known", "error", err)
		}
	}
}

func (e *existing) attributeIn(n *survey.Namespace, list []survey.Connection) error {
	opened := slices.DeleteFunc(slices.Clone(list), func(c survey.Connection) bool { return c.In })
	owners := n.Processes(opened)
	for _, c := range opened {
		p, ok := owners[c.Cookie]
		if !ok {
			continue
		}
		own := bpf.Process{Cgroup: c.Cgroup, PID: uint32(p.PID), UID: c.UID}
		copy(own.Command[:len(own.Command)-1], p.Command)
		if err := e.agent.dp.Attribute(c.Cookie, own); err != nil {
			return err
		}
	}
	return nil
}

// addressesOf is which addresses are a workload's.
func (a *Agent) addressesOf(id workload.ID) map[netip.Addr]bool {
	out := map[netip.Addr]bool{}
	for _, w := range a.want.World.Workloads {
		if w.ID == id {
			for _, addr := range w.Addresses {
				out[addr.Unmap()] = true
			}
		}
	}
	return out
}
