package server

import (
	"context"
	"fmt"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/gabion-io/gabion/controlplane/api/v1alpha1"
	"github.com/gabion-io/gabion/controlplane/reconcile"
	"github.com/gabion-io/gabion/controlplane/source"
	"github.com/gabion-io/gabion/controlplane/store"
)

// noNamespace stands in a path for the namespace of a cluster-scoped kind.
const noNamespace = "-"

// ResourcePath names a resource in a path.
type ResourcePath struct {
	Kind      string `path:"kind" maxLength:"64" doc:"a kind, in any case"`
	Namespace string `path:"namespace" maxLength:"253" doc:"- for a kind that has none"`
	Name      string `path:"name" maxLength:"253"`
}

func (in ResourcePath) key() (v1alpha1.Key, error) {
	info, ok := findKind(in.Kind)
	if !ok {
		return v1alpha1.Key{}, fmt.Errorf("there is no kind %q: %w", in.Kind, ErrNotFound)
	}
	k := v1alpha1.Key{Kind: info.Kind, Namespace: in.Namespace, Name: in.Name}
	if info.Cluster || k.Namespace == noNamespace {
		k.Namespace = ""
	}
	return k, nil
}

type bodyOf[T any] struct{ Body T }

func (a *api) resourceOperations() {
	route(a, operation{id: "list-resources", method: http.MethodGet, path: "/resources", tag: "resources", role: store.RoleViewer,
		summary: "List the resources in force, of every origin"}, a.listResources)
	route(a, operation{id: "get-resource", method: http.MethodGet, path: "/resources/{kind}/{namespace}/{name}", tag: "resources", role: store.RoleViewer,
		summary: "Get one resource with its conditions"}, a.getResource)
	route(a, operation{id: "apply", method: http.MethodPost, path: "/apply", tag: "resources", role: store.RoleEditor,
		summary: "Write resources: all of them or none"}, a.apply)
	route(a, operation{id: "delete-resource", method: http.MethodDelete, path: "/resources/{kind}/{namespace}/{name}", tag: "resources", role: store.RoleEditor,
		summary: "Delete a resource that the store owns"}, a.deleteResource)
}

type listInput struct {
	Kind      string `query:"kind" maxLength:"64"`
	Namespace string `query:"namespace" maxLength:"253"`
}

func (a *api) listResources(ctx context.Context, in *listInput) (*bodyOf[ResourceList], error) {
	state, err := a.state(ctx)
	if err != nil {
		return nil, err
	}
	kind := ""
	if in.Kind != "" {
		info, ok := findKind(in.Kind)
		if !ok {
			return nil, fmt.Errorf("there is no kind %q: %w", in.Kind, ErrNotFound)
		}
		kind = info.Kind
	}
	list := ResourceList{Items: []Resource{}, Version: snapshotVersion(state.Snapshot)}
	for _, item := range state.Set.Items() {
		k := item.Key()
		if (kind != "" && k.Kind != kind) || (in.Namespace != "" && k.Namespace != in.Namespace) {
			continue
		}
		r, err := a.shown(ctx, state, item)
		if err != nil {
			return nil, err
		}
		list.Items = append(list.Items, r)
	}
	for _, c := range state.Conditions {
		if _, held := state.Set.Get(c.Key()); !held {
			list.Conditions = append(list.Conditions, c)
		}
	}
	return &bodyOf[ResourceList]{list}, nil
}

func (a *api) getResource(ctx context.Context, in *ResourcePath) (*bodyOf[Resource], error) {
	k, err := in.key()
	if err != nil {
		return nil, err
	}
	state, err := a.state(ctx)
	if err != nil {
		return nil, err
	}
	item, ok := state.Set.Get(k)
	if !ok {
		return nil, fmt.Errorf("%s: %w", k, ErrNotFound)
	}
	r, err := a.shown(ctx, state, item)
	if err != nil {
		return nil, err
	}
	return &bodyOf[Resource]{r}, nil
}

