package store

import (
	"context"
	"fmt"
	"time"

	"github.com/uptrace/bun"
)

// OperationPart is some of what was learned of a service's operations. All parts
// of a service together are what is known; what a part says is the learner's
// business.
type OperationPart struct {
	ID      int64
	Service string
	Body    []byte
	Time    time.Time
}

type operationPartRow struct {
	bun.BaseModel `bun:"table:operation_parts"`
	ID            int64 `bun:",pk,autoincrement"`
	Service       string
	Body          []byte
	Time          int64
	Size          int64
}

// AddOperationParts stores parts, all or none, and answers their ids in order.
func (s *Store) AddOperationParts(ctx context.Context, parts []OperationPart) (ids []int64, err error) {
	if len(parts) == 0 {
		return nil, nil
	}
	if s.disk.full() {
		s.refused.Add(int64(len(parts)))
		return nil, s.stopped("operations")
	}
	err = s.telemetry.update(ctx, func(tx bun.Tx) (err error) {
		ids = ids[:0]
		for _, p := range parts {
			id, err := s.insertOperationPart(ctx, tx, p)
			if err != nil {
				return err
			}
			ids = append(ids, id)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("write operations: %w", err)
	}
	return ids, nil
}

// ReplaceOperationParts puts one part in the place of others. When some of those
// are gone, somebody else replaced them: nothing is changed, and the error is
// ErrNotFound. A part without a body only removes the others.
func (s *Store) ReplaceOperationParts(ctx context.Context, old []int64, p OperationPart) (id int64, err error) {
	err = s.telemetry.update(ctx, func(tx bun.Tx) error {
		gone := int64(0)
		for _, part := range chunks(old, func(int64) int64 { return 8 }) {
			res, err := tx.NewDelete().Model((*operationPartRow)(nil)).Where("id IN (?)", bun.List(part)).Exec(ctx)
			if err != nil {
				return err
			}
			n, err := res.RowsAffected()
			if err != nil {
				return err
			}
			gone += n
		}
		if gone != int64(len(old)) {
			return fmt.Errorf("%d of %d parts: %w", int64(len(old))-gone, len(old), ErrNotFound)
		}
		if len(p.Body) == 0 {
			return nil
		}
		id, err = s.insertOperationPart(ctx, tx, p)
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("replace operations: %w", err)
	}
	return id, nil
}

func (s *Store) insertOperationPart(ctx context.Context, tx bun.Tx, p OperationPart) (int64, error) {
	row := operationPartRow{Service: text(p.Service), Body: p.Body, Time: nanos(s.o.Now()), Size: int64(len(p.Body)) + rowBytes}
	_, err := tx.NewInsert().Model(&row).Exec(ctx)
	return row.ID, err
}

// OperationParts calls each for all parts, oldest first, one in memory at a time.
func (s *Store) OperationParts(ctx context.Context, each func(OperationPart) error) error {
	after := int64(0)
	for {
		var rows []operationPartRow
		err := s.telemetry.read.NewSelect().Model(&rows).Where("id > ?", after).Order("id").Limit(1).Scan(ctx)
		if err != nil {
			return fmt.Errorf("read operations: %w", s.telemetry.explain(err))
		}
		if len(rows) == 0 {
			return nil
		}
		r := rows[0]
		after = r.ID
		if err := each(OperationPart{r.ID, r.Service, r.Body, fromNanos(r.Time)}); err != nil {
			return err
		}
	}
}
