package store

import (
	"context"
	"fmt"

	"github.com/uptrace/bun"
)

// Mark tells one state of all resources from another, whoever wrote: while it is
// the same, they are. It is the number of the newest revision of anything, which
// writers of all replicas take one after the other and nobody takes twice.
type Mark int64

// Mark reads the mark of the moment.
func (s *Store) Mark(ctx context.Context) (Mark, error) {
	m, err := readMark(ctx, s.state.read)
	if err != nil {
		return 0, fmt.Errorf("read the state of the resources: %w", s.state.explain(err))
	}
	return m, nil
}

// Held lists the current store-owned resources as Resources does, with the mark
// of that moment.
func (s *Store) Held(ctx context.Context) (rs []Resource, m Mark, err error) {
	err = s.state.view(ctx, func(tx bun.Tx) error {
		if m, err = readMark(ctx, tx); err != nil {
			return err
		}
		rs, err = resources(ctx, tx, "")
		return err
	})
	if err != nil {
		return nil, 0, fmt.Errorf("list resources: %w", s.state.explain(err))
	}
	return rs, m, nil
}

func readMark(ctx context.Context, db bun.IDB) (m Mark, err error) {
	err = db.NewRaw("SELECT coalesce(max(id), 0) FROM revisions").Scan(ctx, &m)
	return m, err
}

// still is ErrMoved unless this is the mark in tx, too. Nil stands for any.
func (m *Mark) still(ctx context.Context, tx bun.Tx) error {
	if m == nil {
		return nil
	}
	now, err := readMark(ctx, tx)
	if err == nil && now != *m {
		err = ErrMoved
	}
	return err
}
