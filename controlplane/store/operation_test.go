package store

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/gabion-io/gabion/api-discovery"
)

func TestOperationParts(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, open func(Options) *Store) {
		ctx := t.Context()
		s := open(Options{Limits: Limits{Operations: Limit{Bytes: 1}}})
		ids := must(s.AddOperationParts(ctx, []OperationPart{{Service: "a", Body: []byte{0, 1}}, {Service: "b", Body: []byte{2}}, {Service: "a", Body: []byte{3}}}))
		if len(ids) != 3 || ids[0] >= ids[1] || ids[1] >= ids[2] {
			t.Fatal(ids)
		}
		if err := s.Prune(ctx); err != nil { // only who learns them may leave one out
			t.Fatal(err)
		}
		base := must(s.ReplaceOperationParts(ctx, []int64{ids[0], ids[2]}, OperationPart{Service: "a", Body: []byte{4}}))
		want := []OperationPart{{ids[1], "b", []byte{2}, time.Time{}}, {base, "a", []byte{4}, time.Time{}}}
		if diff := cmp.Diff(want, parts(t, s)); diff != "" {
			t.Error(diff)
		}
		if _, err := s.ReplaceOperationParts(ctx, []int64{ids[0], base}, OperationPart{Service: "a", Body: []byte{5}}); !errors.Is(err, ErrNotFound) {
			t.Error(err)
		}
		if diff := cmp.Diff(want, parts(t, s)); diff != "" {
			t.Errorf("a refused replacement changed something: %s", diff)
		}
		must(s.ReplaceOperationParts(ctx, []int64{base}, OperationPart{Service: "a"}))
		if diff := cmp.Diff(want[:1], parts(t, s)); diff != "" {
			t.Error(diff)
		}
		for _, c := range must(s.Status(ctx)).Classes {
			if c.Name == "operations" && c.Rows != 1 {
				t.Errorf("%+v", c)
			}
		}
	})
}

func parts(t *testing.T, s *Store) (list []OperationPart) {
	t.Helper()
	err := s.OperationParts(t.Context(), func(p OperationPart) error {
		p.Time = time.Time{}
		list = append(list, p)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return list
}

func TestOperationsGiveWayToResources(t *testing.T) {
	t.Parallel()
	s := must(Open(t.Context(), Options{Dir: t.TempDir(), Disk: func(string) (float64, error) { return 0.95, nil }}))
	defer s.Close()
	_, err := s.AddOperationParts(t.Context(), []OperationPart{{Service: "a", Body: []byte{1}}})
	if !errors.Is(err, ErrDiskFull) {
		t.Error(err)
	}
}

func TestOverrides(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, open func(Options) *Store) {
		ctx := t.Context()
		s := open(Options{})
		merge := apidiscovery.Override{Service: "default/shop", Action: apidiscovery.OverrideMerge, Template: apidiscovery.MustPathTemplate("/top/{kind}"), Author: "anna", Reason: "one thing"}
		first := must(s.AddOverride(ctx, merge))
		second := must(s.AddOverride(ctx, apidiscovery.Override{Action: apidiscovery.OverridePin, Template: apidiscovery.MustPathTemplate("/x"), Author: "anna"}))
		if err := s.RemoveOverride(ctx, second.ID, "bob"); err != nil {
			t.Fatal(err)
		}
		if err := s.RemoveOverride(ctx, second.ID, "bob"); !errors.Is(err, ErrNotFound) {
			t.Error(err)
		}
		got := must(s.Overrides(ctx))
		if len(got) != 1 || got[0].ID != first.ID || got[0].Template.String() != "/top/{kind}" {
			t.Errorf("%+v", got)
		}
		var log []string
		for _, e := range must(s.AuditLog(ctx, AuditQuery{})) {
			log = append(log, strings.Join([]string{e.Author, e.Action, e.Resource, e.Note}, "|"))
		}
		want := []string{"bob|api undo|API of every service|pin /x", "anna|api pin|API of every service|/x", "anna|api merge|API default/shop|/top/{kind} (one thing)"}
		if diff := cmp.Diff(want, log); diff != "" {
			t.Error(diff)
		}
	})
}

func TestDeclaredAndObserved(t *testing.T) {
	t.Parallel()
	onBoth(t, func(t *testing.T, open func(Options) *Store) {
		ctx := context.Background()
		c := newClock()
		s := open(Options{Now: c.now, Limits: Limits{Observed: Limit{Age: 24 * time.Hour}}})
		declared := DeclaredAPI{Service: "a", Name: "a.yaml", Body: []byte("openapi: 3.1.0\x00"), Author: "anna", Time: c.now()}
		for i, want := range []bool{true, false} {
			if changed := must(s.PutDeclared(ctx, declared)); changed != want {
				t.Errorf("%d: changed %v", i, changed)
			}
		}
		if diff := cmp.Diff([]DeclaredAPI{declared}, must(s.Declared(ctx))); diff != "" {
			t.Error(diff)
		}
		head := declared
		head.Body = nil
		if diff := cmp.Diff([]DeclaredAPI{head}, must(s.DeclaredHeads(ctx))); diff != "" {
			t.Error(diff)
		}
		must(s.PutDeclared(ctx, DeclaredAPI{Service: "a", Author: "anna"}))
		if _, err := s.PutDeclared(ctx, DeclaredAPI{Service: "a", Author: "anna"}); !errors.Is(err, ErrNotFound) {
			t.Error(err)
		}
		for i, body := range []string{"one", "one", "two", "three", "four"} {
			o, added, err := s.AddObserved(ctx, ObservedAPI{Service: "a", Reason: "daily", Body: []byte(body)})
			if err != nil || added != (i != 1) || o.Revision != int64(max(i, 1)) {
				t.Errorf("%d: %+v, %v, %v", i, o, added, err)
			}
		}
		c.advance(48 * time.Hour)
		if err := s.Prune(ctx); err != nil {
			t.Fatal(err)
		}
		list := must(s.Observed(ctx, "a"))
		if len(list) != 2 || list[0].Revision != 4 {
			t.Errorf("%+v", list)
		}
		if o := must(s.ObservedAt(ctx, "a", 3)); string(o.Body) != "three" {
			t.Errorf("%+v", o)
		}
		if _, err := s.ObservedAt(ctx, "a", 1); !errors.Is(err, ErrNotFound) {
			t.Error(err)
		}
	})
}

// Whatever stands in a row, it is a document or an error.
func FuzzInflated(f *testing.F) {
	f.Add(deflated([]byte("openapi: 3.1.0")))
	f.Fuzz(func(t *testing.T, b []byte) {
		out, err := inflated(b)
		if err == nil && len(out) < 1<<20 {
			if back, err := inflated(deflated(out)); err != nil || string(back) != string(out) {
				t.Fatal(err)
			}
		}
	})
}
