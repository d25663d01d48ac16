// Package agent keeps one host's datapath in line with what is wanted of it:
// policy in, flows out. It publishes policy, puts the programs on the workloads'
// interfaces as these come and go, and drains what the programs counted.
//
// It does not know where policy comes from nor where flows go: its caller hands it
// the one and is handed the other. cmd/gabion-agent imports it.
package agent

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"path/filepath"
	"slices"
	"time"

	"github.com/gabion-io/gabion/segmentation"
	"github.com/gabion-io/gabion/segmentation/datapath"
	"github.com/gabion-io/gabion/segmentation/flowlog"
	"github.com/gabion-io/gabion/segmentation/policymap"
	"github.com/gabion-io/gabion/workload"
)

// Desired is all that is wanted of a host.
type Desired struct {
	Policies   []segmentation.Policy
	World      segmentation.World
	Interfaces []Interface
	// Applied, if not nil, is told whether the kernel took it. If it did not, what was
	// wanted before is wanted again, and Run goes on.
	Applied func(error)
}

// Interface is the host's end of a workload's link. It need not exist yet.
type Interface struct {
	Name     string
	Workload workload.ID
}

// Options are what an agent needs.
type Options struct {
	Pins   string // directory on a BPF file system
	State  string // directory for what must outlive the agent
	Limits datapath.Limits
	Report func([]flowlog.Sighting) // called after each drain that found any; may be nil
	Log    *slog.Logger
}

// adoption is how long TCP flows that were there before their interface was
// watched may be picked up in their middle.
const adoption = time.Minute

// Agent is for one goroutine.
type Agent struct {
	options Options
	dp      *datapath.Datapath
	writer  *policymap.Writer
	log     *flowlog.Reader
	numbers *policymap.Numbers
	want    Desired
	adopt   map[int]uint64 // by interface index
	names   flowlog.Names
}

// Open loads the programs, or takes over those of an earlier run.
func Open(o Options) (*Agent, error) {
	boot, err := flowlog.BootTime(time.Now())
	if err != nil {
		return nil, err
	}
	numbers, err := policymap.LoadNumbers(filepath.Join(o.State, "workloads.json"))
	if err != nil {
		return nil, err
	}
	a := &Agent{
		options: o, numbers: numbers, adopt: map[int]uint64{},
		names: flowlog.Names{Boot: boot, Rules: map[uint32]segmentation.RuleRef{}},
	}
	if a.dp, err = datapath.Open(o.Pins, o.Limits); err != nil {
		return nil, err
	}
	if a.writer, err = policymap.NewWriter(a.dp.Tables()); err != nil {
		a.dp.Close()
		return nil, err
	}
	if a.log, err = flowlog.NewReader(a.dp.Logs()); err != nil {
		return nil, errors.Join(err, a.writer.Close())
	}
	return a, nil
}

// Close lets go. What is in force stays in force.
func (a *Agent) Close() error {
	err := errors.Join(a.log.Close(), a.writer.Close())
	a.dp.Close()
	return err
}

// Run follows what is wanted, and the interfaces there are, until the context
// ends.
func (a *Agent) Run(ctx context.Context, desired <-chan Desired) error {
	links, err := watchLinks(ctx)
	if err != nil {
		return err
	}
	drain := time.NewTicker(time.Second)
	defer drain.Stop()
	began := false
	for {
		select {
		case <-ctx.Done():
			return a.Drain()
		case d := <-desired:
			took, err := a.take(d, began)
			if err != nil {
				return err
			}
			began = began || took
		case <-links:
			if !began {
				continue
			}
			if err := a.Reconcile(); err != nil {
				return err
			}
		case <-drain.C:
			if err := a.Drain(); err != nil {
				return err
			}
		}
	}
}

