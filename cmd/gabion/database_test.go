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
