package server_test

import (
	"strings"
	"testing"

	"github.com/gabion-io/gabion/controlplane/server"
	"github.com/gabion-io/gabion/controlplane/server/servertest"
)

// What is written is the newest, whatever its text says, and wins where ranks are
// equal: who asks before is told so.
func TestDiffOfANewerPolicy(t *testing.T) {
	_, c := start(t)
	root := func(name, mode string) string {
		return "apiVersion: gabion.io/v1alpha1\nkind: WAFPolicy\nmetadata: {name: " + name + ", creationTimestamp: 2020-01-01T00:00:00Z}\nspec: {mode: '" + mode + "'}\n"
	}
	c.want(200, "POST", "/api/v1/apply", servertest.Shop+"---\n"+root("b", "detect"), nil)
	foretold := func(manifest, mode string) {
		t.Helper()
		var d server.Diff
		c.want(200, "POST", "/api/v1/diff", manifest, &d)
		if len(d.Envoy) != 1 || !strings.Contains(d.Envoy[0].Patch, `"mode": "`+mode+`"`) {
			t.Errorf("diff says of Envoy %+v", d.Envoy)
		}
	}
	foretold(root("a", "block"), "block")
	if text := c.want(200, "POST", "/api/v1/apply", root("a", "block"), nil); !strings.Contains(text, "the newer one, WAFPolicy default/a, holds") {
		t.Errorf("apply names another winner: %s", text)
	}
	foretold(root("b", "off"), "off")
	var d server.Diff
	if c.want(200, "POST", "/api/v1/diff", root("b", "detect"), &d); len(d.Envoy) != 0 {
		t.Errorf("what stands already is not written and wins nothing: %+v", d.Envoy)
	}
}
