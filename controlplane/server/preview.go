package server

import (
	"context"
	"net/http"

	"github.com/gabion-io/gabion/controlplane/api/v1alpha1"
	"github.com/gabion-io/gabion/controlplane/store"
)

// Diff is what a candidate would change: resources, and what Envoy is told.
type Diff struct {
	Resources  []Applied            `json:"resources"`
	Envoy      []EnvoyChange        `json:"envoy"`
	Conditions []v1alpha1.Condition `json:"conditions,omitempty" doc:"problems the result would have and the set in force has not"`
}

func (a *api) previewOperations() {
	route(a, operation{id: "diff", method: http.MethodPost, path: "/diff", tag: "resources", role: store.RoleViewer,
		summary: "Show what applying would change, in resources and in Envoy"}, a.diff)
	route(a, operation{id: "explain", method: http.MethodGet, path: "/explain", tag: "resources", role: store.RoleViewer,
		summary: "Say which policies govern a route, and why"}, a.explain)
}

type diffInput struct {
	Name    string `query:"name" maxLength:"1024" doc:"what to call the manifests in messages"`
	RawBody []byte `contentType:"application/yaml" doc:"one or more manifests, YAML or JSON"`
}

func (a *api) diff(ctx context.Context, in *diffInput) (*bodyOf[Diff], error) {
	docs, err := decodeManifests(in.Name, in.RawBody)
	if err != nil {
		return nil, err
	}
	state, err := a.state(ctx)
	if err != nil {
		return nil, err
	}
	var out Diff
	for _, d := range docs {
		planned, err := planned(state.Set, d)
		if err != nil {
			return nil, err
		}
		out.Resources = append(out.Resources, planned)
	}
	preview, err := a.preview(state.Set, docs)
	if err != nil {
		return nil, err
	}
	for i, d := range docs {
		out.Resources[i].Conditions = conditionsOf(preview.Conditions, d.key())
	}
	out.Conditions = newProblems(state.Conditions, preview.Conditions)
	out.Envoy, err = envoyChanges(state.Snapshot, preview.Snapshot)
	return &bodyOf[Diff]{out}, err
}
