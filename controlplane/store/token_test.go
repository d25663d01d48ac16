package store

import (
	"errors"
	"strings"
	"testing"
	"time"
)

func TestTokens(t *testing.T) {
	onBoth(t, func(t *testing.T, open func(Options) *Store) {
		ctx, c := t.Context(), newClock()
		s := open(Options{Now: c.now})
		secret, tok, err := s.CreateToken(ctx, TokenSpec{Name: "ci", Role: RoleEditor, Author: "ann"})
		if err != nil || !strings.HasPrefix(secret, "gabion_") || len(secret) < 50 {
			t.Fatal(secret, err)
		}
		got, err := s.Authenticate(ctx, secret)
		if err != nil || got.ID != tok.ID || got.Role != RoleEditor {
			t.Fatal(got, err)
		}
		for _, wrong := range []string{"", "gabion_", secret + "x", secret[:len(secret)-1], strings.ToUpper(secret), "' OR 1=1 --"} {
			if _, err := s.Authenticate(ctx, wrong); !errors.Is(err, ErrUnknownID) {
				t.Errorf("%q: %v", wrong, err)
			}
		}
		if _, _, err := s.CreateToken(ctx, TokenSpec{Name: "ci", Role: RoleAdmin, Author: "ann"}); !errors.Is(err, ErrExists) {
			t.Fatal(err)
		}
		if _, err := s.Authenticate(ctx, secret); err != nil {
			t.Fatal("a refused creation revoked the old token", err)
		}
		c.advance(time.Second)
		fresh, _, err := s.CreateToken(ctx, TokenSpec{Name: "ci", Role: RoleAdmin, Author: "ann", Replace: true})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.Authenticate(ctx, secret); !errors.Is(err, ErrUnknownID) {
			t.Fatal("replaced token still works", err)
		}
		if err := s.RevokeToken(ctx, "ci", "ann"); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Authenticate(ctx, fresh); !errors.Is(err, ErrUnknownID) {
			t.Fatal("revoked token still works", err)
		}
		if err := s.RevokeToken(ctx, "ci", "ann"); !errors.Is(err, ErrNotFound) {
			t.Fatal(err)
		}
		if _, _, err := s.CreateToken(ctx, TokenSpec{Name: "x", Role: "root", Author: "ann"}); err == nil {
			t.Fatal("unknown role accepted")
		}
		if all := must(s.Tokens(ctx)); len(all) != 2 || all[1].LastUsed != c.now().Truncate(time.Minute) {
			t.Fatalf("%+v", all)
		}
		for _, e := range must(s.AuditLog(ctx, AuditQuery{})) {
			if strings.Contains(e.Note+e.Resource, secret) {
				t.Fatal("secret in the audit log")
			}
		}
		if v := must(s.VerifyAudit(ctx)); v.Entries != 4 || v.Broken != 0 {
			t.Fatalf("%+v", v)
		}
		key := must(s.InstallationKey(ctx, "client"))
		if again := must(s.InstallationKey(ctx, "client")); len(key) != 32 || string(again) != string(key) {
			t.Fatal("installation key changes")
		}
	})
}

func TestProposals(t *testing.T) {
	onBoth(t, func(t *testing.T, open func(Options) *Store) {
		ctx, c := t.Context(), newClock()
		s := open(Options{Now: c.now})
		p := Proposal{ID: "p1", Kind: "exclusion", Target: shop, Body: []byte(`{"a":1}`), Author: "ann"}
		if _, err := s.PutProposal(ctx, p); err != nil {
			t.Fatal(err)
		}
		c.advance(time.Minute)
		p.Body = []byte(`{"a":2}`)
		p = must(s.PutProposal(ctx, p))
		if p.Updated.Sub(p.Created) != time.Minute || p.Status != ProposalOpen {
			t.Fatalf("%+v", p)
		}
		// A base that moved: nothing of the acceptance may stay.
		r := manifest(shop, "with exclusion")
		_, err := s.DecideProposal(ctx, "p1", ProposalAccepted, &r, PutOptions{Author: "bob", ExpectRevision: expect(4)})
		var conflict *ConflictError
		if !errors.As(err, &conflict) {
			t.Fatal(err)
		}
		if got := must(s.Proposal(ctx, "p1")); got.Status != ProposalOpen {
			t.Fatalf("%+v", got)
		}
		got, err := s.DecideProposal(ctx, "p1", ProposalAccepted, &r, PutOptions{Author: "bob", ExpectRevision: expect(0)})
		if err != nil || got.DecidedBy != "bob" || string(got.Body) != `{"a":2}` {
			t.Fatal(got, err)
		}
		if cur := must(s.Resource(ctx, shop)); string(cur.Manifest) != "with exclusion" {
			t.Fatal(cur)
		}
		if _, err := s.DecideProposal(ctx, "p1", ProposalRejected, nil, PutOptions{Author: "bob"}); !errors.Is(err, ErrExists) {
			t.Fatal(err)
		}
		if _, err := s.PutProposal(ctx, p); !errors.Is(err, ErrExists) {
			t.Fatal(err)
		}
		if _, err := s.Proposal(ctx, "none"); !errors.Is(err, ErrNotFound) {
			t.Fatal(err)
		}
		if open := must(s.Proposals(ctx, ProposalOpen)); len(open) != 0 {
			t.Fatal(open)
		}
		if log := must(s.AuditLog(ctx, AuditQuery{})); len(log) != 2 || log[0].Action != "proposal accept" || log[1].Action != "accept" {
			t.Fatalf("%+v", log)
		}
	})
}
