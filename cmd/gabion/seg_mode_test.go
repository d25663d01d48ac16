package main

import (
	"testing"

	"github.com/gabion-io/gabion/controlplane/server"
)

// That nothing would have been denied counts only where somebody looked.
func TestNobodyLooks(t *testing.T) {
	quiet, reports := server.AgentCoverage{Host: "a", Quiet: true}, server.AgentCoverage{Host: "b"}
	for want, agents := range map[string][]server.AgentCoverage{
		"no agent has ever reported": nil, "no agent reports any more": {quiet, quiet}, "": {quiet, reports},
	} {
		if got := nobodyLooks(agents); got != want {
			t.Errorf("%v: %q, want %q", agents, got, want)
		}
	}
}
