package main

import (
	"log/slog"
	"testing"

	"github.com/gabion-io/gabion/controlplane/api/v1alpha1"
	"github.com/gabion-io/gabion/controlplane/reconcile"
	"github.com/gabion-io/gabion/controlplane/server/servertest"
	"github.com/gabion-io/gabion/controlplane/source"
	"github.com/gabion-io/gabion/controlplane/store"
	"github.com/gabion-io/gabion/filters"
)

// A rehearsal tells what will be in force: of two policies of equal rank the newer
// wins, and a candidate is the newest.
func TestCandidateIsTheNewest(t *testing.T) {
	p := servertest.Start(t, t.TempDir())
	objects, _ := v1alpha1.Decode("shop", []byte(servertest.Shop+"---\n"+rootPolicy("b", "detect")))
	for _, o := range objects {
		text, err := v1alpha1.Encode(o)
		if err != nil {
			t.Fatal(err)
		}
		r := store.Resource{Key: store.Key(v1alpha1.KeyOf(o)), Manifest: text}
		if _, _, err := p.Store.PutResource(t.Context(), r, store.PutOptions{Author: "test"}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := p.Loop.Settle(t.Context()); err != nil {
		t.Fatal(err)
	}
	w := &world{loop: p.Loop, store: p.Store}
	for _, name := range []string{"a", "b", "c"} {
		tables, err := w.Effective(t.Context(), []byte(rootPolicy(name, "block")))
		if err != nil {
			t.Fatal(err)
		}
		for _, table := range tables {
			for _, policy := range table.Policies {
				if policy.Mode != filters.ModeBlock {
					t.Errorf("with %s in block the mode is %s", name, policy.Mode)
				}
			}
		}
		if len(tables) != 1 {
			t.Errorf("%d tables", len(tables))
		}
	}
}

// A resource that was taken out of its file while nothing ran is recorded as gone.
func TestGoneWhileNobodyLooked(t *testing.T) {
	st := servertest.Start(t, t.TempDir()).Store
	objects, _ := v1alpha1.Decode("b", []byte(rootPolicy("b", "detect")))
	item := source.Item{Object: objects[0], Origin: source.File, File: "b.yaml", Manifest: []byte(rootPolicy("b", "detect"))}
	for _, items := range [][]source.Item{{item}, {item}, nil, nil} { // each time started anew
		recordRevisions(st, slog.New(slog.DiscardHandler))(t.Context(), &reconcile.State{Set: source.NewSet(items, nil)})
	}
	revisions, err := st.Revisions(t.Context(), store.Key(v1alpha1.KeyOf(objects[0])), 0)
	if err != nil || len(revisions) != 2 || !revisions[0].Deleted || revisions[0].Author != "b.yaml" {
		t.Errorf("%+v %v", revisions, err)
	}
}

func rootPolicy(name, mode string) string {
	return "apiVersion: gabion.io/v1alpha1\nkind: WAFPolicy\nmetadata: {name: " + name + "}\nspec: {mode: " + mode + "}\n"
}
