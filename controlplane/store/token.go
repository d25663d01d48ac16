package store

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"time"

	"github.com/oklog/ulid/v2"
	"github.com/uptrace/bun"
)

// Role is what a token may do; each includes the ones before.
type Role string

const (
	RoleViewer Role = "viewer"
	RoleEditor Role = "editor"
	RoleAdmin  Role = "admin"
)

// Token is what is known of a token; its secret is shown once and only its
// hash is kept.
type Token struct {
	ID       string    `json:"id"`
	Name     string    `json:"name"` // unique among those not revoked
	Role     Role      `json:"role"`
	Created  time.Time `json:"created"`
	LastUsed time.Time `json:"lastUsed,omitzero"` // to the minute
	Revoked  time.Time `json:"revoked,omitzero"`
}

// TokenSpec asks for a token.
type TokenSpec struct {
	Name    string
	Role    Role
	Author  string // for the audit log
	Replace bool   // revoke one of the same name instead of ErrExists
}

type tokenRow struct {
	bun.BaseModel `bun:"table:tokens"`
	ID            string `bun:",pk"`
	Name          string
	Role          Role
	Hash          string
	Created       int64
	LastUsed      int64
	Revoked       int64
}

func (r tokenRow) token() Token {
	return Token{r.ID, r.Name, r.Role, fromNanos(r.Created), fromNanos(r.LastUsed), fromNanos(r.Revoked)}
}

// secretPrefix lets scanners of source code and logs know a token when they see one.
const secretPrefix = "gabion_"

// hashSecret needs no salt and no stretching: the secret is 256 random bits.
func hashSecret(secret string) string {
	sum := sha256.Sum256([]byte(secret))
	return hex.EncodeToString(sum[:])
}

// CreateToken makes a token and returns its secret (256 random bits), once.
func (s *Store) CreateToken(ctx context.Context, spec TokenSpec) (secret string, t Token, err error) {
	if err := checkToken(spec); err != nil {
		return "", t, fmt.Errorf("create token %q: %w", spec.Name, err)
	}
	random := make([]byte, 32)
	rand.Read(random) // never fails
	secret = secretPrefix + base64.RawURLEncoding.EncodeToString(random)
	now := s.o.Now().UTC()
	row := tokenRow{ID: ulid.MustNew(ulid.Timestamp(now), rand.Reader).String(), Name: spec.Name, Role: spec.Role,
		Hash: hashSecret(secret), Created: nanos(now)}
	err = s.state.update(ctx, func(tx bun.Tx) error {
		n, err := s.revoke(ctx, tx, "name = ?", spec.Name, spec)
		if err != nil {
			return err
		}
		if n > 0 && !spec.Replace {
			return ErrExists
		}
		if _, err := tx.NewInsert().Model(&row).Exec(ctx); err != nil {
			return err
		}
		_, err = s.appendAudit(ctx, tx, AuditEntry{Author: spec.Author, Action: "token create",
			Resource: "Token " + spec.Name, Note: "role " + string(spec.Role)})
		return err
	})
	if err != nil {
		return "", t, fmt.Errorf("create token %q: %w", spec.Name, err)
	}
	return secret, row.token(), nil
}

func checkToken(spec TokenSpec) error {
	switch {
	case spec.Name == "" || spec.Author == "":
		return errors.New("a name and an author are required")
	case spec.Role != RoleViewer && spec.Role != RoleEditor && spec.Role != RoleAdmin:
		return fmt.Errorf("role %q is none of viewer, editor, admin", spec.Role)
	}
	return nil
}

// revoke ends the matching tokens that are not revoked yet.
func (s *Store) revoke(ctx context.Context, tx bun.Tx, where, value string, spec TokenSpec) (int, error) {
	var rows []tokenRow
	if err := tx.NewSelect().Model(&rows).Where("revoked = 0").Where(where, value).Scan(ctx); err != nil {
		return 0, err
	}
	for _, r := range rows {
		_, err := tx.NewUpdate().Model((*tokenRow)(nil)).Set("revoked = ?", nanos(s.o.Now())).Where("id = ?", r.ID).Exec(ctx)
		if err != nil {
			return 0, err
		}
		_, err = s.appendAudit(ctx, tx, AuditEntry{Author: spec.Author, Action: "token revoke", Resource: "Token " + r.Name})
		if err != nil {
			return 0, err
		}
	}
	return len(rows), nil
}

// Authenticate finds the token with this secret, or ErrUnknownID. The look-up
// is by hash, which an attacker cannot steer, and the comparison takes constant
// time. That it was used is noted at most once a minute and never in the way.
func (s *Store) Authenticate(ctx context.Context, secret string) (Token, error) {
	hash := hashSecret(secret)
	var rows []tokenRow
	if err := s.state.read.NewSelect().Model(&rows).Where("hash = ?", hash).Scan(ctx); err != nil {
		return Token{}, fmt.Errorf("look up token: %w", s.state.explain(err))
	}
	if len(rows) != 1 || subtle.ConstantTimeCompare([]byte(rows[0].Hash), []byte(hash)) != 1 || rows[0].Revoked != 0 {
		return Token{}, ErrUnknownID
	}
	now := s.o.Now().UTC()
	if now.Sub(fromNanos(rows[0].LastUsed)) >= time.Minute {
		rows[0].LastUsed = nanos(now.Truncate(time.Minute))
		s.noteUse(ctx, rows[0])
	}
	return rows[0].token(), nil
}

func (s *Store) noteUse(ctx context.Context, r tokenRow) {
	err := s.state.update(ctx, func(tx bun.Tx) error {
		_, err := tx.NewUpdate().Model((*tokenRow)(nil)).Set("last_used = ?", r.LastUsed).Where("id = ?", r.ID).Exec(ctx)
		return err
	})
	if err != nil && ctx.Err() == nil {
		s.o.Log.Warn("note use of token", "token", r.Name, "error", err)
	}
}

// RevokeToken revokes by name or id, or ErrNotFound.
func (s *Store) RevokeToken(ctx context.Context, nameOrID, author string) error {
	err := s.state.update(ctx, func(tx bun.Tx) error {
		for _, where := range []string{"id = ?", "name = ?"} {
			n, err := s.revoke(ctx, tx, where, nameOrID, TokenSpec{Author: author})
			if err != nil || n > 0 {
				return err
			}
		}
		return ErrNotFound
	})
	if err != nil {
		return fmt.Errorf("revoke token %q: %w", nameOrID, err)
	}
	return nil
}

// Tokens lists all, revoked ones too, newest first.
func (s *Store) Tokens(ctx context.Context) ([]Token, error) {
	var rows []tokenRow
	if err := s.state.read.NewSelect().Model(&rows).Order("created DESC", "id").Scan(ctx); err != nil {
		return nil, fmt.Errorf("list tokens: %w", s.state.explain(err))
	}
	out := make([]Token, len(rows))
	for i, r := range rows {
		out[i] = r.token()
	}
	return out, nil
}
