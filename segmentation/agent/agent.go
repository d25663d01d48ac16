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
	"sync"
	"time"

	"github.com/gabion-io/gabion/internal/tcx"
	"github.com/gabion-io/gabion/segmentation"
	"github.com/gabion-io/gabion/segmentation/bpf"
	"github.com/gabion-io/gabion/segmentation/datapath"
	"github.com/gabion-io/gabion/segmentation/flowlog"
	"github.com/gabion-io/gabion/segmentation/lookup"
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

// Interface is where a workload's packets are judged: the host's end of its link, or
// the cgroup of the host's processes that it is. It need not exist yet.
type Interface struct {
	Name     string
	Cgroup   string // path below the v2 root; then there is no link
	Workload workload.ID
}

// Options are what an agent needs.
type Options struct {
	Pins   string // directory on a BPF file system
	State  string // directory for what must outlive the agent
	Limits datapath.Limits
	Cgroup string // whose processes are told as openers of flows; empty: the whole v2 hierarchy
	// Window is how much time a row of flows is folded over; zero is a second. When
	// there are so many that the kernel's tables would not hold them, it is less.
	Window time.Duration
	// Report is told of each window, also of an empty one, and keeps what it wants
	// before it returns: then the kernel forgets it. May be nil.
	Report func(Window)
	// Resolvers are the name services whose answers count. Without any no name gets
	// an address but those that its rule keeps.
	Resolvers []netip.Addr
	Names     lookup.Limits
	Log       *slog.Logger
	// NoShortcuts leaves packets between two workloads of this host to the host's
	// stack, also where nothing there looks at them.
	NoShortcuts bool
	// Uplinks are the interfaces by which the host reaches the world where what a policy
	// surely denies is dropped early.
	Uplinks []string
	// Looking are attachments of ours that change nothing of a packet.
	Looking tcx.Pins
}

// Window is what was counted since the one before.
type Window struct {
	Sightings []flowlog.Sighting
	Lost      uint64 // rows or flows that were seen and not counted
}

// adoption is how long TCP flows that were there before their interface was
// watched may be picked up in their middle.
const adoption = time.Minute

// Agent is for one goroutine, and has another for names.
type Agent struct {
	options Options
	dp      *datapath.Datapath
	writer  *policymap.Writer
	log     *flowlog.Reader
	numbers *policymap.Numbers
	want    Desired
	adopt   map[int]uint64 // by interface index
	names   flowlog.Names
	named   bool   // the names are known: what was counted can be told
	fresh   bool   // an earlier agent may have left rows
	lost    uint64 // flows that the kernel could not count, so far
	rooms   rooms
	lookups *lookups
	on      []policymap.Interface // watched
	short   *shortcuts            // nil: none are wanted
	groups  *groups               // nil: none were wanted yet
	early   *prefilter

	lock    sync.Mutex // of what both goroutines use: the writer, and what follows
	inForce inForce
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
		names: flowlog.Names{Boot: boot, Rules: map[uint32]segmentation.RuleRef{}}, fresh: true,
	}
	if a.dp, err = datapath.Open(o.Pins, o.Limits); err != nil {
		return nil, err
	}
	if a.rooms.flows, a.rooms.drops, err = a.dp.Rooms(); err != nil {
		a.dp.Close()
		return nil, err
	}
	if a.writer, err = policymap.NewWriter(a.dp.Tables()); err != nil {
		a.dp.Close()
		return nil, err
	}
	if a.log, err = flowlog.NewReader(a.dp.Logs()); err != nil {
		return nil, errors.Join(err, a.writer.Close())
	}
	if err := a.watchProcesses(); err != nil {
		o.Log.Warn("flows are not attributed to processes", "error", err)
	}
	a.lost = loadLost(a.lostFile())
	if err := a.openLookups(); err != nil {
		return nil, errors.Join(err, a.Close())
	}
	if !o.NoShortcuts {
		table, err := a.dp.Shortcuts()
		if err != nil {
			return nil, errors.Join(err, a.Close())
		}
		a.short = &shortcuts{agent: a, table: table}
	}
	if err := a.openPrefilter(o.Uplinks); err != nil {
		return nil, errors.Join(err, a.Close())
	}
	return a, nil
}

