package store

import (
	"context"
	"time"
)

// AuditEntry is one change and its author. Entries form a chain: Hash covers
// the entry and Previous, the hash of the entry before.
type AuditEntry struct {
	Seq      int64     `json:"seq"`
	Time     time.Time `json:"time"`
	Author   string    `json:"author"`
	Action   string    `json:"action"`             // "apply", "delete", "accept", "reject", "rollback", "token create", "recording open" …
	Resource string    `json:"resource,omitempty"` // Key.String(), token name, proposal id
	Revision int64     `json:"revision,omitempty"`
	Before   string    `json:"before,omitempty"` // sha256 hex of the manifest before; "": none
	After    string    `json:"after,omitempty"`
	Note     string    `json:"note,omitempty"`
	Previous string    `json:"previous"`
	Hash     string    `json:"hash"`
}

// AuditQuery selects entries, newest first.
type AuditQuery struct {
	Since, Until time.Time
	Author       string
	Resource     string
	Before       int64 // entries with a smaller Seq; 0: from the newest
	Limit        int   // default 100
}

// Audit appends an entry for an action that is no resource change (those write
// their own). Seq, Time, Previous and Hash are filled in.
func (s *Store) Audit(ctx context.Context, e AuditEntry) (AuditEntry, error) { panic("todo") }

func (s *Store) AuditLog(ctx context.Context, q AuditQuery) ([]AuditEntry, error) { panic("todo") }

// AuditVerdict is what VerifyAudit found.
type AuditVerdict struct {
	Entries int64  `json:"entries"`
	Pruned  int64  `json:"pruned"`           // entries removed by age; the chain is anchored behind them
	Broken  int64  `json:"broken,omitempty"` // Seq of the first entry that does not fit; 0: intact
	Reason  string `json:"reason,omitempty"`
	Head    string `json:"head"` // hash of the newest entry
}

// VerifyAudit recomputes the whole chain.
func (s *Store) VerifyAudit(ctx context.Context) (AuditVerdict, error) { panic("todo") }
