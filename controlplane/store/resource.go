package store

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"github.com/uptrace/bun"
)

// Origin says who owns a resource.
type Origin string

const (
	OriginFile    Origin = "file"
	OriginStore   Origin = "store"
	OriginCluster Origin = "cluster"
)

// Key names a resource. Of a kind that is in no namespace, Namespace is empty.
type Key struct{ Kind, Namespace, Name string }

func (k Key) String() string {
	if k.Namespace == "" {
		return k.Kind + " " + k.Name
	}
	return k.Kind + " " + k.Namespace + "/" + k.Name
}

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
	Action         string // for the audit log; default "apply" or "delete"
	Note           string // for the audit log
	ExpectRevision *int64 // nil: any; 0: must not exist; else the current revision
	// Judged is for whoever judged the write by all the resources there are: it is
	// made only while they are what they were at this mark, else ErrMoved. Nil: any.
	Judged *Mark
}

// ConflictError is optimistic concurrency's no: someone else wrote first.
type ConflictError struct {
	Key          Key
	Want, Actual int64 // Actual 0: does not exist
}

func (e *ConflictError) Error() string {
	if e.Actual == 0 {
		return fmt.Sprintf("%s does not exist, and revision %d of it was expected: read it again and repeat the change", e.Key, e.Want)
	}
	if e.Want == 0 {
		return fmt.Sprintf("%s exists already, at revision %d", e.Key, e.Actual)
	}
	return fmt.Sprintf("%s is at revision %d, not %d: read it again and repeat the change", e.Key, e.Actual, e.Want)
}

type resourceRow struct {
	bun.BaseModel `bun:"table:resources"`
	Kind          string `bun:",pk"`
	Namespace     string `bun:",pk"`
	Name          string `bun:",pk"`
	Origin        Origin
	Manifest      []byte
	Revision      int64
	Author        string
	Time          int64
}

func (r resourceRow) resource() Resource {
	return Resource{Key: Key{r.Kind, r.Namespace, r.Name}, Origin: r.Origin, Manifest: r.Manifest,
		Revision: r.Revision, Author: r.Author, Time: fromNanos(r.Time)}
}

// PutResource writes a store-owned resource, its revision and its audit entry in
// one transaction; it is durable when this returns. An equal manifest writes
// nothing and returns the current resource with changed false.
func (s *Store) PutResource(ctx context.Context, r Resource, o PutOptions) (cur Resource, changed bool, err error) {
	err = s.state.update(ctx, func(tx bun.Tx) error {
		if err := o.Judged.still(ctx, tx); err != nil {
			return err
		}
		cur, changed, err = s.put(ctx, tx, r, o)
		return err
	})
	if err != nil {
		return Resource{}, false, fmt.Errorf("write %s: %w", r.Key, err)
	}
	if changed {
		s.resources.notify()
	}
	return cur, changed, nil
}

