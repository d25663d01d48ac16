package e2e

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/gabion-io/gabion/filters"
)

// reading lets only GET /search come to the demo application.
func reading(mode, address string) string {
	return fmt.Sprintf(`---
apiVersion: gabion.io/v1alpha1
kind: Workload
metadata: {name: demo, labels: {app: demo}}
spec: {addresses: ["%s"]}
---
apiVersion: gabion.io/v1alpha1
kind: SegmentationPolicy
metadata: {name: demo}
spec:
  mode: %s
  selector: {matchLabels: {app: demo}}
  ingress: [{from: [{cidr: 127.0.0.0/8}], http: [{methods: [GET], path: /search}]}]
`, address, mode)
}

// An HTTP rule goes its way from audit to enforce: what it would deny passes and is
// an event, then it is denied and is one.
func TestHTTPRules(t *testing.T) {
	u := startUp(t)
	address, _, _ := strings.Cut(strings.TrimPrefix(u.upstream(), "http://"), ":")
	out := u.apply(reading("audit", address))
	if strings.Contains(out, "no proxy that could tell requests apart") {
		t.Errorf("Envoy is in the path, and apply says:\n%s", out)
	}
	segmentation := func(decision filters.Decision, method string) func(filters.Event) bool {
		return func(e filters.Event) bool {
			return e.Engine == "segmentation" && e.Decision == decision && e.Method == method && e.Path == "/search" && e.WouldBe == 403
		}
	}
	status := func(method, path string, want int) {
		t.Helper()
		u.eventually(fmt.Sprintf("%s %s is answered with %d", method, path, want), func() error {
			if a := u.do(method, path, ""); a.status != want {
				return fmt.Errorf("it is %d", a.status)
			}
			return nil
		})
	}
	passes := u.do("POST", "/search", "").status
	u.eventually("what audit would deny passes, and is told", func() error {
		if got := u.do("POST", "/search", "").status; got != passes || got == 403 {
			t.Fatalf("audit answers %d, was %d", got, passes)
		}
		if !slices.ContainsFunc(u.events(), segmentation(filters.Detect, "POST")) {
			return errors.New("no such event yet")
		}
		return nil
	})

	u.apply(reading("enforce", address))
	status("POST", "/search", 403)
	status("GET", "/search?q=tea", 200)
	u.awaitEvent("what is denied", segmentation(filters.Denied, "POST"))
	u.run("delete", "SegmentationPolicy", "demo")
	status("POST", "/search", passes)
}
