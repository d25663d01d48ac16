package main

import (
	"encoding/json"
	"log/slog"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/gabion-io/gabion/filters"
	"github.com/gabion-io/gabion/internal/spool"
	"github.com/gabion-io/gabion/internal/supervise"
)

// What is told twice of an outage is one event, of two outages two; the ends of
// children that judge nothing are none.
func TestOutagesBecomeEvents(t *testing.T) {
	l, err := openLayout(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	s, err := openOutages(l, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	ended := time.Now()
	first := supervise.Outage{Name: "envoy", Ready: ended.Add(-time.Hour), Ended: ended, Exit: "exit status 2", Fatal: "fatal error: x", Restarts: 3}
	back := first
	back.Back, back.Restarts = ended.Add(time.Second), 5
	other, filter := first, first
	other.Ended, filter.Name = ended.Add(1), "filter"
	for _, o := range []supervise.Outage{first, {Name: "serve", Ended: ended}, back, other, filter} {
		s.tell(o)
	}
	s.spool.Close()
	var events []filters.Event
	_, err = spool.Drain(l.eventSpool(), func(rec []byte) error {
		var e filters.Event
		defer func() { events = append(events, e) }()
		return json.Unmarshal(rec, &e)
	})
	if err != nil || len(events) != 4 {
		t.Fatalf("%d events, %v", len(events), err)
	}
	if a, b, c, d := events[0].ID, events[1].ID, events[2].ID, events[3].ID; a != b || a == c || a == d || c == d || len(a) != 26 {
		t.Errorf("ids %s, %s, %s, %s", a, b, c, d)
	}
	want := filters.Event{ID: events[0].ID, Time: ended.UTC(), Proxy: "up-" + hostname(), Decision: filters.Ended, Engine: "process",
		Process: &filters.ProcessEnd{Name: "envoy", Exit: "exit status 2", Fatal: "fatal error: x", Ready: first.Ready.UTC(), Back: back.Back.UTC(), Restarts: 5}}
	if diff := cmp.Diff(want, events[1]); diff != "" {
		t.Error(diff)
	}
	if events[3].Proxy != "filter-"+hostname() {
		t.Errorf("proxy %q", events[3].Proxy)
	}
}
