package store

import (
	"bytes"
	"context"
	"fmt"

	"github.com/uptrace/bun"
)

// Revision is one state a resource was in.
type Revision struct {
	Resource
	Deleted bool
	Action  string // "apply", "delete", "rollback", "accept"; for files "file"
}

type revisionRow struct {
	bun.BaseModel `bun:"table:revisions"`
	ID            int64 `bun:",pk,autoincrement"`
	Kind          string
	Namespace     string
	Name          string
	Revision      int64
	Origin        Origin
	Manifest      []byte
	Deleted       bool
	Action        string
	Author        string
	Time          int64
	Size          int64
}

func (r revisionRow) revision() Revision {
	return Revision{Deleted: r.Deleted, Action: r.Action, Resource: Resource{Key: Key{r.Kind, r.Namespace, r.Name},
		Origin: r.Origin, Manifest: r.Manifest, Revision: r.Revision, Author: r.Author, Time: fromNanos(r.Time)}}
}

// rowBytes is what a row costs beside its texts, roughly: columns and indexes.
const rowBytes = 150

// addRevision gives r the next number of its key and keeps it.
func (s *Store) addRevision(ctx context.Context, tx bun.Tx, r Resource, deleted bool, action string) (int64, error) {
	last, found, err := latest(ctx, tx, r.Key)
	if err != nil {
		return 0, err
	}
	next := int64(1)
	if found {
		next = last.Revision + 1
	}
	row := revisionRow{Kind: r.Kind, Namespace: r.Namespace, Name: r.Name, Revision: next, Origin: r.Origin,
		Manifest: r.Manifest, Deleted: deleted, Action: action, Author: r.Author, Time: nanos(r.Time),
		Size: int64(len(r.Manifest)) + rowBytes}
	_, err = tx.NewInsert().Model(&row).Exec(ctx)
	return next, err
}

func latest(ctx context.Context, db bun.IDB, k Key) (Revision, bool, error) {
	var rows []revisionRow
	err := db.NewSelect().Model(&rows).Where("kind = ? AND namespace = ? AND name = ?", k.Kind, k.Namespace, k.Name).
		Order("revision DESC").Limit(1).Scan(ctx)
	if err != nil || len(rows) == 0 {
		return Revision{}, false, err
	}
	return rows[0].revision(), true, nil
}

// RecordRevision keeps a revision of a resource owned by a file or the cluster, and
// its audit entry. Equal to the latest (same origin and bytes, not deleted): nothing
// happens and the latest number is returned. deleted records its disappearance; the
// note is for the audit log.
func (s *Store) RecordRevision(ctx context.Context, r Resource, deleted bool, note string) (int64, error) {
	var number int64
	err := s.state.update(ctx, func(tx bun.Tx) error {
		last, found, err := latest(ctx, tx, r.Key)
		if err != nil {
			return err
		}
		unchanged := found && last.Origin == r.Origin && last.Deleted == deleted &&
			(deleted || bytes.Equal(last.Manifest, r.Manifest))
		if unchanged || deleted && !found {
			number = last.Revision
			return nil
		}
		r.Time = s.o.Now().UTC()
		if deleted || r.Manifest == nil {
			r.Manifest = []byte{}
		}
		if number, err = s.addRevision(ctx, tx, r, deleted, string(r.Origin)); err != nil {
			return err
		}
		entry := AuditEntry{Author: r.Author, Action: string(r.Origin), Resource: r.Key.String(), Revision: number, Note: note}
		if found && !last.Deleted {
			entry.Before = digest(last.Manifest)
		}
		if !deleted {
			entry.After = digest(r.Manifest)
		}
		_, err = s.appendAudit(ctx, tx, entry)
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("record revision of %s: %w", r.Key, err)
	}
	return number, nil
}

// LastOwned lists what an origin owned when it was last recorded: of each resource the
// newest revision, unless that is of another origin or of its disappearance.
func (s *Store) LastOwned(ctx context.Context, o Origin) ([]Revision, error) {
	var rows []revisionRow
	err := s.state.read.NewSelect().Model(&rows).Where("origin = ? AND NOT deleted", o).
		Where("revision = (SELECT max(newer.revision) FROM revisions AS newer WHERE newer.kind = ?TableAlias.kind AND newer.namespace = ?TableAlias.namespace AND newer.name = ?TableAlias.name)").
		Order("kind", "namespace", "name").Scan(ctx)
	if err != nil {
		return nil, fmt.Errorf("list what is owned by %s: %w", o, s.state.explain(err))
	}
	out := make([]Revision, len(rows))
	for i, r := range rows {
		out[i] = r.revision()
	}
	return out, nil
}

// Revisions lists a resource's revisions, newest first; limit 0: all kept.
func (s *Store) Revisions(ctx context.Context, k Key, limit int) ([]Revision, error) {
	var rows []revisionRow
	q := s.state.read.NewSelect().Model(&rows).
		Where("kind = ? AND namespace = ? AND name = ?", k.Kind, k.Namespace, k.Name).Order("revision DESC")
	if limit > 0 {
		q = q.Limit(int64(limit))
	}
	if err := q.Scan(ctx); err != nil {
		return nil, fmt.Errorf("list revisions of %s: %w", k, s.state.explain(err))
	}
	out := make([]Revision, len(rows))
	for i, r := range rows {
		out[i] = r.revision()
	}
	return out, nil
}

// ResourceAt returns one revision or ErrNotFound.
func (s *Store) ResourceAt(ctx context.Context, k Key, revision int64) (Revision, error) {
	var rows []revisionRow
	err := s.state.read.NewSelect().Model(&rows).
		Where("kind = ? AND namespace = ? AND name = ? AND revision = ?", k.Kind, k.Namespace, k.Name, revision).Scan(ctx)
	if err == nil && len(rows) == 0 {
		err = ErrNotFound
	}
	if err != nil {
		return Revision{}, fmt.Errorf("read revision %d of %s: %w", revision, k, s.state.explain(err))
	}
	return rows[0].revision(), nil
}
