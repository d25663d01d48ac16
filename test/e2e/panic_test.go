package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/gabion-io/gabion/filters"
)

// A panic in a hook, or in the goroutine that judges a long body, is answered by
// the failure mode; Envoy lives, and the filter beside it, and all else.
func TestPanics(t *testing.T) {
	gabion(t)
	requireEnvoy(t)
	dir := faultyModule(t)
	t.Setenv("GABION_BIN", dir)
	t.Setenv("GABION_MODULE_DIR", dir) // goes before what lies beside the binary
	for _, c := range []struct{ transport, where string }{
		{"module", "hook"}, {"module", "goroutine"}, {"extproc", "hook"}, {"extproc", "goroutine"},
	} {
		t.Run(c.transport+" "+c.where, func(t *testing.T) {
			where := c.where
			t.Setenv("GABION_TEST_PANIC", where)
			u := startUp(t, "--transport", c.transport)
			living := append(u.children("envoy.json"), u.children("filter")...)
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
			if now := append(u.children("envoy.json"), u.children("filter")...); len(now) == 0 || !slices.Equal(now, living) {
				t.Errorf("Envoy and the filter were %v and are %v", living, now)
			}
			if !strings.Contains(u.log.String(), "recovered a panic") {
				t.Error("nothing in the log")
			}
		})
	}
	for _, transport := range transports {
		t.Run(transport+" fatal", func(t *testing.T) { fatal(t, transport) })
	}
}

// fatal: what Go's runtime ends the process for cannot be recovered. The process is
// started again, and an event says why it ended.
func fatal(t *testing.T, transport string) {
	t.Setenv("GABION_TEST_FATAL", "hook")
	u := startUp(t, "--transport", transport)
	name := map[string]string{"module": "envoy", "extproc": "filter"}[transport]
	for n := 1; n <= 2; n++ {
		u.request("GET", "/search?q=tea", "") // cut, or passed by the failure mode
		e := u.awaitEvent("the event of its end", func(e filters.Event) bool {
			return e.Decision == filters.Ended && e.Process.Restarts == n && !e.Process.Back.IsZero()
		})
		if p := e.Process; p.Name != name || p.Fatal != "fatal error: sync: unlock of unlocked mutex" {
			t.Errorf("the event tells %+v", p)
		}
	}
	if out := u.run("waf", "events", "--decision", "ended"); strings.Count(out, "("+name+" ended: fatal error: sync: unlock of unlocked mutex, back after ") != 2 {
		t.Errorf("waf events:\n%s", out)
	}
}

// faultyModule is a directory with a gabion and a filter that panic where
// GABION_TEST_PANIC says.
func faultyModule(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for _, part := range []struct {
		out, pkg string
		flags    []string
		cgo      string
	}{
		{"gabion", "github.com/gabion-io/gabion/cmd/gabion", nil, "0"},
		{"libgabion.so", "github.com/gabion-io/gabion/filters/module", []string{"-buildmode=c-shared"}, "1"},
	} {
		args := append([]string{"build", "-trimpath", "-tags", "no_fs_access,coraza.disabled_operators.inspectFile,coraza.disabled_operators.rbl,coraza.disabled_operators.validateSchema,gabionfault", "-buildvcs=false",
			"-o", filepath.Join(dir, part.out)}, part.flags...)
		c := exec.Command("go", append(args, part.pkg)...)
		c.Env = append(os.Environ(), "CGO_ENABLED="+part.cgo)
		if out, err := c.CombinedOutput(); err != nil {
			missing(t, fmt.Sprintf("build %s that panics: %v\n%s", part.out, err, out))
		}
	}
	return dir
}
