package server

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/gabion-io/gabion/controlplane/store"
)

// Revision is one state a resource was in.
type Revision struct {
	Revision int64     `json:"revision"`
	Time     time.Time `json:"time"`
	Author   string    `json:"author"`
	Origin   string    `json:"origin"`
	Action   string    `json:"action"`
	Deleted  bool      `json:"deleted,omitempty"`
	Manifest string    `json:"manifest,omitempty" doc:"canonical YAML; secret values are left out"`
}

// RevisionList is a resource's history, newest first.
type RevisionList struct {
	Items []Revision `json:"items"`
}

func (a *api) revisionOperations() {
	route(a, operation{id: "list-revisions", method: http.MethodGet, path: "/resources/{kind}/{namespace}/{name}/revisions", tag: "resources", role: store.RoleViewer,
		summary: "List what a resource was, newest first"}, a.listRevisions)
	route(a, operation{id: "rollback", method: http.MethodPost, path: "/resources/{kind}/{namespace}/{name}/rollback", tag: "resources", role: store.RoleEditor,
		summary: "Write an earlier revision again"}, a.rollback)
}

type revisionsInput struct {
	ResourcePath
	Limit int `query:"limit" minimum:"1" maximum:"1000" default:"50"`
}

func (a *api) listRevisions(ctx context.Context, in *revisionsInput) (*bodyOf[RevisionList], error) {
	k, err := in.key()
	if err != nil {
		return nil, err
	}
	rows, err := a.Store.Revisions(ctx, storeKey(k), in.Limit)
	if err != nil {
		return nil, err
	}
	if len(rows) == 0 {
		return nil, fmt.Errorf("%s has no revisions: %w", k, ErrNotFound)
	}
	list := RevisionList{Items: make([]Revision, len(rows))}
	for i, r := range rows {
		text, err := redactSecret(k.Kind, r.Manifest)
		if err != nil {
			return nil, err
		}
		list.Items[i] = Revision{
			Revision: r.Revision, Time: r.Time, Author: r.Author, Origin: string(r.Origin),
			Action: r.Action, Deleted: r.Deleted, Manifest: string(text),
		}
	}
	return &bodyOf[RevisionList]{list}, nil
}

type rollbackInput struct {
	ResourcePath
	Revision int64 `query:"revision" minimum:"0" doc:"the revision to return to; 0: the one before the current"`
	DryRun   bool  `query:"dryRun" doc:"say what would be done and do nothing"`
	Force    bool  `query:"force" doc:"write although the result would have new problems"`
}

func (a *api) rollback(ctx context.Context, in *rollbackInput) (*bodyOf[ApplyResult], error) {
	k, err := in.key()
	if err != nil {
		return nil, err
	}
	target, err := a.rollbackTarget(ctx, storeKey(k), in.Revision)
	if err != nil {
		return nil, err
	}
	if target.Deleted {
		return a.remove(ctx, k, in.DryRun, 0, "rollback")
	}
	docs, err := decodeManifests(fmt.Sprintf("revision %d", target.Revision), target.Manifest)
	if err != nil {
		return nil, err
	}
	return a.write(ctx, docs, writeOptions{dryRun: in.DryRun, force: in.Force, expect: -1, action: "rollback"})
}

// rollbackTarget finds the revision to return to. The state before the first
// revision is absence: rolling that one back deletes.
func (a *api) rollbackTarget(ctx context.Context, k store.Key, revision int64) (store.Revision, error) {
	if revision > 0 {
		r, err := a.Store.ResourceAt(ctx, k, revision)
		if err != nil {
			return r, fmt.Errorf("revision %d of %s: %w", revision, k, err)
		}
		return r, nil
	}
	rows, err := a.Store.Revisions(ctx, k, 2)
	switch {
	case err != nil:
		return store.Revision{}, err
	case len(rows) == 0:
		return store.Revision{}, fmt.Errorf("%s has no revisions: %w", k, ErrNotFound)
	case len(rows) == 2:
		return rows[1], nil
	case rows[0].Revision == 1 && !rows[0].Deleted:
		return store.Revision{Deleted: true}, nil
	}
	return store.Revision{}, huma.Error409Conflict(fmt.Sprintf("the revision before %d of %s is no longer kept", rows[0].Revision, k))
}
