package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
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
	"github.com/gabion-io/gabion/segmentation/lookup"
)

// run is the composition root, in the order in which data flows: identity, files and
// the control plane, resources, policies, the datapath, flows.
func run(ctx context.Context, o *options, out, errs io.Writer) error {
	log := slog.New(slog.NewTextHandler(errs, &slog.HandlerOptions{Level: logLevel()}))
	if err := o.complete(); err != nil {
		return err
	}
	if err := tcx.Probe(tcx.Features()); err != nil {
		return fmt.Errorf("cannot enforce here: %w", err)
	}
	if err := agent.CheckUplinks(o.uplinks); err != nil {
		return err
	}
	unlock, err := lock(o.state)
	if err != nil {
		return err
	}
	defer unlock()
	if err := tcx.MountPins(o.bpffs); err != nil {
		return err
	}
	resolvers, err := o.resolvers()
	if err != nil {
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
	wish := newWish(files, o.host, o.server, log)
	wish.uplinks = o.uplinks
	if err := wish.checkUplinks(); err != nil {
		return err
	}

	// Flows: to a file, and up to the control plane by way of a queue on disk.
	queue, err := o.flowQueue(holder, log)
	if err != nil {
		return err
	}

	// HTTP: up the same way, if it is to be seen.
	seeing, err := o.seeing(holder, log)
	if err != nil {
		return err
	}

	wish.see = seeing.wantTLS

	g, ctx := errgroup.WithContext(ctx)
	// The kernel, and what it counts.
	g.Go(func() error {
		return enforce(ctx, agent.Options{
			Pins: o.pins(), State: o.state, Window: o.window, Report: tell(report, queue),
			Resolvers: resolvers, Names: lookup.Limits{Grace: o.grace}, NoShortcuts: !o.direct,
			Uplinks: o.uplinks, Looking: tcx.Pins{Dir: capturePins(o.pins())}, Log: log,
		}, seeing.follow(ctx, wish.desired))
	})
	g.Go(func() error { return seeing.run(ctx) })
	g.Go(func() error { return wish.followFiles(ctx, len(o.files) > 0) })
	if holder == nil {
		wish.begin()
	} else {
		g.Go(func() error { return holder.Keep(ctx, o.server) })
		g.Go(func() error { return followPlane(ctx, o, holder, wish, log) })
		g.Go(func() error { return queue.Run(ctx) })
	}
	err = g.Wait()
	if queue != nil { // what is queued is sent by the next run
		err = errors.Join(err, queue.Close())
	}
	return err
}

// enforce makes the kernel what is wanted. Nothing is loaded before there is
// something to enforce, or something that an earlier run left in force.
func enforce(ctx context.Context, o agent.Options, desired <-chan agent.Desired) error {
	wanted := make(chan agent.Desired, 1)
	if _, err := os.Stat(o.Pins); errors.Is(err, fs.ErrNotExist) {
		first, ok := firstOf(ctx, desired)
		if !ok {
			return nil
		}
		wanted <- first
	}
	a, err := agent.Open(o)
	if err != nil {
		return err
	}
	debug.FreeOSMemory() // what loading the programs took is not needed again
	go func() {
		for {
			select {
			case d := <-desired:
				select {
				case wanted <- d:
				case <-ctx.Done():
					return
				}
			case <-ctx.Done():
				return
			}
		}
	}()
	o.Log.Info("enforcing; what is in force stays when this process ends", "pins", o.Pins)
	return errors.Join(a.Run(ctx, wanted), a.Close())
}

// firstOf waits for a wish that names an interface; others are fulfilled by nothing.
func firstOf(ctx context.Context, desired <-chan agent.Desired) (agent.Desired, bool) {
	for {
		select {
		case <-ctx.Done():
			return agent.Desired{}, false
		case d := <-desired:
			if len(d.Interfaces) > 0 {
				return d, true
			}
			if d.Applied != nil {
				d.Applied(nil)
			}
		}
	}
}

// logLevel is what $GABION_LOG says: debug, info, warn, error.
func logLevel() slog.Level {
	level := slog.LevelInfo
	if text := os.Getenv("GABION_LOG"); text != "" {
		_ = level.UnmarshalText([]byte(text)) // else it stays
	}
	return level
}

// complete checks what was said and fills in the rest.
func (o *options) complete() error {
	if len(o.files) == 0 && o.server == "" {
		return errors.New("say with --server where the control plane is, or with -f where the resources are")
	}
	if o.prove < 0 {
		return errors.New("--confirm-within is a time, or 0 for never")
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
