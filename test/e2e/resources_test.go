package e2e

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// mistake is a command that must fail, change nothing, and say what is wrong.
type mistake struct {
	name, manifest string
	says           []string // words of the message
}

func policyWith(spec string) string {
	return "apiVersion: gabion.io/v1alpha1\nkind: WAFPolicy\nmetadata: {name: default}\nspec: " + spec + "\n"
}

// Every mistake in a manifest gets a message that says what and where, and
// changes nothing.
func TestMistakesInManifests(t *testing.T) {
	u := startUp(t)
	before := u.run("get", "WAFPolicy", "default", "-o", "yaml")
	for _, m := range []mistake{
		{"unknown field", policyWith("{mood: block}"), []string{"mood"}},
		{"wrong type", policyWith("{paranoiaLevel: high}"), []string{"paranoiaLevel"}},
		{"out of range", policyWith("{paranoiaLevel: 9}"), []string{"paranoiaLevel", "9"}},
		{"unknown kind", "apiVersion: gabion.io/v1alpha1\nkind: WAFPolice\nmetadata: {name: x}\n", []string{"WAFPolice"}},
		{"no YAML", "{{{", []string{"yaml"}},
		{"bad regex", policyWith(`{rules: ['SecRule ARGS "@rx (unclosed" "id:1001,phase:2,deny"']}`), []string{"rules[0]", "line 1, column"}},
		{"file operator", policyWith(`{rules: ['SecRule ARGS "@pmFromFile /etc/passwd" "id:1001,phase:2,deny"']}`), []string{"rules[0]", "line 1, column", "pmFromFile"}},
		{"include", policyWith(`{rules: ['Include /etc/passwd']}`), []string{"rules[0]", "Include"}},
		{"second line", policyWith(`{rules: ["SecRule ARGS \"@rx a\" \"id:1001,phase:2,deny\"\nSecDebugLog /tmp/x"]}`), []string{"line 2, column 1", "SecDebugLog"}},
		{"dangling reference", "apiVersion: gabion.io/v1alpha1\nkind: WAFPolicy\nmetadata: {name: lost}\nspec: {targetRefs: [{kind: HTTPRoute, name: nowhere}]}\n", []string{"targetRefs[0]", "nowhere"}},
		{"foreign id", policyWith(`{rules: ['SecRule ARGS "@rx a" "id:942100,phase:2,deny"']}`), []string{"942100"}},
	} {
		t.Run(m.name, func(t *testing.T) {
			out, errOut, err := u.try(m.manifest, "apply", "-f", "-")
			if err == nil {
				t.Fatalf("it was taken: %s", out)
			}
			for _, word := range m.says {
				if !strings.Contains(strings.ToLower(errOut), strings.ToLower(word)) {
					t.Errorf("the message does not name %q:\n%s", word, errOut)
				}
			}
			if after := u.run("get", "WAFPolicy", "default", "-o", "yaml"); after != before {
				t.Errorf("it changed something:\n%s", after)
			}
		})
	}
}

// Files are in force when written, a broken one leaves the last good in force
// and says so, and commands do not write what a file owns unless told to.
func TestFiles(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "waf.yaml")
	put(t, file, wafMode("block"))
	u := startUp(t, "-f", dir)
	u.eventually("the file is in force", func() error { return u.wantStatus(sqli, 403) })
	put(t, file, wafMode("detect"))
	u.eventually("the edit is in force", func() error { return u.wantStatus(sqli, 200) })
	put(t, file, wafMode("block"))
	u.eventually("and back", func() error { return u.wantStatus(sqli, 403) })

	put(t, file, wafMode("block", "mood: bad"))
	u.eventually("get shows the mistake", func() error {
		if out := u.run("get", "WAFPolicy", "default"); !strings.Contains(out, "mood") {
			return errors.New(out)
		}
		return nil
	})
	if err := u.wantStatus(sqli, 403); err != nil {
		t.Errorf("the last good is not in force: %v", err)
	}
	put(t, file, wafMode("block"))
	u.eventually("mended", func() error {
		if out := u.run("get", "WAFPolicy", "default"); strings.Contains(out, "mood") {
			return errors.New(out)
		}
		return nil
	})

	out, errOut, _ := u.try(wafMode("detect"), "apply", "-f", "-")
	if !strings.Contains(out+errOut, "-  mode: block") || !strings.Contains(out+errOut, "+  mode: detect") {
		t.Errorf("apply prints no patch of the file:\n%s%s", out, errOut)
	}
	if b, _ := os.ReadFile(file); string(b) != wafMode("block") {
		t.Errorf("apply changed the file:\n%s", b)
	}
	if err := u.wantStatus(sqli, 403); err != nil {
		t.Errorf("apply changed what is in force: %v", err)
	}
	if out, errOut, err := u.try(wafMode("detect"), "apply", "--write", "-f", "-"); err != nil {
		t.Fatalf("apply --write: %v\n%s%s", err, out, errOut)
	}
	if b, _ := os.ReadFile(file); !strings.Contains(string(b), "mode: detect") {
		t.Errorf("--write did not edit the file:\n%s", b)
	}
	u.eventually("the written edit is in force", func() error { return u.wantStatus(sqli, 200) })
}

