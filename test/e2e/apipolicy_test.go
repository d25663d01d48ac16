package e2e

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/gabion-io/gabion/controlplane/proposal"
	"github.com/gabion-io/gabion/controlplane/store"
)

// From what is declared to what is enforced: an APIPolicy is proposed, rehearsed,
// accepted, watched in detect and then blocks, and the events say why.
func TestAPIPolicy(t *testing.T) {
	u := startUp(t)
	order := func(body string) int {
		return u.do("POST", "/orders", body, "Content-Type", "application/json").status
	}
	const good, bad = `{"account":"ac-1001","sku":"rope-12","quantity":2}`, `{"account":"ac-1001","sku":"rope-12","quantity":"anna@example.com"}`
	before := order(bad)
	var p proposal.Proposal
	u.eventually("what was sent is recorded, and the declared API finds the fault in it", func() error {
		p = proposal.Proposal{}
		u.runJSON(&p, "api", "propose", "upstream", "--declared")
		if p.Rehearsal == nil || p.Rehearsal.NewlyBlocked != 1 {
			return fmt.Errorf("rehearsal: %+v", p.Rehearsal)
		}
		return nil
	})
	u.run("proposal", "accept", p.ID)
	if got := order(bad); got != before {
		t.Errorf("in detect the answer is %d, before it was %d", got, before)
	}
	u.apply(strings.Replace(u.run("get", "APIPolicy", "upstream", "-o", "yaml"), "  mode: detect\n", "  mode: block\n", 1))
	if got := order(bad); got != 400 {
		t.Errorf("blocking, the answer is %d", got)
	}
	if got := order(good); got != 201 {
		t.Errorf("blocking, a good order is answered with %d", got)
	}
	if got := u.do("GET", "/nowhere", "").status; got != 404 {
		t.Errorf("an unknown operation is answered with %d", got)
	}
	var list struct{ Items []store.StoredEvent }
	u.eventually("the events say what was wrong", func() error {
		list.Items = nil // what is decoded over something keeps parts of it
		u.runJSON(&list, "api", "events")
		seen := map[string]int{}
		for _, e := range list.Items {
			seen[fmt.Sprint(e.Decision, " ", e.Status, " ", e.API.Violations[0])]++
		}
		for _, want := range []string{fmt.Sprint("detect ", before, " body /quantity is a string, not an integer"), "deny 400 body /quantity is a string, not an integer",
			"allow 404 operation is not one of the API"} {
			if seen[want] != 1 {
				return fmt.Errorf("%q is missing among %v", want, seen)
			}
		}
		return nil
	})
	if text, err := json.Marshal(list); err != nil || strings.Contains(string(text), "anna@") {
		t.Errorf("an event holds a value: %s", text)
	}
	if out := u.run("explain", "default"); !strings.Contains(out, "APIPolicy default/upstream") || !strings.Contains(out, "unknownOperations") {
		t.Errorf("explain says\n%s", out)
	}
	if out := u.run("waf", "event", list.Items[0].ID); !strings.Contains(out, "APIPolicy default/upstream") {
		t.Errorf("the event shows as\n%s", out)
	}
	if out := u.run("api", "list", "--exposure", "outside"); !strings.Contains(out, "/orders") {
		t.Errorf("what is exposed to the outside:\n%s", out)
	}
}
