package server

import (
	"cmp"
	"context"
	"net/netip"
	"slices"

	"github.com/gabion-io/gabion/controlplane/store"
	"github.com/gabion-io/gabion/segmentation"
	"github.com/gabion-io/gabion/workload"
)

// Graph is edges in groups, to be drawn.
type Graph struct {
	Nodes    []GraphNode  `json:"nodes"`
	Edges    []GraphEdge  `json:"edges"`
	Left     int          `json:"left,omitempty" doc:"edges left out, those with the fewest flows, because there are too many to look at"`
	Coverage FlowCoverage `json:"coverage"`
}

// GraphNode is workloads that are drawn as one, or what is outside.
type GraphNode struct {
	ID        string `json:"id"`
	Namespace string `json:"namespace,omitempty" doc:"absent: outside"`
	Name      string `json:"name"`
	Workloads int    `json:"workloads,omitempty"`
}

// GraphEdge is all that goes from one node to another.
type GraphEdge struct {
	From    string               `json:"from"`
	To      string               `json:"to"`
	Ports   []string             `json:"ports" doc:"TCP 80; at most some"`
	Verdict segmentation.Verdict `json:"verdict" doc:"the hardest"`
	Flows   uint64               `json:"flows"`
	Denied  uint64               `json:"denied,omitempty"`
	Audited uint64               `json:"audited,omitempty"`
	Bytes   uint64               `json:"bytes"`
}

type graphInput struct {
	FlowFilter
	By    string `query:"by" enum:"workload,app,namespace" default:"app" doc:"what is drawn as one: app is the label app, app.kubernetes.io/name or k8s-app, else the workload"`
	Limit int    `query:"limit" minimum:"1" maximum:"2000" default:"200" doc:"edges at most"`
}

func (a *api) flowGraph(ctx context.Context, in *graphInput) (*bodyOf[Graph], error) {
	q, err := in.query()
	if err != nil {
		return nil, err
	}
	d := drawing{by: in.By, nodes: map[string]*GraphNode{}, members: map[string]map[string]bool{}, edges: map[[2]string]*GraphEdge{}}
	if err := a.Store.EachEdge(ctx, q, func(e *store.Edge) error { d.add(e); return nil }); err != nil {
		return nil, err
	}
	g := d.graph(in.Limit)
	g.Coverage, err = a.flowCoverage(ctx)
	return &bodyOf[Graph]{g}, err
}

// drawing folds edges into a graph.
type drawing struct {
	by      string
	nodes   map[string]*GraphNode
	members map[string]map[string]bool
	edges   map[[2]string]*GraphEdge
}

// maxPorts of one drawn edge are named.
const maxPorts = 6

func (d *drawing) add(e *store.Edge) {
	from, to := d.node(e.Src), d.node(e.Dst)
	k := [2]string{from, to}
	g := d.edges[k]
	if g == nil {
		g = &GraphEdge{From: from, To: to, Verdict: segmentation.Allowed, Ports: []string{}}
		d.edges[k] = g
	}
	port := segmentation.Ports{Protocol: e.Protocol, From: e.Port, To: e.Port}.String()
	if !slices.Contains(g.Ports, port) && len(g.Ports) <= maxPorts {
		g.Ports = append(g.Ports, port)
		slices.Sort(g.Ports)
		if len(g.Ports) > maxPorts {
			g.Ports[maxPorts] = "…"
		}
	}
	g.Verdict = min(g.Verdict, e.Verdict)
	g.Flows, g.Bytes, g.Denied, g.Audited = g.Flows+e.Flows, g.Bytes+e.Bytes, g.Denied+e.Denied, g.Audited+e.Audited
}

// node is the group that an end belongs to.
func (d *drawing) node(e store.FlowEnd) string {
	n := GraphNode{Name: "outside"}
	if id, err := workload.ParseID(e.Workload); err == nil {
		n.Namespace = id.Namespace
		n.Name = id.Name
		switch d.by {
		case "namespace":
			n.Name = id.Namespace
		case "app":
			n.Name = cmp.Or(e.Labels["app"], e.Labels["app.kubernetes.io/name"], e.Labels["k8s-app"], id.Name)
		}
	} else if a, err := netip.ParseAddr(e.Address); err == nil && a.IsPrivate() {
		n.Name = "private addresses"
	}
	if d.by == "workload" && e.Workload == "" {
		n.Name = e.Address
	}
	n.ID = n.Namespace + "/" + n.Name
	if d.nodes[n.ID] == nil {
		d.nodes[n.ID], d.members[n.ID] = &n, map[string]bool{}
	}
	if e.Workload != "" {
		d.members[n.ID][e.Workload] = true
	}
	return n.ID
}

func (d *drawing) graph(limit int) Graph {
	g := Graph{Nodes: []GraphNode{}, Edges: []GraphEdge{}}
	for _, e := range d.edges {
		g.Edges = append(g.Edges, *e)
	}
	// What was denied is looked for: it is never left out for what was not.
	slices.SortFunc(g.Edges, func(a, b GraphEdge) int {
		return cmp.Or(cmp.Compare(a.Verdict, b.Verdict), cmp.Compare(b.Flows, a.Flows), cmp.Compare(a.From, b.From), cmp.Compare(a.To, b.To))
	})
	if len(g.Edges) > limit {
		g.Left = len(g.Edges) - limit
		g.Edges = g.Edges[:limit]
	}
	used := map[string]bool{}
	for _, e := range g.Edges {
		used[e.From], used[e.To] = true, true
	}
	for id, n := range d.nodes {
		if used[id] {
			n.Workloads = len(d.members[id])
			g.Nodes = append(g.Nodes, *n)
		}
	}
	slices.SortFunc(g.Nodes, func(a, b GraphNode) int { return cmp.Compare(a.ID, b.ID) })
	slices.SortFunc(g.Edges, func(a, b GraphEdge) int { return cmp.Or(cmp.Compare(a.From, b.From), cmp.Compare(a.To, b.To)) })
	return g
}
