package main

import (
	"context"
	"log/slog"
	"sync"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/gabion-io/gabion/controlplane/api/v1alpha1"
	"github.com/gabion-io/gabion/controlplane/identity"
	"github.com/gabion-io/gabion/controlplane/ingest"
	"github.com/gabion-io/gabion/controlplane/reconcile"
	"github.com/gabion-io/gabion/controlplane/segment"
	"github.com/gabion-io/gabion/controlplane/store"
	"github.com/gabion-io/gabion/workload"
)

// newFlowDoor takes what agents report. host is who a call comes from, as its
// connection proves it.
func newFlowDoor(st *store.Store, loop *reconcile.Loop, host func(context.Context) (string, error), log *slog.Logger, registry prometheus.Registerer) *ingest.FlowDoor {
	residents := &residents{loop: loop}
	return ingest.NewFlowDoor(ingest.FlowOptions{Sink: st, Host: host, Workload: residents.workload, Log: log, Registry: registry})
}

// callerOf is the host whose certificate a call came with.
func callerOf(authority *identity.Authority) func(context.Context) (string, error) {
	return func(ctx context.Context) (string, error) {
		h, err := authority.HostOf(ctx)
		return h.Name, err
	}
}

// residents are the workloads of the resources in force, worked out once for each
// state of them.
type residents struct {
	loop *reconcile.Loop

	mu    sync.Mutex
	state *reconcile.State
	by    map[workload.ID]*workload.Workload
}

func (r *residents) workload(id workload.ID) (*workload.Workload, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if s := r.loop.State(); s != r.state {
		r.state, r.by = s, map[workload.ID]*workload.Workload{}
		for _, w := range workloadsOf(s) {
			r.by[w.ID] = w
		}
	}
	w, ok := r.by[id]
	return w, ok
}

// workloadsOf are the workloads that the resources describe.
func workloadsOf(s *reconcile.State) []*workload.Workload {
	if s == nil {
		return nil
	}
	var objects []v1alpha1.Object
	for _, item := range s.Set.Items() {
		objects = append(objects, item.Object)
	}
	return segment.Compile(objects, segment.Options{NoWorkloads: true}).Workloads
}
