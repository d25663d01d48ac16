package arch

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/txtar"
)

// check runs every rule over the tree below root.
func check(t *testing.T, root string, words []string) []string {
	t.Helper()
	tr, err := readTree(root)
	if err != nil {
		t.Fatal(err)
	}
	var bad []string
	for _, rule := range []func(*tree) []string{directions, dependencies, agentLinks, noInit, noState, names, docs} {
		bad = append(bad, rule(tr)...)
	}
	more, err := wording(root, tr, words)
	if err != nil {
		t.Fatal(err)
	}
	return append(bad, more...)
}

func TestTheHouse(t *testing.T) {
	for _, v := range check(t, "../..", words) {
		t.Error(v)
	}
}

// The test of the test: a small house with every fault in it.
func TestFaultsAreFound(t *testing.T) {
	house, err := txtar.ParseFile("testdata/faults.txtar")
	if err != nil {
		t.Fatal(err)
	}
	root := t.TempDir()
	var want []string
	for _, f := range house.Files {
		if f.Name == "want" {
			want = strings.Split(strings.TrimSpace(string(f.Data)), "\n")
			continue
		}
		name := filepath.Join(root, filepath.FromSlash(f.Name))
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, f.Data, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if d := cmp.Diff(want, check(t, root, []string{"unspeakab[l]e"})); d != "" {
		t.Errorf("violations (-want +got):\n%s", d)
	}
}

func TestTheHouseIsThere(t *testing.T) {
	tr, err := readTree("../..")
	if err != nil {
		t.Fatal(err)
	}
	if tr.module != "github.com/gabion-io/gabion" || len(tr.packages) < 10 {
		t.Errorf("module %q with %d packages: the walk looks in the wrong place", tr.module, len(tr.packages))
	}
}