// watchProcesses remembers who opens flows. It is a help to people, and nothing
// that enforcing needs.
func (a *Agent) watchProcesses() error {
	root := a.options.Cgroup
	if root == "" {
		var err error
		if root, err = datapath.CgroupRoot(); err != nil {
			return err
		}
	}
	if err := a.dp.WatchSockets(root); err != nil {
		return err
	}
	openers, err := flowlog.NewOpeners(a.dp.Logs())
	a.names.Openers = openers
	return err
}

// Close lets go. What is in force stays in force.
func (a *Agent) Close() error {
	err := errors.Join(a.log.Close(), a.writer.Close())
	if a.short != nil {
		err = errors.Join(err, a.short.table.Close())
	}
	if a.names.Openers != nil {
		err = errors.Join(err, a.names.Openers.Close())
	}
	if a.lookups != nil {
		err = errors.Join(err, a.lookups.close())
	}
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
	drain := time.NewTimer(time.Second)
	defer drain.Stop()
	expire := time.NewTicker(expiry)
	defer expire.Stop()
	defer a.lookups.stop()
	drained := time.Now()
	began := false
	again := time.NewTicker(lookForGroups)
	defer again.Stop()
	look := time.NewTicker(lookEvery)
	defer look.Stop()
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
			if took {
				a.lookups.start(a)
			}
		case done := <-a.lookups.anew:
			err := a.Reconcile()
			close(done)
			if err != nil {
				return err
			}
		case now := <-expire.C:
			if err := a.expireNames(now); err != nil {
				return err
			}
		case <-links:
			if !began {
				continue
			}
			if err := a.Reconcile(); err != nil {
				return err
			}
		case <-look.C:
			if !began {
				continue
			}
			if err := a.look(); err != nil {
				return err
			}
		case <-again.C:
			if began && a.groups.changed(a.want.Interfaces) {
				if err := a.Reconcile(); err != nil {
					return err
				}
			}
		case <-drain.C:
			at := time.Now()
			full, err := a.drain()
			if err != nil {
				return err
			}
			// Counted is what came between two drains' begins: reading takes its time.
			drain.Reset(nextDrain(full, at.Sub(drained), a.options.Window) - time.Since(at))
			drained = at
		}
	}
}

// nextDrain is a window, or less: such that half of what the kernel has room for
// would be full at the next drain if flows go on as they did.
func nextDrain(full float64, in, window time.Duration) time.Duration {
	window = max(window, time.Second)
	if full == 0 {
		return window
	}
	return max(time.Second, min(window, time.Duration(float64(in)/2/full)))
}

// rooms are for how many rows the kernel has room.
type rooms struct{ flows, drops datapath.Room }

// full says how much of the room for rows is used, or of the part that one workload may
// have: of flows or of drops, whichever is fuller.
func (r rooms) full(rows []flowlog.Row) float64 {
	type kind struct {
		denied   bool
		workload uint32 // 0: all
	}
	used, most := map[kind]int{}, 0.0
	for i := range rows {
		denied := rows[i].Verdict() == segmentation.Denied
		room := r.flows
		if denied {
			room = r.drops
		}
		all, own := kind{denied, 0}, kind{denied, rows[i].Workload}
		used[all]++
		used[own]++
		most = max(most, float64(used[all])/float64(room.All), float64(used[own])/float64(room.Each))
	}
	return most
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
	watched := attached
	if a.dp.New() && !a.named {
		watched = nil // by programs with other maps: ours know of no flow
	}
	present := a.present(watched)
	links := len(present)
	ids, places, err := a.findGroups()
	if err != nil {
		return err
	}
	present = append(present, places...)
	// What was counted so far is told by the names it was counted under.
	if err := a.Drain(); err != nil {
		return err
	}
	// The prefilter judges for hooks that are in place: only they know which flows were
	// there before.
	early, err := a.early.places(present[:links], watched)
	if err != nil {
		return err
	}
	if err := a.publish(append(slices.Clone(present), early...)); err != nil {
		return err
	}
	if err := a.attach(present[:links], attached, watched); err != nil {
		return err
	}
	a.on = present[:links]
	if err := a.watchUplinks(present, early); err != nil {
		return err
	}
	if err := a.setGroups(ids); err != nil {
		return err
	}
	here := a.names.Workloads
	if err := a.dp.Retire(func(n uint32) bool { return here[n] != nil }); err != nil {
		return err
	}
	return errors.Join(a.short.look(), a.early.look())
}

