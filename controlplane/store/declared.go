package store

import (
	"context"
	"fmt"
	"time"

	"github.com/uptrace/bun"
)

// DeclaredAPI is the document in which a service's API is declared.
type DeclaredAPI struct {
	Service string
	Name    string // of the file it came from
	Body    []byte
	Author  string
	Time    time.Time
}

type declaredRow struct {
	bun.BaseModel `bun:"table:declared_apis"`
	Service       string `bun:",pk"`
	Name          string
	Body          []byte
	Author        string
	Time          int64
}

// PutDeclared stores the declaration of a service, in the place of an older one;
// without a body it removes it (ErrNotFound when there is none). What changes
// nothing leaves no audit entry.
func (s *Store) PutDeclared(ctx context.Context, d DeclaredAPI) (changed bool, err error) {
	err = s.state.update(ctx, func(tx bun.Tx) error {
		changed = false
		var old []declaredRow
		if err := tx.NewSelect().Model(&old).Where("service = ?", d.Service).Scan(ctx); err != nil {
			return err
		}
		action := "api import"
		switch {
		case len(d.Body) == 0 && len(old) == 0:
			return ErrNotFound
		case len(d.Body) == 0:
			action = "api remove"
		case len(old) == 1 && string(old[0].Body) == string(d.Body) && old[0].Name == d.Name:
			return nil
		}
		changed = true
		if _, err := tx.NewDelete().Model((*declaredRow)(nil)).Where("service = ?", d.Service).Exec(ctx); err != nil {
			return err
		}
		if len(d.Body) > 0 {
			row := declaredRow{Service: text(d.Service), Name: text(d.Name), Body: d.Body, Author: text(d.Author), Time: nanos(s.o.Now())}
			if _, err := tx.NewInsert().Model(&row).Exec(ctx); err != nil {
				return err
			}
		}
		_, err := s.appendAudit(ctx, tx, AuditEntry{Author: d.Author, Action: action, Resource: subjectOfAPI(d.Service), Note: d.Name})
		return err
	})
	if err != nil {
		return false, fmt.Errorf("write declared API of %q: %w", d.Service, err)
	}
	return changed, nil
}

// Declared lists all declarations, by service.
func (s *Store) Declared(ctx context.Context) ([]DeclaredAPI, error) {
	return s.declared(ctx, "*")
}

// DeclaredHeads is Declared without bodies: what changed has another time.
func (s *Store) DeclaredHeads(ctx context.Context) ([]DeclaredAPI, error) {
	return s.declared(ctx, "service", "name", "author", "time")
}

func (s *Store) declared(ctx context.Context, columns ...string) ([]DeclaredAPI, error) {
	var rows []declaredRow
	if err := s.state.read.NewSelect().Model(&rows).Column(columns...).Order("service").Scan(ctx); err != nil {
		return nil, fmt.Errorf("list declared APIs: %w", s.state.explain(err))
	}
	out := make([]DeclaredAPI, len(rows))
	for i, r := range rows {
		out[i] = DeclaredAPI{r.Service, r.Name, r.Body, r.Author, fromNanos(r.Time)}
	}
	return out, nil
}
