package server

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/gabion-io/gabion/controlplane/identity"
	"github.com/gabion-io/gabion/controlplane/store"
)

// Authority is what hosts know the control plane by; *identity.Authority is one.
type Authority interface{ Pin() identity.Pin }

// JoinRequest asks for a token by which one host may join.
type JoinRequest struct {
	Host       string `json:"host" minLength:"1" maxLength:"253" doc:"name of the host: workloads say by spec.node that they run there"`
	TTLSeconds int64  `json:"ttlSeconds" minimum:"1" maximum:"604800" doc:"how long it may wait for its host"`
}

// NewJoinToken is a join token with its text, which is shown this once.
type NewJoinToken struct {
	store.JoinToken
	Token string `json:"token" doc:"the secret, and the fingerprint by which the host knows the control plane"`
}

// JoinTokenList lists join tokens, newest first.
type JoinTokenList struct {
	Items []store.JoinToken `json:"items"`
}

func (a *api) joinOperations() {
	route(a, operation{id: "list-join-tokens", method: http.MethodGet, path: "/join-tokens", tag: "hosts", role: store.RoleAdmin,
		summary: "List join tokens, used ones too"}, a.listJoinTokens)
	route(a, operation{id: "create-join-token", method: http.MethodPost, path: "/join-tokens", tag: "hosts", role: store.RoleAdmin, status: http.StatusCreated,
		summary: "Make a token by which one host joins, once"}, a.createJoinToken)
	route(a, operation{id: "revoke-join-token", method: http.MethodDelete, path: "/join-tokens/{token}", tag: "hosts", role: store.RoleAdmin, status: http.StatusNoContent,
		summary: "Revoke a join token that was not used"}, a.revokeJoinToken)
}

func (a *api) listJoinTokens(ctx context.Context, _ *struct{}) (*bodyOf[JoinTokenList], error) {
	tokens, err := a.Store.JoinTokens(ctx)
	return &bodyOf[JoinTokenList]{JoinTokenList{orEmpty(tokens)}}, err
}

func (a *api) createJoinToken(ctx context.Context, in *bodyOf[JoinRequest]) (*bodyOf[NewJoinToken], error) {
	if a.Authority == nil {
		return nil, fmt.Errorf("hosts joining is %w", ErrDisabled)
	}
	if err := identity.CheckHost(in.Body.Host); err != nil {
		return nil, huma.Error422UnprocessableEntity(err.Error())
	}
	secret, t, err := a.Store.CreateJoinToken(ctx, store.JoinSpec{
		Host: in.Body.Host, TTL: time.Duration(in.Body.TTLSeconds) * time.Second, Author: caller(ctx).Name,
	})
	if err != nil {
		return nil, err
	}
	token := identity.Token{Secret: secret, Pin: a.Authority.Pin()}
	return &bodyOf[NewJoinToken]{NewJoinToken{JoinToken: t, Token: token.String()}}, nil
}

type revokeJoinInput struct {
	Token string `path:"token" maxLength:"64" doc:"id"`
}

func (a *api) revokeJoinToken(ctx context.Context, in *revokeJoinInput) (*struct{}, error) {
	return nil, a.Store.RevokeJoinToken(ctx, in.Token, caller(ctx).Name)
}
