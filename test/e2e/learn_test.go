package e2e

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/gabion-io/gabion/controlplane/server"
	"github.com/gabion-io/gabion/filters"
)

// misfires is harmless and scores as a command injection.
const misfires = "/search?q=Cables+%26+pins%3B+ping+me%3A+the+cat+slept+on+it%2C+ls+20+is+fine"

// trusting is a listener behind so many load balancers, and the rule set untouched.
func trusting(hops int) string {
	return fmt.Sprintf(`apiVersion: gabion.io/v1alpha1
kind: ListenerPolicy
metadata: {name: default}
spec: {trustedHops: %d}
---
apiVersion: gabion.io/v1alpha1
kind: WAFPolicy
metadata: {name: default}
spec: {mode: detect, profile: crs}
`, hops)
}

// crowded sends a false positive and harmless requests as if from eight networks,
// as far as X-Forwarded-For is believed.
func (u *up) crowded(t *testing.T) {
	t.Helper()
	for i := range 8 {
		forged := fmt.Sprintf("203.0.%d.7", i+1)
		for range 2 {
			u.get("/search?q=tea", "Host", "shop.example.com", "X-Forwarded-For", forged)
		}
		u.get(misfires, "Host", "shop.example.com", "X-Forwarded-For", forged)
	}
	seen := 0
	u.eventually("eight events arrive", func() error {
		seen = 0
		for _, e := range u.events() {
			if e.Decision == filters.Detect {
				seen++
			}
		}
		if seen < 8 {
			return fmt.Errorf("%d did", seen)
		}
		return nil
	})
}

// One attacker who writes a new X-Forwarded-For into each request is one client,
// unless the operator says that a load balancer wrote it.
func TestForgedClientsAreOneWitness(t *testing.T) {
	ask := []string{"waf", "propose", "--min-hours", "1", "--min-span", "1ms", "-o", "json"}
	t.Run("no trusted hop", func(t *testing.T) {
		u := startUp(t)
		u.apply(trusting(0))
		u.crowded(t)
		var got server.SuggestionList
		u.runJSON(&got, append(ask, "--min-clients", "2")...)
		if len(got.Items) != 0 || got.Looked.Events < 8 {
			t.Errorf("an attacker alone gets %+v, of %+v", got.Items, got.Looked)
		}
	})
	t.Run("one trusted hop", func(t *testing.T) {
		u := startUp(t)
		u.apply(trusting(1))
		u.crowded(t)
		u.eventually("their recordings arrive", func() error {
			var r struct{ Judged int }
			out, errOut, err := u.try(wafMode("block"), "waf", "rehearse", "-f", "-", "-o", "json")
			if err != nil {
				return fmt.Errorf("%w: %s", err, errOut)
			}
			if err := json.Unmarshal([]byte(out), &r); err != nil || r.Judged < 24 {
				return fmt.Errorf("%d of 24, %v", r.Judged, err)
			}
			return nil
		})
		var got server.SuggestionList
		u.eventually("the exchanges arrive beside the events", func() error {
			u.runJSON(&got, ask...)
			if len(got.Items) != 1 {
				return fmt.Errorf("%d proposals of %+v", len(got.Items), got.Looked)
			}
			return nil
		})
		p := got.Items[0]
		if p.Evidence.Clients != 8 || p.Evidence.Replay.Passed == 0 || p.Rehearsal == nil || p.Rehearsal.NewlyPassed != 8 || p.Evidence.Opens.Denied == 0 {
			t.Errorf("%s: %+v, %+v", p.Title, p.Evidence, p.Rehearsal)
		}
		for _, x := range p.Exclusions {
			if x.Target != "ARGS:q" || x.Method != "GET" || x.Path != "/search" || x.Host != "shop.example.com" {
				t.Errorf("wider than need be: %+v", x)
			}
		}
		if out := u.run("proposal", "show", p.ID); !strings.Contains(out, "learned from 8 clients") {
			t.Errorf("it shows as\n%s", out)
		}
		u.run("proposal", "accept", p.ID)
		u.get(misfires, "Host", "shop.example.com", "X-Forwarded-For", "203.0.99.7")
		u.runJSON(&got, ask...)
		if len(got.Items) != 0 {
			t.Errorf("proposed again: %+v", got.Items)
		}
	})
}
