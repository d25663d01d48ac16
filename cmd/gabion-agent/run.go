package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"runtime/debug"

	"golang.org/x/sys/unix"

	"github.com/gabion-io/gabion/controlplane/api/v1alpha1"
	"github.com/gabion-io/gabion/controlplane/segment"
	"github.com/gabion-io/gabion/controlplane/source/file"
	"github.com/gabion-io/gabion/internal/tcx"
	"github.com/gabion-io/gabion/segmentation"
	"github.com/gabion-io/gabion/segmentation/agent"
	"github.com/gabion-io/gabion/workload"
)

// run is the composition root, in the order in which data flows: files, resources,
// policies, the datapath, flows.
func run(ctx context.Context, o *options, out, errs io.Writer) error {
	log := slog.New(slog.NewTextHandler(errs, nil))
	if len(o.files) == 0 {
		return errors.New("say with -f where the resources are")
	}
	if err := tcx.Probe(tcx.Features()); err != nil {
		return fmt.Errorf("cannot enforce here: %w", err)
	}
	unlock, err := lock(o.state)
	if err != nil {
		return err
	}
	defer unlock()
	if err := tcx.MountPins(o.bpffs); err != nil {
		return err
	}
	report, err := openReport(o.flows, out)
	if err != nil {
		return err
	}
	defer report.Close()

	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	source, err := file.Open(ctx, log, o.files...)
	if err != nil {
		return err
	}
	defer source.Close()
	a, err := agent.Open(agent.Options{Pins: o.pins(), State: o.state, Report: report.write, Log: log})
	if err != nil {
		return err
	}
	debug.FreeOSMemory() // what loading the programs took is not needed again

	desired := make(chan agent.Desired, 1)
	desired <- want(source, log)
	go func() {
		for {
			select {
			case <-ctx.Done():
				return
			case <-source.Changed():
				select {
				case desired <- want(source, log):
				case <-ctx.Done():
				}
			}
		}
	}()
	log.Info("enforcing; what is in force stays when this process ends", "pins", o.pins())
	return errors.Join(a.Run(ctx, desired), a.Close())
}

// want turns the resources of the moment into what the agent is to do. Mistakes
// are said, the rest is enforced.
func want(s *file.Source, log *slog.Logger) agent.Desired {
	set := s.Snapshot()
	var objects []v1alpha1.Object
	for _, item := range set.Items() {
		objects = append(objects, item.Object)
	}
	result := segment.Compile(objects, segment.Options{})
	for _, c := range append(set.Conditions(), result.Conditions...) {
		log.Warn("condition", "resource", c.Key(), "path", c.Path, "message", c.Message)
	}
	d := agent.Desired{Policies: result.Policies, World: segmentation.World{Workloads: result.Workloads}}
	for _, o := range objects {
		if w, ok := o.(*v1alpha1.Workload); ok && w.Spec.Interface != "" {
			key := v1alpha1.KeyOf(w)
			d.Interfaces = append(d.Interfaces, agent.Interface{Name: w.Spec.Interface, Workload: workload.ID{Namespace: key.Namespace, Name: key.Name}})
		}
	}
	return d
}

// lock holds that one agent runs on a state directory.
func lock(dir string) (func(), error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("create state directory: %w", err)
	}
	f, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open lock: %w", err)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		f.Close()
		return nil, fmt.Errorf("another gabion-agent runs on %s", dir)
	}
	return func() { f.Close() }, nil
}
