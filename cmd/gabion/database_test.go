package main

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/gabion-io/gabion/controlplane/store/storetest"
)

const databasePolicy = `apiVersion: gabion.io/v1alpha1
kind: WAFPolicy
metadata: {name: kept}
spec: {mode: detect}
`

// What is written through one `gabion serve --database` is there for another that
// has nothing but the same address.
func TestServeKeepsItsStateInPostgreSQL(t *testing.T) {
	var server storetest.Postgres
	t.Cleanup(server.Stop)
	address := server.Database(t)
	policy := filepath.Join(t.TempDir(), "policy.yaml")
	if err := os.WriteFile(policy, []byte(databasePolicy), 0o600); err != nil {
		t.Fatal(err)
	}
	first := startServe(t, t.TempDir(), "--database", address)
	first.must("apply", "-f", policy)
	if code := first.stop(); code != exitOK {
		t.Errorf("the first ended with exit code %d", code)
	}
	second := startServe(t, t.TempDir(), "--database", address)
	if out := second.must("get", "waf"); !strings.Contains(out, " kept ") {
		t.Errorf("the second knows:\n%s", out)
	}
	if out := second.must("audit", "list"); !strings.Contains(out, "WAFPolicy default/kept") {
		t.Errorf("the audit log is\n%s", out)
	}
	if files, _ := filepath.Glob(filepath.Join(second.state, "db", "*")); len(files) > 0 {
		t.Errorf("it has SQLite files all the same: %v", files)
	}
}

func TestDatabaseAddress(t *testing.T) {
	for _, bad := range []string{"mysql://root:hunter2@db/x", "db.internal", "postgres://u:hunter2@h:port/x"} {
		var errOut bytes.Buffer
		code := execute(context.Background(), []string{"serve", "--state", t.TempDir(), "--database", bad}, strings.NewReader(""), &errOut, &errOut)
		if code != exitUsage || !strings.Contains(errOut.String(), "want postgres://") || strings.Contains(errOut.String(), "hunter2") {
			t.Errorf("%s: exit code %d, %s", bad, code, errOut.String())
		}
	}
}

// Replicas that share a database have their own files and their own admin tokens:
// starting one tells nothing of what the other has, and locks nobody out.
func TestReplicasHaveTheirOwnFiles(t *testing.T) {
	var server storetest.Postgres
	t.Cleanup(server.Stop)
	address := server.Database(t)
	states, dirs := []string{t.TempDir(), t.TempDir()}, []string{t.TempDir(), t.TempDir()}
	names := []string{"left", "right"}
	for i, name := range names {
		if err := os.WriteFile(filepath.Join(dirs[i], name+".yaml"), []byte(rootPolicy(name, "detect")), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	replica := func(i int) *served { return startServe(t, states[i], "--database", address, "-f", dirs[i]) }
	left, right := replica(0), replica(1)
	for i, s := range []*served{left, right} {
		if out := s.must("get", "waf"); !strings.Contains(out, names[i]) || strings.Contains(out, names[1-i]) {
			t.Errorf("%s has\n%s", names[i], out)
		}
	}
	left.stop()
	right.stop()
	right = replica(1)
	left = replica(0) // in the other order
	for i, s := range []*served{left, right} {
		if out := s.must("get", "waf", "-o", "json"); strings.Count(out, `"revision": 1`) != 1 {
			t.Errorf("%s has\n%s", names[i], out)
		}
	}
	if log := left.must("audit", "list", "-o", "json"); strings.Count(log, `"action": "file"`) != 2 || !strings.Contains(log, `"note": "on `) {
		t.Errorf("the audit log is\n%s", log)
	}
	// What leaves a file is recorded all the same, by whose file it was.
	left.stop()
	if err := os.Remove(filepath.Join(dirs[0], "left.yaml")); err != nil {
		t.Fatal(err)
	}
	left = replica(0)
	log := right.must("audit", "list", "-o", "json")
	if strings.Count(log, `"action": "file"`) != 3 || strings.Count(log, `"WAFPolicy default/left"`) != 2 {
		t.Errorf("the audit log is\n%s", log)
	}
	if out := left.must("audit", "verify"); !strings.Contains(out, "intact") {
		t.Errorf("verify: %s", out)
	}
}
