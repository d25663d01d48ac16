package store

import (
	"context"
	"fmt"
	"time"
)

// Origin says who owns a resource.
type Origin string

const (
	OriginFile    Origin = "file"
	OriginStore   Origin = "store"
	OriginCluster Origin = "cluster"
)

// Key names a resource.
type Key struct{ Kind, Namespace, Name string }

func (k Key) String() string { return k.Kind + " " + k.Namespace + "/" + k.Name }

// Resource is a manifest as its author wrote it. Revision counts from 1 per
// Key over all origins and never restarts, not even after a delete.
type Resource struct {
	Key
	Origin   Origin
	Manifest []byte // the text; the store compares bytes only
	Revision int64
	Author   string
	Time     time.Time
}

// PutOptions say who writes and on what ground.
type PutOptions struct {
	Author         string // token name or OS user; required
	Action         string // audit action; default "apply" ("accept", "rollback")
	ExpectRevision *int64 // nil: any; 0: must not exist; else the current revision
}

// ConflictError is optimistic concurrency's no: someone else wrote first.
type ConflictError struct {
	Key          Key
	Want, Actual int64 // Actual 0: does not exist
}

func (e *ConflictError) Error() string {
	return fmt.Sprintf("%s is at revision %d, not %d: read it again and repeat the change", e.Key, e.Actual, e.Want)
}

// PutResource writes a store-owned resource, its revision and its audit entry in
// one transaction; it is durable when this returns. An equal manifest writes
// nothing and returns the current resource with changed false.
func (s *Store) PutResource(ctx context.Context, r Resource, o PutOptions) (cur Resource, changed bool, err error) {
	panic("todo")
}

// PutResources is PutResource for several, all or nothing. ExpectRevision must be nil.
func (s *Store) PutResources(ctx context.Context, rs []Resource, o PutOptions) ([]Resource, error) {
	panic("todo")
}

// DeleteResource removes it, leaving a revision without manifest (Deleted).
func (s *Store) DeleteResource(ctx context.Context, k Key, o PutOptions) error { panic("todo") }

// Resource returns the current store-owned resource or ErrNotFound.
func (s *Store) Resource(ctx context.Context, k Key) (Resource, error) { panic("todo") }

// Resources lists the current store-owned resources, sorted by key; kind "": all.
func (s *Store) Resources(ctx context.Context, kind string) ([]Resource, error) { panic("todo") }

// Changed is closed after the next change of any store-owned resource, also by
// another replica. Get it, then list, then wait.
func (s *Store) Changed() <-chan struct{} { panic("todo") }

// Revision is one state a resource was in.
type Revision struct {
	Resource
	Deleted bool
	Action  string
}

// RecordRevision keeps a revision of a resource owned by a file or the cluster.
// Equal to the latest (same origin and bytes, not deleted): nothing happens and
// the latest number is returned. deleted records its disappearance.
func (s *Store) RecordRevision(ctx context.Context, r Resource, deleted bool) (int64, error) {
	panic("todo")
}

// Revisions lists a resource's revisions, newest first; limit 0: all kept.
func (s *Store) Revisions(ctx context.Context, k Key, limit int) ([]Revision, error) { panic("todo") }

// ResourceAt returns one revision or ErrNotFound.
func (s *Store) ResourceAt(ctx context.Context, k Key, revision int64) (Revision, error) {
	panic("todo")
}
