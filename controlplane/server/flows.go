package server

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/gabion-io/gabion/controlplane/api/v1alpha1"
	"github.com/gabion-io/gabion/controlplane/store"
	"github.com/gabion-io/gabion/segmentation"
	"github.com/gabion-io/gabion/workload"
)

// FlowList is a part of the flows, newest first.
type FlowList struct {
	Items    []store.Flow `json:"items"`
	Next     string       `json:"next,omitempty" doc:"give it as cursor to read on; absent at the end"`
	Now      string       `json:"now" doc:"give it as cursor to the stream to follow from this answer on"`
	Coverage FlowCoverage `json:"coverage"`
}

// EdgeList is edges, the newest first.
type EdgeList struct {
	Items    []store.Edge `json:"items"`
	Total    int          `json:"total" doc:"edges that match, listed or not"`
	Coverage FlowCoverage `json:"coverage"`
}

func (a *api) flowOperations() {
	route(a, operation{id: "list-edges", method: http.MethodGet, path: "/segmentation/edges", tag: "segmentation", role: store.RoleViewer,
		summary: "List edges: flows folded by their ends and service, newest first"}, a.listEdges)
	route(a, operation{id: "list-flows", method: http.MethodGet, path: "/segmentation/flows", tag: "segmentation", role: store.RoleViewer,
		summary: "List recent flows, newest first"}, a.listFlows)
	route(a, operation{id: "follow-flows", method: http.MethodGet, path: "/segmentation/flows/stream", tag: "segmentation", role: store.RoleViewer,
		summary: "Follow flows as server-sent events"}, a.followFlows)
	route(a, operation{id: "segmentation-graph", method: http.MethodGet, path: "/segmentation/graph", tag: "segmentation", role: store.RoleViewer,
		summary: "Draw edges: who talks to whom, in groups"}, a.flowGraph)
	route(a, operation{id: "segmentation-status", method: http.MethodGet, path: "/segmentation/status", tag: "segmentation", role: store.RoleViewer,
		summary: "Show policies with what they denied or would deny, and the coverage of flows"}, a.segmentationStatus)
}

// FlowFilter narrows flows and edges, in lists, streams and graphs alike.
type FlowFilter struct {
	Since     time.Time `query:"since" doc:"seen since then"`
	Until     time.Time `query:"until" doc:"seen before then"`
	Namespace string    `query:"namespace" maxLength:"253" doc:"of one of the ends"`
	Selector  string    `query:"selector" maxLength:"1024" doc:"labels of one of the ends: app=web,tier in (a,b)"`
	From      string    `query:"from" maxLength:"1024" doc:"source: namespace/name, an address or prefix, or labels"`
	To        string    `query:"to" maxLength:"1024" doc:"destination, written the same way"`
	Verdict   string    `query:"verdict" enum:"allowed,audited,denied"`
	Protocol  string    `query:"protocol" maxLength:"16"`
	Port      uint16    `query:"port"`
}

func (f FlowFilter) query() (q store.FlowQuery, err error) {
	q = store.FlowQuery{Since: f.Since, Until: f.Until, Port: f.Port, Either: store.EndFilter{Namespace: f.Namespace}}
	wrong := func(where string, err error) error {
		return huma.Error422UnprocessableEntity(err.Error(), &huma.ErrorDetail{Location: "query." + where, Message: err.Error()})
	}
	if q.Either.Labels, err = workload.ParseSelector(f.Selector); err != nil {
		return q, wrong("selector", err)
	}
	if q.Src, err = endFilter(f.From); err != nil {
		return q, wrong("from", err)
	}
	if q.Dst, err = endFilter(f.To); err != nil {
		return q, wrong("to", err)
	}
	if f.Protocol != "" {
		if q.Protocol, err = segmentation.ParseProtocol(f.Protocol); err != nil {
			return q, wrong("protocol", err)
		}
	}
	if f.Verdict != "" {
		v, err := segmentation.ParseVerdict(f.Verdict)
		if err != nil {
			return q, wrong("verdict", err)
		}
		q.Verdict = &v
	}
	return q, nil
}

// endFilter reads an end: a workload, a namespace with "name/", an address or
// prefix, or labels.
func endFilter(text string) (f store.EndFilter, err error) {
	if p, err := v1alpha1.ParsePrefix(text); err == nil {
		return store.EndFilter{Address: p}, nil
	}
	if namespace, ok := strings.CutSuffix(text, "/"); ok && !strings.ContainsAny(namespace, "=/ ,!") {
		return store.EndFilter{Namespace: namespace}, nil
	}
	if id, err := workload.ParseID(text); err == nil && !strings.ContainsAny(text, "=!() ,") {
		return store.EndFilter{Workload: id.String()}, nil
	}
	f.Labels, err = workload.ParseSelector(text)
	return f, err
}

