package store

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/gabion-io/gabion/filters"
	"github.com/gabion-io/gabion/internal/exchange"
)

var day = time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)

func sampleEvents(n int) (out []filters.Event) {
	for i := range n {
		out = append(out, filters.Event{
			ID: fmt.Sprintf("E%05d", i), Time: day.Add(time.Duration(i) * time.Minute), Route: fmt.Sprint("default/r", i%2),
			Policy: "WAFPolicy default/p", Mode: filters.ModeDetect, Decision: []filters.Decision{filters.Detect, filters.Denied}[i%2],
			Engine: "waf", Score: 5, Client: fmt.Sprint("c", i%3), Method: "GET", Host: "h", Path: "/a",
			Matches: []filters.Match{{Rule: 942100 + i%4, Variable: "ARGS:q", Phase: 2}, {Rule: 942100 + i%4, Variable: "ARGS:r", Phase: 2}},
		})
	}
	return out
}

func ids(events []StoredEvent) (out []string) {
	for _, e := range events {
		out = append(out, e.ID)
	}
	return out
}

func TestEventQueries(t *testing.T) {
	onBoth(t, func(t *testing.T, open func(Options) *Store) {
		ctx, s := t.Context(), open(Options{})
		events := sampleEvents(12)
		if n := must(s.AddEvents(ctx, events)); n != 12 {
			t.Fatal(n)
		}
		if n := must(s.AddEvents(ctx, events[:5])); n != 0 {
			t.Fatalf("%d duplicates were stored", n)
		}
		all := must(s.Events(ctx, EventQuery{}))
		if len(all) != 12 || cmp.Diff(events[11], all[0].Event) != "" {
			t.Fatal(cmp.Diff(events[11], all[0].Event))
		}
		for _, c := range []struct {
			name string
			q    EventQuery
			want string
		}{
			{"route", EventQuery{Route: "default/r1", Limit: 2}, "[E00011 E00009]"},
			{"rule", EventQuery{Rule: 942101}, "[E00009 E00005 E00001]"},
			{"decision", EventQuery{Decision: filters.Denied, Client: "c0"}, "[E00009 E00003]"},
			{"time", EventQuery{Since: day.Add(3 * time.Minute), Until: day.Add(5 * time.Minute)}, "[E00004 E00003]"},
			{"before", EventQuery{Before: all[9].Place()}, "[E00001 E00000]"},
			{"after", EventQuery{After: all[2].Cursor}, "[E00010 E00011]"},
			{"text", EventQuery{Route: "x' OR 1=1 --\x00"}, "[]"},
			{"rest", EventQuery{Policy: "WAFPolicy default/p", Host: "h", Path: "/a", Method: "GET", Limit: 1}, "[E00011]"},
		} {
			if got := fmt.Sprint(ids(must(s.Events(ctx, c.q)))); got != c.want {
				t.Errorf("%s: %s, want %s", c.name, got, c.want)
			}
		}
		if e := must(s.Event(ctx, "E00007")); e.Score != 5 {
			t.Fatalf("%+v", e)
		}
	})
}

// Events do not arrive in the order in which they happened: a spool is drained after
// an outage, a slow request ends late. Page by page each is seen once all the same.
func TestEventsArePagedByTime(t *testing.T) {
	onBoth(t, func(t *testing.T, open func(Options) *Store) {
		ctx, s := t.Context(), open(Options{})
		events := sampleEvents(9)
		events[4].Time = events[3].Time // two of one moment
		for _, i := range []int{6, 0, 8, 3, 4, 1, 7, 2, 5} {
			must(s.AddEvents(ctx, events[i:i+1]))
		}
		var seen []string
		q := EventQuery{Limit: 2}
		for range events {
			page := must(s.Events(ctx, q))
			seen = append(seen, ids(page)...)
			if len(page) < q.Limit {
				break
			}
			q.Before = page[len(page)-1].Place()
		}
		want := "[E00008 E00007 E00006 E00005 E00004 E00003 E00002 E00001 E00000]"
		if fmt.Sprint(seen) != want {
			t.Errorf("%s, want %s", seen, want)
		}
	})
}

