package server

import (
	"context"
	"errors"
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
	target, expect, err := a.rollbackTarget(ctx, storeKey(k), in.Revision)
	if err != nil {
		return nil, err
	}
	if target.Deleted {
		return a.remove(ctx, k, in.DryRun, max(expect, 0), "rollback")
	}
	docs, err := decodeManifests(fmt.Sprintf("revision %d", target.Revision), target.Manifest)
	if err != nil {
		return nil, err
	}
	return a.write(ctx, docs, writeOptions{dryRun: in.DryRun, force: in.Force, expect: expect, action: "rollback"})
}

// rollbackTarget finds the revision to return to. The state before the first
// revision is absence: rolling that one back deletes. Who means the one before the
// current also means the current: expect is what the store must hold then, 0 for
// nothing and -1 for anything.
func (a *api) rollbackTarget(ctx context.Context, k store.Key, revision int64) (to store.Revision, expect int64, err error) {
	if revision > 0 {
		to, err = a.Store.ResourceAt(ctx, k, revision)
		if errors.Is(err, store.ErrNotFound) {
			err = fmt.Errorf("%s has no revision %d: %w", k, revision, ErrNotFound)
		}
		return to, -1, err
	}
	rows, err := a.Store.Revisions(ctx, k, 2)
	if err == nil && len(rows) == 0 {
		err = fmt.Errorf("%s has no revisions: %w", k, ErrNotFound)
	}
	if err != nil {
		return to, 0, err
	}
	switch now := rows[0]; {
	case now.Origin != store.OriginStore:
		expect = -1
	case !now.Deleted:
		expect = now.Revision
	}
	switch {
	case len(rows) == 2:
		return rows[1], expect, nil
	case rows[0].Revision == 1 && !rows[0].Deleted:
		return store.Revision{Deleted: true}, expect, nil
	}
	return to, 0, huma.Error409Conflict(fmt.Sprintf("the revision before %d of %s is no longer kept", rows[0].Revision, k))
}
