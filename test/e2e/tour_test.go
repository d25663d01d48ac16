package e2e

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/gabion-io/gabion/filters"
)

const blockEverywhere = `
apiVersion: gabion.io/v1alpha1
kind: WAFPolicy
metadata: {name: default}
spec: {mode: block}
`

// sqli is an attack on the demo application's search; {q} makes each distinct.
const sqli = "/search?q=1%27%20OR%20%271%27=%271%27%20--%20"

// events are those the command line shows for the given filters.
func (u *up) events(args ...string) []filters.Event {
	u.t.Helper()
	var page struct{ Items []filters.Event }
	u.runJSON(&page, append([]string{"waf", "events"}, args...)...)
	return page.Items
}

// awaitEvent waits for an event and returns the newest.
func (u *up) awaitEvent(what string, match func(filters.Event) bool) (found filters.Event) {
	u.t.Helper()
	u.eventually(what, func() error {
		for _, e := range u.events() {
			if match(e) {
				found = e
				return nil
			}
		}
		return errors.New("no such event yet")
	})
	return found
}

// The whole story of the platform engineer: detect, see, exclude, rehearse,
// accept, block, roll back.
func TestTour(t *testing.T) {
	for _, transport := range transports {
		t.Run(transport, func(t *testing.T) {
			t.Parallel()
			u := startUp(t, "--transport", transport)

			if a := u.get("/search?q=tea"); a.status != 200 {
				t.Fatalf("a harmless request got %d: %s", a.status, a.body)
			}
			if a := u.get(sqli); a.status != 200 {
				t.Fatalf("detect mode changed a response: %d %s", a.status, a.body)
			}
			e := u.awaitEvent("the attack's event", func(e filters.Event) bool { return e.Decision == filters.Detect })
			if e.WouldBe != 403 || len(e.Matches) == 0 || e.Route == "" || e.Policy == "" {
				t.Errorf("event lacks what a person needs: %+v", e)
			}
			card := u.run("waf", "event", e.ID)
			if !strings.Contains(card, fmt.Sprint(e.Matches[0].Rule)) || !strings.Contains(card, "gabion waf exclude") {
				t.Errorf("waf event shows:\n%s", card)
			}

			var p struct{ ID, Candidate string }
			u.runJSON(&p, "waf", "exclude", e.ID)
			if p.ID == "" || !strings.Contains(p.Candidate, "exclusions") {
				t.Fatalf("proposal %+v", p)
			}
			u.run("proposal", "rehearse", p.ID)
			u.run("proposal", "accept", p.ID)
			u.apply(blockEverywhere)
			u.eventually("another attack is blocked", func() error {
				if a := u.get("/search?q=%3Cscript%3Ealert(1)%3C/script%3E"); a.status != 403 {
					return fmt.Errorf("status %d", a.status)
				}
				return nil
			})
			u.run("rollback", "WAFPolicy", "default")
			u.eventually("after the rollback nothing is blocked", func() error {
				if a := u.get("/search?q=%3Cscript%3Ealert(1)%3C/script%3E"); a.status != 200 {
					return fmt.Errorf("status %d", a.status)
				}
				return nil
			})
			if out := u.run("audit", "verify"); !strings.Contains(out, "intact") {
				t.Errorf("audit verify: %s", out)
			}
			u.inventory(t)
		})
	}
}