// The more specific policy wins, in what explain says and in what happens.
func TestPrecedence(t *testing.T) {
	u := startUp(t)
	demo := strings.TrimPrefix(u.upstream(), "http://")
	_, port, _ := net.SplitHostPort(demo)
	policy := func(name, target, spec string) string {
		return "---\napiVersion: gabion.io/v1alpha1\nkind: WAFPolicy\nmetadata: {name: " + name + "}\nspec:\n  targetRefs: [{" + target + "}]\n  " + spec + "\n"
	}
	u.apply(fmt.Sprintf(`apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: shop}
spec:
  parentRefs: [{name: gabion}]
  rules:
  - {name: reviews, matches: [{path: {type: PathPrefix, value: /reviews}}], backendRefs: [{name: upstream, port: %[1]s}]}
  - {name: search, matches: [{path: {type: PathPrefix, value: /search}}], backendRefs: [{name: upstream, port: %[1]s}]}
`, port))
	attack := strings.TrimPrefix(sqli, "/search")
	want := func(what string, status map[string]int) {
		t.Helper()
		u.eventually(what, func() error {
			for path, s := range status {
				if err := u.wantStatus(path+attack, s); err != nil {
					return fmt.Errorf("%s: %w, want %d", path, err, s)
				}
			}
			return nil
		})
	}
	u.apply(wafMode("block", "block: {status: 410}"))
	want("root", map[string]int{"/search": 410, "/reviews": 410})
	u.apply(policy("gateway", "kind: Gateway, name: gabion", "block: {status: 411}"))
	want("gateway beats root", map[string]int{"/search": 411, "/reviews": 411})
	u.apply(policy("route", "kind: HTTPRoute, name: shop", "block: {status: 412}"))
	want("route beats gateway", map[string]int{"/search": 412, "/reviews": 412})
	u.apply(policy("rule", "kind: HTTPRoute, name: shop, sectionName: reviews", "block: {status: 413}"))
	want("rule beats route", map[string]int{"/search": 412, "/reviews": 413})
	for _, rule := range []string{"search", "reviews"} {
		out := u.run("explain", "shop", "--rule", rule)
		winner := map[string]string{"search": "default/route", "reviews": "default/rule"}[rule]
		if !strings.Contains(out, winner) || !strings.Contains(out, "block.status") {
			t.Errorf("explain %s does not show that %s sets block.status:\n%s", rule, winner, out)
		}
	}
	u.apply(wafMode("block", "block: {status: 410}", "locked: [block]"))
	want("locked by root", map[string]int{"/search": 410, "/reviews": 410})
	if out := u.run("get", "WAFPolicy", "rule"); !strings.Contains(out, "locked") {
		t.Errorf("no condition says that the field is locked:\n%s", out)
	}
}

// An exclusion that has expired excludes nothing; one that expires ends by itself.
func TestExclusionExpires(t *testing.T) {
	u := startUp(t)
	u.inMode(t, "block")
	excluded := func(at time.Time) string {
		return wafMode("block", "exclusions: [{tag: attack-sqli, path: /search, reason: test, expires: '"+at.UTC().Format(time.RFC3339)+"'}]")
	}
	u.apply(excluded(time.Now().Add(-time.Hour)))
	if out := u.run("get", "WAFPolicy", "default"); !strings.Contains(out, "Expired") {
		t.Errorf("no condition says that the exclusion has expired:\n%s", out)
	}
	if err := u.wantStatus(sqli, 403); err != nil {
		t.Errorf("an expired exclusion: %v", err)
	}
	u.apply(excluded(time.Now().Add(6 * time.Second)))
	u.eventually("the exclusion is in force", func() error { return u.wantStatus(sqli, 200) })
	u.eventually("it ends by itself", func() error { return u.wantStatus(sqli, 403) })
}

