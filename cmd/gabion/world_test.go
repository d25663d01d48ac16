package main

import (
	"testing"

	"github.com/gabion-io/gabion/controlplane/api/v1alpha1"
	"github.com/gabion-io/gabion/controlplane/server/servertest"
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

func rootPolicy(name, mode string) string {
	return "apiVersion: gabion.io/v1alpha1\nkind: WAFPolicy\nmetadata: {name: " + name + "}\nspec: {mode: " + mode + "}\n"
}
