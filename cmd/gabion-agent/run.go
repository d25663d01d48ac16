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
	"strings"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"github.com/gabion-io/gabion/controlplane/source/file"
	"github.com/gabion-io/gabion/internal/tcx"
	"github.com/gabion-io/gabion/segmentation/agent"
)

// run is the composition root, in the order in which data flows: identity, files and
// the control plane, resources, policies, the datapath, flows.
func run(ctx context.Context, o *options, out, errs io.Writer) error {
	log := slog.New(slog.NewTextHandler(errs, nil))
	if err := o.complete(); err != nil {
		return err
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

	// Identity: who this host is to the control plane.
	holder, err := o.identity(ctx, log)
	if err != nil {
		return err
	}

	// Resources: files, and what the control plane says.
	files, err := file.Open(ctx, log, o.files...)
	if err != nil {
		return err
	}
	defer files.Close()
	wish := newWish(files, o.host, log)

	// The kernel, and what it counts.
	a, err := agent.Open(agent.Options{Pins: o.pins(), State: o.state, Report: report.write, Log: log})
	if err != nil {
		return err
	}
	debug.FreeOSMemory() // what loading the programs took is not needed again

	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return a.Run(ctx, wish.desired) })
	g.Go(func() error { return wish.followFiles(ctx, len(o.files) > 0) })
	if holder == nil {
		wish.begin()
	} else {
		g.Go(func() error { return holder.Keep(ctx, o.server) })
		g.Go(func() error { return followPlane(ctx, o, holder, wish, log) })
	}
	log.Info("enforcing; what is in force stays when this process ends", "pins", o.pins())
	return errors.Join(g.Wait(), a.Close())
}

// complete checks what was said and fills in the rest.
func (o *options) complete() error {
	if len(o.files) == 0 && o.server == "" {
		return errors.New("say with --server where the control plane is, or with -f where the resources are")
	}
	if o.join == "" {
		o.join = os.Getenv("GABION_JOIN")
	}
	if o.host != "" {
		return nil
	}
	name, err := os.Hostname()
	if err != nil {
		return fmt.Errorf("find this host's name: %w; say it with --host", err)
	}
	o.host = strings.ToLower(name)
	return nil
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
