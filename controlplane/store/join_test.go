package store

import (
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

func TestJoinTokens(t *testing.T) {
	onBoth(t, func(t *testing.T, open func(Options) *Store) {
		ctx, c := t.Context(), newClock()
		s := open(Options{Now: c.now})
		create := func(ttl time.Duration) string {
			secret, tok, err := s.CreateJoinToken(ctx, JoinSpec{Host: "a", TTL: ttl, Author: "ann"})
			if err != nil || tok.Host != "a" || !strings.HasPrefix(secret, "gabion_join_") || len(secret) < 50 {
				t.Fatal(secret, tok, err)
			}
			return secret
		}
		redeem := func(secret, host string, want error) {
			t.Helper()
			if err := s.RedeemJoinToken(ctx, secret, host); !errors.Is(err, want) || (err == nil) != (want == nil) {
				t.Errorf("%v, want %v", err, want)
			}
		}
		secret := create(time.Hour)
		redeem(secret, "b", ErrJoinHost)
		redeem(secret+"x", "a", ErrJoinUnknown)
		redeem("", "a", ErrJoinUnknown)
		redeem("' OR 1=1 --", "a", ErrJoinUnknown)
		before := c.now()
		if must(s.JoinedSince(ctx, "a", before.Add(-time.Hour))) {
			t.Error("it has joined before it did")
		}
		c.advance(time.Second)
		redeem(secret, "a", nil)
		redeem(secret, "a", ErrJoinUsed)
		for since, want := range map[time.Time]bool{before: true, c.now(): false} {
			if must(s.JoinedSince(ctx, "a", since)) != want || must(s.JoinedSince(ctx, "b", since)) {
				t.Errorf("joined since %s: want %v, and no other host", since, want)
			}
		}
		late := create(time.Minute)
		c.advance(time.Minute)
		redeem(late, "a", ErrJoinExpired)
		revoked := create(time.Hour)
		id := must(s.JoinTokens(ctx))[0].ID
		if err := s.RevokeJoinToken(ctx, id, "ann"); err != nil {
			t.Fatal(err)
		}
		if err := s.RevokeJoinToken(ctx, id, "ann"); !errors.Is(err, ErrNotFound) {
			t.Error(err)
		}
		redeem(revoked, "a", ErrJoinUnknown)
		for _, bad := range []JoinSpec{{"", time.Hour, "ann"}, {"a", 0, "ann"}, {"a", MaxJoinTTL + 1, "ann"}, {"a", time.Hour, ""}} {
			if _, _, err := s.CreateJoinToken(ctx, bad); err == nil {
				t.Errorf("%+v is taken", bad)
			}
		}
		for _, e := range must(s.AuditLog(ctx, AuditQuery{})) {
			if strings.Contains(e.Note+e.Resource, secret) {
				t.Error("secret in the audit log")
			}
		}
		c.advance(keepJoin + 2*time.Hour)
		create(time.Hour)
		if all := must(s.JoinTokens(ctx)); len(all) != 1 {
			t.Errorf("%d are kept, want the newest: %+v", len(all), all)
		}
	})
}

// Of many that show one secret at once, one joins.
func TestJoinTokenIsGoodOnce(t *testing.T) {
	onBoth(t, func(t *testing.T, open func(Options) *Store) {
		s := open(Options{})
		secret, _, err := s.CreateJoinToken(t.Context(), JoinSpec{Host: "a", TTL: time.Hour, Author: "ann"})
		if err != nil {
			t.Fatal(err)
		}
		var all sync.WaitGroup
		var joined atomic.Int32
		for range 16 {
			all.Go(func() {
				switch err := s.RedeemJoinToken(t.Context(), secret, "a"); {
				case err == nil:
					joined.Add(1)
				case !errors.Is(err, ErrJoinUsed):
					t.Error(err)
				}
			})
		}
		all.Wait()
		if joined.Load() != 1 {
			t.Errorf("%d joined", joined.Load())
		}
	})
}
