package crs

import (
	"os"
	"testing"

	"github.com/gabion-io/gabion/filters"
	"github.com/gabion-io/gabion/waf-rules/regression"
)

// TestNative runs the whole suite as upstream does: paranoia level 4, bodies of
// both directions inspected, detection.
func TestNative(t *testing.T) {
	if testing.Short() {
		t.Skip("the whole suite takes a minute: run without -short")
	}
	cases, err := regression.Load()
	if err != nil {
		t.Fatal(err)
	}
	p, err := Policy(filters.ModeDetect, Settings(4))
	if err != nil {
		t.Fatal(err)
	}
	n, err := NewNative(p)
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close()
	excuses := map[string]string{}
	var sum Summary
	for i := range cases {
		c := &cases[i]
		if c.IgnoredUpstream != "" {
			excuses[c.ID] = c.IgnoredUpstream
		}
		sum.Add(Run(c, n, excuses))
	}
	sum.Print(os.Stdout)
	if sum.Failed > 0 || sum.Passed < 4667 {
		t.Errorf("%v", &sum)
	}
}
