package store

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"github.com/uptrace/bun"
)

// AuditEntry is one change and its author. Entries form a chain: Hash covers
// the entry and Previous, the hash of the entry before.
type AuditEntry struct {
	Seq      int64     `json:"seq"`
	Time     time.Time `json:"time"`
	Author   string    `json:"author"`             // of a token's change its name, of a file's the file
	Action   string    `json:"action"`             // "apply", "delete", "accept", "reject", "rollback", "file", "token create", "recording open" …
	Resource string    `json:"resource,omitempty"` // Key.String(), token name, proposal id
	Revision int64     `json:"revision,omitempty"`
	Before   string    `json:"before,omitempty"` // sha256 hex of the manifest before; "": none
	After    string    `json:"after,omitempty"`
	Note     string    `json:"note,omitempty"`
	Previous string    `json:"previous"`
	Hash     string    `json:"hash"`
}

type auditRow struct {
	bun.BaseModel `bun:"table:audit"`
	Seq           int64 `bun:",pk"`
	Time          int64
	Author        string
	Action        string
	Resource      string
	Revision      int64
	Before        string
	After         string
	Note          string
	Previous      string
	Hash          string
	Size          int64
}

func (r auditRow) entry() AuditEntry {
	return AuditEntry{r.Seq, fromNanos(r.Time), r.Author, r.Action, r.Resource, r.Revision, r.Before, r.After, r.Note, r.Previous, r.Hash}
}

// chainHash is SHA-256 over every field, each with its length before it so that
// no text can move from one field into the next.
func (e AuditEntry) chainHash() string {
	h := sha256.New()
	fields := []string{"gabion audit 1", fmt.Sprint(e.Seq), fmt.Sprint(nanos(e.Time)), e.Author, e.Action,
		e.Resource, fmt.Sprint(e.Revision), e.Before, e.After, e.Note, e.Previous}
	for _, f := range fields {
		fmt.Fprintf(h, "%d:%s", len(f), f)
	}
	return hex.EncodeToString(h.Sum(nil))
}

// auditEnd is where the chain starts (the last pruned entry) or ends (the newest).
type auditEnd struct {
	bun.BaseModel `bun:"table:audit_ends"`
	Name          string `bun:",pk"`
	Seq           int64
	Hash          string
}

const (
	chainStart = "start"
	chainHead  = "head"
)

func readEnd(ctx context.Context, db bun.IDB, name string) (auditEnd, error) {
	var rows []auditEnd
	if err := db.NewSelect().Model(&rows).Where("name = ?", name).Scan(ctx); err != nil {
		return auditEnd{}, err
	}
	if len(rows) == 0 {
		return auditEnd{Name: name}, nil
	}
	return rows[0], nil
}

func writeEnd(ctx context.Context, tx bun.Tx, end auditEnd) error {
	_, err := tx.NewInsert().Model(&end).On("CONFLICT (name) DO UPDATE").
		Set("seq = EXCLUDED.seq, hash = EXCLUDED.hash").Exec(ctx)
	return err
}

// appendAudit adds an entry to the chain. Writers come one at a time (update),
// so two can never follow the same entry.
func (s *Store) appendAudit(ctx context.Context, tx bun.Tx, e AuditEntry) (AuditEntry, error) {
	head, err := readEnd(ctx, tx, chainHead)
	if err != nil {
		return e, err
	}
	e.Author, e.Action, e.Resource, e.Note = text(e.Author), text(e.Action), text(e.Resource), text(e.Note)
	e.Seq, e.Previous, e.Time = head.Seq+1, head.Hash, s.o.Now().UTC().Round(0)
	e.Hash = e.chainHash()
	row := auditRow{Seq: e.Seq, Time: nanos(e.Time), Author: e.Author, Action: e.Action, Resource: e.Resource,
		Revision: e.Revision, Before: e.Before, After: e.After, Note: e.Note, Previous: e.Previous, Hash: e.Hash}
	row.Size = int64(len(e.Author)+len(e.Action)+len(e.Resource)+len(e.Note)) + 4*64 + rowBytes
	if _, err := tx.NewInsert().Model(&row).Exec(ctx); err != nil {
		return e, err
	}
	return e, writeEnd(ctx, tx, auditEnd{Name: chainHead, Seq: e.Seq, Hash: e.Hash})
}

