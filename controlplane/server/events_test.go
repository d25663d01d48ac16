package server_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/oklog/ulid/v2"

	"github.com/gabion-io/gabion/controlplane/server"
	"github.com/gabion-io/gabion/controlplane/server/servertest"
	"github.com/gabion-io/gabion/controlplane/store"
	"github.com/gabion-io/gabion/filters"
)

// event makes the nth of a row of events a second apart.
func event(n int, edit func(*filters.Event)) filters.Event {
	at := time.Date(2026, 1, 1, 12, 0, n, 0, time.UTC)
	id, err := ulid.New(ulid.Timestamp(at), strings.NewReader(fmt.Sprintf("%010d", n)))
	if err != nil {
		panic(err)
	}
	e := filters.Event{
		ID: id.String(), Time: at, Route: "default/shop", Mode: filters.ModeDetect, Decision: filters.Detect, Engine: "waf",
		Score: 5, WouldBe: 403, Method: "GET", Host: "shop.example.com", Path: "/search",
		Matches: []filters.Match{{Rule: 942100, Message: "SQL", Score: 5, Variable: "ARGS:q", Value: "1' or…", Phase: 2}},
	}
	if edit != nil {
		edit(&e)
	}
	return e
}

func TestEventsPageAndFilter(t *testing.T) {
	p, c := start(t)
	for i := range 25 {
		n := i * 7 % 25 // not in the order in which they happened
		p.AddEvents(t, event(n, func(e *filters.Event) {
			if n%5 == 0 {
				e.Decision, e.Route, e.Matches[0].Rule = filters.Denied, "default/other", 941100
			}
		}))
	}
	seen, cursor := map[string]int{}, ""
	for range 10 {
		var page server.EventList
		c.want(200, "GET", "/api/v1/events?limit=10&cursor="+cursor, "", &page)
		for _, e := range page.Items {
			seen[e.ID]++
		}
		if cursor = page.Next; cursor == "" {
			break
		}
	}
	for n := range 25 {
		if id := event(n, nil).ID; seen[id] != 1 {
			t.Errorf("paging saw event %d %d times", n, seen[id])
		}
	}
	c.want(422, "GET", "/api/v1/events?cursor=ZTE", "", nil) // a place in the stream
	for query, want := range map[string]int{
		"decision=deny": 5, "decision=detect": 20, "route=default/other": 5, "rule=942100": 20, "rule=1": 0,
		"since=2026-01-01T12:00:20Z": 5, "until=2026-01-01T12:00:05Z": 5, "host=shop.example.com": 25, "method=POST": 0,
	} {
		var page server.EventList
		c.want(200, "GET", "/api/v1/events?limit=100&"+query, "", &page)
		if len(page.Items) != want {
			t.Errorf("%s: %d events, want %d", query, len(page.Items), want)
		}
	}
}

func TestEventByPrefix(t *testing.T) {
	p, c := start(t)
	a, b := event(1, nil), event(2, nil)
	p.AddEvents(t, a, b)
	var e store.StoredEvent
	c.want(200, "GET", "/api/v1/events/"+a.ID, "", &e)
	if e.ID != a.ID || len(e.Matches) != 1 {
		t.Errorf("by id: %+v", e)
	}
	short := 0
	for i := range a.ID {
		if a.ID[i] != b.ID[i] {
			short = i + 1
			break
		}
	}
	c.want(200, "GET", "/api/v1/events/"+strings.ToLower(a.ID[:short]), "", &e)
	if e.ID != a.ID {
		t.Errorf("by prefix: %s", e.ID)
	}
	c.want(409, "GET", "/api/v1/events/"+a.ID[:short-1], "", nil)
	c.want(404, "GET", "/api/v1/events/7ZZZZZZZ", "", nil)
	c.want(404, "GET", "/api/v1/events/not-an-id", "", nil)
}

// The beginning of an id finds its event however many came after it in the time that
// the beginning stands for, and whatever form the id has.
func TestEventByPrefixAmongMany(t *testing.T) {
	p, c := start(t)
	old := event(1, nil)
	hex := event(2, func(e *filters.Event) { e.ID = "3f9ac0ffee00aa11bb22cc33dd44ee55" }) // what no filter saw has its exchange's
	odd := event(3, func(e *filters.Event) { e.ID = "Mixed-Case_1" })
	p.AddEvents(t, old, hex, odd)
	var many []filters.Event
	for n := range 11_000 {
		many = append(many, event(4, func(e *filters.Event) { e.ID = e.ID[:16] + fmt.Sprintf("%010d", n) }))
	}
	p.AddEvents(t, many...)
	last := many[len(many)-1].ID
	for prefix, want := range map[string]string{
		old.ID[:8]: old.ID, strings.ToLower(old.ID[:8]): old.ID, last: last,
		"3f9ac0": hex.ID, "3F9AC0": hex.ID, strings.ToUpper(hex.ID): hex.ID, "Mixed-Case_": odd.ID, odd.ID: odd.ID,
	} {
		var e store.StoredEvent
		if c.want(200, "GET", "/api/v1/events/"+prefix, "", &e); e.ID != want {
			t.Errorf("%s: %s, want %s", prefix, e.ID, want)
		}
	}
	for prefix, status := range map[string]int{last[:25]: 409, old.ID[:4]: 409, "mixed": 404, "M_xe": 404} {
		c.want(status, "GET", "/api/v1/events/"+prefix, "", nil)
	}
}

func TestFollowEvents(t *testing.T) {
	p, c := start(t)
	p.AddEvents(t, event(0, nil)) // before following: not sent
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	lines := c.open(ctx, "/api/v1/events/stream?decision=deny")
	lines.Scan() // the first beat: the stream is open
	p.AddEvents(t, event(1, nil), event(2, func(e *filters.Event) { e.Decision = filters.Denied }))
	for lines.Scan() {
		data, ok := strings.CutPrefix(lines.Text(), "data: ")
		if !ok || data == "{}" { // "open": where to go on from
			continue
		}
		var e store.StoredEvent
		if err := json.Unmarshal([]byte(data), &e); err != nil {
			t.Fatal(err)
		}
		if e.ID != event(2, nil).ID {
			t.Errorf("followed %s", e.ID)
		}
		return
	}
	t.Fatalf("the stream ended: %v", lines.Err())
}

// A revoked token reads no further, not even what it has open.
func TestRevokedWhileFollowing(t *testing.T) {
	dir := t.TempDir()
	p := servertest.StartWith(t, dir, servertest.Changes{Options: func(o *server.Options) { o.Beat = 20 * time.Millisecond }})
	c := caller{t, p.URL, p.Token(t, "watcher", store.RoleViewer)}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	lines := c.open(ctx, "/api/v1/events/stream")
	for range 20 { // a good token goes on, beat by beat
		if !lines.Scan() {
			t.Fatalf("the stream ended: %v", lines.Err())
		}
	}
	if err := p.Store.RevokeToken(ctx, "watcher", "admin"); err != nil {
		t.Fatal(err)
	}
	for lines.Scan() {
	}
	if err := lines.Err(); err != nil {
		t.Fatalf("the stream goes on: %v", err)
	}
}
