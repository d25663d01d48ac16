package store

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/uptrace/bun"

	"github.com/gabion-io/gabion/api-discovery"
)

// StoredOverride is what a person decided about templates.
type StoredOverride struct {
	ID int64 `json:"id"`
	apidiscovery.Override
	Time time.Time `json:"time"`
}

type overrideRow struct {
	bun.BaseModel `bun:"table:operation_overrides"`
	ID            int64 `bun:",pk,autoincrement"`
	Service       string
	Body          string
	Author        string
	Time          int64
}

// maxOverrides bounds what persons may decide; each is looked at for each service.
const maxOverrides = 10_000

// AddOverride stores what somebody decided, with its audit entry.
func (s *Store) AddOverride(ctx context.Context, o apidiscovery.Override) (StoredOverride, error) {
	body, err := json.Marshal(o)
	if err != nil {
		return StoredOverride{}, fmt.Errorf("write override: %w", err)
	}
	row := overrideRow{Service: text(o.Service), Body: text(string(body)), Author: text(o.Author), Time: nanos(s.o.Now())}
	err = s.state.update(ctx, func(tx bun.Tx) error {
		n, err := tx.NewSelect().Model((*overrideRow)(nil)).Count(ctx)
		if err != nil {
			return err
		}
		if n >= maxOverrides {
			return fmt.Errorf("there are %d overrides already: remove some: %w", n, ErrExists)
		}
		if _, err := tx.NewInsert().Model(&row).Exec(ctx); err != nil {
			return err
		}
		_, err = s.appendAudit(ctx, tx, AuditEntry{Author: o.Author, Action: "api " + o.Action, Resource: subjectOfAPI(o.Service), Note: overrideText(o)})
		return err
	})
	if err != nil {
		return StoredOverride{}, fmt.Errorf("write override: %w", err)
	}
	return StoredOverride{row.ID, o, fromNanos(row.Time)}, nil
}

// RemoveOverride takes one back, with its audit entry; ErrNotFound when there is
// none.
func (s *Store) RemoveOverride(ctx context.Context, id int64, author string) error {
	err := s.state.update(ctx, func(tx bun.Tx) error {
		var rows []overrideRow
		if err := tx.NewSelect().Model(&rows).Where("id = ?", id).Scan(ctx); err != nil {
			return err
		}
		if len(rows) == 0 {
			return ErrNotFound
		}
		if _, err := tx.NewDelete().Model((*overrideRow)(nil)).Where("id = ?", id).Exec(ctx); err != nil {
			return err
		}
		_, err := s.appendAudit(ctx, tx, AuditEntry{Author: author, Action: "api undo", Resource: subjectOfAPI(rows[0].Service), Note: rows[0].text()})
		return err
	})
	if err != nil {
		return fmt.Errorf("remove override %d: %w", id, err)
	}
	return nil
}

// Overrides lists all, oldest first.
func (s *Store) Overrides(ctx context.Context) ([]StoredOverride, error) {
	var rows []overrideRow
	if err := s.state.read.NewSelect().Model(&rows).Order("id").Scan(ctx); err != nil {
		return nil, fmt.Errorf("list overrides: %w", s.state.explain(err))
	}
	out := make([]StoredOverride, len(rows))
	for i, r := range rows {
		out[i] = StoredOverride{ID: r.ID, Time: fromNanos(r.Time)}
		if err := json.Unmarshal([]byte(r.Body), &out[i].Override); err != nil {
			return nil, fmt.Errorf("list overrides: %w: override %d: %v", ErrCorrupt, r.ID, err)
		}
	}
	return out, nil
}

// overrideText says in the audit log what was decided.
func overrideText(o apidiscovery.Override) string {
	s := o.Template.String()
	if o.Value != "" {
		s += ": " + o.Value
	}
	if len(o.Names) > 0 {
		s += ": " + strings.Join(o.Names, ", ")
	}
	if o.Reason != "" {
		s += " (" + o.Reason + ")"
	}
	return s
}

func (r overrideRow) text() string {
	var o apidiscovery.Override
	if json.Unmarshal([]byte(r.Body), &o) != nil {
		return ""
	}
	return o.Action + " " + overrideText(o)
}

// subjectOfAPI names a service's API in the audit log.
func subjectOfAPI(service string) string {
	if service == "" {
		return "API of every service"
	}
	return "API " + service
}
