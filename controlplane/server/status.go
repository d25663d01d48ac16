package server

import (
	"context"
	"net/http"
	"strings"
	"time"

	"github.com/gabion-io/gabion/controlplane/ads"
	"github.com/gabion-io/gabion/controlplane/api/v1alpha1"
	"github.com/gabion-io/gabion/controlplane/hosts"
	"github.com/gabion-io/gabion/controlplane/inventory"
	"github.com/gabion-io/gabion/controlplane/store"
)

// Status is how the whole installation fares.
type Status struct {
	Version    string               `json:"version" doc:"of the program"`
	Now        time.Time            `json:"now"`
	Snapshot   string               `json:"snapshot,omitempty" doc:"version of what is served; absent: nothing yet"`
	Reconciled time.Time            `json:"reconciled,omitzero" doc:"when the resources were last read"`
	Resources  int                  `json:"resources"`
	Proxies    []ads.ProxyStatus    `json:"proxies"`
	Agents     []hosts.Status       `json:"agents" doc:"hosts that are told what to enforce"`
	Refusals   []Refusal            `json:"refusals,omitempty" doc:"versions that a proxy refused and that still stand"`
	Conditions []v1alpha1.Condition `json:"conditions,omitempty" doc:"what somebody should look at"`
	Coverage   []store.Coverage     `json:"coverage" doc:"how complete the telemetry is, by source"`
	Store      store.Status         `json:"store"`
	Inventory  *inventory.State     `json:"inventory,omitempty" doc:"of operations; absent: none are learned"`
}

// Refusal is a proxy's no to a version.
type Refusal struct {
	Node      string    `json:"node"`
	Type      string    `json:"type"`
	Version   string    `json:"version"`
	Resources []string  `json:"resources,omitempty"`
	Message   string    `json:"message"`
	Time      time.Time `json:"time"`
	Causes    []string  `json:"causes,omitempty" doc:"resources it came from"`
}

func (a *api) statusOperations() {
	route(a, operation{id: "status", method: http.MethodGet, path: "/status", tag: "status", role: store.RoleViewer,
		summary: "Show proxies, versions, refusals, coverage and storage"}, a.status)
}

func (a *api) status(ctx context.Context, _ *struct{}) (*bodyOf[Status], error) {
	out := Status{Version: a.Version, Now: a.Now(), Proxies: []ads.ProxyStatus{}, Agents: []hosts.Status{}}
	if s := a.Live.State(); s != nil {
		out.Snapshot, out.Reconciled, out.Resources = snapshotVersion(s.Snapshot), s.At, len(s.Set.Items())
		for _, c := range s.Conditions {
			if c.Bad() {
				out.Conditions = append(out.Conditions, c)
			}
		}
	}
	if a.Proxies != nil {
		out.Proxies = orEmpty(a.Proxies.Status())
		for _, n := range a.Proxies.Nacks() {
			out.Refusals = append(out.Refusals, refusal(n))
		}
	}
	if a.Agents != nil {
		out.Agents = orEmpty(a.Agents.Status())
	}
	var err error
	if out.Coverage, err = a.Store.Coverage(ctx); err != nil {
		return nil, err
	}
	out.Coverage = orEmpty(out.Coverage)
	if a.Inventory != nil {
		state := a.Inventory.State()
		out.Inventory = &state
	}
	if out.Store, err = a.Store.Status(ctx); err != nil || a.Recorded == nil {
		return &bodyOf[Status]{out}, err
	}
	recorded, err := a.Recorded()
	out.Store.Classes = append(out.Store.Classes, recorded)
	return &bodyOf[Status]{out}, err
}

func refusal(n ads.Nack) Refusal {
	r := Refusal{Node: n.Node, Type: shortType(n.TypeURL), Version: n.Version, Resources: n.Resources, Message: n.Message, Time: n.Time}
	for _, c := range n.Causes {
		r.Causes = append(r.Causes, c.String())
	}
	return r
}

// shortType: "type.googleapis.com/envoy.config.route.v3.RouteConfiguration" is a
// "route" in what people read.
func shortType(url string) string {
	short := map[string]string{
		"Listener": "listener", "RouteConfiguration": "route", "Cluster": "cluster",
		"ClusterLoadAssignment": "endpoints", "Secret": "secret", "TypedExtensionConfig": "extension",
	}
	message := url[strings.LastIndexByte(url, '.')+1:]
	if s, ok := short[message]; ok {
		return s
	}
	return message
}
