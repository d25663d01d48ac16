package enrol

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/cenkalti/backoff/v5"

	"github.com/gabion-io/gabion/controlplane/identity"
)

// askTime bounds one attempt to renew.
const askTime = 20 * time.Second

// Keep renews the certificate, again and again, when two thirds of its life are
// over, until the context ends. While the control plane is away it tries on; when
// the certificate has ended meanwhile, nothing but a new token helps, and Keep
// says so once and waits.
func (h *Holder) Keep(ctx context.Context, server string) error {
	for {
		leaf := h.get().leaf()
		at := identity.RenewAt(leaf)
		// Hosts that joined together do not renew together.
		spread := leaf.NotAfter.Sub(at) / 8
		wait(ctx, at.Sub(h.o.Now())+rand.N(max(spread, 1)))
		if !h.renewUntilEnd(ctx, server) && ctx.Err() == nil {
			h.o.Log.Error("the certificate ended: what is in force stays, changes do not arrive; join again with a new token")
			<-ctx.Done()
		}
		if ctx.Err() != nil {
			return nil
		}
	}
}

// renewUntilEnd tries until there is a new certificate, or the old one has ended.
func (h *Holder) renewUntilEnd(ctx context.Context, server string) bool {
	pause := backoff.NewExponentialBackOff()
	pause.InitialInterval, pause.MaxInterval = 200*time.Millisecond, time.Minute
	for said := false; ctx.Err() == nil && h.Joined() == nil; {
		attempt, cancel := context.WithTimeout(ctx, askTime)
		err := h.Renew(attempt, server)
		cancel()
		if err == nil {
			h.o.Log.Info("certificate renewed", "host", h.o.Host, "ends", h.get().leaf().NotAfter.UTC())
			return true
		}
		if !said && ctx.Err() == nil {
			h.o.Log.Warn("the certificate could not be renewed yet", "ends", h.get().leaf().NotAfter.UTC(), "error", err)
			said = true
		}
		wait(ctx, pause.NextBackOff())
	}
	return false
}

func wait(ctx context.Context, d time.Duration) {
	t := time.NewTimer(max(d, 0))
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}
