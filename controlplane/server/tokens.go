package server

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/gabion-io/gabion/controlplane/store"
)

// TokenRequest asks for a token.
type TokenRequest struct {
	Name string     `json:"name" minLength:"1" maxLength:"64" pattern:"^[A-Za-z0-9][A-Za-z0-9._@-]*$" patternDescription:"letters, digits and . _ @ -"`
	Role store.Role `json:"role" enum:"viewer,editor,admin"`
}

// NewToken is a token with its secret, which is shown this once.
type NewToken struct {
	store.Token
	Secret string `json:"secret"`
}

// TokenList lists tokens, newest first.
type TokenList struct {
	Items []store.Token `json:"items"`
}

func (a *api) tokenOperations() {
	route(a, operation{id: "whoami", method: http.MethodGet, path: "/whoami", tag: "tokens", role: store.RoleViewer,
		summary: "Say which token this is"}, a.whoami)
	route(a, operation{id: "list-tokens", method: http.MethodGet, path: "/tokens", tag: "tokens", role: store.RoleAdmin,
		summary: "List tokens, revoked ones too"}, a.listTokens)
	route(a, operation{id: "create-token", method: http.MethodPost, path: "/tokens", tag: "tokens", role: store.RoleAdmin, status: http.StatusCreated,
		summary: "Make a token; its secret is shown once"}, a.createToken)
	route(a, operation{id: "revoke-token", method: http.MethodDelete, path: "/tokens/{token}", tag: "tokens", role: store.RoleAdmin, status: http.StatusNoContent,
		summary: "Revoke a token by name or id"}, a.revokeToken)
}

func (a *api) whoami(ctx context.Context, _ *struct{}) (*bodyOf[store.Token], error) {
	return &bodyOf[store.Token]{caller(ctx)}, nil
}

func (a *api) listTokens(ctx context.Context, _ *struct{}) (*bodyOf[TokenList], error) {
	tokens, err := a.Store.Tokens(ctx)
	return &bodyOf[TokenList]{TokenList{orEmpty(tokens)}}, err
}

func (a *api) createToken(ctx context.Context, in *bodyOf[TokenRequest]) (*bodyOf[NewToken], error) {
	secret, t, err := a.Store.CreateToken(ctx, store.TokenSpec{Name: in.Body.Name, Role: in.Body.Role, Author: caller(ctx).Name})
	if err != nil {
		return nil, err
	}
	return &bodyOf[NewToken]{NewToken{Token: t, Secret: secret}}, nil
}

type revokeInput struct {
	Token string `path:"token" maxLength:"64" doc:"name or id"`
}

// revokeToken leaves no installation without an administrator that can log in:
// a caller cannot revoke the token it calls with.
func (a *api) revokeToken(ctx context.Context, in *revokeInput) (*struct{}, error) {
	if me := caller(ctx); in.Token == me.ID || in.Token == me.Name {
		return nil, huma.Error409Conflict("this is the token you are using; revoke it with another one")
	}
	return nil, a.Store.RevokeToken(ctx, in.Token, caller(ctx).Name)
}

// orEmpty makes an absent list an empty one in JSON.
func orEmpty[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}