// What stops `gabion up` from starting is said in words that help.
func TestCannotStart(t *testing.T) {
	requireEnvoy(t)
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	old := filepath.Join(t.TempDir(), "envoy")
	os.WriteFile(old, []byte("#!/bin/sh\necho 'envoy  version: 0123456789abcdef/1.20.0/Clean/RELEASE/BoringSSL'\n"), 0o755)
	for name, c := range map[string]struct{ args, says []string }{
		"listen taken":  {[]string{"--listen", taken.Addr().String()}, []string{taken.Addr().String(), "--listen"}},
		"admin taken":   {[]string{"--admin", taken.Addr().String()}, []string{taken.Addr().String(), "--admin"}},
		"no Envoy":      {[]string{"--envoy", "/nowhere/envoy"}, []string{"/nowhere/envoy"}},
		"old Envoy":     {[]string{"--envoy", old}, []string{"1.20", "1.40"}},
		"no file":       {[]string{"-f", "/nowhere/policies"}, []string{"/nowhere/policies"}},
		"no cert":       {[]string{"--tls-cert", "/nowhere/cert.pem", "--tls-key", "/nowhere/key.pem"}, []string{"/nowhere/cert.pem"}},
		"bad transport": {[]string{"--transport", "pigeon"}, []string{"pigeon", "module", "extproc"}},
	} {
		t.Run(name, func(t *testing.T) { wantRefused(t, launch(t, c.args...), c.says...) })
	}
	t.Run("state in use", func(t *testing.T) {
		u := startUp(t)
		wantRefused(t, launch(t, "--state", u.state), u.state, "in use", "--state")
		if err := u.wantStatus("/search?q=tea", 200); err != nil {
			t.Errorf("the first one suffered: %v", err)
		}
	})
}

// wantRefused waits for the end of a `gabion up` that cannot start.
func wantRefused(t *testing.T, u *up, says ...string) {
	t.Helper()
	select {
	case <-u.exited:
	case <-time.After(patience):
		t.Fatalf("it runs on:\n%s", tail(u.log.String(), 3000))
	}
	if u.exitErr == nil {
		t.Error("it ended with success")
	}
	for _, word := range says {
		if !strings.Contains(u.log.String(), word) {
			t.Errorf("the message does not say %q:\n%s", word, tail(u.log.String(), 3000))
		}
	}
}

// A state file that cannot be read is named, and left as it is.
func TestCorruptState(t *testing.T) {
	u := startUp(t)
	u.stop()
	files, _ := filepath.Glob(filepath.Join(u.state, "db", "*.db"))
	if len(files) == 0 {
		t.Fatal("no database")
	}
	garbage := []byte(strings.Repeat("this is no database\n", 500))
	for _, f := range files {
		for _, more := range []string{"-wal", "-shm"} {
			os.Remove(f + more)
		}
		if err := os.WriteFile(f, garbage, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	wantRefused(t, launch(t, "--state", u.state), filepath.Join(u.state, "db"), "move")
	for _, f := range files {
		if b, _ := os.ReadFile(f); string(b) != string(garbage) {
			t.Errorf("%s was overwritten", f)
		}
	}
}

// On a full disk a write is refused with a clear message, and what was
// acknowledged stays.
func TestFullDisk(t *testing.T) {
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=24m"); err != nil {
		t.Skipf("a small file system needs root: %v", err)
	}
	t.Cleanup(func() { // after `up` has ended
		if err := exec.Command("umount", dir).Run(); err != nil {
			t.Errorf("unmount %s: %v", dir, err)
		}
	})
	u := startUp(t, "--state", filepath.Join(dir, "state"))
	kept := func(name string) string {
		return "apiVersion: gabion.io/v1alpha1\nkind: WAFPolicy\nmetadata: {name: " + name + ", namespace: shop}\nspec: {mode: detect}\n"
	}
	u.apply(kept("kept"))
	filler, err := os.Create(filepath.Join(dir, "filler"))
	if err != nil {
		t.Fatal(err)
	}
	block := make([]byte, 64<<10)
	for err == nil {
		_, err = filler.Write(block)
	}
	for len(block) > 1 {
		if _, err = filler.Write(block); err != nil {
			block = block[:len(block)/2]
		}
	}
	filler.Close()
	refused := ""
	acknowledged := []string{"kept"}
	for i := range 200 {
		name := fmt.Sprintf("more-%d", i)
		out, errOut, err := u.try(kept(name), "apply", "-f", "-")
		if err != nil {
			refused = out + errOut
			break
		}
		acknowledged = append(acknowledged, name)
	}
	if !strings.Contains(strings.ToLower(refused), "full") && !strings.Contains(refused, "no space") {
		t.Errorf("a full disk is not named: %q", refused)
	}
	if err := u.wantStatus("/search?q=tea", 200); err != nil {
		t.Errorf("traffic suffers: %v", err)
	}
	os.Remove(filler.Name())
	u.eventually("writes are taken again", func() error {
		_, errOut, err := u.try(kept("after"), "apply", "-f", "-")
		if err != nil {
			return errors.New(errOut)
		}
		return nil
	})
	for _, name := range append(acknowledged, "after") {
		u.run("get", "WAFPolicy", name, "-n", "shop")
	}
}
