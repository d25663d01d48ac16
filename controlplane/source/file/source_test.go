package file

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gabion-io/gabion/controlplane/api/v1alpha1"
	"github.com/gabion-io/gabion/controlplane/source"
)

func policy(name, mode string) string {
	return fmt.Sprintf("apiVersion: gabion.io/v1alpha1\nkind: WAFPolicy\nmetadata: {name: %s}\nspec: {mode: %s}\n", name, mode)
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// show lists "name=mode" of the policies and the messages of bad conditions.
func show(s source.Set) (names, bad []string) {
	for _, i := range s.Items() {
		if p, ok := i.Object.(*v1alpha1.WAFPolicy); ok {
			names = append(names, p.Name+"="+*p.Spec.Mode)
		}
	}
	for _, c := range s.Conditions() {
		bad = append(bad, c.Key().String()+": "+c.Message)
	}
	return names, bad
}

func open(t *testing.T, paths ...string) *Source {
	t.Helper()
	s, err := Open(context.Background(), slog.New(slog.DiscardHandler), paths...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// await waits for a Snapshot of these policies.
func await(t *testing.T, s *Source, want ...string) []string {
	t.Helper()
	deadline := time.After(20 * time.Second)
	for {
		names, bad := show(s.Snapshot())
		if slices.Equal(names, want) {
			return bad
		}
		select {
		case <-s.Changed():
		case <-deadline:
			t.Fatalf("got %v, %v; want %v", names, bad, want)
		}
	}
}

// awaitBad waits for a condition whose text has all of the parts.
func awaitBad(t *testing.T, s *Source, parts ...string) {
	t.Helper()
	deadline := time.After(20 * time.Second)
	for {
		_, bad := show(s.Snapshot())
		all := strings.Join(bad, "\n")
		missing := slices.ContainsFunc(parts, func(p string) bool { return !strings.Contains(all, p) })
		if !missing {
			return
		}
		select {
		case <-s.Changed():
		case <-deadline:
			t.Fatalf("got %q, want all of %q", all, parts)
		}
	}
}

// read reads paths once, without watching them.
func read(paths ...string) (source.Set, error) {
	if err := exist(paths); err != nil {
		return source.Set{}, err
	}
	return shelf{}.set(scan(paths)), nil
}

func TestReadsDirectoriesAndFiles(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "a.yaml"), policy("a", "off")+"---\n"+policy("b", "off"))
	write(t, filepath.Join(dir, "sub/c.yml"), policy("c", "off"))
	write(t, filepath.Join(dir, "sub/d.json"), "{\n\t\"apiVersion\": \"gabion.io/v1alpha1\", \"kind\": \"WAFPolicy\", \"metadata\": {\"name\": \"d\"}, \"spec\": {\"mode\": \"off\"}}")
	for _, ignored := range []string{".#a.yaml", "a.yaml~", "#a.yaml", ".a.yaml.swp", "README.md", ".hidden/x.yaml"} {
		write(t, filepath.Join(dir, ignored), policy("ignored", "off"))
	}
	set, err := read(dir, filepath.Join(dir, "a.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	names, bad := show(set)
	if want := []string{"a=off", "b=off", "c=off", "d=off"}; !slices.Equal(names, want) || len(bad) > 0 {
		t.Errorf("got %v, %v; want %v", names, bad, want)
	}
	if b := set.Items()[1]; b.Line != 6 || !strings.HasSuffix(b.File, "a.yaml") || b.Origin != source.File || b.Created.IsZero() {
		t.Errorf("got %+v", b)
	}
	if _, err := read(filepath.Join(dir, "none")); err == nil || !strings.Contains(err.Error(), "no such file") {
		t.Errorf("got %v", err)
	}
}

func TestFollowsChanges(t *testing.T) {
	dir := t.TempDir()
	a := filepath.Join(dir, "a.yaml")
	write(t, a, policy("a", "off"))
	s := open(t, dir)
	await(t, s, "a=off")

	write(t, a, policy("a", "detect"))
	await(t, s, "a=detect")

	write(t, filepath.Join(dir, "new", "deep", "b.yaml"), policy("b", "off"))
	await(t, s, "a=detect", "b=off")
	write(t, filepath.Join(dir, "new", "deep", "b.yaml"), policy("b", "block"))
	await(t, s, "a=detect", "b=block")

	// An editor writes beside and renames over.
	write(t, filepath.Join(dir, ".a.yaml.tmp"), policy("a", "block"))
	if err := os.Rename(filepath.Join(dir, ".a.yaml.tmp"), a); err != nil {
		t.Fatal(err)
	}
	await(t, s, "a=block", "b=block")

	if err := os.RemoveAll(filepath.Join(dir, "new")); err != nil {
		t.Fatal(err)
	}
	await(t, s, "a=block")
}

func TestBrokenFileKeepsItsLastGoodVersion(t *testing.T) {
	dir := t.TempDir()
	a := filepath.Join(dir, "a.yaml")
	write(t, a, policy("a", "detect")+"---\n"+policy("b", "detect"))
	s := open(t, dir)
	await(t, s, "a=detect", "b=detect")

	write(t, a, policy("a", "block")+"---\n"+policy("b", "audit"))
	awaitBad(t, s, "WAFPolicy default/b", "a.yaml:9:", `"audit" is not one of`, "last good version stays in force")
	await(t, s, "a=detect", "b=detect")

	write(t, a, policy("a", "block")+"---\napiVersion: gabion")
	awaitBad(t, s, "File ", "line 6: needs apiVersion", "last good version")
	await(t, s, "a=detect", "b=detect")

	write(t, a, "")
	awaitBad(t, s, "is empty", "last good version")
	await(t, s, "a=detect", "b=detect")

	write(t, a, policy("a", "block"))
	if bad := await(t, s, "a=block"); len(bad) > 0 {
		t.Errorf("got %v", bad)
	}
}

func TestBrokenFromTheStartGivesItsGoodDocuments(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "a.yaml"), policy("a", "detect")+"---\n"+policy("b", "audit"))
	s := open(t, dir)
	awaitBad(t, s, "WAFPolicy default/b")
	await(t, s, "a=detect")
}

func TestKubernetesStyleLinks(t *testing.T) {
	dir := t.TempDir()
	link := func(old, name string) {
		t.Helper()
		tmp := filepath.Join(dir, "..tmp")
		if err := os.Symlink(old, tmp); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(tmp, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	write(t, filepath.Join(dir, "..1/a.yaml"), policy("a", "detect"))
	link("..1", "..data")
	link("..data/a.yaml", "a.yaml")
	whole, one := open(t, dir), open(t, filepath.Join(dir, "a.yaml"))
	await(t, whole, "a=detect")
	await(t, one, "a=detect")

	write(t, filepath.Join(dir, "..2/a.yaml"), policy("a", "block"))
	link("..2", "..data")
	await(t, whole, "a=block")
	await(t, one, "a=block")
}

func TestGivenPathThatVanishesStaysInForce(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "conf")
	write(t, filepath.Join(dir, "a.yaml"), policy("a", "detect"))
	s := open(t, dir)
	if err := os.Rename(dir, dir+".away"); err != nil {
		t.Fatal(err)
	}
	awaitBad(t, s, "what it held stays in force")
	await(t, s, "a=detect")
	write(t, filepath.Join(dir, "a.yaml"), policy("a", "block"))
	if bad := await(t, s, "a=block"); len(bad) > 0 {
		t.Errorf("got %v", bad)
	}
}

func TestLinkCycleEnds(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "a.yaml"), policy("a", "off"))
	if err := os.Symlink(dir, filepath.Join(dir, "loop")); err != nil {
		t.Fatal(err)
	}
	set, err := read(dir)
	if err != nil {
		t.Fatal(err)
	}
	if names, bad := show(set); len(names) != 1 || len(bad) > 0 {
		t.Errorf("got %v, %v", names, bad)
	}
}
