package proposal_test

import (
	"context"
	"encoding/base64"
	"slices"
	"strings"
	"testing"

	"github.com/gabion-io/gabion/controlplane/proposal"
	"github.com/gabion-io/gabion/controlplane/source"
	"github.com/gabion-io/gabion/filters"
)

// What the balanced profile finds inside a value (base64, JSON in a string, a
// cookie) is excluded from its event as any other: the same request passes then,
// and the same text elsewhere does not.
func TestExclusionOfWhatWasReadInsideAValue(t *testing.T) {
	const attack = `1' OR '1'='1' UNION SELECT name, password FROM users -- `
	hidden := base64.StdEncoding.EncodeToString([]byte(attack))
	post := func(field, value string) request {
		return request{method: "POST", host: "shop.example.com", path: "/notes", body: `{"` + field + `":"` + value + `"}`,
			headers: []filters.Header{{Name: "content-type", Value: "application/json"}, {Name: "user-agent", Value: "Mozilla/5.0"}, {Name: "accept", Value: "*/*"}}}
	}
	cookie := func(name string) request {
		r := get("/about")
		r.headers = append(slices.Clone(r.headers), filters.Header{Name: "cookie", Value: name + "=" + hidden})
		return r
	}
	for name, c := range map[string]struct{ its, elsewhere request }{
		"base64":           {post("note", hidden), post("title", hidden)},
		"JSON in a string": {post("note", `{\"a\":{\"b\":\"`+attack+`\"}}`), post("title", `{\"a\":{\"b\":\"`+attack+`\"}}`)},
		"escapes":          {post("note", strings.ReplaceAll(attack, "'", `\\x27`)), post("title", strings.ReplaceAll(attack, "'", `\\x27`))},
		"cookie":           {cookie("draft"), cookie("other")},
	} {
		t.Run(name, func(t *testing.T) {
			ctx := context.Background()
			b := newBench(t, source.Store, strings.Replace(shopPolicy, "profile: crs", "profile: balanced", 1))
			b.with(func(o *proposal.Options) { o.Budget = 1 }) // what it opens is another test's subject
			events := b.live("n1.a", c.its)
			if len(events) != 1 || events[0].Decision != filters.Denied {
				t.Fatalf("events are %+v", events)
			}
			p, err := b.desk.Propose(ctx, proposal.ProposeOptions{Events: idsOf(events), Author: "ada"})
			if err != nil {
				t.Fatal(err)
			}
			for _, x := range p.Exclusions {
				if x.Target == "" {
					t.Errorf("a whole rule is taken away: %+v", x)
				}
			}
			if p.Evidence.Replay.Passed != 1 {
				t.Errorf("the replay is %+v, notes %q", p.Evidence.Replay, p.Evidence.Notes)
			}
			if _, err := b.desk.Rehearse(ctx, p.ID, proposal.RehearseOptions{}); err != nil {
				t.Fatal(err)
			}
			if _, err := b.desk.Accept(ctx, p.ID, "grace"); err != nil {
				t.Fatal(err)
			}
			if events := b.live("n2.b", c.its); slices.ContainsFunc(events, func(e filters.Event) bool { return e.Decision != filters.Allow }) {
				t.Errorf("still denied: %+v", events)
			}
			if events := b.live("n2.b", c.elsewhere); len(events) != 1 || events[0].Decision != filters.Denied {
				t.Errorf("elsewhere it passes: %+v", events)
			}
		})
	}
}