func TestEventsFollow(t *testing.T) {
	onBoth(t, func(t *testing.T, open func(Options) *Store) {
		ctx, s := t.Context(), open(Options{})
		events := sampleEvents(6)
		must(s.AddEvents(ctx, events[:2]))
		_, cursor, err := s.EventsSince(ctx, -1, 0)
		if err != nil {
			t.Fatal(err)
		}
		wake := s.EventsChanged()
		must(s.AddEvents(ctx, events[1:5]))
		<-wake
		got, next, err := s.EventsSince(ctx, cursor, 2)
		if err != nil || fmt.Sprint(ids(got)) != "[E00002 E00003]" {
			t.Fatal(ids(got), err)
		}
		got, next, _ = s.EventsSince(ctx, next, 10)
		if fmt.Sprint(ids(got)) != "[E00004]" {
			t.Fatal(ids(got))
		}
		if got, same, _ := s.EventsSince(ctx, next, 10); len(got) != 0 || same != next {
			t.Fatal(ids(got))
		}
		// Pruning everything must not hand out old cursors again.
		if _, err := s.telemetry.write.ExecContext(ctx, "DELETE FROM events"); err != nil {
			t.Fatal(err)
		}
		must(s.AddEvents(ctx, events[5:]))
		if got, _, _ := s.EventsSince(ctx, next, 10); len(got) != 1 {
			t.Fatal("an event hides behind a reused cursor")
		}
	})
}

// A stream that reports twice, or by two ways, is one event that knows it all.
func TestEventIsCompleted(t *testing.T) {
	onBoth(t, func(t *testing.T, open func(Options) *Store) {
		ctx, s := t.Context(), open(Options{})
		early := filters.Event{ID: "E", Time: day, Decision: filters.Detect, Score: 5, Proxy: "edge",
			Matches: []filters.Match{{Rule: 1, Variable: "ARGS:a"}}}
		late := filters.Event{ID: "E", Time: day, Decision: filters.Denied, Score: 10, Status: 403, Micros: 7,
			Matches: []filters.Match{{Rule: 1, Variable: "ARGS:a"}, {Rule: 2, Variable: "ARGS:b"}}}
		want := late
		want.Proxy = "edge"
		for _, order := range [][]filters.Event{{early, late}, {late, early}} {
			if _, err := s.telemetry.write.ExecContext(ctx, "DELETE FROM events"); err != nil {
				t.Fatal(err)
			}
			must(s.AddEvents(ctx, order[:1]))
			must(s.AddEvents(ctx, order[1:]))
			if diff := cmp.Diff(want, must(s.Event(ctx, "E")).Event); diff != "" {
				t.Fatal(diff)
			}
			if got := must(s.Events(ctx, EventQuery{Rule: 2, Decision: filters.Denied})); len(got) != 1 {
				t.Fatal("its columns and rules were not completed")
			}
		}
		both := []filters.Event{{ID: "F", Time: day, Method: "GET"}, {ID: "F", Time: day, Host: "h"}}
		if n := must(s.AddEvents(ctx, both)); n != 1 {
			t.Fatal(n)
		}
		if e := must(s.Event(ctx, "F")); e.Method != "GET" || e.Host != "h" {
			t.Fatalf("%+v", e)
		}
	})
}

func TestEventsBeginning(t *testing.T) {
	onBoth(t, func(t *testing.T, open func(Options) *Store) {
		ctx, s := t.Context(), open(Options{})
		events := sampleEvents(12)
		events[3].ID, events[4].ID = "e0000_", "É0001"
		must(s.AddEvents(ctx, events))
		for _, c := range []struct {
			limit    int
			prefixes []string
			want     string
		}{
			{10, []string{"E00011"}, "[E00011]"}, {10, []string{"E0001", "e0001"}, "[E00010 E00011]"},
			{2, []string{"E0"}, "[E00000 E00001]"}, {10, []string{"e0000_"}, "[e0000_]"}, {10, []string{"E_0", "%"}, "[]"}, {1, []string{""}, "[E00000]"},
		} {
			if got := fmt.Sprint(ids(must(s.EventsBeginning(ctx, c.limit, c.prefixes...)))); got != c.want {
				t.Errorf("%q: %s, want %s", c.prefixes, got, c.want)
			}
		}
	})
}

// The end of a process is told twice and stays the event of a process; an event of a
// request never becomes one.
func TestEndOfProcessIsCompleted(t *testing.T) {
	onBoth(t, func(t *testing.T, open func(Options) *Store) {
		ctx, s := t.Context(), open(Options{})
		end := func(back time.Time) filters.Event {
			return filters.Event{ID: "P", Time: day, Proxy: "up", Decision: filters.Ended, Engine: filters.ProcessEngine,
				Process: &filters.ProcessEnd{Name: "envoy", Exit: "exit status 2", Back: back, Restarts: 1}}
		}
		away, back := end(time.Time{}), end(day.Add(time.Second))
		other := filters.Event{ID: "P", Time: day, Decision: filters.Denied, Score: 10, Matches: []filters.Match{{Rule: 1, Variable: "ARGS:a"}}}
		for _, c := range []struct {
			order []filters.Event
			want  filters.Event
		}{
			{[]filters.Event{away, back}, back}, {[]filters.Event{back, away}, back},
			{[]filters.Event{away, other, back}, back}, {[]filters.Event{other, back}, other},
		} {
			for _, together := range []bool{true, false} {
				for _, table := range []string{"events", "event_rules"} {
					if _, err := s.telemetry.write.ExecContext(ctx, "DELETE FROM "+table); err != nil {
						t.Fatal(err)
					}
				}
				if together {
					must(s.AddEvents(ctx, c.order))
				}
				for i := range c.order {
					must(s.AddEvents(ctx, c.order[i:i+1]))
				}
				got := must(s.Events(ctx, EventQuery{Decision: c.want.Decision}))
				if len(got) != 1 {
					t.Fatalf("%d events", len(got))
				}
				if diff := cmp.Diff(c.want, got[0].Event); diff != "" {
					t.Error(diff)
				}
				if n := len(must(s.Events(ctx, EventQuery{Rule: 1}))); n != len(c.want.Matches) {
					t.Errorf("%d events have the rule, want %d", n, len(c.want.Matches))
				}
			}
		}
	})
}

