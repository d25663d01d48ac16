package main

import (
	"context"
	"errors"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/gabion-io/gabion/api-discovery/capture/uprobe"
	"github.com/gabion-io/gabion/controlplane/api/v1alpha1"
	"github.com/gabion-io/gabion/segmentation/agent"
	"github.com/gabion-io/gabion/segmentation/datapath"
	"github.com/gabion-io/gabion/segmentation/survey"
	"github.com/gabion-io/gabion/workload"
)

// tlsWish is of which workloads TLS is to be seen, and what it takes to find their
// processes.
type tlsWish struct {
	opted   []agent.Interface
	cgroups map[string]bool // of all workloads: the nearest one counts
	by      map[workload.ID]*workload.Workload
	owners  map[netip.Addr]*workload.Workload
}

func newTLSWish(objects []v1alpha1.Object, d agent.Desired) *tlsWish {
	t := &tlsWish{cgroups: map[string]bool{}, by: map[workload.ID]*workload.Workload{}, owners: map[netip.Addr]*workload.Workload{}}
	for _, w := range d.World.Workloads {
		t.by[w.ID] = w
		for _, a := range w.Addresses {
			t.owners[a.Unmap()] = w
		}
	}
	asked := map[workload.ID]bool{}
	for _, o := range objects {
		if w, ok := o.(*v1alpha1.Workload); ok && w.Spec.CaptureTLS {
			key := v1alpha1.KeyOf(w)
			asked[workload.ID{Namespace: key.Namespace, Name: key.Name}] = true
		}
	}
	for _, i := range d.Interfaces {
		if i.Cgroup != "" {
			t.cgroups[i.Cgroup] = true
		}
		if asked[i.Workload] && t.by[i.Workload] != nil {
			t.opted = append(t.opted, i)
		}
	}
	return t
}

// wantTLS takes the newest wish.
func (s *seeing) wantTLS(t *tlsWish) {
	if s != nil {
		s.tls.Store(t)
	}
}

// followTLS sees TLS while there is a workload that asked for it, until the context
// ends. Programs are loaded only then: they cost every process that uses sockets.
func (s *seeing) followTLS(ctx context.Context) {
	every := time.NewTicker(time.Second)
	defer every.Stop()
	said := ""
	for {
		if t := s.tls.Load(); t != nil && len(t.opted) > 0 {
			if err := s.seeTLS(ctx); err != nil && err.Error() != said {
				said = err.Error()
				s.log.Error("TLS of workloads is not seen", "error", err)
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-every.C:
		}
	}
}

// seeTLS returns when nobody asks for it any more.
func (s *seeing) seeTLS(ctx context.Context) error {
	root, err := datapath.CgroupRoot()
	if err != nil {
		s.log.Debug("there are no cgroups", "error", err)
	}
	w, err := uprobe.Open(uprobe.Options{
		Emit: s.queue, Cgroups: root, Log: s.log,
		Find:  func() ([]uprobe.Member, error) { return s.tls.Load().members(root) },
		Owner: func(a netip.Addr) *workload.Workload { return s.tls.Load().owners[a] },
	})
	if err != nil {
		return err
	}
	account := tlsAccount{unread: coverage{where: "inside TLS"}}
	g, running := errgroup.WithContext(ctx)
	running, stop := context.WithCancel(running)
	defer stop()
	g.Go(func() error { return w.Run(running) })
	g.Go(func() error { return w.Keep(running) })
	g.Go(func() error {
		for every := time.NewTicker(time.Second); ; {
			select {
			case <-running.Done():
				every.Stop()
				return nil
			case <-every.C:
				account.settle(running, s, w)
				if len(s.tls.Load().opted) == 0 {
					stop()
				}
			}
		}
	})
	err = g.Wait()
	account.settle(context.WithoutCancel(ctx), s, w) // it has ended, and answers at once
	return errors.Join(err, w.Close())
}

// tlsAccount is what is said of what is not seen, or not whole.
type tlsAccount struct {
	unread   coverage
	homeless coverage
}

func (t *tlsAccount) settle(ctx context.Context, s *seeing, w *uprobe.Watch) {
	n, err := w.Counters(ctx)
	if err != nil {
		return
	}
	s.miss(&t.unread, n.Incomplete(), n)
	if n.Homeless > t.homeless.told && time.Since(t.homeless.warned) > time.Minute {
		t.homeless = coverage{told: n.Homeless, warned: time.Now()}
		s.log.Warn("of some HTTP inside TLS the other end is not known", "exchanges", n.Homeless)
	}
}

// members finds the processes: those in the network namespace at the other end of a
// workload's link, and those in its cgroup.
func (t *tlsWish) members(root string) ([]uprobe.Member, error) {
	var out []uprobe.Member
	var bad []error
	byIndex := map[int]*workload.Workload{}
	var indexes []int
	for _, i := range t.opted {
		w := t.by[i.Workload]
		if i.Cgroup != "" {
			pids, err := t.inCgroup(root, i.Cgroup)
			for _, pid := range pids {
				out = append(out, uprobe.Member{PID: pid, Workload: w})
			}
			bad = append(bad, err)
		} else if n, ok := indexOf(i.Name); ok {
			byIndex[n] = w
			indexes = append(indexes, n)
		}
	}
	if len(indexes) == 0 {
		return out, errors.Join(bad...)
	}
	peers, err := survey.Peers(indexes)
	for index, n := range peers {
		for _, pid := range n.PIDs() {
			out = append(out, uprobe.Member{PID: pid, Workload: byIndex[index]})
		}
		n.Close() // a namespace with two links is closed twice, which is no harm
	}
	return out, errors.Join(append(bad, err)...)
}

// inCgroup lists the processes in a cgroup and below it, but not those of a cgroup
// below that is another workload.
func (t *tlsWish) inCgroup(root, name string) (out []int, err error) {
	if root == "" {
		return nil, errors.New("there is no hierarchy of cgroups, version 2")
	}
	top := filepath.Join(root, name)
	err = filepath.WalkDir(top, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.IsDir() {
			return nil // it has gone meanwhile, or is a file
		}
		if below, err := filepath.Rel(root, path); err == nil && below != name && t.cgroups[below] {
			return fs.SkipDir
		}
		b, err := os.ReadFile(filepath.Join(path, "cgroup.procs"))
		if err != nil {
			return nil
		}
		for line := range strings.Lines(string(b)) {
			if pid, err := strconv.Atoi(strings.TrimSpace(line)); err == nil && pid > 0 {
				out = append(out, pid)
			}
		}
		return nil
	})
	return out, err
}