type edgesInput struct {
	FlowFilter
	Limit int `query:"limit" minimum:"1" maximum:"10000" default:"1000"`
}

func (a *api) listEdges(ctx context.Context, in *edgesInput) (*bodyOf[EdgeList], error) {
	q, err := in.query()
	if err != nil {
		return nil, err
	}
	q.Limit = in.Limit
	edges, total, err := a.Store.Edges(ctx, q)
	if err != nil {
		return nil, err
	}
	coverage, err := a.flowCoverage(ctx)
	return &bodyOf[EdgeList]{EdgeList{orEmpty(edges), total, coverage}}, err
}

type flowsInput struct {
	FlowFilter
	Cursor string `query:"cursor" maxLength:"64" doc:"next of the page before"`
	Limit  int    `query:"limit" minimum:"1" maximum:"1000" default:"100"`
}

func (a *api) listFlows(ctx context.Context, in *flowsInput) (*bodyOf[FlowList], error) {
	q, err := in.query()
	if err != nil {
		return nil, err
	}
	q.Limit = in.Limit
	if in.Cursor != "" {
		if q.Before, err = decodeCursor(in.Cursor); err != nil {
			return nil, err
		}
	}
	_, now, err := a.Store.FlowsSince(ctx, -1, 0) // before reading: nothing falls between list and stream
	if err != nil {
		return nil, err
	}
	flows, err := a.Store.Flows(ctx, q)
	if err != nil {
		return nil, err
	}
	list := FlowList{Items: orEmpty(flows), Now: encodeCursor(now)}
	if len(flows) == in.Limit {
		list.Next = encodeCursor(flows[len(flows)-1].Cursor)
	}
	list.Coverage, err = a.flowCoverage(ctx)
	return &bodyOf[FlowList]{list}, err
}

type followFlowsInput struct {
	FlowFilter
	FollowFrom
}

func (a *api) followFlows(ctx context.Context, in *followFlowsInput) (*huma.StreamResponse, error) {
	q, err := in.query()
	if err != nil {
		return nil, err
	}
	return arrivals[store.Flow]{
		name: "flow", changed: a.Store.FlowsChanged, since: a.Store.FlowsSince,
		cursor: func(f *store.Flow) int64 { return f.Cursor },
	}.follow(ctx, a, in.FollowFrom, q.Matches)
}

// SegmentationStatus is how the segmentation fares.
type SegmentationStatus struct {
	Workloads int            `json:"workloads"`
	Policies  []PolicyStatus `json:"policies"`
	Coverage  FlowCoverage   `json:"coverage"`
}

// PolicyStatus is a policy with what became of flows by it.
type PolicyStatus struct {
	Policy    string            `json:"policy" doc:"SegmentationPolicy namespace/name"`
	Mode      segmentation.Mode `json:"mode"`
	Workloads int               `json:"workloads" doc:"that it selects"`
	Denied    uint64            `json:"denied" doc:"flows that it denied, in the time looked at"`
	WouldDeny uint64            `json:"wouldDeny" doc:"flows that it would have denied, had it been enforced"`
	Last      time.Time         `json:"last,omitzero" doc:"when it last denied, or would have"`
}

type segmentationStatusInput struct {
	Since time.Time `query:"since" doc:"look at flows since then; absent: all that is kept"`
}

func (a *api) segmentationStatus(ctx context.Context, in *segmentationStatusInput) (*bodyOf[SegmentationStatus], error) {
	net := a.network()
	out := SegmentationStatus{Workloads: len(net.Workloads), Policies: []PolicyStatus{}}
	at := map[string]int{}
	for i := range net.Policies {
		p := &net.Policies[i]
		selected := 0
		for _, w := range net.Workloads {
			if p.Subject.Matches(w.Identity()) {
				selected++
			}
		}
		at[p.Name.String()] = len(out.Policies)
		out.Policies = append(out.Policies, PolicyStatus{Policy: p.Name.String(), Mode: p.Mode, Workloads: selected})
	}
	err := a.Store.EachObjection(ctx, in.Since, func(o store.Objection) {
		n, known := at[policyOf(o.Rule)]
		if !known {
			return
		}
		p := &out.Policies[n]
		if o.Verdict == segmentation.Denied {
			p.Denied += o.Flows
		} else {
			p.WouldDeny += o.Flows
		}
		if o.Last.After(p.Last) {
			p.Last = o.Last
		}
	})
	if err != nil {
		return nil, err
	}
	out.Coverage, err = a.flowCoverage(ctx)
	return &bodyOf[SegmentationStatus]{out}, err
}

// policyOf is the policy of a rule as it is written: "SegmentationPolicy shop/cart
// ingress[0]".
func policyOf(rule string) string {
	kind, rest, _ := strings.Cut(rule, " ")
	name, _, _ := strings.Cut(rest, " ")
	return fmt.Sprintf("%s %s", kind, name)
}
