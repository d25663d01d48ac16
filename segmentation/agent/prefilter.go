package agent

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"

	"github.com/gabion-io/gabion/internal/tcx"
	"github.com/gabion-io/gabion/segmentation/datapath"
	"github.com/gabion-io/gabion/segmentation/policymap"
	"github.com/gabion-io/gabion/segmentation/survey"
	"github.com/gabion-io/gabion/workload"
)

// prefilter is the program on the uplinks that were named: what comes from there to a
// workload, and what its hook would surely drop, is dropped before the host sees it.
type prefilter struct {
	agent *Agent
	names []string
	said  string
	host  []netip.Addr         // the host's own, by which policy is published
	told  map[workload.ID]bool // that they claim one of these
	fault map[string]string    // why an uplink is not watched, as was told
}

// CheckUplinks refuses loopback. An interface that does not exist may come: at boot,
// the agent must not wait for it.
func CheckUplinks(names []string) error {
	for _, name := range names {
		if link, err := net.InterfaceByName(name); err == nil && link.Flags&net.FlagLoopback != 0 {
			return fmt.Errorf("uplink %s: it is the host's loopback, and nothing comes in by it", name)
		}
	}
	return nil
}

// openPrefilter refuses an uplink that an earlier run took for a workload's interface.
func (a *Agent) openPrefilter(names []string) error {
	a.early = &prefilter{agent: a, names: names, told: map[workload.ID]bool{}, fault: map[string]string{}}
	attached, err := a.dp.Attached()
	if err != nil {
		return err
	}
	for _, name := range names {
		if link, err := net.InterfaceByName(name); err == nil && slices.Contains(attached, link.Index) {
			return fmt.Errorf("uplink %s: it is a workload's interface, and judged there", name)
		}
	}
	return nil
}

// places are where policy is written for the prefilter: once for each workload that is
// behind an interface whose hook is in place. One that claims an address of the host
// has none: what is for the host never comes to its hook.
func (p *prefilter) places(present []policymap.Interface, watched []int) (out []policymap.Interface, err error) {
	if len(p.names) == 0 {
		return nil, nil
	}
	if p.host, err = hostAddresses(); err != nil {
		return nil, err
	}
	for _, i := range present {
		at := policymap.Interface{Index: datapath.ByNumber(p.agent.numbers.Workload(i.Workload)), Workload: i.Workload}
		if !slices.Contains(watched, i.Index) || slices.Contains(out, at) {
			continue
		}
		claimed := p.agent.addressesOf(i.Workload)
		if slices.ContainsFunc(p.host, func(a netip.Addr) bool { return claimed[a] }) {
			if !p.told[i.Workload] {
				p.told[i.Workload] = true
				p.agent.options.Log.Warn("not judged on uplinks: it claims an address of this host", "workload", i.Workload)
			}
			continue
		}
		delete(p.told, i.Workload)
		out = append(out, at)
	}
	return out, nil
}

// moved says whether the host has other addresses than those by which policy is
// published: nothing else tells, a change of links least of all.
func (p *prefilter) moved() bool {
	if len(p.names) == 0 {
		return false
	}
	host, err := hostAddresses()
	return err == nil && !slices.Equal(host, p.host) // else the next look may know
}

// hostAddresses are the host's own, in order.
func hostAddresses() (out []netip.Addr, err error) {
	all, err := net.InterfaceAddrs()
	if err != nil {
		return nil, fmt.Errorf("list this host's addresses: %w", err)
	}
	for _, a := range all {
		if p, err := netip.ParsePrefix(a.String()); err == nil {
			out = append(out, p.Addr().Unmap())
		}
	}
	slices.SortFunc(out, netip.Addr.Compare)
	return out, nil
}

// watchUplinks puts the prefilter in place. Policy is published for some of its places:
// hooks were put in place since, and the host's addresses may be others.
func (a *Agent) watchUplinks(present, published []policymap.Interface) error {
	watched, err := a.dp.Attached()
	if err != nil {
		return err
	}
	all, err := a.early.places(a.on, watched)
	if err != nil {
		return err
	}
	if !slices.Equal(all, published) {
		if err := a.publish(append(slices.Clone(present), all...)); err != nil {
			return err
		}
	}
	return a.early.attach()
}

// attach puts the program on the uplinks that exist, and takes it off others.
func (p *prefilter) attach() error {
	d, log := p.agent.dp, p.agent.options.Log
	before, err := d.Uplinks()
	if err != nil {
		return err
	}
	var now []int
	for _, name := range p.names {
		index, err := p.attachTo(name)
		if err != nil {
			// What it would drop is dropped at the workloads' interfaces.
			if err.Error() != p.fault[name] {
				log.Warn("cannot watch uplink", "interface", name, "error", err)
			}
			p.fault[name] = err.Error()
			continue
		}
		delete(p.fault, name)
		now = append(now, index)
		if !slices.Contains(before, index) {
			modes, err := survey.XDPModes()
			if err != nil {
				return err
			}
			log.Info("uplink watched", "interface", name, "xdp", modes[index])
		}
	}
	for _, index := range before {
		if slices.Contains(now, index) {
			continue
		}
		if err := d.DetachUplink(index); err != nil {
			return err
		}
		log.Info("uplink not watched any more", "interface", index)
	}
	return nil
}

// attachTo puts the program on an uplink.
func (p *prefilter) attachTo(name string) (index int, err error) {
	link, err := net.InterfaceByName(name)
	if err != nil {
		return 0, errors.New("this host has no such interface (yet)")
	}
	return link.Index, p.agent.dp.AttachUplink(link.Index)
}

// look tells the program whether packets come to the workloads as they come in.
func (p *prefilter) look() error {
	if len(p.names) == 0 {
		return nil
	}
	why, err := p.bends()
	if err != nil {
		// Not to know is to leave more to the hooks; it is no reason to stop enforcing.
		why = err.Error()
	}
	state, until := why, uint64(0)
	if why == "" {
		state, until = "none", monotonic()+uint64(lease)
	}
	if state != p.said {
		p.agent.options.Log.Info("translation of addresses on the way from uplinks", "by", state)
	}
	p.said = state
	return p.agent.dp.Straight(until)
}

// bends says what could translate addresses between the uplinks and the workloads.
func (p *prefilter) bends() (why string, err error) {
	d := p.agent.dp
	up, err := d.Uplinks()
	if err != nil {
		return "", err
	}
	others := 0
	for _, index := range up {
		n, err := d.BeforeUplink(index)
		if err != nil {
			return "", err
		}
		others += n
	}
	for _, i := range p.agent.on {
		n, err := d.Others(i.Index)
		if err != nil {
			return "", err
		}
		if n > 0 && p.agent.options.Looking.Has(i.Index, tcx.Egress) {
			n--
		}
		others += n
	}
	if others > 0 {
		return "an interface has programs of others", nil
	}
	return survey.Straight()
}
