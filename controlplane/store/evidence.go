package store

import (
	"context"
	"fmt"

	"github.com/uptrace/bun"
)

// evidenceRow is what findings about APIs rest on beside operations: one row.
type evidenceRow struct {
	bun.BaseModel `bun:"table:api_evidence"`
	ID            int64 `bun:",pk"`
	Body          []byte
	Time          int64
}

// MergeEvidence shows merge what is stored (nil: nothing) and stores what it
// answers, in one transaction; nil changes nothing.
func (s *Store) MergeEvidence(ctx context.Context, merge func(stored []byte) ([]byte, error)) error {
	err := s.state.update(ctx, func(tx bun.Tx) error {
		var rows []evidenceRow
		if err := tx.NewSelect().Model(&rows).Where("id = 1").Scan(ctx); err != nil {
			return err
		}
		var stored []byte
		if len(rows) == 1 {
			stored = rows[0].Body
		}
		body, err := merge(stored)
		if err != nil || body == nil {
			return err
		}
		row := evidenceRow{ID: 1, Body: body, Time: nanos(s.o.Now())}
		_, err = tx.NewInsert().Model(&row).On("CONFLICT (id) DO UPDATE").Set("body = EXCLUDED.body, time = EXCLUDED.time").Exec(ctx)
		return err
	})
	if err != nil {
		return fmt.Errorf("keep evidence about APIs: %w", err)
	}
	return nil
}
