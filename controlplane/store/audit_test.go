package store

import (
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/uptrace/bun"
)

func TestAuditFindsTampering(t *testing.T) {
	onBoth(t, func(t *testing.T, open func(Options) *Store) {
		ctx := t.Context()
		for _, c := range []struct {
			name, query, reason string
			broken              int64
		}{
			{"changed text", "UPDATE audit SET author = 'eve' WHERE seq = 4", "its content was changed", 4},
			{"changed hash", "UPDATE audit SET hash = previous WHERE seq = 4", "its content was changed", 4},
			{"changed link", "UPDATE audit SET previous = hash WHERE seq = 4", "it does not follow", 4},
			{"removed", "DELETE FROM audit WHERE seq IN (5, 6)", "entries 5 to 6 are missing", 5},
			{"cut off", "DELETE FROM audit WHERE seq > 7", "the newest entries, up to 9, are missing", 8},
			{"moved text", "UPDATE audit SET author = 'annx', action = 'est' WHERE seq = 2", "its content was changed", 2},
		} {
			s := open(Options{})
			for _, q := range []string{"DELETE FROM audit", "DELETE FROM audit_ends"} {
				if _, err := s.state.write.ExecContext(ctx, q); err != nil {
					t.Fatal(err)
				}
			}
			for range 9 {
				must(s.Audit(ctx, AuditEntry{Author: "ann", Action: "xest", Resource: "it's \\ \x00 \xff", Revision: 3}))
			}
			if v := must(s.VerifyAudit(ctx)); v.Broken != 0 || v.Entries != 9 {
				t.Fatalf("intact: %+v", v)
			}
			if _, err := s.state.write.ExecContext(ctx, c.query); err != nil {
				t.Fatal(err)
			}
			v := must(s.VerifyAudit(ctx))
			if v.Broken != c.broken {
				t.Errorf("%s: %+v, want broken at %d", c.name, v, c.broken)
			}
			contains(t, fmt.Errorf("%s", v.Reason), c.reason)
			s.Close()
		}
	})
}

func TestAuditChainIsConcurrent(t *testing.T) {
	onBoth(t, func(t *testing.T, open func(Options) *Store) {
		ctx := t.Context()
		a, b := open(Options{}), open(Options{})
		var wg sync.WaitGroup
		for i := range 40 {
			wg.Go(func() {
				s := a
				if i%2 == 0 {
					s = b
				}
				if _, err := s.Audit(ctx, AuditEntry{Author: "ann", Action: "test"}); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if v := must(a.VerifyAudit(ctx)); v.Broken != 0 || v.Entries != 40 {
			t.Fatalf("%+v", v)
		}
	})
}

// Who may only read cannot hold up those who write, nor wait for them.
func TestVerifyingHoldsUpNobody(t *testing.T) {
	onBoth(t, func(t *testing.T, open func(Options) *Store) {
		ctx, s := t.Context(), open(Options{})
		must(s.Audit(ctx, AuditEntry{Author: "ann", Action: "test"}))
		verified := make(chan AuditVerdict, 1)
		err := s.state.update(ctx, func(tx bun.Tx) error {
			if _, err := s.appendAudit(ctx, tx, AuditEntry{Author: "ann", Action: "test"}); err != nil {
				return err
			}
			go func() { v, _ := s.VerifyAudit(ctx); verified <- v }()
			select {
			case v := <-verified:
				if v.Broken != 0 || v.Entries != 1 {
					return fmt.Errorf("%+v", v)
				}
				return nil
			case <-time.After(20 * time.Second):
				return errors.New("it waits for a writer")
			}
		})
		if err != nil {
			t.Fatal(err)
		}
	})
}

func TestAuditQueryAndPrune(t *testing.T) {
	onBoth(t, func(t *testing.T, open func(Options) *Store) {
		ctx, c := t.Context(), newClock()
		s := open(Options{Now: c.now, Limits: Limits{Audit: Limit{Age: 10 * time.Hour}}})
		start := c.now()
		for i := range 30 {
			if i == 12 {
				c.advance(-3 * time.Hour) // a clock set back must not tear the chain
			}
			must(s.Audit(ctx, AuditEntry{Author: fmt.Sprint("a", i%2), Action: "test", Resource: fmt.Sprint("r", i%3)}))
			c.advance(time.Hour)
		}
		if got := must(s.AuditLog(ctx, AuditQuery{Author: "a1", Resource: "r0", Limit: 2})); len(got) != 2 || got[0].Seq != 28 || got[1].Seq != 22 {
			t.Fatalf("%+v", got)
		}
		if got := must(s.AuditLog(ctx, AuditQuery{Before: 3})); len(got) != 2 || got[0].Seq != 2 {
			t.Fatalf("%+v", got)
		}
		if got := must(s.AuditLog(ctx, AuditQuery{Until: start.Add(time.Second)})); len(got) != 1 {
			t.Fatalf("%+v", got)
		}
		if err := s.Prune(ctx); err != nil {
			t.Fatal(err)
		}
		v := must(s.VerifyAudit(ctx))
		if v.Broken != 0 || v.Pruned == 0 || v.Pruned+v.Entries != 30 || v.Entries < 10 {
			t.Fatalf("%+v", v)
		}
		c.advance(10000 * time.Hour)
		if err := s.Prune(ctx); err != nil {
			t.Fatal(err)
		}
		must(s.Audit(ctx, AuditEntry{Author: "ann", Action: "after"}))
		if v := must(s.VerifyAudit(ctx)); v.Broken != 0 || v.Pruned+v.Entries != 31 {
			t.Fatalf("%+v", v)
		}
	})
}
