package store

import (
	"bytes"
	"compress/flate"
	"context"
	"fmt"
	"io"
	"time"

	"github.com/uptrace/bun"
)

// ObservedAPI is the API that a service was observed to have at some time.
type ObservedAPI struct {
	Service  string    `json:"service"`
	Revision int64     `json:"revision"` // of the service, from 1
	Reason   string    `json:"reason"`   // "daily", or who asked
	Time     time.Time `json:"time"`
	Body     []byte    `json:"-"` // OpenAPI, YAML
}

type observedRow struct {
	bun.BaseModel `bun:"table:observed_apis"`
	ID            int64 `bun:",pk,autoincrement"`
	Service       string
	Revision      int64
	Reason        string
	Body          []byte
	Time          int64
	Size          int64
}

// AddObserved keeps what is observed now, unless it is what the latest revision
// says; it answers the revision that says it.
func (s *Store) AddObserved(ctx context.Context, o ObservedAPI) (ObservedAPI, bool, error) {
	added := false
	err := s.state.update(ctx, func(tx bun.Tx) error {
		added = false
		last, found, err := latestObserved(ctx, tx, o.Service)
		if err != nil {
			return err
		}
		if found && bytes.Equal(last.Body, o.Body) {
			o = last
			return nil
		}
		o.Revision, o.Time, added = last.Revision+1, s.o.Now().UTC(), true
		row := observedRow{Service: text(o.Service), Revision: o.Revision, Reason: text(o.Reason), Body: deflated(o.Body), Time: nanos(o.Time)}
		row.Size = int64(len(row.Body)) + rowBytes
		_, err = tx.NewInsert().Model(&row).Exec(ctx)
		return err
	})
	if err != nil {
		return o, false, fmt.Errorf("write observed API of %q: %w", o.Service, err)
	}
	return o, added, nil
}

func latestObserved(ctx context.Context, db bun.IDB, service string) (ObservedAPI, bool, error) {
	var rows []observedRow
	err := db.NewSelect().Model(&rows).Where("service = ?", service).Order("revision DESC").Limit(1).Scan(ctx)
	if err != nil || len(rows) == 0 {
		return ObservedAPI{}, false, err
	}
	o, err := rows[0].observed()
	return o, true, err
}

func (r observedRow) observed() (ObservedAPI, error) {
	body, err := inflated(r.Body)
	if err != nil {
		return ObservedAPI{}, fmt.Errorf("%w: observed API %d: %v", ErrCorrupt, r.ID, err)
	}
	return ObservedAPI{r.Service, r.Revision, r.Reason, fromNanos(r.Time), body}, nil
}

// Observed lists the revisions of a service's API, newest first, without bodies.
func (s *Store) Observed(ctx context.Context, service string) ([]ObservedAPI, error) {
	var rows []observedRow
	err := s.state.read.NewSelect().Model(&rows).Column("id", "service", "revision", "reason", "time").
		Where("service = ?", service).Order("revision DESC").Limit(maxLimit).Scan(ctx)
	if err != nil {
		return nil, fmt.Errorf("list observed APIs: %w", s.state.explain(err))
	}
	out := make([]ObservedAPI, len(rows))
	for i, r := range rows {
		out[i] = ObservedAPI{Service: r.Service, Revision: r.Revision, Reason: r.Reason, Time: fromNanos(r.Time)}
	}
	return out, nil
}

// ObservedAt returns one revision, or ErrNotFound.
func (s *Store) ObservedAt(ctx context.Context, service string, revision int64) (ObservedAPI, error) {
	var rows []observedRow
	err := s.state.read.NewSelect().Model(&rows).Where("service = ? AND revision = ?", service, revision).Scan(ctx)
	if err == nil && len(rows) == 0 {
		err = ErrNotFound
	}
	if err != nil {
		return ObservedAPI{}, fmt.Errorf("read revision %d of the API of %q: %w", revision, service, s.state.explain(err))
	}
	return rows[0].observed()
}

func deflated(b []byte) []byte {
	var out bytes.Buffer
	z, _ := flate.NewWriter(&out, flate.DefaultCompression) // the level is right, and memory does not fail
	_, _ = z.Write(b)
	_ = z.Close()
	return out.Bytes()
}

// inflated is deflated's other way, of documents up to 64 MiB.
func inflated(b []byte) ([]byte, error) {
	const most = 64 << 20
	out, err := io.ReadAll(io.LimitReader(flate.NewReader(bytes.NewReader(b)), most+1))
	if err == nil && len(out) > most {
		err = fmt.Errorf("longer than %d bytes", most)
	}
	return out, err
}
