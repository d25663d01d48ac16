package store

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"fmt"
	"time"

	"github.com/oklog/ulid/v2"
	"github.com/uptrace/bun"
)

// Why a host may not join.
var (
	ErrJoinUnknown = errors.New("the join token is unknown or revoked")
	ErrJoinUsed    = errors.New("the join token was used already: it is good once")
	ErrJoinExpired = errors.New("the join token has expired")
	ErrJoinHost    = errors.New("the join token is for another host")
)

// JoinToken is what is known of a one-time token by which one host gets its first
// certificate. Its secret is shown once and only its hash is kept.
type JoinToken struct {
	ID      string    `json:"id"`
	Host    string    `json:"host"`
	Author  string    `json:"author"`
	Created time.Time `json:"created"`
	Expires time.Time `json:"expires"`
	Used    time.Time `json:"used,omitzero"`
	Revoked time.Time `json:"revoked,omitzero"`
}

// JoinSpec asks for a join token.
type JoinSpec struct {
	Host   string
	TTL    time.Duration
	Author string
}

// MaxJoinTTL bounds how long a join token may wait for its host.
const MaxJoinTTL = 7 * 24 * time.Hour

// keepJoin is how long tokens that can do nothing any more are listed.
const keepJoin = 30 * 24 * time.Hour

type joinRow struct {
	bun.BaseModel `bun:"table:join_tokens"`
	ID            string `bun:",pk"`
	Host          string
	Hash          string
	Author        string
	Created       int64
	Expires       int64
	Used          int64
	Revoked       int64
}

func (r joinRow) token() JoinToken {
	return JoinToken{r.ID, r.Host, r.Author, fromNanos(r.Created), fromNanos(r.Expires), fromNanos(r.Used), fromNanos(r.Revoked)}
}

// CreateJoinToken makes a token for one host and returns its secret (256 random
// bits), once.
func (s *Store) CreateJoinToken(ctx context.Context, spec JoinSpec) (secret string, t JoinToken, err error) {
	switch {
	case spec.Host == "" || spec.Author == "":
		return "", t, errors.New("create join token: a host and an author are required")
	case spec.TTL <= 0 || spec.TTL > MaxJoinTTL:
		return "", t, fmt.Errorf("create join token: it may wait for up to %s, not %s", MaxJoinTTL, spec.TTL)
	}
	random := make([]byte, 32)
	rand.Read(random) // never fails
	secret = secretPrefix + "join_" + base64.RawURLEncoding.EncodeToString(random)
	now := s.o.Now().UTC()
	row := joinRow{ID: ulid.MustNew(ulid.Timestamp(now), rand.Reader).String(), Host: text(spec.Host), Hash: hashSecret(secret),
		Author: text(spec.Author), Created: nanos(now), Expires: nanos(now.Add(spec.TTL))}
	err = s.state.update(ctx, func(tx bun.Tx) error {
		if _, err := tx.NewDelete().Model((*joinRow)(nil)).Where("expires < ?", nanos(now.Add(-keepJoin))).Exec(ctx); err != nil {
			return err
		}
		if _, err := tx.NewInsert().Model(&row).Exec(ctx); err != nil {
			return err
		}
		_, err := s.appendAudit(ctx, tx, AuditEntry{Author: spec.Author, Action: "join token create", Resource: "Host " + spec.Host,
			Note: fmt.Sprintf("token %s, good for %s", row.ID, spec.TTL)})
		return err
	})
	if err != nil {
		return "", t, fmt.Errorf("create join token for %q: %w", spec.Host, err)
	}
	return secret, row.token(), nil
}

// RedeemJoinToken uses a token up, durably, or says by an ErrJoin… why it cannot.
// A token that another host shows stays good for its own.
func (s *Store) RedeemJoinToken(ctx context.Context, secret, host string) error {
	return s.state.update(ctx, func(tx bun.Tx) error {
		var rows []joinRow
		// By hash, which an attacker cannot steer.
		if err := tx.NewSelect().Model(&rows).Where("hash = ?", hashSecret(secret)).Scan(ctx); err != nil {
			return fmt.Errorf("look up join token: %w", err)
		}
		if len(rows) != 1 {
			return ErrJoinUnknown
		}
		now := s.o.Now()
		if err := rows[0].refuses(host, now); err != nil {
			return err
		}
		_, err := tx.NewUpdate().Model((*joinRow)(nil)).Set("used = ?", nanos(now)).Where("id = ?", rows[0].ID).Exec(ctx)
		if err != nil {
			return fmt.Errorf("use join token: %w", err)
		}
		_, err = s.appendAudit(ctx, tx, AuditEntry{Author: "Host " + host, Action: "host join", Resource: "Host " + host, Note: "token " + rows[0].ID})
		return err
	})
}

// JoinedSince says whether a host has joined after a moment.
func (s *Store) JoinedSince(ctx context.Context, host string, since time.Time) (bool, error) {
	again, err := s.state.read.NewSelect().Model((*joinRow)(nil)).Where("host = ? AND used > ?", host, nanos(since)).Exists(ctx)
	if err != nil {
		return false, fmt.Errorf("look for joins of host %q: %w", host, s.state.explain(err))
	}
	return again, nil
}

// refuses says why a token is not good for a host at a moment.
func (r joinRow) refuses(host string, now time.Time) error {
	switch {
	case r.Revoked != 0:
		return ErrJoinUnknown
	case r.Used != 0:
		return ErrJoinUsed
	case nanos(now) >= r.Expires:
		return ErrJoinExpired
	case r.Host != host:
		return ErrJoinHost
	}
	return nil
}

// RevokeJoinToken ends a token that was not used, by id, or ErrNotFound.
func (s *Store) RevokeJoinToken(ctx context.Context, id, author string) error {
	err := s.state.update(ctx, func(tx bun.Tx) error {
		var rows []joinRow
		if err := tx.NewSelect().Model(&rows).Where("id = ? AND used = 0 AND revoked = 0", id).Scan(ctx); err != nil {
			return err
		}
		if len(rows) == 0 {
			return ErrNotFound
		}
		if _, err := tx.NewUpdate().Model((*joinRow)(nil)).Set("revoked = ?", nanos(s.o.Now())).Where("id = ?", id).Exec(ctx); err != nil {
			return err
		}
		_, err := s.appendAudit(ctx, tx, AuditEntry{Author: author, Action: "join token revoke", Resource: "Host " + rows[0].Host, Note: "token " + id})
		return err
	})
	if err != nil {
		return fmt.Errorf("revoke join token %q: %w", id, err)
	}
	return nil
}

// JoinTokens lists all, newest first; those that ended long ago are gone.
func (s *Store) JoinTokens(ctx context.Context) ([]JoinToken, error) {
	var rows []joinRow
	if err := s.state.read.NewSelect().Model(&rows).Order("created DESC", "id").Scan(ctx); err != nil {
		return nil, fmt.Errorf("list join tokens: %w", s.state.explain(err))
	}
	out := make([]JoinToken, len(rows))
	for i, r := range rows {
		out[i] = r.token()
	}
	return out, nil
}
