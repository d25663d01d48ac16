package agent

import (
	"maps"
	"net/netip"
	"slices"
	"time"

	"github.com/gabion-io/gabion/segmentation/bpf"
	"github.com/gabion-io/gabion/segmentation/datapath"
	"github.com/gabion-io/gabion/segmentation/survey"
	"github.com/gabion-io/gabion/workload"
)

// lookEvery is how often it is looked whether something has come that shortcuts
// would pass by; lease is for how long they last when nobody looks any more.
const (
	lookEvery = time.Second
	lease     = 4 * time.Second
)

// shortcuts are the local fast path: packets between two workloads of this host that
// both have approved go straight to the other's interface, as long as nothing on the
// way that they save would look at them.
type shortcuts struct {
	agent *Agent
	table *datapath.Shortcuts
	said  string
}

// look renews the shortcuts.
func (s *shortcuts) look() error {
	if s == nil {
		return nil
	}
	want, why, err := s.find()
	if err != nil {
		// Not to know is to take the long way; it is no reason to stop enforcing.
		want, why = nil, err.Error()
	}
	if err := s.table.Set(want); err != nil {
		return err
	}
	s.say(len(want), why)
	if len(want) == 0 {
		return nil
	}
	return s.table.Keep(monotonic() + uint64(lease))
}

// say tells when the state has changed.
func (s *shortcuts) say(n int, why string) {
	state := why
	if n > 0 {
		state = "on"
	}
	if state != s.said && (n > 0 || s.said != "") {
		s.agent.options.Log.Info("local fast path", "addresses", n, "why-not", why)
	}
	s.said = state
}

// find lists which addresses can be handed packets straight.
func (s *shortcuts) find() (map[netip.Addr]bpf.Neighbour, string, error) {
	attached, err := s.agent.dp.Attached()
	if err != nil || len(attached) < 2 {
		return nil, "fewer than two workloads", err
	}
	for _, index := range attached {
		n, err := s.agent.dp.Others(index)
		if err != nil {
			return nil, "", err
		}
		if n > 0 {
			attached = slices.DeleteFunc(slices.Clone(attached), func(i int) bool { return i == index })
		}
	}
	links, why, err := survey.Directs(attached)
	if err != nil || why != "" {
		return nil, why, err
	}
	out := map[netip.Addr]bpf.Neighbour{}
	homes := map[workload.ID]int{} // how many interfaces a workload has
	for _, i := range s.agent.on {
		homes[i.Workload]++
	}
	for _, i := range s.agent.on {
		l, ok := links[i.Index]
		if !ok || homes[i.Workload] > 1 { // which address is behind which link is not said
			continue
		}
		for a := range maps.Keys(s.agent.addressesOf(i.Workload)) {
			out[a] = bpf.Neighbour{
				Workload: s.agent.numbers.Workload(i.Workload), Ifindex: uint32(i.Index), To: l.MAC, From: l.Host, MTU: uint32(l.MTU),
			}
		}
	}
	return out, "", nil
}
