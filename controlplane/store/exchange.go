package store

import (
	"context"
	"encoding/json"
	"fmt"
	"time"
	"unicode/utf8"

	"github.com/uptrace/bun"

	"github.com/gabion-io/gabion/internal/exchange"
)

// ExchangeQuery selects exchanges, newest first.
type ExchangeQuery struct {
	Since, Until time.Time
	Route        string
	Method, Path string
	PathPrefix   string
	PathSuffix   string
	Host         string
	Client       string
	Limit        int // default 100, at most 10,000
}

type exchangeRow struct {
	bun.BaseModel `bun:"table:exchanges"`
	ID            string `bun:",pk"`
	Time          int64
	Route         string
	Client        string
	Method        string
	Host          string
	Path          string
	Body          string
	Size          int64
}

func newExchangeRow(x exchange.Exchange) (exchangeRow, error) {
	body, err := json.Marshal(x)
	if err != nil {
		return exchangeRow{}, err
	}
	row := exchangeRow{ID: text(x.ID), Time: nanos(x.Time), Route: text(x.Route), Client: text(x.Client),
		Method: text(x.Method), Host: text(x.Host), Path: text(x.Path), Body: text(string(body))}
	row.Size = int64(len(row.Body)+len(row.Path)+len(row.Host)) + rowBytes
	return row, nil
}

// AddExchanges stores those not stored yet (by ID) and says how many were new; a
// later report of the same stream replaces the earlier.
func (s *Store) AddExchanges(ctx context.Context, xs []exchange.Exchange) (added int, err error) {
	if len(xs) == 0 {
		return 0, nil
	}
	if s.disk.full() {
		s.refused.Add(int64(len(xs)))
		return 0, s.stopped("exchanges")
	}
	err = s.telemetry.update(ctx, func(tx bun.Tx) error {
		added = 0
		for _, part := range chunks(xs, func(exchange.Exchange) int64 { return 1024 }) {
			n, err := addExchanges(ctx, tx, part)
			if err != nil {
				return err
			}
			added += n
		}
		return nil
	})
	if err != nil {
		return 0, fmt.Errorf("write exchanges: %w", err)
	}
	return added, nil
}

func addExchanges(ctx context.Context, tx bun.Tx, xs []exchange.Exchange) (int, error) {
	var rows []exchangeRow
	at := map[string]int{}
	for _, x := range xs {
		row, err := newExchangeRow(x)
		if err != nil {
			return 0, err
		}
		if i, twice := at[row.ID]; twice {
			rows[i] = row
			continue
		}
		at[row.ID] = len(rows)
		rows = append(rows, row)
	}
	ids := make([]string, len(rows))
	for i, r := range rows {
		ids[i] = r.ID
	}
	known, err := tx.NewSelect().Model((*exchangeRow)(nil)).Where("id IN (?)", bun.List(ids)).Count(ctx)
	if err != nil {
		return 0, err
	}
	_, err = tx.NewInsert().Model(&rows).On("CONFLICT (id) DO UPDATE").
		Set("time = EXCLUDED.time, route = EXCLUDED.route, client = EXCLUDED.client, method = EXCLUDED.method").
		Set("host = EXCLUDED.host, path = EXCLUDED.path, body = EXCLUDED.body, size = EXCLUDED.size").Exec(ctx)
	return len(rows) - int(known), err
}

// Exchanges answers a query.
func (s *Store) Exchanges(ctx context.Context, q ExchangeQuery) ([]exchange.Exchange, error) {
	var rows []exchangeRow
	sel := s.telemetry.read.NewSelect().Model(&rows).Order("time DESC", "id DESC").
		Limit(bounded(q.Limit))
	sel = between(sel, q.Since, q.Until)
	for _, f := range []struct{ column, want string }{
		{"route", q.Route}, {"method", q.Method}, {"path", q.Path}, {"host", q.Host}, {"client", q.Client},
	} {
		sel = equal(sel, f.column, f.want)
	}
	if p := text(q.PathPrefix); p != "" {
		sel = sel.Where("substr(path, 1, ?) = ?", utf8.RuneCountInString(p), p)
	}
	if p := text(q.PathSuffix); p != "" {
		sel = sel.Where("substr(path, length(path) + 1 - ?) = ?", utf8.RuneCountInString(p), p)
	}
	if err := sel.Scan(ctx); err != nil {
		return nil, fmt.Errorf("read exchanges: %w", s.telemetry.explain(err))
	}
	out := make([]exchange.Exchange, len(rows))
	for i, r := range rows {
		if err := json.Unmarshal([]byte(r.Body), &out[i]); err != nil {
			return nil, fmt.Errorf("read exchanges: %w: exchange %s: %v", ErrCorrupt, r.ID, err)
		}
	}
	return out, nil
}
