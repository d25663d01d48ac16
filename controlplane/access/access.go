// Package access admits callers of the control plane by their tokens, whichever
// door they come to, and slows down who guesses.
//
// It knows no protocol: controlplane/server and controlplane/hubble take the token
// out of what they speak. It makes and keeps no tokens (controlplane/store does).
// Only those doors and cmd import it.
package access

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"time"

	"github.com/gabion-io/gabion/controlplane/store"
)

// Why a caller is not let in. ErrRole is wrapped in who has and who needs what.
var (
	ErrThrottled = errors.New("too many refused tokens from this address; try again in a moment")
	ErrToken     = errors.New("the token is unknown or revoked")
	ErrRole      = errors.New("the token's role is not enough")
)

// RetryAfter is when the next guess of a throttled address is looked at.
const RetryAfter = loginEvery

// Gate admits callers. One is shared by all doors, so that an address has its
// guesses once.
type Gate struct {
	store    *store.Store
	log      *slog.Logger
	throttle *throttle
}

// NewGate makes a gate over the tokens of a store.
func NewGate(st *store.Store, now func() time.Time, log *slog.Logger) *Gate {
	return &Gate{store: st, log: log, throttle: newThrottle(now)}
}

// Admit finds the token behind a secret that came from an address ("host:port"),
// if it has the role. Other errors than those above are logged and not for the
// caller to see.
func (g *Gate) Admit(ctx context.Context, address, secret string, role store.Role) (store.Token, error) {
	address = guesser(address)
	if !g.throttle.allow(address, secret) {
		return store.Token{}, ErrThrottled
	}
	t, err := g.store.Authenticate(ctx, secret)
	switch {
	case errors.Is(err, store.ErrUnknownID):
		g.throttle.failed(address, secret)
		g.log.Warn("token refused", "address", address)
		return store.Token{}, ErrToken
	case err != nil:
		g.log.Error("token could not be checked", "error", err)
		return store.Token{}, err
	}
	g.throttle.succeeded(secret)
	if !includes(t.Role, role) {
		return store.Token{}, &roleError{t.Name, t.Role, role}
	}
	return t, nil
}

// roleError is an ErrRole that says more.
type roleError struct {
	token      string
	have, need store.Role
}

func (e *roleError) Error() string {
	return fmt.Sprintf("token %q has role %s; this needs %s", e.token, e.have, e.need)
}

func (e *roleError) Is(target error) bool { return target == ErrRole }

// includes says whether a token of role have may do what needs role want.
func includes(have, want store.Role) bool {
	order := map[store.Role]int{store.RoleViewer: 1, store.RoleEditor: 2, store.RoleAdmin: 3}
	return order[have] >= order[want] && order[have] > 0 && order[want] > 0
}

// guesser is what failures are counted against: an IPv6 client owns its whole /64.
func guesser(address string) string {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return address
	}
	if ip := net.ParseIP(host); ip != nil && ip.To4() == nil {
		return ip.Mask(net.CIDRMask(64, 128)).String()
	}
	return host
}