// shown is an item as the API shows it.
func (a *api) shown(ctx context.Context, state *reconcile.State, item source.Item) (Resource, error) {
	k := item.Key()
	manifest, err := redactedJSON(item.Object)
	if err != nil {
		return Resource{}, err
	}
	r := Resource{
		Kind: k.Kind, Namespace: k.Namespace, Name: k.Name,
		Origin:   string(item.Origin),
		Revision: item.Revision, Updated: item.Updated,
		Conditions: conditionsOf(state.Conditions, k),
		Manifest:   manifest,
	}
	if item.Origin == source.File {
		r.File, r.Line = item.File, item.Line
	}
	latest, err := a.Store.Revisions(ctx, storeKey(k), 1)
	if err != nil {
		return Resource{}, fmt.Errorf("read the revisions of %s: %w", k, err)
	}
	if len(latest) == 1 && !latest[0].Deleted {
		r.Revision, r.Author, r.Updated = latest[0].Revision, latest[0].Author, latest[0].Time
	}
	return r, nil
}

func conditionsOf(all []v1alpha1.Condition, k v1alpha1.Key) []v1alpha1.Condition {
	var of []v1alpha1.Condition
	for _, c := range all {
		if c.Key() == k {
			of = append(of, c)
		}
	}
	return of
}

type deleteInput struct {
	ResourcePath
	DryRun   bool  `query:"dryRun" doc:"say what would be done and do nothing"`
	Revision int64 `query:"revision" minimum:"0" doc:"delete only if this is the current revision; 0: any"`
}

func (a *api) deleteResource(ctx context.Context, in *deleteInput) (*bodyOf[ApplyResult], error) {
	k, err := in.key()
	if err != nil {
		return nil, err
	}
	return a.remove(ctx, k, in.DryRun, in.Revision, "delete")
}

// remove deletes a resource of the store, or shows how to delete one of a file.
func (a *api) remove(ctx context.Context, k v1alpha1.Key, dryRun bool, revision int64, action string) (*bodyOf[ApplyResult], error) {
	state, err := a.state(ctx)
	if err != nil {
		return nil, err
	}
	item, ok := state.Set.Get(k)
	if !ok {
		return nil, fmt.Errorf("%s: %w", k, ErrNotFound)
	}
	out := Applied{Kind: k.Kind, Namespace: k.Namespace, Name: k.Name, Action: Deleted}
	switch item.Origin {
	case source.File:
		owned, err := fileOwned(item, nil)
		if err != nil {
			return nil, err
		}
		return &bodyOf[ApplyResult]{ApplyResult{Items: []Applied{owned}}}, nil
	case source.Flags:
		return nil, huma.Error409Conflict(fmt.Sprintf("%s comes from the flags of gabion up and cannot be deleted; apply a resource of that name to replace it", k))
	}
	result := ApplyResult{Items: []Applied{out}}
	if dryRun {
		return &bodyOf[ApplyResult]{result}, nil
	}
	opts := store.PutOptions{Author: caller(ctx).Name, Action: action}
	if revision > 0 {
		opts.ExpectRevision = &revision
	}
	if err := a.Store.DeleteResource(ctx, storeKey(k), opts); err != nil {
		return nil, err
	}
	result.Written = true
	result.Version, result.Rollout = a.settle(ctx)
	result.Items[0].Conditions = newProblems(state.Conditions, a.Live.State().Conditions)
	return &bodyOf[ApplyResult]{result}, nil
}

// settle waits for a change to be served and for the proxies' answers. The change
// is durable already, so a failure here is not the caller's: it shows as a
// condition and in status.
func (a *api) settle(ctx context.Context) (string, *Rollout) {
	state, err := a.Live.Settle(ctx)
	if err != nil {
		a.Log.Warn("change is stored but not yet served", "error", err)
		return "", nil
	}
	return snapshotVersion(state.Snapshot), a.rolledOut(ctx)
}