// look is what is done every second: changes that nobody tells.
func (a *Agent) look() error {
	if a.early.moved() {
		return a.Reconcile()
	}
	return errors.Join(a.short.look(), a.early.look())
}

// attach puts the programs on the interfaces that are present, and takes them off
// others; what was not watched before may have connections.
func (a *Agent) attach(present []policymap.Interface, attached, watched []int) error {
	before := a.lookAround(slices.DeleteFunc(slices.Clone(present), func(i policymap.Interface) bool { return slices.Contains(watched, i.Index) }))
	defer before.close()
	before.attribute()
	if err := before.adopt(); err != nil {
		return err
	}
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
	if err := before.adopt(); err != nil {
		return err
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

// publish makes the tables what is wanted, with the addresses that names have now.
func (a *Agent) publish(present []policymap.Interface) error {
	a.lock.Lock()
	defer a.lock.Unlock()
	world := a.want.World
	world.Names = a.lookups.book.Names()
	table := segmentation.Compile(a.want.Policies, world)
	img := policymap.Render(table, world, present, a.numbers)
	if err := a.numbers.Save(filepath.Join(a.options.State, "workloads.json")); err != nil {
		return err
	}
	if err := a.writer.Publish(img); err != nil {
		return err
	}
	a.name(img)
	a.inForce = inForce{table: table, peers: img.Peers, workloads: a.names.Workloads}
	a.lookups.forget(a.names.Workloads)
	return nil
}

// present finds the wanted interfaces that exist.
func (a *Agent) present(attached []int) (out []policymap.Interface) {
	now := monotonic()
	for _, i := range a.want.Interfaces {
		if i.Cgroup != "" {
			continue
		}
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
	a.named = true
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

// Drain reports what was counted since the last time, and first what an earlier
// agent had read and not reported when it died. While nothing is known of the
// workloads it does nothing: what is counted stays in the kernel.
func (a *Agent) Drain() error {
	_, err := a.drain()
	return err
}

// drain also says how full the kernel's tables were.
func (a *Agent) drain() (full float64, err error) {
	if !a.named {
		return 0, nil
	}
	if _, err := a.dp.Sweep(); err != nil {
		return 0, err
	}
	if a.fresh {
		if err := a.report(a.log.Left()); err != nil {
			return 0, fmt.Errorf("read what an earlier agent left: %w", err)
		}
		a.fresh = false
	}
	if a.names.Openers != nil {
		a.names.Openers.Settle()
		defer a.names.Openers.Turn()
	}
	rows, err := a.log.Drain()
	if err := a.report(rows, err); err != nil {
		return 0, fmt.Errorf("drain flows: %w", err)
	}
	return a.rooms.full(rows), nil
}

// report hands rows over, and lets the kernel forget them.
func (a *Agent) report(rows []flowlog.Row, err error) error {
	if err != nil {
		return err
	}
	counters, err := a.log.Counters()
	if err != nil {
		return err
	}
	lost := counters[bpf.LostFlows]
	if lost < a.lost {
		a.lost = 0 // the maps are others
	}
	w := Window{Sightings: a.names.Sightings(rows), Lost: lost - a.lost}
	w.Lost += uint64(len(rows) - len(w.Sightings))
	if a.options.Report != nil {
		a.options.Report(w)
	}
	if lost != a.lost {
		if err := saveLost(a.lostFile(), lost); err != nil {
			return err
		}
		a.lost = lost
	}
	return a.log.Done()
}

func (a *Agent) lostFile() string { return filepath.Join(a.options.State, "lost-flows") }

// Counters are totals by reason.
func (a *Agent) Counters() ([]uint64, error) {
	all, err := a.log.Counters()
	return all[:], err
}