// take makes the kernel what is wanted now, or leaves it what was wanted before, if
// anything was. It says whether it is what is wanted now.
func (a *Agent) take(d Desired, again bool) (bool, error) {
	before := a.want
	a.want = d
	err := a.Reconcile()
	if d.Applied == nil {
		return err == nil, err
	}
	if err != nil {
		a.want = before
		if again {
			if back := a.Reconcile(); back != nil {
				d.Applied(err)
				return false, fmt.Errorf("go back to what was in force: %w", back)
			}
		}
	}
	d.Applied(err)
	return err == nil, nil
}

// Want sets what Reconcile works towards.
func (a *Agent) Want(d Desired) { a.want = d }

// Reconcile makes the kernel what is wanted: tables first, then programs on
// interfaces, and off those that are no workload's any more.
func (a *Agent) Reconcile() error {
	attached, err := a.dp.Attached()
	if err != nil {
		return err
	}
	present := a.present(attached)
	table := segmentation.Compile(a.want.Policies, a.want.World)
	img := policymap.Render(table, a.want.World, present, a.numbers)
	if err := a.numbers.Save(filepath.Join(a.options.State, "workloads.json")); err != nil {
		return err
	}
	if err := a.writer.Publish(img); err != nil {
		return err
	}
	a.name(img)
	for _, i := range present {
		if err := a.dp.Attach(i.Index); err != nil {
			// It may be gone again: the next change of links comes back to it.
			a.options.Log.Warn("cannot attach", "interface", i.Index, "workload", i.Workload, "error", err)
			continue
		}
		if !slices.Contains(attached, i.Index) {
			a.options.Log.Info("attached", "interface", i.Index, "workload", i.Workload)
		}
	}
	for _, index := range attached {
		if !slices.ContainsFunc(present, func(i policymap.Interface) bool { return i.Index == index }) {
			if err := a.dp.Detach(index); err != nil {
				return err
			}
			a.options.Log.Info("detached", "interface", index)
		}
	}
	return nil
}

// present finds the wanted interfaces that exist.
func (a *Agent) present(attached []int) (out []policymap.Interface) {
	now := monotonic()
	for _, i := range a.want.Interfaces {
		link, err := net.InterfaceByName(i.Name)
		if err != nil {
			a.options.Log.Debug("interface is missing", "interface", i.Name, "workload", i.Workload)
			continue
		}
		if _, known := a.adopt[link.Index]; !known {
			a.adopt[link.Index] = 0
			if !slices.Contains(attached, link.Index) {
				a.adopt[link.Index] = now + uint64(adoption)
			}
		}
		out = append(out, policymap.Interface{Index: link.Index, Workload: i.Workload, Adopt: a.adopt[link.Index]})
	}
	return out
}

// name keeps what numbers mean. Rules that are gone are still named: flows that
// they judged are drained later.
func (a *Agent) name(img *policymap.Image) {
	if len(a.names.Rules) > 4*len(img.Refs)+10000 {
		a.names.Rules = map[uint32]segmentation.RuleRef{}
	}
	for n, r := range img.Refs {
		a.names.Rules[n] = r
	}
	a.names.Workloads = map[uint32]*workload.Workload{}
	a.names.Addresses = map[netip.Addr]*workload.Workload{}
	byID := map[workload.ID]*workload.Workload{}
	for _, w := range a.want.World.Workloads {
		byID[w.ID] = w
		for _, addr := range w.Addresses {
			a.names.Addresses[addr.Unmap()] = w
		}
	}
	for _, i := range a.want.Interfaces {
		if w := byID[i.Workload]; w != nil {
			a.names.Workloads[a.numbers.Workload(i.Workload)] = w
		}
	}
}

// Drain reports what was counted since the last time.
func (a *Agent) Drain() error {
	if _, err := a.dp.Sweep(); err != nil {
		return err
	}
	rows, err := a.log.Drain()
	if err != nil {
		return fmt.Errorf("drain flows: %w", err)
	}
	if s := a.names.Sightings(rows); len(s) > 0 && a.options.Report != nil {
		a.options.Report(s)
	}
	return nil
}

// Counters are totals by reason.
func (a *Agent) Counters() ([]uint64, error) {
	all, err := a.log.Counters()
	return all[:], err
}
