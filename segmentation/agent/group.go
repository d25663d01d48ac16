package agent

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/gabion-io/gabion/internal/tcx"
	"github.com/gabion-io/gabion/segmentation/bpf"
	"github.com/gabion-io/gabion/segmentation/datapath"
	"github.com/gabion-io/gabion/segmentation/policymap"
	"github.com/gabion-io/gabion/segmentation/survey"
)

// CheckCgroup refuses what is more than a workload: the root of all, and what the
// agent itself runs in. A policy for it could cut the agent from its control plane,
// or the host from everybody.
func CheckCgroup(name string) error {
	own, err := survey.OwnCgroup()
	if err != nil {
		return err
	}
	clean := path.Clean("/" + name)
	if clean == "/" {
		return errors.New("the root of all cgroups is the host itself: a Workload names one below it")
	}
	if own == clean || strings.HasPrefix(own, clean+"/") {
		return fmt.Errorf("the agent itself runs in cgroup %s: a Workload names another", name)
	}
	if levels := strings.Count(clean, "/"); levels > bpf.GroupDepth {
		return fmt.Errorf("cgroup %s is %d levels below the root, and the programs look at %d: a Workload names one above it", name, levels, bpf.GroupDepth)
	}
	return nil
}

// groups are the workloads that are processes of this host.
type groups struct {
	agent *Agent
	root  string
	table *datapath.Groups
}

// openGroups takes over what an earlier run left, or makes what is wanted possible.
func (a *Agent) openGroups() error {
	if a.groups != nil {
		return nil
	}
	root := a.options.Cgroup
	if root == "" {
		var err error
		if root, err = datapath.CgroupRoot(); err != nil {
			return err
		}
	}
	if err := tcx.Probe(tcx.CgroupFeatures()); err != nil {
		return err
	}
	table, err := a.dp.Groups(root)
	if err != nil {
		return err
	}
	a.groups = &groups{agent: a, root: root, table: table}
	return nil
}

// lookForGroups is how often it is looked whether a cgroup came or was made again.
const lookForGroups = 250 * time.Millisecond

// findGroups says which cgroups are wanted and there, and forgets others, before
// policy for them is taken away.
func (a *Agent) findGroups() (map[uint64]uint32, []policymap.Interface, error) {
	if !groupWanted(a.want.Interfaces) && a.groups == nil && !a.dp.Grouped() {
		return nil, nil, nil
	}
	if err := a.openGroups(); err != nil {
		return nil, nil, fmt.Errorf("watch cgroups: %w", err)
	}
	ids, places := a.groups.find(a.want.Interfaces)
	return ids, places, a.groups.table.Keep(ids)
}

// setGroups watches cgroups, once policy for them is published.
func (a *Agent) setGroups(ids map[uint64]uint32) error {
	if a.groups == nil {
		return nil
	}
	fresh := maps.Clone(ids)
	maps.DeleteFunc(fresh, func(id uint64, key uint32) bool { return a.groups.table.Known()[id] == key })
	// As with interfaces: before, and for what comes in between.
	for _, set := range []bool{true, false} {
		if len(fresh) > 0 {
			if err := a.groups.adopt(fresh, a.want.Interfaces); err != nil {
				return err
			}
		}
		if set {
			if err := a.groups.table.Set(ids); err != nil {
				return fmt.Errorf("watch cgroups: %w", err)
			}
		}
	}
	for id, key := range fresh {
		a.options.Log.Info("watched", "cgroup", id, "workload", a.numbers.Workloads()[key&^(1<<31)])
	}
	return nil
}

// find says which of the wanted cgroups exist, by number, and the places that policy
// is written for.
func (g *groups) find(want []Interface) (map[uint64]uint32, []policymap.Interface) {
	ids := map[uint64]uint32{}
	var places []policymap.Interface
	for _, i := range want {
		if i.Cgroup == "" {
			continue
		}
		key := datapath.Group(g.agent.numbers.Workload(i.Workload))
		places = append(places, policymap.Interface{Index: key, Workload: i.Workload})
		id, err := survey.Cgroup(g.root, i.Cgroup)
		if err != nil {
			if !errors.Is(err, fs.ErrNotExist) {
				g.agent.options.Log.Warn("cgroup is not watched", "cgroup", i.Cgroup, "workload", i.Workload, "error", err)
			}
			continue
		}
		ids[id] = uint32(key)
	}
	return ids, places
}

// changed says whether a cgroup came, went or was made again.
func (g *groups) changed(want []Interface) bool {
	if g == nil {
		return false
	}
	ids, _ := g.find(want)
	return !maps.Equal(ids, g.table.Known())
}

// groupWanted says whether any workload is a cgroup.
func groupWanted(want []Interface) bool {
	return slices.ContainsFunc(want, func(i Interface) bool { return i.Cgroup != "" })
}

// adopt makes connections known that processes had before their cgroup was
// watched.
func (g *groups) adopt(fresh map[uint64]uint32, want []Interface) error {
	own, err := survey.Own()
	if err != nil {
		return err
	}
	list, err := own.Connections()
	if err != nil {
		g.agent.options.Log.Warn("connections from before are not known; they are judged by their next packets", "error", err)
		return nil
	}
	e := &existing{agent: g.agent}
	if err := e.attributeIn(own, list); err != nil {
		g.agent.options.Log.Warn("who opened connections from before is not known", "error", err)
	}
	// The nearest cgroup counts: deeper paths come last.
	nearest := map[uint64]int{}
	sorted := slices.SortedFunc(slices.Values(want), func(a, b Interface) int { return len(a.Cgroup) - len(b.Cgroup) })
	for _, i := range sorted {
		if i.Cgroup == "" {
			continue
		}
		for id := range survey.CgroupsBelow(g.root, i.Cgroup) {
			nearest[id] = datapath.Group(g.agent.numbers.Workload(i.Workload))
		}
	}
	news := map[int]bool{}
	for _, key := range fresh {
		news[int(key)] = true
	}
	var all []held
	for _, c := range list {
		if key, ok := nearest[c.Cgroup]; ok && news[key] {
			h := held{Connection: c, ifindex: key}
			h.key, h.me = bpf.FlowKeyOf(c.Local, c.Remote, c.Protocol)
			all = append(all, h)
		}
	}
	return g.agent.takeOver(all)
}
