package main

import (
	"bytes"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/gabion-io/gabion/controlplane/api/v1alpha1"
	"github.com/gabion-io/gabion/controlplane/reconcile"
	"github.com/gabion-io/gabion/controlplane/server/servertest"
	"github.com/gabion-io/gabion/controlplane/source"
	"github.com/gabion-io/gabion/controlplane/store"
)

// filesWith is the state of a control plane that has these files.
func filesWith(t *testing.T, manifests map[string]string) *reconcile.State {
	t.Helper()
	var items []source.Item
	for file, text := range manifests {
		objects, problems := v1alpha1.Decode(file, []byte(text))
		if len(problems) > 0 {
			t.Fatal(problems)
		}
		for _, o := range objects {
			items = append(items, source.Item{Object: o, Origin: source.File, File: file, Manifest: []byte(text)})
		}
	}
	return &reconcile.State{Set: source.NewSet(items, nil)}
}

// history is what the store says became of a policy, oldest first.
func history(t *testing.T, st *store.Store, name string) (out []string) {
	t.Helper()
	revisions, err := st.Revisions(t.Context(), store.Key{Kind: v1alpha1.KindWAFPolicy, Namespace: "default", Name: name}, 0)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range slices.Backward(revisions) {
		out = append(out, fmt.Sprintf("%s gone=%t", r.Author, r.Deleted))
	}
	return out
}

// A resource that was taken out of its file while nothing ran is recorded as gone,
// once; what did not change is not recorded again.
func TestGoneWhileNobodyLooked(t *testing.T) {
	dir, log := t.TempDir(), &bytes.Buffer{}
	st := servertest.Start(t, dir).Store
	both := map[string]string{"a.yaml": rootPolicy("a", "detect"), "b.yaml": rootPolicy("b", "detect")}
	without := map[string]string{"a.yaml": rootPolicy("a", "detect")}
	for _, held := range []map[string]string{both, both, without, without} { // each time started anew
		f := &fileRevisions{store: st, path: filepath.Join(dir, "files.json"), log: slog.New(slog.NewTextHandler(log, nil))}
		f.observe(t.Context(), filesWith(t, held))
	}
	if diff := cmp.Diff([]string{"a.yaml gone=false"}, history(t, st, "a")); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"b.yaml gone=false", "b.yaml gone=true"}, history(t, st, "b")); diff != "" {
		t.Error(diff)
	}
	if log.Len() > 0 {
		t.Errorf("logged: %s", log)
	}
}

// Where path is missing (the version before had none) or damaged, the store says
// what files held, if it is this control plane's alone: others' files are theirs.
func TestGoneWithoutWhatWasHeld(t *testing.T) {
	for name, text := range map[string]string{"missing": "", "damaged": "[{"} {
		for _, shared := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, shared %t", name, shared), func(t *testing.T) {
				dir, log := t.TempDir(), &bytes.Buffer{}
				st, path := servertest.Start(t, dir).Store, filepath.Join(dir, "files.json")
				start := func(held map[string]string) {
					f := &fileRevisions{store: st, path: path, shared: shared, log: slog.New(slog.NewTextHandler(log, nil))}
					f.observe(t.Context(), filesWith(t, held))
				}
				start(map[string]string{"a.yaml": rootPolicy("a", "detect"), "b.yaml": rootPolicy("b", "detect")})
				os.Remove(path)
				if text != "" {
					if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
						t.Fatal(err)
					}
				}
				start(map[string]string{"a.yaml": rootPolicy("a", "detect")})
				if diff := cmp.Diff([]string{"a.yaml gone=false"}, history(t, st, "a")); diff != "" {
					t.Error(diff)
				}
				if gone := len(history(t, st, "b")) == 2; gone == shared {
					t.Errorf("recorded as gone: %t", gone)
				}
				if said := strings.Contains(log.String(), "files.json"); said != (text != "") {
					t.Errorf("logged: %s", log)
				}
				log.Reset()
				start(map[string]string{}) // what was held is written down again
				if history := history(t, st, "a"); len(history) != 2 || log.Len() > 0 {
					t.Errorf("at the next start: %v, logged %s", history, log)
				}
			})
		}
	}
}