// AuditQuery selects entries, newest first.
type AuditQuery struct {
	Since, Until time.Time
	Author       string
	Resource     string
	Before       int64 // entries with a smaller Seq; 0: from the newest
	Limit        int   // default 100, at most 10,000
}

// Audit appends an entry for an action that is no resource change (those write
// their own). Seq, Time, Previous and Hash are filled in.
func (s *Store) Audit(ctx context.Context, e AuditEntry) (AuditEntry, error) {
	if e.Author == "" || e.Action == "" {
		return e, errors.New("write audit entry: author and action are required")
	}
	var out AuditEntry
	err := s.state.update(ctx, func(tx bun.Tx) (err error) {
		out, err = s.appendAudit(ctx, tx, e)
		return err
	})
	if err != nil {
		return e, fmt.Errorf("write audit entry: %w", err)
	}
	return out, nil
}

// AuditLog lists entries, newest first.
func (s *Store) AuditLog(ctx context.Context, q AuditQuery) ([]AuditEntry, error) {
	var rows []auditRow
	sel := s.state.read.NewSelect().Model(&rows).Order("seq DESC").Limit(bounded(q.Limit))
	if q.Author != "" {
		sel = sel.Where("author = ?", q.Author)
	}
	if q.Resource != "" {
		sel = sel.Where("resource = ?", q.Resource)
	}
	if q.Before > 0 {
		sel = sel.Where("seq < ?", q.Before)
	}
	if err := between(sel, q.Since, q.Until).Scan(ctx); err != nil {
		return nil, fmt.Errorf("read audit log: %w", s.state.explain(err))
	}
	out := make([]AuditEntry, len(rows))
	for i, r := range rows {
		out[i] = r.entry()
	}
	return out, nil
}

// AuditVerdict is what VerifyAudit found.
type AuditVerdict struct {
	Entries int64  `json:"entries"`
	Pruned  int64  `json:"pruned"`           // entries removed by age; the chain is anchored behind them
	Broken  int64  `json:"broken,omitempty"` // Seq of the first entry that does not fit; 0: intact
	Reason  string `json:"reason,omitempty"`
	Head    string `json:"head"` // hash of the newest entry: noted elsewhere, it also proves that nobody rewrote the whole chain
}

// VerifyAudit recomputes the whole chain, in slices and as of one moment. It takes as
// long as the log is, and holds up no writer.
func (s *Store) VerifyAudit(ctx context.Context) (AuditVerdict, error) {
	var v AuditVerdict
	err := s.state.view(ctx, func(tx bun.Tx) (err error) {
		v, err = verifyChain(ctx, tx)
		return err
	})
	if err != nil {
		return v, fmt.Errorf("verify audit log: %w", s.state.explain(err))
	}
	return v, nil
}

func verifyChain(ctx context.Context, db bun.IDB) (v AuditVerdict, err error) {
	at, err := readEnd(ctx, db, chainStart)
	if err != nil {
		return v, err
	}
	head, err := readEnd(ctx, db, chainHead)
	if err != nil {
		return v, err
	}
	v.Pruned, v.Head = at.Seq, head.Hash
	for {
		var rows []auditRow
		if err := db.NewSelect().Model(&rows).Where("seq > ?", at.Seq).Order("seq").Limit(1000).Scan(ctx); err != nil {
			return v, err
		}
		for _, r := range rows {
			if reason := misfit(at, r.entry()); reason != "" {
				v.Broken, v.Reason = at.Seq+1, reason
				return v, nil
			}
			at.Seq, at.Hash = r.Seq, r.Hash
			v.Entries++
		}
		if len(rows) == 0 {
			break
		}
	}
	if at.Seq != head.Seq || at.Hash != head.Hash {
		v.Broken, v.Reason = at.Seq+1, fmt.Sprintf("the newest entries, up to %d, are missing", head.Seq)
	}
	return v, nil
}

// misfit says why e does not follow the entry at, or "".
func misfit(at auditEnd, e AuditEntry) string {
	switch {
	case e.Seq != at.Seq+1:
		return fmt.Sprintf("entries %d to %d are missing", at.Seq+1, e.Seq-1)
	case e.Previous != at.Hash:
		return "it does not follow the entry before it"
	case e.Hash != e.chainHash():
		return "its content was changed"
	}
	return ""
}