// PutResources is PutResource for several, all or nothing. ExpectRevision must be nil.
func (s *Store) PutResources(ctx context.Context, rs []Resource, o PutOptions) ([]Resource, error) {
	if o.ExpectRevision != nil {
		return nil, errors.New("write several resources: an expected revision belongs to one")
	}
	var out []Resource
	any := false
	err := s.state.update(ctx, func(tx bun.Tx) error {
		out = out[:0]
		if err := o.Judged.still(ctx, tx); err != nil {
			return err
		}
		for _, r := range rs {
			cur, changed, err := s.put(ctx, tx, r, o)
			if err != nil {
				return fmt.Errorf("write %s: %w", r.Key, err)
			}
			any = any || changed
			out = append(out, cur)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	if any {
		s.resources.notify()
	}
	return out, nil
}

func checkWrite(k Key, o PutOptions) error {
	switch {
	case k.Kind == "" || k.Name == "":
		return fmt.Errorf("a kind and a name are required, got %q", k.String())
	case o.Author == "":
		return errors.New("an author is required")
	}
	return nil
}

func (s *Store) put(ctx context.Context, tx bun.Tx, r Resource, o PutOptions) (Resource, bool, error) {
	if err := checkWrite(r.Key, o); err != nil {
		return Resource{}, false, err
	}
	cur, err := current(ctx, tx, r.Key)
	if err != nil && !errors.Is(err, ErrNotFound) {
		return Resource{}, false, err
	}
	if o.ExpectRevision != nil && *o.ExpectRevision != cur.Revision {
		return Resource{}, false, &ConflictError{r.Key, *o.ExpectRevision, cur.Revision}
	}
	if cur.Revision != 0 && bytes.Equal(cur.Manifest, r.Manifest) {
		return cur, false, nil
	}
	before := ""
	if cur.Revision != 0 {
		before = digest(cur.Manifest)
	}
	action := cmp.Or(o.Action, "apply")
	r.Origin, r.Author, r.Time = OriginStore, o.Author, s.o.Now().UTC()
	if r.Manifest == nil {
		r.Manifest = []byte{}
	}
	if r.Revision, err = s.addRevision(ctx, tx, r, false, action); err != nil {
		return Resource{}, false, err
	}
	row := resourceRow{Kind: r.Kind, Namespace: r.Namespace, Name: r.Name, Origin: r.Origin,
		Manifest: r.Manifest, Revision: r.Revision, Author: r.Author, Time: nanos(r.Time)}
	_, err = tx.NewInsert().Model(&row).On("CONFLICT (kind, namespace, name) DO UPDATE").
		Set("origin = EXCLUDED.origin, manifest = EXCLUDED.manifest, revision = EXCLUDED.revision, author = EXCLUDED.author, time = EXCLUDED.time").
		Exec(ctx)
	if err != nil {
		return Resource{}, false, err
	}
	_, err = s.appendAudit(ctx, tx, AuditEntry{Author: o.Author, Action: action, Resource: r.Key.String(),
		Revision: r.Revision, Before: before, After: digest(r.Manifest), Note: o.Note})
	return r, true, err
}

func current(ctx context.Context, db bun.IDB, k Key) (Resource, error) {
	var rows []resourceRow
	err := db.NewSelect().Model(&rows).Where("kind = ? AND namespace = ? AND name = ?", k.Kind, k.Namespace, k.Name).Scan(ctx)
	if err != nil {
		return Resource{}, err
	}
	if len(rows) == 0 {
		return Resource{}, ErrNotFound
	}
	return rows[0].resource(), nil
}

func digest(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}

// DeleteResource removes it, leaving a revision without manifest (Deleted).
func (s *Store) DeleteResource(ctx context.Context, k Key, o PutOptions) error {
	err := s.state.update(ctx, func(tx bun.Tx) error { return s.remove(ctx, tx, k, o) })
	if err != nil {
		return fmt.Errorf("delete %s: %w", k, err)
	}
	s.resources.notify()
	return nil
}

func (s *Store) remove(ctx context.Context, tx bun.Tx, k Key, o PutOptions) error {
	if err := checkWrite(k, o); err != nil {
		return err
	}
	cur, err := current(ctx, tx, k)
	if err != nil {
		return err
	}
	if o.ExpectRevision != nil && *o.ExpectRevision != cur.Revision {
		return &ConflictError{k, *o.ExpectRevision, cur.Revision}
	}
	action := cmp.Or(o.Action, "delete")
	gone := Resource{Key: k, Origin: OriginStore, Manifest: []byte{}, Author: o.Author, Time: s.o.Now().UTC()}
	revision, err := s.addRevision(ctx, tx, gone, true, action)
	if err != nil {
		return err
	}
	_, err = tx.NewDelete().Model((*resourceRow)(nil)).
		Where("kind = ? AND namespace = ? AND name = ?", k.Kind, k.Namespace, k.Name).Exec(ctx)
	if err != nil {
		return err
	}
	_, err = s.appendAudit(ctx, tx, AuditEntry{Author: o.Author, Action: action, Resource: k.String(),
		Revision: revision, Before: digest(cur.Manifest), Note: o.Note})
	return err
}

// Resource returns the current store-owned resource or ErrNotFound.
func (s *Store) Resource(ctx context.Context, k Key) (Resource, error) {
	r, err := current(ctx, s.state.read, k)
	if err != nil {
		return Resource{}, fmt.Errorf("read %s: %w", k, s.state.explain(err))
	}
	return r, nil
}

// Resources lists the current store-owned resources, sorted by key; kind "": all.
func (s *Store) Resources(ctx context.Context, kind string) ([]Resource, error) {
	rs, err := resources(ctx, s.state.read, kind)
	if err != nil {
		return nil, fmt.Errorf("list resources: %w", s.state.explain(err))
	}
	return rs, nil
}

func resources(ctx context.Context, db bun.IDB, kind string) ([]Resource, error) {
	var rows []resourceRow
	q := db.NewSelect().Model(&rows).Order("kind", "namespace", "name")
	if kind != "" {
		q = q.Where("kind = ?", kind)
	}
	if err := q.Scan(ctx); err != nil {
		return nil, err
	}
	out := make([]Resource, len(rows))
	for i, r := range rows {
		out[i] = r.resource()
	}
	return out, nil
}

// Changed is closed after the next change of any store-owned resource, also by
// another replica while Run runs. Get it, then list, then wait.
func (s *Store) Changed() <-chan struct{} { return s.resources.wait() }
