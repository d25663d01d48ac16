package hubble

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/cilium/cilium/api/v1/observer"

	"github.com/gabion-io/gabion/controlplane/store"
	"github.com/gabion-io/gabion/workload"
)

// What relay.NodeState says, by number: its package is none of those we use.
const (
	nodeConnected   = 1
	nodeUnavailable = 2
)

// GetNodes lists the hosts that have reported flows, or have workloads and should.
func (s *Server) GetNodes(ctx context.Context, _ *observer.GetNodesRequest) (*observer.GetNodesResponse, error) {
	nodes, err := s.o.Nodes(ctx)
	if err != nil {
		return nil, internal(ctx, err)
	}
	out := &observer.GetNodesResponse{}
	for _, n := range nodes {
		m := &observer.Node{Name: n.Name, State: nodeUnavailable, NumFlows: n.Rows, SeenFlows: n.Rows, Tls: &observer.TLS{Enabled: s.o.Encrypted}}
		if n.Here {
			m.State = nodeConnected
		}
		if !n.Since.IsZero() {
			m.UptimeNs = uint64(max(0, s.o.Now().Sub(n.Since)))
		}
		out.Nodes = append(out.Nodes, m)
	}
	return out, nil
}

// recently is for how long a namespace with flows is listed: the protocol's words.
const recently = time.Hour

// GetNamespaces lists the namespaces of workloads that had flows in the last hour.
func (s *Server) GetNamespaces(ctx context.Context, _ *observer.GetNamespacesRequest) (*observer.GetNamespacesResponse, error) {
	found := map[string]bool{}
	err := s.o.Store.EachEdge(ctx, store.FlowQuery{Since: s.o.Now().Add(-recently)}, func(e *store.Edge) error {
		for _, name := range []string{e.Src.Workload, e.Dst.Workload} {
			if id, err := workload.ParseID(name); err == nil {
				found[id.Namespace] = true
			}
		}
		return nil
	})
	if err != nil {
		return nil, internal(ctx, err)
	}
	out := &observer.GetNamespacesResponse{}
	for name := range found {
		out.Namespaces = append(out.Namespaces, &observer.Namespace{Namespace: name})
	}
	slices.SortFunc(out.Namespaces, func(a, b *observer.Namespace) int { return cmp.Compare(a.GetNamespace(), b.GetNamespace()) })
	return out, nil
}