func TestEventsWithAnyText(t *testing.T) {
	onBoth(t, func(t *testing.T, open func(Options) *Store) {
		ctx, s := t.Context(), open(Options{})
		nasty := "\x00 \xff ' \" \\ ? $1 \u2028 é"
		e := filters.Event{ID: nasty, Time: day, Route: nasty, Policy: nasty, Decision: filters.Decision(nasty),
			Client: nasty, Method: nasty, Host: nasty, Path: nasty, Matches: []filters.Match{{Rule: 1, Value: nasty}}}
		for range 2 {
			if _, err := s.AddEvents(ctx, []filters.Event{e}); err != nil {
				t.Fatal(err)
			}
		}
		if got := must(s.Events(ctx, EventQuery{Route: nasty, Host: nasty, Rule: 1})); len(got) != 1 {
			t.Fatalf("%d events", len(got))
		}
		many := sampleEvents(700)
		for i := range many {
			many[i].Reason = string(make([]byte, 3000))
		}
		if n := must(s.AddEvents(ctx, many)); n != 700 {
			t.Fatal(n)
		}
	})
}

func TestExchangesAndCoverage(t *testing.T) {
	onBoth(t, func(t *testing.T, open func(Options) *Store) {
		ctx, c := t.Context(), newClock()
		s := open(Options{Now: c.now})
		var xs []exchange.Exchange
		for i := range 250 {
			xs = append(xs, exchange.Exchange{ID: fmt.Sprintf("%04d", i), Time: day.Add(time.Duration(i) * time.Second),
				Proxy: "edge", Route: fmt.Sprint("r", i%2), Method: "GET", Path: "/a/{}", Params: []string{"q"}, Status: 200, Duration: time.Millisecond})
		}
		xs = append(xs, xs[3])
		if n := must(s.AddExchanges(ctx, xs)); n != 250 {
			t.Fatal(n)
		}
		xs[0].Status, xs[0].Event = 500, "E"
		if n := must(s.AddExchanges(ctx, xs[:1])); n != 0 {
			t.Fatal(n)
		}
		got := must(s.Exchanges(ctx, ExchangeQuery{Route: "r0", Until: day.Add(time.Second)}))
		if diff := cmp.Diff(xs[:1], got); diff != "" {
			t.Fatal(diff)
		}
		for prefix, n := range map[string]int{"/a/": 100, "/a/{}/": 0, "/%": 0} {
			if got := must(s.Exchanges(ctx, ExchangeQuery{PathPrefix: prefix})); len(got) != n {
				t.Fatalf("%d below %s", len(got), prefix)
			}
		}
		for suffix, n := range map[string]int{xs[0].Path: 100, xs[0].Path[1:]: 100, "/a" + xs[0].Path: 0, "%": 0} {
			if got := must(s.Exchanges(ctx, ExchangeQuery{PathSuffix: suffix})); len(got) != n {
				t.Fatalf("%d end in %s", len(got), suffix)
			}
		}
		deltas := []CoverageDelta{{Source: "spool", Received: 5, Duplicates: 1, Writer: "w1", WriterLost: 3},
			{Source: "spool", Writer: "w1", WriterLost: 3}, {Source: "spool", Lost: 2, Garbage: 1, Writer: "w2", WriterLost: 1}}
		if err := s.AddCoverage(ctx, deltas); err != nil {
			t.Fatal(err)
		}
		since := c.now()
		c.advance(time.Hour)
		if err := s.AddCoverage(ctx, []CoverageDelta{{Source: "spool", Writer: "w1", WriterLost: 10}, {Source: "a", Received: 1}}); err != nil {
			t.Fatal(err)
		}
		want := []Coverage{{Source: "a", Received: 1, Since: c.now(), Last: c.now()},
			{Source: "spool", Received: 5, Duplicates: 1, Lost: 13, Garbage: 1, Since: since, Last: c.now()}}
		if diff := cmp.Diff(want, must(s.Coverage(ctx))); diff != "" {
			t.Fatal(diff)
		}
	})
}
