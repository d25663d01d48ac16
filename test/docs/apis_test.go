package docs

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/txtar"
)

// The tour of API discovery, typed as it stands there, beside the files that it
// speaks of: the shop of the command line's own test, the demo application's
// description, and a browser's session with it.
func TestAPITour(t *testing.T) {
	page := read(t, root+"/docs/api-discovery.md")
	dir := t.TempDir()
	shop, err := txtar.ParseFile(root + "/cmd/gabion/testdata/offline/api_learn.txtar")
	if err != nil {
		t.Fatal(err)
	}
	files := map[string]string{"declared.yaml": read(t, root+"/internal/demo/openapi.yaml"), "session.har": read(t, root+"/test/openapi/testdata/chromium.har")}
	for _, f := range shop.Files {
		if f.Name == "shop.jsonl" {
			files[f.Name] = string(f.Data)
		}
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	r := &reader{home: dir, bin: binDir(t)}
	for _, section := range []string{"From a recording", "Why is a template what it is?", "As OpenAPI", "Declared and observed", "What changed"} {
		tour := steps(page, section)
		if len(tour) == 0 {
			t.Errorf("%q has no commands: does the test still read it?", section)
		}
		for _, s := range tour {
			c := exec.CommandContext(context.WithoutCancel(t.Context()), "bash", "-euo", "pipefail", "-c", s.commands)
			c.Dir, c.Env = dir, r.env()
			out, err := c.CombinedOutput()
			if err != nil {
				t.Fatalf("%s\n%v\n%s", s.commands, err, out)
			}
			for _, line := range missingLines(s.shown, string(out)) {
				t.Errorf("%s\nshows no line like %q any more; it shows\n%s", s.commands, line, out)
			}
		}
	}
}

// The tour of the inventory, typed as it stands there, beside a real `gabion up`.
// Telemetry comes after the answer, so a step is typed again while its lines are
// missing, but for those that change something.
func TestInventoryTour(t *testing.T) {
	follow(t, startUp(t), "While traffic flows")
}

// The tour of API protection, likewise.
func TestProtectionTour(t *testing.T) {
	follow(t, startUp(t), "Holding requests to it")
}

// follow types the commands of a section.
func follow(t *testing.T, r *reader, section string) {
	t.Helper()
	tour := steps(read(t, root+"/docs/api-discovery.md"), section)
	if len(tour) < 5 {
		t.Fatalf("the tour has %d blocks of commands: does the test still read it?", len(tour))
	}
	for _, s := range tour {
		again := slices.ContainsFunc([]string{"list", "show", "propose", "events"}, func(c string) bool { return strings.HasPrefix(s.commands, "gabion api "+c) })
		for deadline := time.Now().Add(patience); ; time.Sleep(200 * time.Millisecond) {
			out, err := r.shell(t, s.commands)
			if err != nil && !again {
				t.Fatalf("%s\n%v\n%s", s.commands, err, out)
			}
			lost := missingLines(s.shown, out)
			if err == nil && (len(lost) == 0 || s.shown == "") {
				break
			}
			if !again || time.Now().After(deadline) {
				t.Fatalf("%s\nshows no line like %q any more; it shows\n%s", s.commands, lost, out)
			}
		}
	}
}
