package main

import (
	"context"
	"log/slog"
	"net/netip"
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

// newFlowDoor takes what agents report: flows, and HTTP that they saw. host is who a
// call comes from, as its connection proves it.
func newFlowDoor(st *store.Store, residents *residents, host func(context.Context) (string, error), exchanges *ingest.ExchangeDoor, log *slog.Logger, registry prometheus.Registerer) *ingest.FlowDoor {
	return ingest.NewFlowDoor(ingest.FlowOptions{
		Sink: st, Host: host, Workload: residents.workload, Log: log, Registry: registry, Exchanges: exchanges,
	})
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
	ats   map[netip.Addr]*workload.Workload
}

func (r *residents) workload(id workload.ID) (*workload.Workload, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.refresh()
	w, ok := r.by[id]
	return w, ok
}

// at is the workload that has an address.
func (r *residents) at(a netip.Addr) (*workload.Workload, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.refresh()
	w, ok := r.ats[a]
	return w, ok
}

func (r *residents) refresh() {
	s := r.loop.State()
	if s == r.state {
		return
	}
	r.state, r.by, r.ats = s, map[workload.ID]*workload.Workload{}, map[netip.Addr]*workload.Workload{}
	for _, w := range workloadsOf(s) {
		r.by[w.ID] = w
		for _, a := range w.Addresses {
			r.ats[a.Unmap()] = w
		}
	}
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
