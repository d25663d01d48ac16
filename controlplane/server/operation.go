package server

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"github.com/gabion-io/gabion/controlplane/access"
	"github.com/gabion-io/gabion/controlplane/inventory"
	"github.com/gabion-io/gabion/controlplane/store"
)

// prefix is the API's version in every path.
const prefix = "/api/v1"

// operation names what one call does, for the document and for access control.
type operation struct {
	id      string // "list-resources"
	method  string
	path    string // below prefix
	summary string
	tag     string
	role    store.Role // the least role that may call it
	status  int        // of success; 0: 200
	long    bool       // may take minutes
}

// Deadlines of one request. A body that has been read lifts the read deadline:
// the server takes it running out for the client's going away.
const (
	bodyTime = 30 * time.Second
	longTime = 30 * time.Minute
)

// route registers a handler: the caller must hold a token of the role, and
// whatever error comes back is answered as a problem.
func route[I, O any](a *api, op operation, handle func(context.Context, *I) (*O, error)) {
	huma.Register(a.huma, huma.Operation{
		OperationID:     op.id,
		Method:          op.method,
		Path:            prefix + op.path,
		Summary:         op.summary,
		Description:     "Needs a token of role " + string(op.role) + " or more.",
		Tags:            []string{op.tag},
		DefaultStatus:   op.status,
		MaxBodyBytes:    MaxBody,
		BodyReadTimeout: bodyTime,
		Security:        []map[string][]string{{"token": {}}},
		Middlewares:     huma.Middlewares{a.require(op.role)},
		Errors:          []int{400, 401, 403, 404, 409, 422, 429, 500, 501, 503},
	}, func(ctx context.Context, in *I) (*O, error) {
		if rc, ok := ctx.Value(connectionKey{}).(*http.ResponseController); ok {
			_ = rc.SetReadDeadline(time.Time{})
			if op.long {
				_ = rc.SetWriteDeadline(time.Now().Add(longTime))
			}
		}
		out, err := handle(ctx, in)
		if err != nil {
			return nil, a.problem(ctx, op, err)
		}
		return out, nil
	})
}

type (
	callerKey     struct{} // store.Token
	connectionKey struct{} // *http.ResponseController
	admitKey      struct{} // func(context.Context) error
)

// caller is the token behind a request.
func caller(ctx context.Context) store.Token {
	t, _ := ctx.Value(callerKey{}).(store.Token)
	return t
}

// require lets a request through when its token has the role.
func (a *api) require(role store.Role) func(huma.Context, func(huma.Context)) {
	return func(hc huma.Context, next func(huma.Context)) {
		r, w := humago.Unwrap(hc)
		t, ok := a.authenticate(w, r, role)
		if !ok {
			return
		}
		hc = huma.WithValue(hc, connectionKey{}, http.NewResponseController(w))
		hc = huma.WithValue(hc, admitKey{}, func(ctx context.Context) error {
			secret, _ := bearer(r)
			_, err := a.Gate.Admit(ctx, r.RemoteAddr, secret, role)
			return err
		})
		next(huma.WithValue(hc, callerKey{}, t))
	}
}

// stillAdmitted is an error once the token behind a long answer would no longer be
// let in. That it cannot be looked at just now ends nothing.
func stillAdmitted(ctx context.Context) error {
	admit, ok := ctx.Value(admitKey{}).(func(context.Context) error)
	if !ok {
		return nil
	}
	if err := admit(ctx); errors.Is(err, access.ErrToken) || errors.Is(err, access.ErrRole) {
		return err
	}
	return nil
}

// authenticate answers the request itself when it may not go on.
func (a *api) authenticate(w http.ResponseWriter, r *http.Request, role store.Role) (store.Token, bool) {
	secret, ok := bearer(r)
	if !ok {
		w.Header().Set("WWW-Authenticate", `Bearer realm="gabion"`)
		writeProblem(w, http.StatusUnauthorized, "a bearer token is needed")
		return store.Token{}, false
	}
	t, err := a.Gate.Admit(r.Context(), r.RemoteAddr, secret, role)
	switch {
	case errors.Is(err, access.ErrThrottled):
		w.Header().Set("Retry-After", strconv.Itoa(int(access.RetryAfter.Seconds())))
		writeProblem(w, http.StatusTooManyRequests, err.Error())
	case errors.Is(err, access.ErrToken):
		w.Header().Set("WWW-Authenticate", `Bearer realm="gabion", error="invalid_token"`)
		writeProblem(w, http.StatusUnauthorized, err.Error())
	case errors.Is(err, access.ErrRole):
		writeProblem(w, http.StatusForbidden, err.Error())
	case err != nil:
		writeProblem(w, http.StatusServiceUnavailable, "the database cannot be asked who this token is: nothing was changed, and proxies go on with what they have; the server's log says why")
	}
	return t, err == nil
}

// bearer takes the token out of the Authorization header.
func bearer(r *http.Request) (token string, ok bool) {
	values := r.Header.Values("Authorization")
	if len(values) != 1 {
		return "", false
	}
	scheme, token, found := strings.Cut(values[0], " ")
	token = strings.TrimSpace(token)
	if !found || !strings.EqualFold(scheme, "Bearer") || token == "" || len(token) > 512 {
		return "", false
	}
	return token, true
}

// problem chooses the answer to an error. What is not the caller's doing is
// logged and answered without its text.
func (a *api) problem(ctx context.Context, op operation, err error) error {
	var status huma.StatusError
	var conflict *store.ConflictError
	switch {
	case errors.As(err, &status):
		return status
	case errors.As(err, &conflict):
		return huma.Error409Conflict(conflict.Error())
	case errors.Is(err, store.ErrNotFound), errors.Is(err, ErrNotFound):
		return huma.Error404NotFound(err.Error())
	case errors.Is(err, store.ErrExists), errors.Is(err, ErrConflict):
		return huma.Error409Conflict(err.Error())
	case errors.Is(err, ErrInvalid):
		return huma.Error422UnprocessableEntity(strings.TrimSuffix(err.Error(), ": "+ErrInvalid.Error()))
	case errors.Is(err, inventory.ErrInvalid):
		return huma.Error422UnprocessableEntity(strings.TrimPrefix(err.Error(), inventory.ErrInvalid.Error()+": "))
	case errors.Is(err, ErrDisabled):
		return huma.Error501NotImplemented(err.Error())
	case errors.Is(err, store.ErrDiskFull):
		return huma.NewError(http.StatusInsufficientStorage, "the disk under the state directory is full: nothing was changed; free some space and try again")
	case errors.Is(err, context.Canceled) && ctx.Err() != nil:
		return huma.NewError(499, "the caller went away")
	}
	a.Log.Error("operation failed", "operation", op.id, "error", err)
	return huma.Error500InternalServerError("internal error; the server's log has the details")
}
