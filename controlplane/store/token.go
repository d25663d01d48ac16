package store

import (
	"context"
	"time"
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

// CreateToken makes a token and returns its secret (256 random bits), once.
func (s *Store) CreateToken(ctx context.Context, spec TokenSpec) (secret string, t Token, err error) {
	panic("todo")
}

// Authenticate finds the token with this secret, or ErrUnknownID.
func (s *Store) Authenticate(ctx context.Context, secret string) (Token, error) { panic("todo") }

// RevokeToken revokes by name or id, or ErrNotFound.
func (s *Store) RevokeToken(ctx context.Context, nameOrID, author string) error { panic("todo") }

// Tokens lists all, revoked ones too, newest first.
func (s *Store) Tokens(ctx context.Context) ([]Token, error) { panic("todo") }
