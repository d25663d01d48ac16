package main

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"sync"

	"github.com/gabion-io/gabion/controlplane/api/v1alpha1"
	"github.com/gabion-io/gabion/controlplane/segment"
	"github.com/gabion-io/gabion/controlplane/source/file"
	"github.com/gabion-io/gabion/segmentation"
	"github.com/gabion-io/gabion/segmentation/agent"
	"github.com/gabion-io/gabion/segmentation/policysync"
	"github.com/gabion-io/gabion/workload"
)

// wish is what files and the control plane want of this host, together.
type wish struct {
	files   *file.Source
	host    string
	server  string // of the control plane; empty: none
	uplinks []string
	desired chan agent.Desired
	ready   chan struct{}  // closed when files may be acted upon
	see     func(*tlsWish) // told which TLS is to be seen; may be nil
	log     *slog.Logger

	once  sync.Once
	lock  sync.Mutex
	found []netip.AddrPort  // of the control plane
	plane []v1alpha1.Object // of the control plane, in force
}

func newWish(files *file.Source, host, server string, log *slog.Logger) *wish {
	return &wish{files: files, host: host, server: server, desired: make(chan agent.Desired), ready: make(chan struct{}), log: log}
}

// begin lets files be acted upon.
func (w *wish) begin() { w.once.Do(func() { close(w.ready) }) }

// followFiles passes on what the files say, once what the control plane wanted in an
// earlier run is known: files alone must not take it away. With no files at all it
// waits for the end.
func (w *wish) followFiles(ctx context.Context, any bool) error {
	select {
	case <-w.ready:
	case <-ctx.Done():
		return nil
	}
	for any {
		w.lock.Lock()
		err := w.send(ctx, w.plane)
		w.lock.Unlock()
		if err != nil && ctx.Err() == nil {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-w.files.Changed():
		}
	}
	<-ctx.Done()
	return nil
}

// apply puts what the control plane says in force (policysync.Options.Apply).
func (w *wish) apply(ctx context.Context, resources []policysync.Resource) error {
	objects, err := w.read(resources)
	if err == nil {
		err = w.checkInterfaces(objects)
	}
	if err != nil {
		return err
	}
	w.lock.Lock()
	defer w.lock.Unlock()
	if err := w.send(ctx, objects); err != nil {
		return err
	}
	w.plane = objects
	w.begin()
	return nil
}

// read decodes resources as strictly as files.
func (w *wish) read(resources []policysync.Resource) ([]v1alpha1.Object, error) {
	var objects []v1alpha1.Object
	for _, r := range resources {
		list, problems := v1alpha1.Decode(r.Name, []byte(r.Manifest))
		if len(problems) > 0 {
			return nil, fmt.Errorf("read resource %s: %w", r.Name, problems[0])
		}
		if len(list) != 1 || nameOf(v1alpha1.KeyOf(list[0])) != r.Name {
			return nil, fmt.Errorf("read resource %s: it is not the one resource of that name", r.Name)
		}
		if wl, ok := list[0].(*v1alpha1.Workload); ok && wl.Spec.Interface+wl.Spec.Cgroup != "" && wl.Spec.Node != w.host {
			return nil, fmt.Errorf("read resource %s: it is on host %q, and this is %q", r.Name, wl.Spec.Node, w.host)
		}
		objects = append(objects, list[0])
	}
	return objects, nil
}

// checkUplinks refuses an uplink that a file takes for a workload's interface.
func (w *wish) checkUplinks() error {
	for _, item := range w.files.Snapshot().Items() {
		if one, ok := item.Object.(*v1alpha1.Workload); ok && slices.Contains(w.uplinks, one.Spec.Interface) {
			return fmt.Errorf("uplink %s: it is the interface of %s, and judged there", one.Spec.Interface, nameOf(item.Key()))
		}
	}
	return nil
}

// checkInterfaces refuses what would cut the host off.
func (w *wish) checkInterfaces(objects []v1alpha1.Object) error {
	for _, o := range objects {
		one, ok := o.(*v1alpha1.Workload)
		if !ok {
			continue
		}
		var err error
		switch {
		case slices.Contains(w.uplinks, one.Spec.Interface):
			err = fmt.Errorf("interface %s is one of this host's uplinks (--uplink)", one.Spec.Interface)
		case one.Spec.Interface != "":
			err = agent.CheckInterface(one.Spec.Interface)
		case one.Spec.Cgroup != "":
			err = agent.CheckCgroup(one.Spec.Cgroup)
		}
		if err != nil {
			return fmt.Errorf("enforce %s: %w", nameOf(v1alpha1.KeyOf(one)), err)
		}
	}
	return nil
}

func nameOf(k v1alpha1.Key) string {
	if k.Namespace == "" {
		return k.Kind + "/" + k.Name
	}
	return k.Kind + "/" + k.Namespace + "/" + k.Name
}

// send hands over what the files and the control plane want together, and waits
// until it is in force. Where both say something, the control plane counts.
func (w *wish) send(ctx context.Context, plane []v1alpha1.Object) error {
	set := w.files.Snapshot()
	objects := append([]v1alpha1.Object(nil), plane...)
	known := map[v1alpha1.Key]bool{}
	for _, o := range plane {
		known[v1alpha1.KeyOf(o)] = true
	}
	for _, item := range set.Items() {
		if known[item.Key()] {
			w.log.Warn("a file and the control plane have it: the control plane counts", "resource", item.Key(), "file", item.File)
			continue
		}
		if err := w.checkInterfaces([]v1alpha1.Object{item.Object}); err != nil {
			w.log.Error("left out", "file", item.File, "error", err)
			continue
		}
		objects = append(objects, item.Object)
	}
	d, conditions := want(objects)
	for _, c := range append(set.Conditions(), conditions...) {
		if !known[c.Key()] { // the control plane tells the authors of its own
			w.log.Warn("condition", "resource", c.Key(), "path", c.Path, "message", c.Message)
		}
	}
	d.Policies = append(d.Policies, w.lifelines(ctx, d)...)
	if w.see != nil {
		w.see(newTLSWish(objects, d))
	}
	applied := make(chan error, 1)
	d.Applied = func(err error) { applied <- err }
	select {
	case w.desired <- d:
	case <-ctx.Done():
		return ctx.Err()
	}
	select {
	case err := <-applied:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// want turns resources into what the agent is to do. Mistakes are told, the rest is
// enforced.
func want(objects []v1alpha1.Object) (agent.Desired, []v1alpha1.Condition) {
	result := segment.Compile(objects, segment.Options{})
	d := agent.Desired{Policies: result.Policies, World: segmentation.World{Workloads: result.Workloads}}
	for _, o := range objects {
		if w, ok := o.(*v1alpha1.Workload); ok && w.Spec.Interface+w.Spec.Cgroup != "" {
			key := v1alpha1.KeyOf(w)
			d.Interfaces = append(d.Interfaces, agent.Interface{Name: w.Spec.Interface, Cgroup: w.Spec.Cgroup, Workload: workload.ID{Namespace: key.Namespace, Name: key.Name}})
		}
	}
	return d, result.Conditions
}
