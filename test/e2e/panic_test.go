package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// A panic in a hook, or in the goroutine that judges a long body, is answered by
// the failure mode; Envoy lives, and so does everything else.
func TestPanics(t *testing.T) {
	gabion := gabion(t)
	requireEnvoy(t)
	dir := faultyModule(t, gabion)
	for _, where := range []string{"hook", "goroutine"} {
		t.Run(where, func(t *testing.T) {
			t.Setenv("GABION_BIN", dir)
			t.Setenv("GABION_MODULE_DIR", dir) // goes before what lies beside the binary
			t.Setenv("GABION_TEST_PANIC", where)
			u := startUp(t)
			envoys := u.children("envoy.json")
			ask := func() int {
				if where == "hook" {
					return u.get("/search?q=tea").status
				}
				body := `{"author":"Ada","text":"` + strings.Repeat("good tea ", 10_000) + `"}`
				return u.do("POST", "/echo", body, "Content-Type", "application/json", "Host", "shop.example.com").status
			}
			for _, c := range []struct {
				policy string
				status int
			}{
				{wafMode("detect"), 200}, {wafMode("detect", "failureMode: closed"), 200},
				{wafMode("block"), 503}, {wafMode("block", "failureMode: open"), 200},
			} {
				u.apply(c.policy)
				u.eventually(c.policy, func() error {
					if got := ask(); got != c.status {
						return fmt.Errorf("status %d, want %d", got, c.status)
					}
					return nil
				})
			}
			if where == "goroutine" { // the others are judged as ever
				u.apply(wafMode("block"))
				u.eventually("an attack without a body", func() error { return u.wantStatus(sqli, 403) })
			}
			if now := u.children("envoy.json"); len(now) != 1 || now[0] != envoys[0] {
				t.Errorf("Envoy was %v and is %v", envoys, now)
			}
			if !strings.Contains(u.log.String(), "recovered a panic") {
				t.Error("nothing in the log")
			}
		})
	}
}

// faultyModule is a directory with gabion and a filter that panics where
// GABION_TEST_PANIC says.
func faultyModule(t *testing.T, gabion string) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.Link(gabion, filepath.Join(dir, "gabion")); err != nil {
		b, err := os.ReadFile(gabion)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "gabion"), b, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	c := exec.Command("go", "build", "-trimpath", "-tags", "coraza.disabled_operators.inspectFile,gabionfault", "-buildvcs=false",
		"-buildmode=c-shared", "-o", filepath.Join(dir, "libgabion.so"), "github.com/gabion-io/gabion/filters/module")
	c.Env = append(os.Environ(), "CGO_ENABLED=1")
	if out, err := c.CombinedOutput(); err != nil {
		missing(t, fmt.Sprintf("build the filter that panics: %v\n%s", err, out))
	}
	return dir
}
